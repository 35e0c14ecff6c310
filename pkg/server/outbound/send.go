package outbound

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/address"
)

// maxTargets is how many addresses of hosts one attempt tries.
const maxTargets = 20

// An attempt is a message on its way by a route.
type attempt struct {
	*Sender
	ctx     context.Context
	route   Route
	m       Message
	log     *slog.Logger
	from    address.Path
	to      []address.Path
	results []Result
	left    []int // recipients that another host may take
	tried   int   // hosts
}

// Send sends a message by a route to all its recipients, and returns what has become
// of each of them, in their order. It returns when all is done, or soon after ctx
// ends.
func (s *Sender) Send(ctx context.Context, r Route, m Message) []Result {
	a := &attempt{Sender: s, ctx: ctx, route: r, m: m, log: m.Log, results: make([]Result, len(m.Recipients)), to: make([]address.Path, len(m.Recipients))}
	if a.log == nil {
		a.log = s.log
	}
	for i := range m.Recipients {
		a.left = append(a.left, i)
	}
	if r.Discard {
		a.log.Info("message is discarded: the list of hosts is empty", "by", r.Branch)
		a.finish(a.left, Result{Reply: "discarded: the list of hosts is empty"})
		return a.results
	}
	a.check()
	for len(a.left) > 0 && a.rank() {
	}
	// What no host has said a word about.
	for _, i := range a.left {
		if a.results[i].State == Delivered {
			a.results[i] = temporary("4.4.1", "there is no host that could be tried").result()
		}
	}
	return a.results
}

// check refuses addresses that cannot be sent.
func (a *attempt) check() {
	var err error
	if a.from, err = parse(a.m.From); err != nil {
		a.fail(a.left, permanent("5.1.7", "the sender's address cannot be sent: %v", err))
		return
	}
	for i, r := range a.m.Recipients {
		a.to[i], err = parse(r.Address)
		if err == nil && a.to[i].IsNull() {
			err = address.ErrNoPath
		}
		if err != nil {
			a.fail([]int{i}, permanent("5.1.3", "the address cannot be sent: %v", err))
		}
	}
}

// rank tries the hosts of the best rank that is left. It reports whether those of the
// next one are to be tried.
func (a *attempt) rank() bool {
	n := 0
	for n < len(a.route.Hosts) && a.route.Hosts[n].Rank == a.route.Hosts[0].Rank {
		n++
	}
	if n == 0 {
		return false
	}
	hosts := a.route.Hosts[:n]
	a.route.Hosts = a.route.Hosts[n:]
	targets, failures, own := a.targets(a.ctx, a.route.Branch, hosts)
	if own {
		a.loop()
		return false
	}
	for _, f := range failures {
		a.note(f, Result{Host: hosts[0].Entry})
	}
	busy := false
	for _, t := range targets {
		if len(a.left) == 0 {
			return false
		}
		if a.ctx.Err() != nil || a.tried == maxTargets {
			return false
		}
		busy = a.host(t) || busy
	}
	if busy {
		// Worse hosts are for when these do not answer, not for when they are at work.
		return !a.busy()
	}
	return true
}

// loop ends an attempt that has come to this server itself.
func (a *attempt) loop() {
	if a.tried > 0 || a.results[a.left[0]].Reply != "" {
		return // better hosts only failed for now
	}
	domain := a.to[a.left[0]].Domain
	a.fail(slices.Clone(a.left), permanent("5.4.6", "%v", loops(domain)))
}

// busy says of the recipients of whom no host has said anything that they are worth
// trying soon. It reports whether there are any.
func (a *attempt) busy() bool {
	var none []int
	for _, i := range a.left {
		if r := a.results[i]; r.Untried || weight(r) == 0 {
			none = append(none, i)
		}
	}
	a.finish(none, Result{State: Busy, Reply: errBusy.Error()})
	return len(none) > 0
}

