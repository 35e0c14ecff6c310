// Package limit counts what strangers do, in bounded memory: sessions and failed
// logins by address, and reports that would fill a log. Whoever has an IPv6 address
// mostly has the whole /64 that it is in, which counts as one address.
package limit

import (
	"container/list"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// Why there is no further session.
var (
	ErrSessions        = errors.New("too many sessions")
	ErrAddressSessions = errors.New("too many sessions of this address")
)

// Network is what an address is counted under.
func Network(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// Sessions counts sessions, in all and by address. The zero value is ready. It is
// safe for concurrent use.
type Sessions struct {
	mu      sync.Mutex
	all     int
	address map[netip.Addr]int
}

// Add counts a session of an address, unless that would be more than one of the
// limits, of which 0 is none: the error is ErrSessions or ErrAddressSessions then.
func (s *Sessions) Add(a netip.Addr, all, perAddress int) error {
	a = Network(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case all > 0 && s.all >= all:
		return ErrSessions
	case perAddress > 0 && s.address[a] >= perAddress:
		return ErrAddressSessions
	}
	if s.address == nil {
		s.address = make(map[netip.Addr]int)
	}
	s.all++
	s.address[a]++
	return nil
}

// Remove counts the end of a session that was added.
func (s *Sessions) Remove(a netip.Addr) {
	a = Network(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.address[a]--; s.address[a] == 0 {
		delete(s.address, a)
	}
}

// MaxAddresses is how many addresses Failures remembers. When there are more the one
// whose last failure is longest ago is forgotten.
const MaxAddresses = 1 << 14

// A FailureLimit says how many failures within a time block an address, and for how
// long.
type FailureLimit struct {
	Count         int // 0: no limit
	Window, Block time.Duration
}

// Failures counts failed logins by address. The zero value is ready. It is safe for
// concurrent use.
type Failures struct {
	mu      sync.Mutex
	address map[netip.Addr]*list.Element
	order   list.List // of *offender, the most recent in front
}

type offender struct {
	address netip.Addr
	times   []time.Time // of the last ones, fewer than the limit
	until   time.Time   // blocked until then
}

// Blocked reports whether an address is blocked.
func (f *Failures) Blocked(a netip.Addr, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.address[Network(a)]
	return e != nil && now.Before(e.Value.(*offender).until)
}

// Fail counts a failure of an address and reports whether it is blocked from now on.
func (f *Failures) Fail(a netip.Addr, now time.Time, l FailureLimit) bool {
	if l.Count <= 0 {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.offender(Network(a))
	if now.Before(o.until) {
		return false // already; those that were under way do not make it longer
	}
	o.times = append(o.times, now)
	for len(o.times) > 0 && now.Sub(o.times[0]) > l.Window {
		o.times = o.times[1:]
	}
	if len(o.times) < l.Count {
		return false
	}
	o.times, o.until = nil, now.Add(l.Block)
	return l.Block > 0
}

func (f *Failures) offender(a netip.Addr) *offender {
	if e := f.address[a]; e != nil {
		f.order.MoveToFront(e)
		return e.Value.(*offender)
	}
	if f.address == nil {
		f.address = make(map[netip.Addr]*list.Element)
	}
	if f.order.Len() >= MaxAddresses {
		last := f.order.Back()
		delete(f.address, last.Value.(*offender).address)
		f.order.Remove(last)
	}
	o := &offender{address: a}
	f.address[a] = f.order.PushFront(o)
	return o
}

// Succeed forgets the failures of an address.
func (f *Failures) Succeed(a netip.Addr) {
	a = Network(a)
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.address[a]; e != nil {
		delete(f.address, a)
		f.order.Remove(e)
	}
}

// Reports lets one report through in a while, so that nobody fills the log by
// connecting. The zero value is ready. It is safe for concurrent use.
type Reports struct {
	mu     sync.Mutex
	next   time.Time
	silent int
}

// Pass reports whether to report, and how often it has said no since it last did. It
// says no for as long as every from then on.
func (r *Reports) Pass(now time.Time, every time.Duration) (silent int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Before(r.next) {
		r.silent++
		return 0, false
	}
	silent, r.silent, r.next = r.silent, 0, now.Add(every)
	return silent, true
}
