// Package resolve asks name servers: those of the system, or those of the
// variable SmartDNSHost. It keeps the answers for a while, so that a storm of
// connections from one client is one question.
package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/idna"
)

// What a question can end with besides an answer.
var (
	// ErrNotFound: there is no such name, or no record of that kind.
	ErrNotFound = errors.New("not found in the DNS")
	// ErrTemporary: no server answered, or none that could; it may be asked again later.
	ErrTemporary = errors.New("no answer of the DNS")
)

// Options say whom a Resolver asks. The zero value is good.
type Options struct {
	// Servers returns which servers are asked, one after the other until one knows;
	// it is called for each question. Nil, or none: those of the system.
	Servers func() []Server

	Timeout time.Duration    // of a question, all servers together; 0: 5 seconds
	Clock   func() time.Time // for the age of answers; nil: time.Now
	Size    int              // how many answers are kept; 0: 10,000
}

// How long answers are kept. Those of the DNS say so themselves, which the
// resolver of Go does not tell; none that counts here is much shorter.
const (
	keepFound    = 5 * time.Minute
	keepNotFound = time.Minute
	keepFailed   = 10 * time.Second
)

// A Resolver looks names up. Its methods may be called concurrently. Their errors
// wrap [ErrNotFound] or [ErrTemporary]. They return by the end of the context,
// which counts as a failure of the servers.
type Resolver struct {
	servers func() []Server
	timeout time.Duration
	cache   *cache
	asking  chan struct{} // a place for each question that is out
}

// maxQuestions is how many questions are out at once. A queue that begins to be
// delivered asks for hundreds of domains; name servers and routers drop what comes all
// at once, and each question would wait for an answer to its end.
const maxQuestions = 64

// New returns a Resolver.
func New(o Options) *Resolver {
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Size == 0 {
		o.Size = 10_000
	}
	if o.Servers == nil {
		o.Servers = func() []Server { return nil }
	}
	return &Resolver{servers: o.Servers, timeout: o.Timeout, cache: newCache(o.Clock, o.Size), asking: make(chan struct{}, maxQuestions)}
}

// An MX is a host that takes the mail of a domain.
type MX struct {
	Host string // without a dot at the end; empty where the domain takes no mail (RFC 7505)
	Pref uint16 // the least is tried first
}

// LookupPTR returns the names of an address, without a dot at the end. They are
// what the owner of the address says, which may be anything.
func (r *Resolver) LookupPTR(ctx context.Context, ip netip.Addr) ([]string, error) {
	ip = ip.Unmap().WithZone("")
	return ask(ctx, r, "ptr", ip.String(), func(ctx context.Context, dns *net.Resolver, address string) ([]string, error) {
		names, err := dns.LookupAddr(ctx, address)
		for i := range names {
			names[i] = strings.TrimSuffix(names[i], ".")
		}
		names = slices.DeleteFunc(names, func(name string) bool { return name == "" })
		return names, err
	})
}

// LookupIP returns the addresses of a host, of both families.
func (r *Resolver) LookupIP(ctx context.Context, host string) ([]netip.Addr, error) {
	return r.addresses(ctx, "ip", host)
}

// LookupIP4 returns the IPv4 addresses of a host: its A records.
func (r *Resolver) LookupIP4(ctx context.Context, host string) ([]netip.Addr, error) {
	return r.addresses(ctx, "ip4", host)
}

func (r *Resolver) addresses(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return ask(ctx, r, network, host, func(ctx context.Context, dns *net.Resolver, name string) ([]netip.Addr, error) {
		ips := listed(ctx, network, name)
		var err error
		if len(ips) == 0 {
			ips, err = dns.LookupNetIP(ctx, network, name)
		}
		for i := range ips {
			ips[i] = ips[i].Unmap().WithZone("")
		}
		return ips, err
	})
}

