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
	"github.com/xmaild/xmaild/pkg/server/filter"
	"github.com/xmaild/xmaild/pkg/server/mailbox"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/obs"
	"github.com/xmaild/xmaild/pkg/server/outbound"
	"github.com/xmaild/xmaild/pkg/server/route"
	"github.com/xmaild/xmaild/pkg/server/spool"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// DefaultWorkers is how many messages are worked on at once unless told otherwise.
const DefaultWorkers = 16

// Mailboxes are where local mail ends; [mailbox.Store] is the real one.
type Mailboxes interface {
	Deliver(ctx context.Context, u mailroot.User, m mailbox.Message) error
}

// A Sender takes mail to other hosts; [outbound.Sender] is the real one.
type Sender interface {
	Routed(domain string) bool
	Plan(ctx context.Context, domain string) (outbound.Route, error)
	Relay(hosts, options string) (outbound.Route, error)
	Send(ctx context.Context, r outbound.Route, m outbound.Message) []outbound.Result
}

// Options say how a [Deliverer] works. The zero value is good.
type Options struct {
	Workers      int // messages at once that are local or not looked at yet; 0: DefaultWorkers
	Destinations int // domains at once that mail is sent to; 0: 200
	PerDomain    int // messages at once to one of them; 0: 4
	Schedule     Schedule
	Log          *slog.Logger // nil: that of the MailRoot
	MailLog      *obs.TabLog  // the reference's smail log; nil: none
	Host         string       // of this machine, in the names of files; empty: as the system says
}

// A Deliverer works on the queue.
type Deliverer struct {
	root    *mailroot.Root
	queue   *spool.Queue
	boxes   Mailboxes
	sender  Sender
	filters *filter.Runner
	process Commands
	opts    Options
	log     *slog.Logger
	lanes   lanes
	once    once
}

// Parts are what a [Deliverer] works with. All are needed.
type Parts struct {
	Root     *mailroot.Root
	Queue    *spool.Queue
	Boxes    Mailboxes
	Sender   Sender
	Filters  *filter.Runner
	Commands Commands
}

// New returns a deliverer.
func New(p Parts, o Options) *Deliverer {
	if o.Workers <= 0 {
		o.Workers = DefaultWorkers
	}
	if o.Destinations <= 0 {
		o.Destinations = 200
	}
	if o.PerDomain <= 0 {
		o.PerDomain = 4
	}
	if o.Log == nil {
		o.Log = p.Root.Log
	}
	if o.Host == "" {
		o.Host, _ = os.Hostname() // localhost is as good
	}
	if o.Host == "" {
		o.Host = "localhost"
	}
	// A mailbox has it in the names of files (https://cr.yp.to/proto/maildir.html).
	o.Host = strings.NewReplacer("/", `\057`, ":", `\072`).Replace(o.Host)
	return &Deliverer{
		root: p.Root, queue: p.Queue, boxes: p.Boxes, sender: p.Sender, filters: p.Filters, process: p.Commands, opts: o, log: o.Log,
		lanes: lanes{active: make(map[string]int), failed: make(map[string]bool), resting: make(map[string]bool), ended: make(chan struct{})},
	}
}

// Run works on the queue until it is closed, or ctx ends. Attempts that are under way
// finish; when ctx ends they are cut, and count as not made. It is called once.
func (d *Deliverer) Run(ctx context.Context) {
	d.queue.DeliverFirst(func(l *spool.Lease) error { return d.first(ctx, l) })
	defer d.queue.DeliverFirst(nil)
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
	close(d.lanes.ended)
	d.lanes.running.Wait()
}

// batch is how many recipients are delivered to before the queue is told. Those of a
// batch may get the message again when the server dies in the middle; their
// mailboxes know it as long as it lies there.
const batch = 32

// attempt delivers a message to those recipients whose turn it is and who are dealt
// with here, and hands the others on to where their domains are served.
func (d *Deliverer) attempt(ctx context.Context, lease *spool.Lease) {
	defer lease.Return() // what was not ended
	work := d.open(lease)
	defer work.close()
	looped := work.err
	if looped == nil {
		looped = checkLoop(work.body.SectionReader, "", d.root.Vars().Number("MaxMTAOps"))
	}
	away := make(map[string][]int) // places by lane
	for place, r := range lease.Recipients {
		if ctx.Err() != nil {
			work.end() // who has got the message is not to get it again
			return
		}
		y := delivery{work, place}
		along, err := d.find(r.Address)
		switch {
		case lease.Progress(place).Has(notified):
			// It was given up when the server died: a second attempt might succeed, after
			// the sender has been told that it did not.
			err = &failure{permanent: true, status: "5.0.0", reason: "given up by an earlier attempt"}
		case looped != nil:
			err = looped
		case err == nil && along.Kind == route.Remote:
			domain := tabfile.Fold(along.Domain)
			away[domain] = append(away[domain], place)
			continue
		case err == nil:
			if err = d.along(ctx, y, along); errors.Is(err, errSends) {
				lane := laneOf(along)
				away[lane] = append(away[lane], place)
				continue
			}
		}
		work.outcome(ctx, place, err)
	}
	work.end()
	for lane, places := range away {
		d.dispatch(ctx, lane, lease.Split(places))
	}
}

// errSends is the error of commands that send mail to other hosts, outside a lane.
var errSends = errors.New("this is for a lane")

