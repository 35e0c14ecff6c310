// Package explain answers what would happen to a mail: it asks those who would take it
// and deliver it, step by step, and changes nothing.
package explain

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/outbound"
	"github.com/xmaild/xmaild/pkg/server/policy"
	"github.com/xmaild/xmaild/pkg/server/process"
	"github.com/xmaild/xmaild/pkg/server/route"
)

// A Question is what is asked. Addresses may have angle brackets.
type Question struct {
	To   string
	From string     // empty: the null sender
	IP   netip.Addr // of the client; not valid: the mail is not looked at as SMTP would
}

// A Step is one thing that happens to the mail.
type Step struct {
	Name   string // client, sender, recipient, address, account, quota, file, list, command, branch, host, end
	Result string
	Detail string
}

// Parts are those who are asked.
type Parts struct {
	Root   *mailroot.Root
	Policy *policy.Policy
	Sender *outbound.Sender
	Boxes  policy.Quota
}

// ErrAddress is the error of a question with an address that is none.
var ErrAddress = errors.New("not a mail address")

// An asking is a question that is being answered.
type asking struct {
	Parts
	ctx   context.Context
	steps []Step
}

func (a *asking) say(name, result, format string, args ...any) {
	a.steps = append(a.steps, Step{name, result, fmt.Sprintf(format, args...)})
}

// Explain returns what would happen to a mail, in order. It asks the DNS where the
// mail would. The error is ErrAddress, or that of tables that cannot be read.
func (p Parts) Explain(ctx context.Context, q Question) ([]Step, error) {
	to, err := parse(q.To)
	if err == nil && to.IsNull() {
		err = fmt.Errorf("%w: a recipient is needed", ErrAddress)
	}
	if err != nil {
		return nil, err
	}
	from, err := parse(q.From)
	if err != nil {
		return nil, err
	}
	a := &asking{Parts: p, ctx: ctx}
	if q.IP.IsValid() && !a.taken(q.IP, from, to) {
		return a.steps, nil
	}
	err = a.delivered(to)
	return a.steps, err
}

func parse(s string) (address.Path, error) {
	if !strings.HasPrefix(s, "<") {
		s = "<" + s + ">"
	}
	path, rest, err := address.ParsePath(s)
	if err == nil && rest != "" {
		err = errors.New("something follows the address")
	}
	if err != nil {
		return path, fmt.Errorf("%w: %w", ErrAddress, err)
	}
	return path, nil
}

// taken says what SMTP answers to a client that has not logged in, and reports whether
// the mail is taken.
func (a *asking) taken(ip netip.Addr, from, to address.Path) bool {
	c := a.Policy.Client(a.ctx, netip.AddrPortFrom(ip, 0), netip.AddrPort{})
	if !a.answer("client", c.Refuse, ip.String(), c.Reason) {
		return false
	}
	session := policy.Session{From: from}
	if !a.answer("sender", a.Policy.Sender(a.ctx, &c, session, from), from.String(), "") {
		return false
	}
	taken, reply := a.Policy.Recipient(a.ctx, &c, session, to)
	return a.answer("recipient", reply, to.String(), taken.Real)
}

// answer says what SMTP answers; a reply is a refusal.
func (a *asking) answer(name string, reply *policy.Reply, of, more string) bool {
	if reply != nil {
		a.say(name, "refused", "%s: %s", of, strings.Join(strings.Fields(fmt.Sprint(reply.Code, " ", reply.Enhanced, " ", reply.Text)), " "))
		return false
	}
	if more != "" {
		of += ", " + more
	}
	a.say(name, "taken", "%s", of)
	return true
}

// delivered says what becomes of the mail once it is in the queue, for an address as the
// deliverer reads it.
func (a *asking) delivered(to address.Path) error {
	if a.Sender.Routed(to.Domain) {
		a.say("address", "gateway", "%s: smtpgw.tab has its domain", to)
		return a.leaves(to.Domain)
	}
	r, err := route.Find(a.Root, to.Local, to.Domain)
	if err != nil {
		return err
	}
	where := to.String()
	if !strings.EqualFold(r.Domain, to.Domain) {
		where += ", " + to.Domain + " is an alias domain of " + r.Domain
	}
	a.say("address", r.Kind.String(), "%s", where)
	switch r.Kind {
	case route.Remote:
		return a.leaves(r.Domain)
	case route.NoUser:
		a.say("end", "bounced", "there is nobody of that name at this server")
		return nil
	case route.List:
		return a.list(r)
	case route.User:
		if err := a.account(r); err != nil {
			return err
		}
		commands, err := process.ForAccount(a.Root.Tables, r.Account)
		return a.commands(commands, err)
	}
	a.say("file", "read", "%s", r.File)
	commands, err := process.FromFile(a.Root.Tables, r.File)
	return a.commands(commands, err)
}

// account says what there is to know of an account that may keep mail from it.
func (a *asking) account(r route.Route) error {
	disabled, err := a.Root.Disabled(r.Account)
	if err != nil {
		return err
	}
	state := "enabled"
	if disabled.On {
		state = "disabled"
	}
	if disabled.NoMail {
		state += ", gets no mail"
	}
	a.say("account", state, "%s", r.Address())
	full, err := a.Boxes.Full(a.ctx, r.Account, 0)
	switch {
	case err != nil:
		a.say("quota", "unknown", "%v", err)
	case full:
		a.say("quota", "full", "the mailbox of %s is full", r.Address())
	}
	return nil
}

func (a *asking) list(r route.Route) error {
	members, err := a.Root.Members(r.Account)
	if err != nil {
		return err
	}
	n := 0
	for range members.All() {
		n++
	}
	a.say("list", "members", "%d rows in the table of %s", n, r.Address())
	return nil
}

// commands says which commands would run. Programs do not run.
func (a *asking) commands(c process.Commands, err error) error {
	if err != nil {
		return err
	}
	for _, problem := range c.Problems {
		a.say("command", "wrong", "%v", problem)
	}
	if c.Discards() {
		a.say("end", "discarded", "the file has no commands")
		return nil
	}
	for _, command := range c.List {
		a.say("command", string(command.Word), "%s", strings.Join(command.Args, " "))
		if command.Word == process.Mailbox {
			a.say("end", "mailbox", "it is put into the mailbox")
		}
	}
	return nil
}

// leaves says by which hosts mail for a domain leaves.
func (a *asking) leaves(domain string) error {
	plan, err := a.Sender.Plan(a.ctx, domain)
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
		a.say("end", "discarded", "the table has an empty list of hosts for %s", domain)
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
}
