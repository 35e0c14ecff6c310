package explain

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/server/filter"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/outbound"
	"github.com/xmaild/xmaild/pkg/server/process"
	"github.com/xmaild/xmaild/pkg/server/route"
	"github.com/xmaild/xmaild/pkg/server/spool"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// maxCopies is how many redirected copies are followed.
const maxCopies = 32

// An asking is a question that is being answered.
type asking struct {
	Parts
	ctx    context.Context
	ip     netip.Addr
	steps  []Step
	copies []mail // that commands make, and that were not looked at yet
	made   int    // of these so far
}

// A mail is what is in the queue for a recipient: the one that is asked about, or a copy
// that commands have made of it.
type mail struct {
	from string
	to   address.Path
	by   string   // the command that has made it; empty: none
	been []string // where it has been, as its header tells
}

func (a *asking) say(name, result, format string, args ...any) {
	a.steps = append(a.steps, Step{name, result, fmt.Sprintf(format, args...)})
}

const loop = "it has been here before: a mail loop"

// beenAt reports whether a mail comes back, as the header of the real one tells.
func (a *asking) beenAt(m mail, owner string) bool {
	return slices.ContainsFunc(m.been, func(other string) bool { return tabfile.EqualFold(other, owner) })
}

// delivered says what becomes of a mail once it is in the queue, for an address as the
// deliverer reads it.
func (a *asking) delivered(m mail) error {
	// Each is a line of the header, and so is how the server has taken the mail.
	if 1+len(m.been) > a.Root.Vars().Number("MaxMTAOps") {
		a.say("end", "bounced", "it has been redirected too often: a mail loop")
		return nil
	}
	if a.Sender.Routed(m.to.Domain) {
		a.say("address", "gateway", "%s: smtpgw.tab has its domain", m.to)
		return a.sent(m)
	}
	r, err := route.Find(a.Root, m.to.Local, m.to.Domain)
	if err != nil {
		return err
	}
	a.address(m.to, r)
	switch r.Kind {
	case route.Remote:
		return a.sent(m)
	case route.NoUser:
		a.say("end", "bounced", "there is nobody of that name at this server")
		return nil
	case route.List, route.User:
		takes, err := a.account(m, r)
		if err != nil || !takes {
			return err
		}
		if r.Kind == route.List {
			return a.list(m, r)
		}
		commands, err := process.ForAccount(a.Root.Tables, r.Account)
		return a.commands(m, r, commands, err)
	}
	a.say("file", "read", "%s", r.File)
	commands, err := process.FromFile(a.Root.Tables, r.File)
	return a.commands(m, r, commands, err)
}

// address says where an address leads.
func (a *asking) address(to address.Path, r route.Route) {
	where := to.String()
	if !tabfile.EqualFold(r.Domain, to.Domain) {
		where += ", " + to.Domain + " is an alias domain of " + r.Domain
	}
	if owner := r.Address(); owner != "" && !(tabfile.EqualFold(r.Account.Name, to.Local) && tabfile.EqualFold(r.Account.Domain, r.Domain)) {
		where += ", an alias of " + owner
	}
	a.say("address", r.Kind.String(), "%s", where)
}

// account says what there is to know of an account or a list that may keep mail from it.
// It reports whether there is any way on.
func (a *asking) account(m mail, r route.Route) (takes bool, err error) {
	vars, err := a.Root.UserVars(r.Account)
	if err != nil {
		return false, err
	}
	state := "enabled"
	if vars.Disabled().On {
		state = "disabled"
	}
	if !vars.Receives() {
		state += ", gets no mail by SMTP"
	}
	if r.Kind == route.User || state != "enabled" {
		a.say("account", state, "%s", r.Address())
	}
	if !a.Root.Vars().On("DeliverAccess") {
		return true, nil
	}
	if !vars.Receives() {
		a.say("end", "bounced", "the account takes no mail")
		return false, nil
	}
	if r.Kind != route.List {
		return true, nil
	}
	takes, err = a.Root.MayWrite(r.Account, vars, mailroot.Writer{From: m.from})
	if err == nil && !takes {
		a.say("end", "bounced", "the list is closed, and <%s> may not write to it", m.from)
	}
	return takes, err
}

// list says how many get the mail of a list. What becomes of theirs is another question
// for each.
func (a *asking) list(m mail, r route.Route) error {
	if a.beenAt(m, r.Address()) {
		a.say("end", "bounced", loop)
		return nil
	}
	a.filters(m, filter.In)
	members, err := a.Root.Members(r.Account)
	if err != nil {
		return err
	}
	rows, readers := 0, 0
	for member := range members.All() {
		rows++
		if strings.Contains(member.Perms, "R") {
			readers++
		}
	}
	a.say("list", "members", "%d of the %d members of %s get its mail", readers, rows, r.Address())
	a.say("end", "list", "a copy goes to each of them")
	return nil
}

// filters says which files of filters look at a mail.
func (a *asking) filters(m mail, kind string) {
	q := filter.Queued{Envelope: spool.Envelope{From: m.from}, To: spool.Recipient{Address: m.to.String()}}
	if a.ip.IsValid() {
		q.Client = netip.AddrPortFrom(a.ip, 0)
	}
	for _, file := range a.Filters.Files(kind, q) {
		a.say("filters", kind, "filters/%s", file)
	}
}

