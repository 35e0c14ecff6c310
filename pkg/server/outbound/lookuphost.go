package outbound

import (
	"context"
	"net/netip"
)

// LookupHost returns the addresses of a host of the families that count, in the order
// in which they are tried. It is for those who connect to hosts by other protocols. The
// error wraps one of package resolve.
func (s *Sender) LookupHost(ctx context.Context, host string) ([]netip.Addr, error) {
	return s.lookup(ctx, host)
}