// host tries one address of a host. It reports whether that has no connection free.
func (a *attempt) host(t target) (busy bool) {
	about := Result{Host: t.Entry, Addr: t.addr.String()}
	for {
		c, reused, err := a.connect(t)
		var dead deadError
		var setup *setupError
		switch {
		case errors.Is(err, errBusy):
			return true
		case errors.As(err, &dead):
			about.Untried, about.Addr = true, ""
			a.note(dead.why, about)
			return false
		case errors.As(err, &setup):
			a.tried++
			a.log.Debug("host is of no use", "host", t.Name, "address", t.addr, "why", oneLine(setup.text, maxReply))
			a.note(setup.failure, about)
			return false
		case err != nil:
			about.Addr = ""
			a.note(judge(err), about)
			return false
		}
		about.TLS, about.Verified = c.tls, c.proven
		stale := a.deliver(c, about, reused)
		if !stale {
			a.tried++
			return false
		}
		// It was closed while it waited, which says nothing of the host.
	}
}

// connect returns a connection to the address. Errors besides those of the pool are a
// *setupError, or a failure that is our own.
func (a *attempt) connect(t target) (c *conn, reused bool, err error) {
	login, err := a.findLogin(t.Host)
	if err != nil {
		return nil, false, err
	}
	p := profile{endpoint: endpoint{t.addr, t.Bind}, host: t.Name, tls: t.TLS, helo: a.m.Helo, login: login.key()}
	for {
		if c, err = a.pool.take(p); err != nil {
			return nil, false, err
		}
		if c == nil {
			break
		}
		if !heard(c.raw) {
			return c, true, nil
		}
		// What the host says unasked is that it has waited for long enough, and no answer to
		// what comes now.
		a.pool.put(c, false)
	}
	c, err = a.open(a.ctx, t, p, login, false)
	if errors.Is(err, errHandshake) && t.TLS != TLSRequired && a.ctx.Err() == nil {
		a.log.Debug("host is tried without TLS", "host", t.Name, "address", t.addr, "why", oneLine(err.Error(), maxReply))
		c, err = a.open(a.ctx, t, p, login, true)
	}
	var setup *setupError
	switch {
	case err == nil:
		a.pool.opened(p)
	case a.ctx.Err() != nil:
		a.pool.gone(p.endpoint)
		err = temporary("4.3.2", "the attempt was ended: %v", context.Cause(a.ctx))
	case errors.As(err, &setup):
		a.pool.failed(p, setup.failure, setup.answered)
	}
	return c, false, err
}

// finish is the end for some recipients.
func (a *attempt) finish(which []int, r Result) {
	r.Medium = a.route.medium()
	r.Parameter = r.Host
	for _, i := range which {
		a.results[i] = r
	}
	a.left = slices.DeleteFunc(a.left, func(i int) bool { return slices.Contains(which, i) })
}

// fail is the end for some recipients that nobody takes.
func (a *attempt) fail(which []int, f failure) { a.finish(which, f.result()) }

// note remembers for the recipients that are left why a host did not take them.
func (a *attempt) note(f failure, about Result) { a.noteFor(a.left, f, about) }

// noteFor remembers why a host did not take some recipients, who are left for the
// next one. Of several hosts the one that said most is told of.
func (a *attempt) noteFor(which []int, f failure, about Result) {
	r := f.result()
	r.State = Temporary
	r.Host, r.Addr, r.TLS, r.Verified = about.Host, about.Addr, about.TLS, about.Verified
	r.Medium, r.Parameter = a.route.medium(), about.Host
	for _, i := range which {
		before := a.results[i]
		untried := about.Untried && (before.Reply == "" || before.Untried)
		if weight(r) >= weight(before) {
			a.results[i] = r
		}
		a.results[i].Untried = untried
	}
}

// weight says how much a failure tells: that a host cannot be reached less than that
// it cannot be used, and that less than its own word.
func weight(r Result) int {
	switch {
	case r.Code != 0:
		return 2
	case r.Reply == "" || strings.HasPrefix(r.Enhanced, "4.4."):
		return 0
	}
	return 1
}
