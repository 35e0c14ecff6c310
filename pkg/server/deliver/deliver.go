// Package deliver takes messages from the queue to where their recipients' mail
// goes. It reads the tables anew at each attempt, so that a change of an account, an
// alias or a domain counts for mail that already waits.
package deliver

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/server/mailbox"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/obs"
	"github.com/xmaild/xmaild/pkg/server/route"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// DefaultWorkers is how many messages are worked on at once unless told otherwise.
const DefaultWorkers = 16

// Mailboxes are where local mail ends; [mailbox.Store] is the real one.
type Mailboxes interface {
	Deliver(ctx context.Context, u mailroot.User, m mailbox.Message) error
}

// Options say how a [Deliverer] works. The zero value is good.
type Options struct {
	Workers  int // messages at once; 0: DefaultWorkers
	Schedule Schedule
	Log      *slog.Logger // nil: that of the MailRoot
	MailLog  *obs.TabLog  // the reference's smail log; nil: none
	Host     string       // of this machine, in the names of files; empty: as the system says
}

// A Deliverer works on the queue.
type Deliverer struct {
	root  *mailroot.Root
	queue *spool.Queue
	boxes Mailboxes
	opts  Options
	log   *slog.Logger
}

// New returns a deliverer.
func New(root *mailroot.Root, queue *spool.Queue, boxes Mailboxes, o Options) *Deliverer {
	if o.Workers <= 0 {
		o.Workers = DefaultWorkers
	}
	if o.Log == nil {
		o.Log = root.Log
	}
	if o.Host == "" {
		o.Host, _ = os.Hostname() // localhost is as good
	}
	if o.Host == "" {
		o.Host = "localhost"
	}
	// A mailbox has it in the names of files (https://cr.yp.to/proto/maildir.html).
	o.Host = strings.NewReplacer("/", `\057`, ":", `\072`).Replace(o.Host)
	return &Deliverer{root: root, queue: queue, boxes: boxes, opts: o, log: o.Log}
}

// Run works on the queue until it is closed, or ctx ends. Attempts that are under
// way finish; when ctx ends they are cut, and count as not made.
func (d *Deliverer) Run(ctx context.Context) {
	var workers sync.WaitGroup
	for range d.opts.Workers {
		workers.Go(func() {
			for {
				lease, err := d.queue.Lease(ctx)
				if err != nil {
					return // closed, or the context has ended
				}
				d.attempt(ctx, lease)
			}
		})
	}
	workers.Wait()
}

// batch is how many recipients are delivered to before the queue is told. Those of a
// batch may get the message again when the server dies in the middle; their
// mailboxes know it as long as it lies there.
const batch = 32

// attempt delivers a message to the recipients whose turn it is.
func (d *Deliverer) attempt(ctx context.Context, lease *spool.Lease) {
	defer lease.Return() // what was not ended
	log := d.log.With("message", lease.ID, "key", lease.Key(), "from", lease.From)
	body, err := lease.Open()
	if err != nil {
		d.end(log, lease, d.deferAll(lease, err))
		return
	}
	defer body.Close()
	outcomes := make(map[int]spool.Outcome)
	for place, r := range lease.Recipients {
		if ctx.Err() != nil {
			break
		}
		outcome, err := d.recipient(ctx, delivery{lease, body, place, log.With("to", r.Address)})
		if ctx.Err() != nil && err != nil {
			break
		}
		outcomes[place] = outcome
		if len(outcomes) == batch {
			d.end(log, lease, outcomes)
			outcomes = make(map[int]spool.Outcome)
		}
	}
	d.end(log, lease, outcomes)
}

func (d *Deliverer) end(log *slog.Logger, lease *spool.Lease, outcomes map[int]spool.Outcome) {
	if len(outcomes) == 0 {
		return
	}
	if err := lease.End(outcomes); err != nil {
		log.Error("queue cannot keep what came of a delivery; it goes on by what it remembers", "err", err)
	}
}

// A delivery is one message to one recipient.
type delivery struct {
	*spool.Lease
	body  *spool.Body
	place int
	log   *slog.Logger
}

func (y delivery) to() spool.Recipient { return y.Recipients[y.place] }

// recipient makes one attempt. The error is why the outcome is not a delivery.
func (d *Deliverer) recipient(ctx context.Context, y delivery) (spool.Outcome, error) {
	to, err := address.Parse(y.to().Address)
	var r route.Route
	if err == nil {
		r, err = route.Find(d.root, to.Local, to.Domain)
	}
	if err == nil {
		err = d.along(ctx, y, r)
	}
	if err == nil {
		return spool.Outcome{State: spool.StateDelivered}, nil
	}
	return d.deferred(y, err), err
}

// errNotYet is the error of a kind of delivery that this server does not have.
type errNotYet struct{ kind route.Kind }

func (e errNotYet) Error() string { return "delivery to a " + e.kind.String() + " is not built yet" }

// along delivers along a route.
func (d *Deliverer) along(ctx context.Context, y delivery, r route.Route) error {
	switch r.Kind {
	case route.User:
		return d.local(ctx, y, r.Account)
	case route.NoUser:
		return errors.New("there is nobody of that name any more")
	}
	return errNotYet{r.Kind}
}

// deferred is the outcome of an attempt that did not deliver.
func (d *Deliverer) deferred(y delivery, err error) spool.Outcome {
	attempt := y.Tries(y.place) + 1
	wait := d.opts.Schedule.Wait(attempt)
	outcome := spool.Outcome{State: spool.StateQueued, Until: d.root.Now().Add(wait), Note: err.Error()}
	var notYet errNotYet
	if outcome.Free = errors.As(err, &notYet); outcome.Free {
		y.log.Debug("delivery waits", "err", err)
	} else {
		y.log.Warn("delivery is deferred", "err", err, "attempt", attempt, "next", wait)
	}
	return outcome
}

// deferAll puts a message off whose text cannot be opened.
func (d *Deliverer) deferAll(lease *spool.Lease, err error) map[int]spool.Outcome {
	outcomes := make(map[int]spool.Outcome, len(lease.Recipients))
	for place := range lease.Recipients {
		outcomes[place] = d.deferred(delivery{lease, nil, place, d.log.With("message", lease.ID, "key", lease.Key())}, err)
	}
	return outcomes
}

const logTime = "2006-01-02 15:04:05"

// logDelivery writes a line of the smail log (docs/reference/delivery.md 8).
func (d *Deliverer) logDelivery(y delivery, medium, parameter, remoteID string) {
	y.log.Info("delivered", "by", medium, "where", parameter, "after", d.root.Now().Sub(y.Time).Round(time.Millisecond))
	if d.opts.MailLog == nil {
		return
	}
	if err := d.opts.MailLog.Write(y.Domain, y.Key(), y.ID, y.From, y.to().Address, medium, parameter,
		d.root.Now().Format(logTime), remoteID); err != nil {
		d.log.Debug("smail log", "err", err)
	}
}
