package deliver

import (
	"context"
	"errors"
	"io"

	"github.com/xmaild/xmaild/pkg/server/bounce"
	"github.com/xmaild/xmaild/pkg/server/filter"
	"github.com/xmaild/xmaild/pkg/server/outbound"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// together is how many recipients a host is asked to take in one go. What came of
// them is kept before the next ones are sent: a server that dies in the middle of a
// large list repeats those alone that it had in hand.
const together = 100

// send makes one attempt to send a message by a lane. It reports whether hosts were
// busy: the message waits in the lane then for those recipients.
func (d *Deliverer) send(ctx context.Context, lane string, lease *spool.Lease) (busy bool) {
	defer lease.Return() // what was not ended
	if ctx.Err() != nil {
		return false
	}
	w := d.open(lease)
	defer w.close()
	w.lane = lane
	if isCommands(lane) {
		d.carryOut(ctx, w)
	} else {
		d.sendTo(ctx, lane, w)
	}
	if len(w.busy) == 0 || ctx.Err() != nil {
		return false
	}
	lease.Split(w.busy).Park(lane)
	return true
}

// sendTo sends a message to recipients of a domain.
func (d *Deliverer) sendTo(ctx context.Context, domain string, w *work) {
	var plan outbound.Route
	err := w.err
	if err == nil {
		plan, err = d.sender.Plan(ctx, domain)
	}
	step := together
	if d.filters.Any(filter.Out) {
		step = 1 // each recipient gets the message as the filters make it
	}
	for first := 0; first < len(w.Recipients) && ctx.Err() == nil; first += step {
		for i, result := range d.results(ctx, w, first, min(first+step, len(w.Recipients)), plan, err) {
			d.result(ctx, delivery{w, first + i}, result)
		}
		w.end()
	}
}

// result notes what became of a recipient.
func (d *Deliverer) result(ctx context.Context, y delivery, r result) {
	err := r.err
	if err == nil {
		err = sent(r.Result)
	}
	if err == nil {
		d.logDelivery(y, r.Medium, r.Parameter, r.RemoteID, "tls", r.TLS)
		if !r.DSN {
			d.succeeded(y, bounce.Relayed)
		}
	}
	if errors.Is(err, errDropped) {
		err = nil
	}
	y.outcome(ctx, y.place, err)
}

// A result is what became of a recipient: err says what filters decided, or why there
// was no attempt.
type result struct {
	outbound.Result
	err error
}

// results says what became of a message for its recipients from first to last, all of
// one domain. Err is why there is no plan.
func (d *Deliverer) results(ctx context.Context, w *work, first, last int, plan outbound.Route, err error) []result {
	results := make([]result, last-first)
	switch {
	case w.err != nil:
		for i := range results {
			results[i].err = w.err
		}
	case d.filters.Any(filter.Out):
		for i := range results {
			results[i] = d.filtered(ctx, delivery{w, first + i}, plan, err)
		}
	default:
		for i, r := range d.takeAll(ctx, queued(delivery{w, first}), w.Recipients[first:last], plan, err) {
			results[i].Result = r
		}
	}
	return results
}

// filtered sends a message to one recipient when the filters have let it pass.
func (d *Deliverer) filtered(ctx context.Context, y delivery, plan outbound.Route, err error) result {
	filtered := d.filters.Copy(queued(y))
	defer filtered.Close() // only a folder of ours is left, and swept
	if err := decided(filtered.Filter(ctx, filter.Out)); err != nil {
		return result{err: err}
	}
	return result{Result: d.take(ctx, filtered.Message(), plan, err)}
}

// take takes a message to the hosts of a plan, for the recipient that it has. Err is
// why there is no plan.
func (d *Deliverer) take(ctx context.Context, m filter.Queued, plan outbound.Route, err error) outbound.Result {
	return d.takeAll(ctx, m, []spool.Recipient{m.To}, plan, err)[0]
}

func (d *Deliverer) takeAll(ctx context.Context, m filter.Queued, to []spool.Recipient, plan outbound.Route, err error) []outbound.Result {
	if err == nil && plan.Discard {
		// The reference loses the mail here.
		err = errors.New("the tables name no host for the domain")
	}
	if err != nil {
		return outbound.Failed(err, len(to))
	}
	message := outbound.Message{
		From: m.From, Body: io.NewSectionReader(m.Text, 0, m.Text.Size()), Size: m.Text.Size(), UTF8: m.UTF8, Ret: m.Ret, EnvID: m.EnvID,
		Log: d.log.With("message", m.ID, "key", m.Key),
	}
	for _, r := range to {
		message.Recipients = append(message.Recipients, outbound.Recipient{Address: unrouted(r.Address), Notify: r.Notify, ORcpt: r.ORcpt})
	}
	return d.sender.Send(ctx, plan, message)
}

// errDropped is the decision of a filter that a message is to vanish.
var errDropped = errors.New("a filter has dropped the message")

// frozen is the failure of a message that a filter wants kept for the administrator,
// without a word to the sender. Where that is not to be, by RemoveSpoolErrors, the
// filter says something else. The error is what is wrong, if anything.
func frozen(why error) error {
	f := &failure{permanent: true, silent: true, keep: true, status: "5.7.1", reason: "a filter wants it frozen"}
	if why != nil {
		f.detail = why.Error()
	}
	return f
}

// decided turns what filters have decided into an error, nil where the message passes.
func decided(decision filter.Decision) error {
	switch decision.Action {
	case filter.Defer:
		return decision.Err
	case filter.Drop:
		return errDropped
	case filter.Freeze:
		return frozen(decision.Err)
	case filter.Reject:
		return &failure{permanent: true, status: "5.7.1", reason: decision.Reason}
	}
	return nil
}