// listed returns the addresses of a host of one label, as localhost, that the hosts file
// of the system has. The resolver of Go looks there for names that end in a dot only
// where they have another one.
func listed(ctx context.Context, network, name string) []netip.Addr {
	label := strings.TrimSuffix(name, ".")
	if strings.Contains(label, ".") {
		return nil
	}
	file := net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, ErrNotFound }}
	ips, err := file.LookupNetIP(ctx, network, label)
	if err != nil {
		return nil // the name servers are asked
	}
	return ips
}

// LookupMX returns the hosts that take the mail of a domain, in the order in which
// they are to be tried.
func (r *Resolver) LookupMX(ctx context.Context, domain string) ([]MX, error) {
	return ask(ctx, r, "mx", domain, func(ctx context.Context, dns *net.Resolver, name string) ([]MX, error) {
		records, err := dns.LookupMX(ctx, name)
		var hosts []MX
		for _, mx := range records {
			hosts = append(hosts, MX{Host: strings.TrimSuffix(mx.Host, "."), Pref: mx.Pref})
		}
		return hosts, err
	})
}

// ask answers a question from the cache, or else by lookup.
func ask[T any](ctx context.Context, r *Resolver, kind, name string, lookup func(context.Context, *net.Resolver, string) ([]T, error)) ([]T, error) {
	full, err := absolute(kind, name)
	if err != nil {
		return nil, fmt.Errorf("look up %s %.253q: %w", kind, name, err)
	}
	answer, err := r.cache.do(ctx, kind+" "+full, func() (any, error) {
		return question(ctx, r, full, lookup)
	})
	if err != nil {
		return nil, fmt.Errorf("look up %s %.253q: %w", kind, name, err)
	}
	found, _ := answer.([]T)
	return slices.Clone(found), nil
}

// absolute returns the name that is looked up. It ends in a dot, so that no
// domain of the system is tried after it.
func absolute(kind, name string) (string, error) {
	if kind == "ptr" {
		return name, nil
	}
	name = strings.TrimSuffix(name, ".")
	if ascii, err := idna.Lookup.ToASCII(name); err == nil {
		name = ascii
	} else if !isASCII(name) {
		return "", ErrNotFound
	}
	if name == "" {
		return "", ErrNotFound
	}
	return strings.ToLower(name) + ".", nil
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

// question asks the servers, each for its share of the time that is left.
func question[T any](ctx context.Context, r *Resolver, name string, lookup func(context.Context, *net.Resolver, string) ([]T, error)) ([]T, error) {
	select {
	case r.asking <- struct{}{}:
		defer func() { <-r.asking }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: no answer of the DNS: %w", ErrTemporary, ctx.Err())
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	servers := r.servers()
	if len(servers) == 0 {
		found, err := lookup(ctx, &net.Resolver{PreferGo: true, StrictErrors: true}, name)
		return judge(found, err)
	}
	var lastErr error
	for i, server := range servers {
		found, err := func() ([]T, error) {
			end, _ := ctx.Deadline()
			share := time.Until(end) / time.Duration(len(servers)-i)
			ctx, cancel := context.WithTimeout(ctx, share)
			defer cancel()
			found, err := lookup(ctx, server.resolver(), name)
			if dnsErr := (*net.DNSError)(nil); errors.As(err, &dnsErr) && dnsErr.Server != "" {
				dnsErr.Server = server.Addr // and not one of the system, as it believes
			}
			return judge(found, err)
		}()
		if err == nil || errors.Is(err, ErrNotFound) {
			return found, err
		}
		lastErr = err
	}
	return nil, lastErr
}

// judge turns what the resolver of Go returns into an answer. What can be read of
// an answer counts, though other parts of it may be malformed.
func judge[T any](found []T, err error) ([]T, error) {
	var dnsErr *net.DNSError
	switch {
	case len(found) > 0:
		return found, nil
	case err == nil, errors.As(err, &dnsErr) && dnsErr.IsNotFound:
		return nil, ErrNotFound
	}
	return nil, fmt.Errorf("%w: %w", ErrTemporary, err)
}
