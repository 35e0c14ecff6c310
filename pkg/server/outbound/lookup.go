package outbound

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/xmaild/xmaild/pkg/server/resolve"
)

// A target is one address of a host.
type target struct {
	Host
	addr netip.AddrPort
}

// targets returns the addresses of hosts of one rank, in the order in which they are
// tried, and why there are none of a host. own: one of them is this server.
func (s *Sender) targets(ctx context.Context, branch Branch, hosts []Host) (all []target, failures []failure, own bool) {
	found := make([][]netip.Addr, len(hosts))
	errs := make([]error, len(hosts))
	var wait sync.WaitGroup
	for i, h := range hosts {
		wait.Go(func() { found[i], errs[i] = s.hostAddresses(ctx, h) })
	}
	wait.Wait()
	for i, h := range hosts {
		if errs[i] != nil {
			failures = append(failures, temporary("4.4.4", "host %s cannot be looked up: %v", h.Name, errs[i]))
		}
		for _, ip := range found[i] {
			if strangers := branch == ByMX || branch == ByAddress || branch == ByLiteral; strangers && s.o.Own(ip) {
				return nil, nil, true
			}
			all = append(all, target{h, netip.AddrPortFrom(ip, h.Port)})
		}
	}
	return all, failures, false
}

// hostAddresses returns the addresses of a host that can be reached from the address
// that its options ask for.
func (s *Sender) hostAddresses(ctx context.Context, h Host) ([]netip.Addr, error) {
	if h.Addr.IsValid() {
		return []netip.Addr{h.Addr}, nil
	}
	ips, err := s.lookup(ctx, h.Name)
	if err != nil || !h.Bind.IsValid() {
		return ips, err
	}
	var fit []netip.Addr
	for _, ip := range ips {
		if ip.Is4() == h.Bind.Is4() {
			fit = append(fit, ip)
		}
	}
	if len(fit) == 0 {
		return nil, fmt.Errorf("it has no address that can be reached from %v (OutBind)", h.Bind)
	}
	return fit, nil
}

// lookup returns the addresses of a host of the families that count. The error wraps
// one of package resolve.
func (s *Sender) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	var ips []netip.Addr
	var err error
	if s.o.Family == IPv4 {
		ips, err = s.dns.LookupIP4(ctx, host)
	} else {
		ips, err = s.dns.LookupIP(ctx, host)
		if errors.Is(err, resolve.ErrTemporary) && s.o.Family != IPv6 {
			// Some name servers fail at the sight of AAAA.
			if four, err4 := s.dns.LookupIP4(ctx, host); err4 == nil {
				ips, err = four, nil
			}
		}
	}
	if err != nil {
		return nil, err
	}
	if ips = s.o.Family.addresses(ips); len(ips) == 0 {
		return nil, fmt.Errorf("no address of a family that is in use: %w", resolve.ErrNotFound)
	}
	return ips, nil
}
