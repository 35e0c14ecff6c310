package login

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// maxAddresses bounds what is kept of addresses. Where there are more, the one is
// forgotten whose last failure is longest ago.
const maxAddresses = 1 << 16

// limits of failed logins, from the variables of the same names.
type limits struct {
	failures      int // 0: no limit
	window, block time.Duration
}

func limitsOf(vars mailroot.ServerVars) limits {
	return limits{
		failures: vars.Number("LOGIN-MaxFailures"),
		window:   time.Duration(vars.Number("LOGIN-FailureWindow")) * time.Second,
		block:    time.Duration(vars.Number("LOGIN-BlockTime")) * time.Second,
	}
}

// failures counts failed logins by address. The zero value is ready.
type failures struct {
	mu      sync.Mutex
	address map[netip.Addr]*list.Element
	order   list.List // of *offender, the latest in front
}

type offender struct {
	address netip.Addr
	times   []time.Time // fewer than the limit
	until   time.Time   // blocked until then
}

// network is what an address is counted under: whoever has an IPv6 address mostly has
// the whole /64 that it is in.
func network(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

func (f *failures) blocked(a netip.Addr, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.address[network(a)]
	return e != nil && now.Before(e.Value.(*offender).until)
}

// fail counts a failed login and reports whether the address is blocked from now on.
func (f *failures) fail(a netip.Addr, now time.Time, l limits) bool {
	if l.failures <= 0 {
		return false
	}
	a = network(a)
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.address[a]
	if e == nil {
		if f.address == nil {
			f.address = make(map[netip.Addr]*list.Element)
		}
		if f.order.Len() >= maxAddresses {
			last := f.order.Back()
			delete(f.address, last.Value.(*offender).address)
			f.order.Remove(last)
		}
		e = f.order.PushFront(&offender{address: a})
		f.address[a] = e
	} else {
		f.order.MoveToFront(e)
	}
	o := e.Value.(*offender)
	if now.Before(o.until) {
		return false // logins that were under way do not make it longer
	}
	o.times = append(o.times, now)
	for len(o.times) > 0 && now.Sub(o.times[0]) > l.window {
		o.times = o.times[1:]
	}
	if len(o.times) < l.failures {
		return false
	}
	o.times, o.until = nil, now.Add(l.block)
	return l.block > 0
}

// succeed forgets the failures of an address.
func (f *failures) succeed(a netip.Addr) {
	a = network(a)
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.address[a]; e != nil {
		delete(f.address, a)
		f.order.Remove(e)
	}
}
