package policy

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/xmaild/xmaild/pkg/server/access"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A Client is what the tables and the DNS say of a client that has connected. It
// holds for the whole session, over STARTTLS too.
type Client struct {
	Remote, Local netip.AddrPort

	Name string // a name of the address that leads back to it; empty: none, or nobody needed to know
	PTR  string // the first name that the DNS has for the address, whatever it leads to; likewise

	WhiteList     bool // filters with wlex skip it
	NoAuth        bool // MailAuth does not count
	NoSenderCheck bool // CheckMailerDomain does not count
	EaseTLS       bool // WantTLS does not count
	VRFY, ETRN    bool // these are answered
	Relay         bool // it may relay without a login

	Refuse    *Reply        // not nil: said instead of the greeting, and the connection closed
	LoginOnly *Reply        // not nil: no mail is taken before a login; [Policy.Sender] says so
	Delay     time.Duration // before every command, until a login
	Reason    string        // of the last three, for the log
	Map       string        // the list of the DNS that has the address, with a dot at its end; empty: none was found

	Domain string // what the server is called in this session
}

// Client looks at a client that has connected to an address of this server. The
// DNS is asked for a few seconds at most, and what it does not answer then does
// not count against the client.
func (p *Policy) Client(ctx context.Context, remote, local netip.AddrPort) Client {
	ip := remote.Addr().Unmap().WithZone("")
	c := Client{Remote: remote, Local: local}
	vars := p.root.Vars()
	if c.Refuse = p.low(vars); c.Refuse != nil {
		c.Reason = c.Refuse.Text
		return c
	}
	ctx, cancel := context.WithTimeout(ctx, 2*p.timeout)
	defer cancel()
	facts := access.SMTPClient{Map: access.Verdict{Allow: true}, NameCode: vars.Number("SMTP-RDNSCheck")}
	named := p.asksForNames()
	if named {
		p.names(ctx, &c, &facts, ip)
	}
	p.tables(&facts, vars, ip)
	verdict := facts.Decide()
	if !facts.Has(access.WhiteList) && !verdict.Refuse {
		p.lookIntoLists(ctx, &facts, vars, ip)
		if verdict = facts.Decide(); !verdict.Refuse && !named && facts.NameCode != 0 {
			p.names(ctx, &c, &facts, ip)
			verdict = facts.Decide()
		}
	}
	c.WhiteList = facts.Has(access.WhiteList)
	c.NoAuth = facts.Has(access.NoAuth)
	c.NoSenderCheck = facts.Off(access.SenderDomainCheck)
	c.EaseTLS = facts.Has(access.EaseTLS)
	c.VRFY, c.ETRN = facts.Has(access.EnableVRFY), facts.Has(access.EnableETRN)
	c.Relay, c.Delay, c.Reason = verdict.Relay, verdict.Delay, verdict.Reason
	c.Map = facts.List
	switch {
	case verdict.Refuse:
		c.Refuse = refusal(vars, verdict.By, facts.List)
	case verdict.Login:
		c.LoginOnly = loginOnly(vars, verdict.By, facts)
	}
	if c.Refuse == nil {
		c.Domain = p.domain(ctx, vars, local.Addr())
	}
	return c
}

// low returns the refusal of a server that is short of disk space or memory.
func (p *Policy) low(vars mailroot.ServerVars) *Reply {
	now := p.root.Now()
	for _, short := range []struct {
		what     string
		guard    *guard
		variable string
	}{
		{"disk space", p.disk, "SmtpMinDiskSpace"},
		{"memory", p.memory, "SmtpMinVirtMemSpace"},
	} {
		least := vars.Number(short.variable)
		below, fresh, err := short.guard.below(now, least)
		if err != nil && fresh {
			p.log.Warn("smtp: cannot measure", "what", short.what, "variable", short.variable, "err", err)
		}
		if below {
			if fresh {
				p.log.Error("smtp: clients are refused, the server is low", "what", short.what, "variable", short.variable, "least", least)
			}
			return &Reply{Code: 421, Text: "Service not available, the server is low on " + short.what}
		}
	}
	return nil
}

// tables asks the tables of addresses. Properties by name are known already.
func (p *Policy) tables(facts *access.SMTPClient, vars mailroot.ServerVars, ip netip.Addr) {
	if rows := p.root.IPProps().Matching(ip); len(rows) > 0 {
		facts.Properties = append(facts.Properties, rows[0].Rest)
	}
	facts.Relay = len(p.root.Relays().Matching(ip)) > 0
	if facts.Has(access.WhiteList) || facts.Has(access.Deny) {
		return
	}
	var rows []tabfile.Row
	for _, n := range p.root.IPMap("smtp").Matching(ip) {
		rows = append(rows, n.Row)
	}
	facts.Map = access.NewIPMap(mailroot.SMTPMapTab, slices.Values(rows)).Decide(ip, p.root.Now())
	facts.DropCode = vars.Number("SMTP-IpMapDropCode")
	now := p.root.Now()
	for _, n := range p.root.Spammers().Matching(ip) {
		if !n.Expired(now) {
			facts.Spammer, facts.SpammerCode = true, n.Code()
			break
		}
	}
}

const unavailable = "Service not available, closing transmission channel"

// refusal is what a client is told that is refused at once.
func refusal(vars mailroot.ServerVars, by access.Source, list string) *Reply {
	switch by {
	case access.BySpammers:
		return custom(vars, "SmtpMsgIPBanSpammers", "", Reply{Code: 421, Text: unavailable, Log: "SNDRIP=EIPSPAM"})
	case access.ByList:
		more := " (" + list + ")"
		return custom(vars, "SmtpMsgIPBanMaps", more, Reply{
			Code: 550, Text: "Denied due to inclusion of your address in" + more, Log: "SNDRIP=EIPMAP" + more,
		})
	}
	return custom(vars, "SmtpMsgIPBan", "", Reply{Code: 421, Text: unavailable, Log: "SNDRIP=EIPBAN"})
}

// loginOnly is what a client is told at MAIL that must log in before.
func loginOnly(vars mailroot.ServerVars, by access.Source, facts access.SMTPClient) *Reply {
	reply := Reply{Code: 550, Enhanced: "5.7.1", Text: "Mail from your address is taken after a login only", Log: "SNDRIP=EIPSPAM"}
	variable := ""
	switch by {
	case access.ByList:
		reply.Log = "SNDRIP=EIPMAP (" + facts.List + ")"
	case access.ByName:
		reply.Log = "SNDRIP=ERDNS"
	case access.ByMap:
		reply.Log, variable = "SNDRIP=EIPBAN", "SmtpMsgIPBan"
	}
	if facts.Spammer && facts.SpammerCode == 0 {
		variable = "SmtpMsgIPBanSpammers"
	}
	r := custom(vars, variable, "", reply)
	if r.Code == 421 {
		r.Code = 550 // the session goes on
	}
	return r
}
