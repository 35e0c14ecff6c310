package tabfile

import (
	"context"
	"sync/atomic"
)

// An Order is a row of changes that run in the order in which they were begun, and
// need not wait for each other to be durable: those that wait together share a sync. Each
// change takes a [Turn]. An Order belongs to one goroutine, which takes the turns.
type Order struct {
	last   *Turn
	broken atomic.Bool // a turn has to run again, so that those behind it wait for it
}

// Broken reports whether turns have to wait for each other, so that it is better to
// begin a new Order when all of them have ended.
func (o *Order) Broken() bool { return o.broken.Load() }

// A Turn is the place of one change in an Order: the first [Store.Update] with a context
// of it.
type Turn struct {
	order  *Order
	before <-chan struct{} // closed when the turn before has ended; nil: there is none
	queued chan struct{}   // closed when the change is sure to run before those of later turns
	ended  chan struct{}   // closed when it is durable, or has failed
	taken  bool            // by an Update
}

// Next returns the next turn.
func (o *Order) Next() *Turn {
	t := &Turn{order: o, queued: make(chan struct{}), ended: make(chan struct{})}
	if o.last != nil {
		t.before = o.last.ended
	}
	o.last = t
	return t
}

// Context returns a context in which the first Update takes the turn.
func (t *Turn) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, turnKey{}, t)
}

// Queued is closed when the next turn may be used: its change runs after that of t.
func (t *Turn) Queued() <-chan struct{} { return t.queued }

// End is called when the Update has returned, or when there will be none.
func (t *Turn) End() { close(t.ended) }

type turnKey struct{}

// takeTurn returns the turn that an Update with ctx has, or nil.
func takeTurn(ctx context.Context) *Turn {
	t, _ := ctx.Value(turnKey{}).(*Turn)
	if t == nil || t.taken {
		return nil
	}
	t.taken = true
	return t
}

// waits reports whether a request has to wait for the turns before its own.
func (r *request) waits() bool {
	return r.turn != nil && !r.again && r.turn.order.broken.Load()
}

// hold has the turns behind that of a request which runs again wait for it.
func (r *request) hold() {
	if r.turn != nil {
		r.turn.order.broken.Store(true)
	}
}

// awaitTurn waits for the turns before that of r, after which it may run again.
func (r *request) awaitTurn() {
	if r.turn == nil || r.again {
		return
	}
	if r.turn.before != nil {
		<-r.turn.before
	}
	r.again = true
}
