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
	"github.com/xmaild/xmaild/pkg/server/filter"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/outbound"
	"github.com/xmaild/xmaild/pkg/server/policy"
)

// A Question is what is asked. Addresses may have angle brackets.
type Question struct {
	To   string
	From string     // empty: the null sender
	IP   netip.Addr // of the client; not valid: the mail is not looked at as SMTP would
}

// A Step is one thing that happens to the mail.
type Step struct {
	Name   string // client, sender, recipient, address, account, quota, list, file, filters, command, branch, host, copy, end
	Result string
	Detail string
}

// Filters say which files of filters would look at a message; [filter.Runner] is the real
// one.
type Filters interface {
	Files(kind string, m filter.Queued) []string
}

// Parts are those who are asked.
type Parts struct {
	Root    *mailroot.Root
	Policy  *policy.Policy
	Sender  *outbound.Sender
	Boxes   policy.Quota
	Filters Filters
}

// ErrAddress is the error of a question with an address that is none.
var ErrAddress = errors.New("not a mail address")

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
	a := &asking{Parts: p, ctx: ctx, ip: q.IP}
	if q.IP.IsValid() {
		taken, ok := a.taken(q.IP, from, to)
		if !ok {
			return a.steps, nil
		}
		to = taken
	} else if to.Domain == "" {
		if to, err = a.postmaster(to); err != nil {
			return nil, err
		}
	}
	err = a.delivered(mail{from: from.String(), to: to})
	for err == nil && len(a.copies) > 0 {
		next := a.copies[0]
		a.copies = a.copies[1:]
		a.say("copy", next.by, "%s", next.to)
		err = a.delivered(next)
	}
	return a.steps, err
}

// postmaster returns the address behind <postmaster>.
func (a *asking) postmaster(to address.Path) (address.Path, error) {
	admin, err := address.Parse(a.Root.Vars().String("PostMaster"))
	if err != nil || admin.IsNull() {
		return to, fmt.Errorf("%w: %s has no domain, and the variable PostMaster no address", ErrAddress, to)
	}
	a.say("address", "postmaster", "%s, by the variable PostMaster", admin)
	return admin, nil
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

// taken says what SMTP answers to a client that has not logged in. It returns the address
// that the queue would have, and reports whether the mail is taken.
func (a *asking) taken(ip netip.Addr, from, to address.Path) (address.Path, bool) {
	c := a.Policy.Client(a.ctx, netip.AddrPortFrom(ip, 0), netip.AddrPort{})
	if !a.answer("client", c.Refuse, ip.String(), c.Reason) {
		return to, false
	}
	session := policy.Session{From: from}
	if !a.answer("sender", a.Policy.Sender(a.ctx, &c, session, from), from.String(), "") {
		return to, false
	}
	taken, reply := a.Policy.Recipient(a.ctx, &c, session, to)
	if !a.answer("recipient", reply, to.String(), taken.Real) {
		return to, false
	}
	queued, err := parse(taken.Address)
	if err != nil {
		return to, true
	}
	return queued, true
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