// laneOf returns the lane of a route whose commands send.
func laneOf(r route.Route) string {
	switch r.Kind {
	case route.User:
		return commandLane + tabfile.Fold(r.Address())
	case route.CommandAlias:
		return commandLane + r.File
	}
	return commandLane + tabfile.Fold(r.Domain) // the file may be for many of them
}

// carryOut carries out the commands for recipients whose mail they send.
func (d *Deliverer) carryOut(ctx context.Context, w *work) {
	for place, r := range w.Recipients {
		if ctx.Err() != nil {
			return
		}
		y := delivery{w, place}
		along, err := d.find(r.Address)
		if err == nil && along.Kind == route.Remote {
			continue // the tables have changed; it goes back, and leads elsewhere
		}
		if err == nil {
			err = d.along(ctx, y, along)
		}
		w.outcome(ctx, place, err)
		w.end()
	}
}

// find returns where an address leads. The route in front of it, which the reference
// puts there for a gateway, does not count: smtpgw.tab is asked anew.
func (d *Deliverer) find(addr string) (route.Route, error) {
	path, _, err := address.ParsePath("<" + addr + ">")
	if err == nil && path.IsNull() {
		err = address.ErrNoAt
	}
	if err != nil {
		return route.Route{}, &failure{permanent: true, status: "5.1.3", reason: "the address is malformed: " + err.Error()}
	}
	if d.sender.Routed(path.Domain) {
		return route.Route{Kind: route.Remote, Domain: path.Domain}, nil
	}
	return route.Find(d.root, path.Local, path.Domain)
}

// unrouted returns an address without the route that the reference has put in front of
// it for a gateway: hosts of today refuse it, and the tables have been asked where the
// mail goes.
func unrouted(addr string) string {
	path, _, err := address.ParsePath("<" + addr + ">")
	if err != nil || len(path.Route) == 0 {
		return addr
	}
	path.Route = nil
	return path.String()
}

// domainOf returns the domain of an address, in lower case; empty where it has none.
func domainOf(addr string) string {
	path, _, err := address.ParsePath("<" + addr + ">")
	if err != nil {
		return ""
	}
	return tabfile.Fold(path.Domain)
}

// A work is a lease that is being worked on.
type work struct {
	*spool.Lease
	d        *Deliverer
	body     *spool.Body // nil: it could not be opened
	err      error       // why not
	log      *slog.Logger
	lane     string                // in which it is; empty: none
	outcomes map[int]spool.Outcome // not told to the queue yet
	busy     []int                 // places whose hosts have as many connections as they may
}

func (d *Deliverer) open(lease *spool.Lease) *work {
	w := &work{Lease: lease, d: d, log: d.log.With("message", lease.ID, "key", lease.Key(), "from", lease.From), outcomes: make(map[int]spool.Outcome)}
	w.body, w.err = lease.Open()
	return w
}

func (w *work) close() {
	if w.body != nil {
		w.body.Close() // it was only read
	}
}

// outcome notes what an attempt has come to; err nil is a delivery.
func (w *work) outcome(ctx context.Context, place int, err error) {
	switch {
	case err == nil:
		w.outcomes[place] = spool.Outcome{State: spool.StateDelivered}
	case ctx.Err() != nil:
		return // cut, and so not made
	case w.lane != "" && isBusy(err):
		w.busy = append(w.busy, place)
		return
	default:
		w.outcomes[place] = w.d.failed(delivery{w, place}, err)
	}
	if len(w.outcomes) == batch {
		w.end()
	}
}

// end tells the queue.
func (w *work) end() {
	if len(w.outcomes) == 0 {
		return
	}
	if err := w.End(w.outcomes); err != nil {
		w.log.Error("queue cannot keep what came of a delivery; it goes on by what it remembers", "err", err)
	}
	w.outcomes = make(map[int]spool.Outcome)
}

// A delivery is one message to one recipient.
type delivery struct {
	*work
	place int
}

func (y delivery) to() spool.Recipient { return y.Recipients[y.place] }

// along delivers along a route that does not leave this server, and tells the sender who
// asks to be told.
func (d *Deliverer) along(ctx context.Context, y delivery, r route.Route) error {
	switch r.Kind {
	case route.NoUser:
		return &failure{permanent: true, status: "5.1.1", reason: "there is nobody of that name at this server"}
	case route.List:
		done, err := d.list(ctx, y, r.Account)
		if err == nil {
			d.succeeded(y, done)
		}
		return err
	}
	done, err := d.commands(ctx, y, r)
	if err == nil {
		d.succeeded(y, done)
	}
	return err
}

const logTime = "2006-01-02 15:04:05"

// logDelivery writes a line of the smail log (docs/reference/delivery.md 8). More are
// attributes for the other log.
func (d *Deliverer) logDelivery(y delivery, medium, parameter, remoteID string, more ...any) {
	y.log.With(more...).Info("delivered", "to", y.to().Address, "by", medium, "where", parameter, "remote", remoteID,
		"after", d.root.Now().Sub(y.Time).Round(time.Millisecond))
	if d.opts.MailLog == nil {
		return
	}
	if err := d.opts.MailLog.Write(y.Domain, y.Key(), y.ID, y.From, y.to().Address, medium, parameter,
		d.root.Now().Format(logTime), remoteID); err != nil {
		d.log.Debug("smail log", "err", err)
	}
}
