package session

import (
	"net/netip"
	"sync"
	"time"
)

// counts are the sessions of one service, in all and by address.
type counts struct {
	mu  sync.Mutex
	all int
	of  map[netip.Addr]int
}

// add counts a session, or says which limit it would exceed. A limit of 0 is none.
func (c *counts) add(ip netip.Addr, all, perAddress int) error {
	ip = network(ip)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case all > 0 && c.all >= all:
		return ErrTooMany
	case perAddress > 0 && c.of[ip] >= perAddress:
		return ErrTooManyOfAddress
	}
	if c.of == nil {
		c.of = make(map[netip.Addr]int)
	}
	c.all++
	c.of[ip]++
	return nil
}

func (c *counts) remove(ip netip.Addr) {
	ip = network(ip)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.of[ip]--; c.of[ip] == 0 {
		delete(c.of, ip)
	}
}

// network is what counts as one address: a customer has a /64 of IPv6.
func network(ip netip.Addr) netip.Addr {
	if ip.Is6() && !ip.Is4In6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return ip
}

// A throttle lets a report through once a minute, with the number of those that
// it held back since.
type throttle struct {
	mu   sync.Mutex
	next time.Time
	held int
}

func (t *throttle) pass(now time.Time) (held int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Before(t.next) {
		t.held++
		return 0, false
	}
	held, t.held = t.held, 0
	t.next = now.Add(time.Minute)
	return held, true
}
