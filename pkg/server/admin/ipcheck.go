package admin

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/xmaild/xmaild/pkg/server/access"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// A CheckRow is a row of a table that matches a client, or with Table "verdict"
// or "relay" what comes of it all.
type CheckRow struct {
	Table  string
	Row    int    // its number in the table, from 1; 0: it is no row
	Entry  string // its fields; of a verdict ALLOW, DENY, LOGIN (after a login only) or DELAY
	Effect string // for people
}

// A ClientDNS asks the DNS of a client of SMTP as SMTP does.
type ClientDNS interface {
	// Names returns the names of an address. The error is that of servers that do
	// not answer.
	Names(ctx context.Context, ip netip.Addr) (access.Names, error)

	// Lists returns the answers of the lists of the variable CustMapsList, in its
	// order, up to the first for which upTo returns true; nil: of all. There is none
	// for an address that they are not asked for.
	Lists(ctx context.Context, ip netip.Addr, upTo func(access.ListAnswer) bool) []access.ListAnswer
}

// ipCheck collects the rows that match a client.
type ipCheck struct {
	s    *Service
	ip   netip.Addr
	rows []CheckRow
}

// IPCheck returns which rows match a client of a service, in the order in which
// the tables are asked, and then the verdict. host is the name that the DNS has
// for the address; empty, it is asked where [Options] have one. SMTP alone needs it.
func (s *Service) IPCheck(ctx context.Context, service, ip, host string) ([]CheckRow, error) {
	user, domain, inAccount := accountService(service)
	if !inAccount && !slices.Contains(mapServices, service) {
		return nil, noService(service)
	}
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Zone() != "" {
		return nil, refuse(BadNetwork, "%s is not an address", quote(ip))
	}
	if host != "" && checkDomainName(host) != nil {
		return nil, refuse(Invalid, "%s is not the name of a host", quote(host))
	}
	c := &ipCheck{s: s, ip: addr.Unmap()}
	switch {
	case service == SMTPService:
		c.smtp(ctx, host)
		return c.rows, nil
	case !inAccount:
		name := service + ".ipmap.tab"
		c.verdict(c.ipMap(name, s.root.IPMap(service)))
		return c.rows, nil
	}
	u, err := requireAccount(s.root.Tables, domain, user)
	if err != nil {
		return nil, err
	}
	own, err := s.root.AccountMap(u)
	if err != nil {
		return nil, refuse(CannotRead, "%w", err)
	}
	dir, _ := u.Path() // it has one, or its map could not have been read
	verdict := c.ipMap(mailroot.POP3MapTab, s.root.IPMap(POP3Service))
	if verdict.Allow { // or nobody gets as far as the login
		verdict = c.ipMap(dir+"/"+mailroot.POP3MapTab, own)
	}
	c.verdict(verdict)
	return c.rows, nil
}

func (c *ipCheck) add(table string, row int, entry, effect string) {
	c.rows = append(c.rows, CheckRow{table, row, entry, effect})
}

func (c *ipCheck) verdict(v access.Verdict) {
	entry := "DENY"
	if v.Allow {
		entry = "ALLOW"
	}
	c.add("verdict", 0, entry, v.Reason)
}

// ipMap asks an address map, in which of all rows one decides.
func (c *ipCheck) ipMap(name string, rows mailroot.Networks) access.Verdict {
	now := c.s.root.Now()
	verdict := decide(name, rows, c.ip, now)
	matching := rows.Matching(c.ip)
	last := -1
	for i, n := range matching {
		if n.Row.Raw() == verdict.Row {
			last = i // of equals the last one decides
		}
	}
	for i, n := range matching {
		effect := "does not count"
		switch {
		case n.Expired(now):
			effect = "does not count: it has expired"
		case i == last && verdict.Allow:
			effect = "allows"
		case i == last:
			effect = "denies"
		}
		c.add(name, rows.Position(n.Row), n.Text(), effect)
	}
	return verdict
}

// first adds the rows of a table where the first one decides.
func (c *ipCheck) first(table string, i, number int, text, effect string) {
	if i > 0 {
		effect = "does not count: a row above matches"
	}
	c.add(table, number, text, effect)
}

func (c *ipCheck) smtp(ctx context.Context, host string) {
	root := c.s.root
	client := access.SMTPClient{NameCode: root.Vars().Number("SMTP-RDNSCheck")}
	props := root.IPProps()
	for i, n := range props.Matching(c.ip) {
		if i == 0 {
			client.Properties = append(client.Properties, n.Rest)
		}
		c.first(mailroot.IPPropTab, i, props.Position(n.Row), n.Text(), "counts")
	}
	named := c.named(ctx, &client, host)
	if client.Has(access.WhiteList) || client.Has(access.Deny) {
		client.Map.Allow = true // it is not asked
	} else {
		c.bans(&client)
		c.lists(ctx, &client)
		c.reverse(client, named)
	}
	relays := root.Relays()
	for i, n := range relays.Matching(c.ip) {
		client.Relay = true
		c.first(mailroot.RelayTab, i, relays.Position(n.Row), n.Text(), "may relay")
	}
	c.smtpVerdict(client.Decide())
}

// bans asks the tables that a client on the white list is spared.
func (c *ipCheck) bans(client *access.SMTPClient) {
	root := c.s.root
	client.Map = c.ipMap(mailroot.SMTPMapTab, root.IPMap(SMTPService))
	client.DropCode = root.Vars().Number("SMTP-IpMapDropCode")
	spammers := root.Spammers()
	now := root.Now()
	for _, n := range spammers.Matching(c.ip) {
		effect := "does not count: a row above matches"
		switch {
		case n.Expired(now):
			effect = "does not count: it has expired"
		case !client.Spammer:
			client.Spammer, client.SpammerCode = true, n.Code()
			effect = "counts, with code " + strconv.Itoa(n.Code())
		}
		c.add(mailroot.SpammersTab, spammers.Position(n.Row), n.Text(), effect)
	}
}

func (c *ipCheck) smtpVerdict(v access.SMTPVerdict) {
	entry := "ALLOW"
	reason := v.Reason
	switch {
	case v.Refuse:
		entry = "DENY"
	case v.Login:
		entry = "LOGIN"
	case v.Delay > 0:
		entry = "DELAY"
		reason = fmt.Sprintf("%v before each command, by %s", v.Delay, v.Reason)
	}
	c.add("verdict", 0, entry, reason)
	if v.Refuse {
		return
	}
	if v.Relay {
		c.add("relay", 0, "ALLOW", "without a login")
	} else {
		c.add("relay", 0, "DENY", "unless it logs in with the permission to")
	}
}
