package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
)

// A binder binds the addresses of one service.
type binder struct {
	loopback bool // bind the loopback where no address is given
	resolve  Resolve
	log      *slog.Logger
}

// bind opens every address of an endpoint, or none: on an error those opened
// before are closed again. what names the service in errors.
func (b binder) bind(ctx context.Context, what string, e Endpoint) (ls []net.Listener, err error) {
	if e.Off {
		return nil, nil
	}
	defer func() {
		if err != nil {
			for _, l := range ls {
				l.Close()
			}
			ls = nil
		}
	}()
	for _, addr := range e.Addrs {
		l, err := b.bindAddr(ctx, addr)
		if err != nil {
			return ls, fmt.Errorf("%s: %w", what, plain(err))
		}
		ls = append(ls, l)
	}
	if len(e.Addrs) > 0 {
		return ls, nil
	}
	port := strconv.Itoa(e.Port)
	switch {
	case e.IPv6:
		ls, err = listen(ctx, ls, "tcp", net.JoinHostPort("::", port))
	case b.loopback:
		ls, err = listen(ctx, ls, "tcp4", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			break
		}
		// A machine without IPv6 has the one loopback address only. Where the
		// port was ours to choose, both addresses get the same.
		_, port, _ = net.SplitHostPort(ls[0].Addr().String())
		more, err6 := listen(ctx, ls, "tcp6", net.JoinHostPort("::1", port))
		switch {
		case err6 == nil:
			ls = more
		case noSuchAddress(err6) || e.Port == 0:
			b.log.Info("not listening on ::1", "service", what, "err", plain(err6))
		default:
			err = err6
		}
	default:
		ls, err = listen(ctx, ls, "tcp4", net.JoinHostPort("0.0.0.0", port))
	}
	if err != nil {
		return ls, fmt.Errorf("%s: %w", what, plain(err))
	}
	return ls, nil
}

func listen(ctx context.Context, ls []net.Listener, network, addr string) ([]net.Listener, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, network, addr)
	if err != nil {
		return ls, err
	}
	return append(ls, l), nil
}

func (b binder) bindAddr(ctx context.Context, addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		if ip, err = b.lookup(ctx, host); err != nil {
			return nil, err
		}
	}
	// "tcp" would take 0.0.0.0 for every address of both families.
	network := "tcp"
	if ip.Is4() {
		network = "tcp4"
	}
	var config net.ListenConfig
	return config.Listen(ctx, network, net.JoinHostPort(ip.String(), port))
}

// lookup finds the one address of a host name to bind, as the -M letters say.
func (b binder) lookup(ctx context.Context, host string) (netip.Addr, error) {
	networks := map[Resolve][]string{
		ResolveIPv4:      {"ip4"},
		ResolveIPv6:      {"ip6"},
		ResolveIPv4First: {"ip4", "ip6"},
		ResolveIPv6First: {"ip6", "ip4"},
	}[b.resolve]
	var failed error
	for _, network := range networks {
		ips, err := net.DefaultResolver.LookupNetIP(ctx, network, host)
		if err == nil && len(ips) > 0 {
			return ips[0].Unmap(), nil
		}
		failed = err
	}
	if failed == nil {
		failed = fmt.Errorf("host %q has no address", host)
	}
	return netip.Addr{}, failed
}

// noSuchAddress reports whether this machine lacks the address that was to be bound.
func noSuchAddress(err error) bool {
	return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)
}

// plain says what is wrong with an address in one line for people.
func plain(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) || op.Addr == nil {
		return err
	}
	addr := op.Addr.String()
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("address %s is in use by another program", addr)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("address %s: no right to bind it (ports below 1024 need root, which is given up thereafter, or CAP_NET_BIND_SERVICE; the options say how to choose another port, or none)", addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("address %s is none of this machine's", addr)
	}
	return err
}

// addrs lists where listeners listen, for logs and the lock file.
func addrs(ls []net.Listener) string {
	var all []string
	for _, l := range ls {
		all = append(all, l.Addr().String())
	}
	return strings.Join(all, " ")
}
