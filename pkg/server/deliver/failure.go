package deliver

import (
	"errors"
	"net/netip"

	"github.com/xmaild/xmaild/pkg/server/bounce"
	"github.com/xmaild/xmaild/pkg/server/outbound"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// A failure is an attempt that did not deliver, as far as anybody is to be told.
type failure struct {
	permanent bool
	untried   bool   // it does not count as an attempt
	busy      bool   // there was none, and is to be one in a moment
	silent    bool   // nobody is told
	keep      bool   // it is frozen whatever RemoveSpoolErrors says
	status    string // RFC 3463
	reason    string // for the sender
	detail    string // for administrators only, who know the files and programs that it names
	reply     string // of the other host
	host      string
	ip        string // of the host
}

func (f *failure) Error() string {
	text := f.forAdmin()
	if f.reply != "" {
		text = f.reply
	}
	if f.host != "" {
		text = f.host + ": " + text
	}
	return text
}

// Busy tells the runner of commands that the failure is none to wait long for.
func (f *failure) Busy() bool { return f.busy }

// isBusy reports whether an attempt was none, since hosts have as many connections as
// they may.
func isBusy(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.busy
}

// forAdmin returns the reason as administrators are told it.
func (f *failure) forAdmin() string {
	if f.detail != "" {
		return f.detail
	}
	return f.reason
}

// failureOf returns an error as a failure. Of one that is none the sender, who may be a
// stranger, is not told what is wrong in here.
func failureOf(err error) *failure {
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{status: "4.3.0", reason: "this server cannot deal with the message at the moment", detail: err.Error()}
	}
	return f
}

// failed decides what becomes of a recipient after an attempt that did not deliver:
// it waits for another one, or it is given up.
func (d *Deliverer) failed(y delivery, err error) spool.Outcome {
	f := failureOf(err)
	attempt := y.Tries(y.place) + 1
	log := y.log.With("to", y.to().Address, "err", err, "attempt", attempt)
	wait, again := d.next(attempt, y.Since())
	if f.untried && !f.busy && (attempt > 1 || d.root.Now().Sub(y.Since()) >= wait) {
		// The host is dead still. With many messages for it most of them find that others
		// have tried it just before: they would never grow old.
		f.untried = false
	}
	if !f.permanent && !again && !f.untried {
		const last = bounce.ReasonExpired + "; the last one: "
		f = &failure{permanent: true, status: "5.4.7", reason: last + f.reason, detail: last + f.forAdmin(), reply: f.reply, host: f.host, ip: f.ip}
	}
	if f.permanent {
		outcome, err := d.giveUp(y, f)
		if err == nil {
			log.Warn("delivery has failed", "state", string(outcome.State))
			return outcome
		}
		// Nothing is given up before it is known who is told, and where it is kept.
		log.Error("failed message stays in the queue", "cause", err)
	}
	next := d.root.Now().Add(wait)
	log.Warn("delivery is deferred", "next", wait)
	if !f.untried {
		d.delayed(y, f, attempt, next)
	}
	return spool.Outcome{State: spool.StateQueued, Until: next, Free: f.untried, Note: err.Error()}
}

// giveUp tells the sender of a delivery that has failed, and keeps the message among
// the frozen ones, unless RemoveSpoolErrors says otherwise. When the server dies in
// between, the next attempt goes on from there.
func (d *Deliverer) giveUp(y delivery, f *failure) (spool.Outcome, error) {
	if !f.silent {
		if err := d.notify(y, notified, f); err != nil {
			return spool.Outcome{}, err
		}
	}
	if d.root.Vars().On("RemoveSpoolErrors") && !f.keep {
		return spool.Outcome{State: spool.StateFailed}, nil
	}
	last := spool.Attempt{Time: d.root.Now(), Text: f.forAdmin(), Reply: f.reply, Server: f.host}
	if _, err := y.Freeze(y.place, last); err != nil {
		return spool.Outcome{}, err
	}
	return spool.Outcome{State: spool.StateFrozen}, nil
}

// sent turns what a host has said about a recipient into an error, nil where it has
// taken the message.
func sent(r outbound.Result) error {
	switch r.State {
	case outbound.Delivered:
		return nil
	case outbound.Busy:
		return &failure{untried: true, busy: true, status: "4.3.2", reason: r.Reply, host: r.Host}
	}
	f := &failure{permanent: r.State == outbound.Permanent, untried: r.Untried, status: r.Enhanced, reason: r.Reply, host: r.Host}
	if r.Code != 0 {
		f.reply = r.Reply
	}
	if addr, err := netip.ParseAddrPort(r.Addr); err == nil {
		f.ip = addr.Addr().String()
	}
	return f
}
