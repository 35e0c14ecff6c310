package ctrl

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// countKey is what an address is counted under: whoever has an IPv6 address
// mostly has the whole /64 that it is in.
func countKey(a netip.Addr) netip.Addr {
	if a.Is6() {
		p, err := a.Prefix(64)
		if err == nil {
			return p.Addr()
		}
	}
	return a
}

// sessionCounts counts sessions. The zero value is ready.
type sessionCounts struct {
	mu      sync.Mutex
	total   int
	address map[netip.Addr]int
}

// add counts a session of a, unless that would be more than one of the limits.
func (c *sessionCounts) add(a netip.Addr, l Limits) bool {
	a = countKey(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.total >= l.Sessions || c.address[a] >= l.AddressSessions {
		return false
	}
	if c.address == nil {
		c.address = make(map[netip.Addr]int)
	}
	c.total++
	c.address[a]++
	return true
}

func (c *sessionCounts) remove(a netip.Addr) {
	a = countKey(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total--
	if c.address[a]--; c.address[a] == 0 {
		delete(c.address, a)
	}
}

// maxFailureAddresses bounds the memory of failureCounts. When there are more the one
// whose last failure is longest ago is forgotten.
const maxFailureAddresses = 16384

// failureCounts counts refused logins by address. The zero value is ready.
type failureCounts struct {
	mu      sync.Mutex
	address map[netip.Addr]*list.Element
	order   list.List // of *failures, the most recent in front
}

type failures struct {
	address netip.Addr
	times   []time.Time // of the last ones, not more than the limit
	until   time.Time   // blocked until then
}

// blocked reports whether a is blocked.
func (c *failureCounts) blocked(a netip.Addr, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.address[countKey(a)]
	return e != nil && now.Before(e.Value.(*failures).until)
}

// fail counts a refused login of a and reports whether a is blocked from now on.
func (c *failureCounts) fail(a netip.Addr, now time.Time, l Limits) bool {
	a = countKey(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.address == nil {
		c.address = make(map[netip.Addr]*list.Element)
	}
	e := c.address[a]
	if e == nil {
		if c.order.Len() >= maxFailureAddresses {
			last := c.order.Back()
			delete(c.address, last.Value.(*failures).address)
			c.order.Remove(last)
		}
		e = c.order.PushFront(&failures{address: a})
		c.address[a] = e
	} else {
		c.order.MoveToFront(e)
	}
	f := e.Value.(*failures)
	if now.Before(f.until) {
		return false // already; those that were under way do not make it longer
	}
	f.times = append(f.times, now)
	for len(f.times) > 0 && now.Sub(f.times[0]) > l.FailureWindow {
		f.times = f.times[1:]
	}
	if len(f.times) < l.FailedLogins {
		return false
	}
	f.times, f.until = nil, now.Add(l.BlockTime)
	return true
}

// succeed forgets what a failed.
func (c *failureCounts) succeed(a netip.Addr) {
	a = countKey(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.address[a]; e != nil {
		delete(c.address, a)
		c.order.Remove(e)
	}
}

// A throttle lets one report a second through, so that nobody fills the log by
// connecting. The zero value is ready.
type throttle struct {
	mu     sync.Mutex
	last   time.Time
	silent int
}

// now reports whether to report, and how often it has said no since it last did.
func (t *throttle) now(at time.Time) (silent int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if at.Sub(t.last) < time.Second {
		t.silent++
		return 0, false
	}
	silent, t.silent, t.last = t.silent, 0, at
	return silent, true
}