// commands says which commands would be carried out. Programs do not run.
func (a *asking) commands(m mail, r route.Route, c process.Commands, err error) error {
	if err != nil {
		return err
	}
	for _, problem := range c.Problems {
		a.say("command", "wrong", "%v", problem)
	}
	switch {
	case c.Discards():
		a.say("end", "discarded", "the file has no commands")
		return nil
	case len(c.List) == 0:
		a.say("end", "waits", "none of the rows can be carried out")
		return nil
	}
	filtered := make(map[string]bool)
	for _, command := range c.List {
		if kind := filtersBefore[command.Word]; kind != "" && !filtered[kind] {
			filtered[kind] = true
			a.filters(m, kind)
		}
		a.say("command", string(command.Word), "%s", strings.Join(command.Args, " "))
		if err := a.command(m, r, command); err != nil {
			return err
		}
	}
	return nil
}

// filtersBefore are the filters of the queue that run before a command.
var filtersBefore = map[process.Word]string{
	process.External: filter.In, process.Mailbox: filter.In, process.SMTP: filter.Out, process.SMTPRelay: filter.Out,
}

// command says what comes of a command, where that can be known.
func (a *asking) command(m mail, r route.Route, c process.Command) error {
	switch c.Word {
	case process.Mailbox:
		return a.mailbox(r)
	case process.Redirect, process.LRedirect:
		a.redirect(m, r, c)
	case process.SMTP:
		plan, err := a.Sender.Plan(a.ctx, m.to.Domain)
		return a.leaves(m.to.Domain, plan, err)
	case process.SMTPRelay:
		if len(c.Args) == 0 || hasMacro(c.Args...) {
			return nil
		}
		options := ""
		if len(c.Args) > 1 {
			options = c.Args[1]
		}
		plan, err := a.Sender.Relay(c.Args[0], options)
		return a.leaves(m.to.Domain, plan, err)
	}
	return nil
}

func (a *asking) mailbox(r route.Route) error {
	full, err := a.Boxes.Full(a.ctx, r.Account, 0)
	switch {
	case err != nil:
		a.say("quota", "unknown", "%v", err)
	case full:
		a.say("quota", "full", "the mailbox of %s", r.Address())
		a.say("end", "waits", "the mailbox is full")
		return nil
	}
	a.say("end", "mailbox", "it is put into the mailbox")
	return nil
}

// hasMacro reports whether a word hangs on the message.
func hasMacro(words ...string) bool {
	return slices.ContainsFunc(words, func(word string) bool { return strings.HasPrefix(word, "@@") || strings.Contains(word, "$(") })
}

// redirect says what comes of a redirection, and leaves the copies to be looked at.
func (a *asking) redirect(m mail, r route.Route, c process.Command) {
	by := r.Address()
	if by == "" {
		by = m.to.String()
	}
	if a.beenAt(m, by) {
		a.say("end", "bounced", loop)
		return
	}
	if hasMacro(c.Args...) {
		return
	}
	targets, err := process.Targets(c.Args, by)
	if err != nil {
		a.say("end", "waits", "%v", err)
		return
	}
	from := m.from
	if c.Word == process.LRedirect && from != "" {
		from = by
	}
	for _, target := range targets {
		to, err := parse(target)
		if a.made++; err != nil || a.made > maxCopies {
			a.say("copy", "not followed", "%s", target)
			continue
		}
		a.copies = append(a.copies, mail{from: from, to: to, by: string(c.Word), been: append(slices.Clone(m.been), by)})
	}
}

// sent says by which hosts a mail leaves.
func (a *asking) sent(m mail) error {
	a.filters(m, filter.Out)
	plan, err := a.Sender.Plan(a.ctx, m.to.Domain)
	return a.leaves(m.to.Domain, plan, err)
}

// leaves says by which hosts mail for a domain leaves.
func (a *asking) leaves(domain string, plan outbound.Route, err error) error {
	var failed *outbound.Error
	switch {
	case errors.As(err, &failed) && failed.Permanent:
		a.say("end", "bounced", "%s %s", failed.Enhanced, failed.Error())
		return nil
	case errors.As(err, &failed):
		a.say("end", "waits", "%s %s", failed.Enhanced, failed.Error())
		return nil
	case err != nil:
		return err
	case plan.Discard:
		a.say("end", "waits", "the tables name no host for %s", domain)
		return nil
	}
	a.say("branch", string(plan.Branch), "%s", branches[plan.Branch])
	for _, h := range plan.Hosts {
		a.say("host", h.Name, "port %d, rank %d", h.Port, h.Rank)
	}
	return nil
}

// branches says by what hosts were found.
var branches = map[outbound.Branch]string{
	outbound.ByGateway: mailroot.GatewaysTab,
	outbound.ByForward: mailroot.ForwardsTab,
	outbound.ByDefault: "DefaultSMTPGateways",
	outbound.ByLiteral: "the domain is an address",
	outbound.ByMX:      "MX records",
	outbound.ByAddress: "no MX record: the domain is the host",
	outbound.ByRelay:   "the command smtprelay",
}
