package outbound

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// An endpoint is what can be dead or busy: an address of a host, as it is reached
// from one of ours.
type endpoint struct {
	addr netip.AddrPort
	bind netip.Addr
}

// A profile is what two messages must have in common to share a connection.
type profile struct {
	endpoint
	host  string
	tls   TLSLevel
	helo  string
	login string // of userauth/smtp: the file and what it says, hashed
}

// A pool counts the connections to each endpoint, keeps those that wait for the next
// message, and remembers who is dead.
type pool struct {
	o    Options
	wait sync.WaitGroup // for connections that are being closed

	mu     sync.Mutex
	closed bool
	idle   int
	places map[endpoint]*place
	dead   map[any]*death // by endpoint, or by profile where the host answers but cannot be used
}

type place struct {
	open   int // connections, also those being opened or closed
	idle   []*conn
	proven bool // it has answered, and not failed since
	limit  int  // 0: that of the options
}

type death struct {
	until time.Time
	times int
	why   failure
}

// How long a host is left alone that cannot be used: the first time and at most. The
// first retry of a message is later than that by default.
const (
	minDeath = 30 * time.Second
	maxDeath = 5 * time.Minute
	// maxKnown is how many endpoints are remembered before those are forgotten of
	// which nothing is known that counts.
	maxKnown = 10_000
)

var (
	errBusy   = errors.New("there are as many connections to the host as there may be")
	errClosed = temporary("4.3.2", "the server is being shut down")
)

// A deadError is why a host was not tried.
type deadError struct{ why failure }

func (e deadError) Error() string { return e.why.text }

func newPool(o Options) *pool {
	return &pool{o: o, places: map[endpoint]*place{}, dead: map[any]*death{}}
}

// take returns a connection that waits for a message, or nil when the caller may open
// one; it then calls opened or failed. The error is errBusy, errClosed or a deadError.
func (p *pool) take(want profile) (*conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	at := p.place(want.endpoint)
	for i := len(at.idle) - 1; i >= 0; i-- {
		if c := at.idle[i]; c.profile == want && c.timer.Stop() {
			p.unpark(at, i)
			return c, nil
		}
	}
	now := p.o.Clock()
	for _, key := range []any{want.endpoint, want} {
		if d := p.dead[key]; d != nil && now.Before(d.until) {
			return nil, deadError{d.why}
		}
	}
	if at.open >= p.limit(at) {
		if len(at.idle) == 0 || !at.idle[0].timer.Stop() {
			return nil, errBusy
		}
		c := at.idle[0]
		p.unpark(at, 0)
		at.open-- // its place is taken by the new one
		p.wait.Go(c.quit)
	}
	at.open++
	return nil, nil
}

// limit is how many connections there may be. A host that has not answered yet gets
// one: a dead one is not to hold up more than one message.
func (p *pool) limit(at *place) int {
	switch {
	case !at.proven:
		return 1
	case at.limit > 0:
		return min(at.limit, p.o.PerHost)
	}
	return p.o.PerHost
}

func (p *pool) place(e endpoint) *place {
	at := p.places[e]
	if at == nil {
		if len(p.places)+len(p.dead) >= maxKnown {
			p.sweep()
		}
		at = &place{}
		p.places[e] = at
	}
	return at
}

// sweep forgets what does not count any more.
func (p *pool) sweep() {
	for e, at := range p.places {
		if at.open == 0 {
			delete(p.places, e)
		}
	}
	now := p.o.Clock()
	for key, d := range p.dead {
		if !now.Before(d.until) {
			delete(p.dead, key)
		}
	}
}

func (p *pool) unpark(at *place, i int) {
	at.idle = append(at.idle[:i], at.idle[i+1:]...)
	p.idle--
}

// opened tells that the connection is there.
func (p *pool) opened(c profile) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.place(c.endpoint)
	at.proven = true
	if at.limit > 0 {
		at.limit++ // it takes one more than it did when it refused one
	}
	delete(p.dead, c.endpoint)
	delete(p.dead, c)
}

// failed tells that no connection could be opened, or none that is of use. answered:
// the host is there, but cannot be used this way.
func (p *pool) failed(c profile, why failure, answered bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.place(c.endpoint)
	at.open--
	var key any = c.endpoint
	switch {
	case answered:
		key = c
	case at.proven && at.open > 0:
		at.limit = at.open // it takes no more than it has
		return
	default:
		at.proven, at.limit = false, 0
	}
	d := p.dead[key]
	if d == nil {
		d = &death{}
		p.dead[key] = d
	}
	d.until = p.o.Clock().Add(min(minDeath<<min(d.times, 10), maxDeath))
	d.times++
	d.why = why
	d.why.text = fmt.Sprintf("%s (host is not tried again for a while)", why.text)
}

// gone tells that a connection is closed, or was not opened for our own reasons.
func (p *pool) gone(e endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.place(e).open--
}

// put takes a connection back. One that is good waits for the next message.
func (p *pool) put(c *conn, good bool) {
	if good && p.park(c) {
		return
	}
	end := func() {
		if good {
			c.quit()
		} else {
			c.close()
		}
		p.gone(c.profile.endpoint)
	}
	p.mu.Lock()
	closed := p.closed
	if !closed && good {
		p.wait.Go(end) // the goodbye may take a while
	}
	p.mu.Unlock()
	if closed || !good {
		end()
	}
}

// park keeps a connection for the next message, if there is room.
func (p *pool) park(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.idle >= p.o.MaxIdle || c.sent >= p.o.PerConnection {
		return false
	}
	at := p.place(c.profile.endpoint)
	at.idle = append(at.idle, c)
	p.idle++
	p.wait.Add(1)
	c.timer = &parking{pool: p}
	c.timer.Timer = time.AfterFunc(p.o.Timeouts.Idle, func() {
		defer p.wait.Done()
		p.expire(c)
	})
	return true
}

// A parking ends when the timer runs out, or when somebody takes the connection.
type parking struct {
	*time.Timer
	pool *pool
}

// Stop reports whether the connection is the caller's now.
func (t *parking) Stop() bool {
	if !t.Timer.Stop() {
		return false
	}
	t.pool.wait.Done()
	return true
}

// expire ends a connection for which no message came.
func (p *pool) expire(c *conn) {
	p.mu.Lock()
	at := p.place(c.profile.endpoint)
	for i := range at.idle {
		if at.idle[i] == c {
			p.unpark(at, i)
			break
		}
	}
	p.mu.Unlock()
	c.quit()
	p.gone(c.profile.endpoint)
}

func (p *pool) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.dead)
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	for e, at := range p.places {
		for _, c := range at.idle {
			if c.timer.Stop() {
				p.idle--
				p.wait.Go(func() {
					c.quit()
					p.gone(e)
				})
			}
		}
		at.idle = nil
	}
	p.mu.Unlock()
	p.wait.Wait()
}
