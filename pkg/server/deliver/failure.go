package deliver

import (
	"errors"

	"github.com/xmaild/xmaild/pkg/server/outbound"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// A failure is an attempt that did not deliver, as far as anybody is to be told.
type failure struct {
	permanent bool
	untried   bool   // it does not count as an attempt
	status    string // RFC 3463
	reason    string // for the sender
	reply     string // of the other host
	host      string
}

func (f *failure) Error() string {
	text := f.reason
	if f.reply != "" {
		text = f.reply
	}
	if f.host != "" {
		text = f.host + ": " + text
	}
	return text
}

// failed decides what becomes of a recipient after an attempt that did not deliver:
// it waits for another one, or it is given up.
func (d *Deliverer) failed(y delivery, err error) spool.Outcome {
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{status: "4.3.0", reason: err.Error(), untried: notYet(err)}
	}
	attempt := y.Tries(y.place) + 1
	log := y.log.With("to", y.to().Address, "err", err, "attempt", attempt)
	if f.permanent || !f.untried && attempt >= d.opts.Schedule.defaults().Tries {
		outcome, err := d.giveUp(y, f)
		if err == nil {
			log.Warn("delivery has failed", "state", string(outcome.State))
			return outcome
		}
		// Nothing is given up before it is known who is told, and where it is kept.
		log.Error("failed message stays in the queue", "cause", err)
	}
	wait := d.opts.Schedule.Wait(attempt)
	log.Warn("delivery is deferred", "next", wait)
	return spool.Outcome{State: spool.StateQueued, Until: d.root.Now().Add(wait), Free: f.untried, Note: err.Error()}
}

// giveUp keeps a message that cannot be delivered among the frozen ones.
func (d *Deliverer) giveUp(y delivery, f *failure) (spool.Outcome, error) {
	last := spool.Attempt{Time: d.root.Now(), Text: f.reason, Reply: f.reply, Server: f.host}
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
		return &failure{untried: true, status: "4.3.2", reason: r.Reply, host: r.Host}
	}
	f := &failure{permanent: r.State == outbound.Permanent, untried: r.Untried, status: r.Enhanced, reason: r.Reply, host: r.Host}
	if r.Code != 0 {
		f.reply = r.Reply
	}
	return f
}
