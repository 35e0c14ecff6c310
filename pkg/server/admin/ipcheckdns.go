package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/access"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// dnsTable stands for the DNS among the tables that are asked.
const dnsTable = "dns"

// named asks smtp.hnprop.tab for the names of a client: host, or else those that the
// DNS has. It returns what is known of its names, and "" where nothing is.
func (c *ipCheck) named(ctx context.Context, client *access.SMTPClient, host string) (known string) {
	table := c.s.root.Named(mailroot.HNPropTab)
	names := []string{host}
	if host != "" {
		known = hasName
	} else {
		names, known = c.askNames(ctx, client, table)
	}
	var rows []mailroot.Named
	for _, name := range names {
		if name != "" {
			rows = append(rows, table.CoveringHost(name)...)
		}
	}
	slices.SortStableFunc(rows, func(a, b mailroot.Named) int {
		switch {
		case a.Row.Before(b.Row):
			return -1
		case b.Row.Before(a.Row):
			return 1
		}
		return 0
	})
	rows = slices.CompactFunc(rows, func(a, b mailroot.Named) bool { return a.Row == b.Row })
	for i, n := range rows {
		if i == 0 {
			client.Properties = append(client.Properties, n.Rest)
		}
		c.first(mailroot.HNPropTab, i, table.Position(n.Row), n.Text(), "counts")
	}
	return known
}

// askNames asks the DNS for the names of a client where something depends on them.
func (c *ipCheck) askNames(ctx context.Context, client *access.SMTPClient, table mailroot.Names) (names []string, known string) {
	needed := client.NameCode != 0
	for range table.All() {
		needed = true
		break
	}
	if !needed || c.s.opts.DNS == nil {
		return nil, ""
	}
	found, err := c.s.opts.DNS.Names(ctx, c.ip)
	switch {
	case err != nil:
		c.add(dnsTable, 0, "PTR "+c.ip.String(), "does not count: no name server answered")
		return nil, "does not count: no name server answered"
	case found.Absent:
		client.Nameless = true
		return nil, "counts: the address has no name"
	}
	for _, name := range found.PTR {
		effect := "does not count as a name: it does not lead back to the address"
		if slices.Contains(found.Confirmed, name) {
			effect = "is the name of the address"
		}
		c.add(dnsTable, 0, "PTR "+name, effect)
	}
	return found.Confirmed, hasName
}

// What there is to say of a variable that needs the DNS.
const (
	hasName  = "does not count: the address has a name"
	notAsked = "is not asked here, since it takes name servers"
)

// lists asks the lists of the DNS, of which the first one that has the client
// decides.
func (c *ipCheck) lists(ctx context.Context, client *access.SMTPClient) {
	value := c.s.root.Vars().String("CustMapsList")
	if value == "" {
		return
	}
	entry := "CustMapsList " + value
	if c.s.opts.DNS == nil {
		c.add(mailroot.ServerTab, 0, entry, notAsked)
		return
	}
	answers := c.s.opts.DNS.Lists(ctx, c.ip, nil)
	if len(answers) == 0 {
		c.add(mailroot.ServerTab, 0, entry, "is not asked: the address is none of the internet, or there is no list")
	}
	for _, a := range answers {
		effect := "does not have it"
		switch {
		case a.Wrong != "":
			effect = "does not count: " + a.Wrong
		case a.Listed && client.Listed:
			effect = "does not count: a list before it has it"
		case a.Listed:
			client.Listed, client.List, client.ListCode = true, a.Root, a.Code
			effect = fmt.Sprintf("counts, with code %d", a.Code)
		}
		c.add(dnsTable, 0, strings.TrimSuffix(a.Name(c.ip), "."), effect)
	}
}

// reverse tells of SMTP-RDNSCheck.
func (c *ipCheck) reverse(client access.SMTPClient, known string) {
	if client.NameCode == 0 {
		return
	}
	if known == "" {
		known = notAsked
	}
	c.add(mailroot.ServerTab, 0, fmt.Sprintf("SMTP-RDNSCheck %d", client.NameCode), known)
}
