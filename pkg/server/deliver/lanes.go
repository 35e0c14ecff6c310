package deliver

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/xmaild/xmaild/pkg/server/spool"
)

// lanes are where mail leaves: one for each domain that it is sent to, and one for
// each file of commands that sends. Each has goroutines of its own, as many as
// messages may be on their way by it at once; what is more is parked in the queue. So
// a host that is slow, or dead, keeps up nothing else, and what waits for it takes no
// memory but its place.
type lanes struct {
	mu      sync.Mutex
	active  map[string]int  // goroutines by lane
	total   int             // of all of them
	again   int             // lanes with goroutines whose mail has failed before
	failed  map[string]bool // which these are
	resting map[string]bool // those whose hosts have as many connections as they may, as failed
	first   line            // lanes that have no goroutine since there are too many
	later   line            // the same, whose mail has failed before
	ended   chan struct{}   // closed when no lane is to rest any more
	running sync.WaitGroup
}

// A line is lanes in the order in which they came.
type line struct {
	order []string
	has   map[string]bool
}

func (l *line) push(lane string) {
	if l.has == nil {
		l.has = make(map[string]bool)
	}
	if !l.has[lane] {
		l.has[lane] = true
		l.order = append(l.order, lane)
	}
}

func (l *line) pop() string {
	lane := l.order[0]
	l.order[0] = ""
	l.order = l.order[1:]
	delete(l.has, lane)
	return lane
}

// drop takes a lane out of the line: it has a goroutine.
func (l *line) drop(lane string) {
	if l.has[lane] {
		delete(l.has, lane)
		l.order = slices.DeleteFunc(l.order, func(s string) bool { return s == lane })
	}
}

// commandLane begins the names of lanes for files of commands; no domain has a blank.
const commandLane = "commands "

// restTime is after how long a host is asked again that had as many connections as it
// may.
const restTime = time.Second

// dispatch sees to it that a message goes on by a lane.
func (d *Deliverer) dispatch(ctx context.Context, lane string, lease *spool.Lease) {
	r := &d.lanes
	failed := lease.Tries(0) > 0
	r.mu.Lock()
	defer r.mu.Unlock()
	switch _, resting := r.resting[lane]; {
	case resting || r.active[lane] >= d.opts.PerDomain:
		lease.Park(lane) // somebody comes for it
	case !d.room(lane, failed):
		lease.Park(lane)
		r.wait(lane, failed)
	default:
		d.start(ctx, lane, failed, lease)
	}
}

// room reports whether there may be one more goroutine for a lane. Some lanes are kept
// for mail that has not failed yet: what a queue is full of is mostly mail for hosts
// that are dead, and each attempt at one of them takes long.
func (d *Deliverer) room(lane string, failed bool) bool {
	r := &d.lanes
	switch {
	case r.total >= d.opts.Destinations*d.opts.PerDomain:
		return false
	case r.active[lane] > 0:
		return true
	case failed && r.again >= max(d.opts.Destinations*3/4, 1):
		return false
	}
	return len(r.active) < d.opts.Destinations
}

// start starts a goroutine for a lane, with a lease or with what is parked there.
func (d *Deliverer) start(ctx context.Context, lane string, failed bool, lease *spool.Lease) {
	d.lanes.enter(lane, failed)
	d.lanes.running.Go(func() { d.serve(ctx, lane, lease) })
}

func (r *lanes) wait(lane string, failed bool) {
	switch {
	case r.active[lane] > 0:
	case failed && !r.first.has[lane]:
		r.later.push(lane)
	case !failed:
		r.later.drop(lane)
		r.first.push(lane)
	}
}

func (r *lanes) enter(lane string, failed bool) {
	r.first.drop(lane)
	r.later.drop(lane)
	if r.active[lane] == 0 && failed {
		r.failed[lane] = true
		r.again++
	}
	r.active[lane]++
	r.total++
}

func (r *lanes) leave(lane string) {
	r.total--
	if r.active[lane]--; r.active[lane] > 0 {
		return
	}
	delete(r.active, lane)
	if r.failed[lane] {
		delete(r.failed, lane)
		r.again--
	}
}

// serve works on a lane until nothing is left there, and then on one that waits.
func (d *Deliverer) serve(ctx context.Context, lane string, lease *spool.Lease) {
	for lane != "" {
		if lease == nil {
			lease = d.queue.Unpark(lane)
		}
		busy := false
		if lease != nil {
			busy = d.send(ctx, lane, lease)
			lease = nil
			if !busy {
				continue
			}
		}
		lane = d.turn(ctx, lane, busy)
	}
}

// turn returns what a goroutine turns to that has nothing more to do for a lane, or
// whose hosts are busy; an empty name ends it.
func (d *Deliverer) turn(ctx context.Context, lane string, busy bool) string {
	r := &d.lanes
	r.mu.Lock()
	defer r.mu.Unlock()
	if !busy && d.queue.Parked(lane) > 0 {
		return lane // it came just now
	}
	if _, resting := r.resting[lane]; busy && !resting {
		r.resting[lane] = r.failed[lane]
		r.running.Go(func() { d.rest(ctx, lane) })
	}
	r.leave(lane)
	for _, waiting := range []struct {
		*line
		failed bool
	}{{&r.first, false}, {&r.later, true}} {
		if len(waiting.order) > 0 && d.room(waiting.order[0], waiting.failed) {
			next := waiting.pop()
			r.enter(next, waiting.failed)
			return next
		}
	}
	return ""
}

// rest lets the hosts of a lane come to rest, and then has it worked on again.
func (d *Deliverer) rest(ctx context.Context, lane string) {
	r := &d.lanes
	over := time.NewTimer(restTime)
	defer over.Stop()
	select {
	case <-over.C:
	case <-ctx.Done():
	case <-r.ended:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	failed := r.resting[lane]
	delete(r.resting, lane)
	if ctx.Err() != nil {
		return
	}
	for range min(d.queue.Parked(lane), d.opts.PerDomain-r.active[lane]) {
		if !d.room(lane, failed) {
			r.wait(lane, failed)
			return
		}
		d.start(ctx, lane, failed, nil)
	}
}

// isCommands reports whether a lane is one of a file of commands.
func isCommands(lane string) bool { return strings.HasPrefix(lane, commandLane) }
