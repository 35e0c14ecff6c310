package deliver

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/xmaild/xmaild/pkg/server/outbound"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// remotes are the domains that mail is being sent to. Each has goroutines of its own,
// as many as messages may be on their way to it at once; what is more is parked in
// the queue. So a domain that is slow, or dead, keeps up no other one, and what waits
// for it takes no memory but its place.
type remotes struct {
	mu      sync.Mutex
	active  map[string]int  // goroutines by domain
	total   int             // of all of them
	waiting map[string]bool // domains that have no goroutine since there are too many
	running sync.WaitGroup
}

// dispatch sees to it that a message is sent to a domain.
func (d *Deliverer) dispatch(ctx context.Context, domain string, lease *spool.Lease) {
	r := &d.remotes
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.active[domain] >= d.opts.PerDomain:
		lease.Park(domain)
	case r.total >= d.opts.Destinations*d.opts.PerDomain || r.active[domain] == 0 && len(r.active) >= d.opts.Destinations:
		lease.Park(domain)
		if r.active[domain] == 0 {
			r.waiting[domain] = true
		}
	default:
		r.active[domain]++
		r.total++
		r.running.Go(func() { d.serve(ctx, domain, lease) })
	}
}

// serve sends messages to a domain until none is left, and then to one that waits.
func (d *Deliverer) serve(ctx context.Context, domain string, lease *spool.Lease) {
	for domain != "" {
		if lease == nil {
			lease = d.queue.Unpark(domain)
		}
		if lease != nil {
			d.send(ctx, domain, lease)
			lease = nil
			continue
		}
		domain = d.remotes.next(domain, d.queue)
	}
}

// next returns what a goroutine that has nothing more to do for a domain turns to; an
// empty name ends it.
func (r *remotes) next(domain string, q *spool.Queue) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q.Parked(domain) > 0 {
		return domain // it came just now
	}
	r.total--
	if r.active[domain]--; r.active[domain] == 0 {
		delete(r.active, domain)
	}
	for other := range r.waiting {
		delete(r.waiting, other)
		r.active[other]++
		r.total++
		return other
	}
	return ""
}

// send makes one attempt to send a message to a domain.
func (d *Deliverer) send(ctx context.Context, domain string, lease *spool.Lease) {
	defer lease.Return() // what was not ended
	if ctx.Err() != nil {
		return
	}
	w := d.open(lease)
	defer w.close()
	for place, result := range d.results(ctx, domain, w) {
		err := sent(result)
		if err == nil {
			d.logDelivery(delivery{w, place}, result.Medium, result.Parameter, result.RemoteID)
		}
		w.outcome(ctx, place, err)
	}
	w.end()
}

// results says what became of a message for each of its recipients, all of one domain.
func (d *Deliverer) results(ctx context.Context, domain string, w *work) []outbound.Result {
	if w.err != nil {
		return outbound.Failed(w.err, len(w.Recipients))
	}
	plan, err := d.sender.Plan(ctx, domain)
	if err == nil && plan.Discard {
		// The reference loses the mail here.
		err = errors.New("the tables name no host for the domain")
	}
	if err == nil {
		_, err = w.body.Seek(0, io.SeekStart)
	}
	if err != nil {
		return outbound.Failed(err, len(w.Recipients))
	}
	m := outbound.Message{From: w.From, Body: w.body, Size: w.Size(), UTF8: w.UTF8, Ret: w.Ret, EnvID: w.EnvID, Log: w.log}
	for _, r := range w.Recipients {
		m.Recipients = append(m.Recipients, outbound.Recipient{Address: r.Address, Notify: r.Notify, ORcpt: r.ORcpt})
	}
	return d.sender.Send(ctx, plan, m)
}
