package policy

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/access"
	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/resolve"
)

// maxNames is how many names of an address are looked at.
const maxNames = 10

// Names asks the DNS for the names of an address, within the time limit of the
// options. The error is that of servers that did not answer.
func (p *Policy) Names(ctx context.Context, ip netip.Addr) (access.Names, error) {
	ip = ip.Unmap().WithZone("")
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	names, err := p.dns.LookupPTR(ctx, ip)
	if err != nil {
		if errors.Is(err, resolve.ErrNotFound) {
			return access.Names{Absent: true}, nil
		}
		return access.Names{}, err
	}
	var n access.Names
	names = slices.DeleteFunc(names, func(name string) bool { return !address.IsDomain(name) })
	slices.Sort(names) // servers turn them
	n.PTR = slices.Compact(names)
	n.PTR = n.PTR[:min(len(n.PTR), maxNames)]
	lookup := p.dns.LookupIP
	if ip.Is4() {
		lookup = p.dns.LookupIP4
	}
	for _, name := range n.PTR {
		if ips, err := lookup(ctx, name); err == nil && slices.Contains(ips, ip) {
			n.Confirmed = append(n.Confirmed, name)
		}
	}
	return n, nil
}

// asksForNames reports whether a table asks for the names of clients.
func (p *Policy) asksForNames() bool {
	for range p.root.Named(mailroot.HNPropTab).All() {
		return true
	}
	return false
}

// names looks the names of a client up.
func (p *Policy) names(ctx context.Context, c *Client, facts *access.SMTPClient, ip netip.Addr) {
	n, err := p.Names(ctx, ip)
	if err != nil {
		p.log.Debug("smtp: reverse name unknown", "remote", ip, "err", err)
		return
	}
	facts.Nameless = n.Absent
	if len(n.PTR) > 0 {
		c.PTR = n.PTR[0]
	}
	if len(n.Confirmed) == 0 {
		return
	}
	c.Name = n.Confirmed[0]
	table := p.root.Named(mailroot.HNPropTab)
	var first *mailroot.Named
	for _, name := range n.Confirmed {
		if rows := table.CoveringHost(name); len(rows) > 0 && (first == nil || rows[0].Row.Before(first.Row)) {
			first = &rows[0]
		}
	}
	if first != nil {
		facts.Properties = append(facts.Properties, first.Rest)
	}
}

// domain returns what the server is called in a session at one of its addresses
// (docs/reference/services.md 1.1, 8).
func (p *Policy) domain(ctx context.Context, vars mailroot.ServerVars, local netip.Addr) string {
	if d := vars.String("SmtpServerDomain"); d != "" {
		return d
	}
	local = local.Unmap().WithZone("")
	if !local.IsLoopback() { // whose name is localhost
		ctx, cancel := context.WithTimeout(ctx, p.timeout)
		defer cancel()
		names, err := p.dns.LookupPTR(ctx, local)
		names = slices.DeleteFunc(names, func(name string) bool { return !address.IsDomain(name) })
		if err == nil && len(names) > 0 {
			return p.handledPart(slices.Min(names))
		}
	}
	if d := vars.String("RootDomain"); d != "" {
		return d
	}
	return literal(local)
}

// handledPart returns the longest end of a name that is a domain of this server,
// or the name.
func (p *Policy) handledPart(name string) string {
	for part := name; ; {
		if p.root.Handled(part) {
			return part
		}
		_, rest, ok := strings.Cut(part, ".")
		if !ok {
			return name
		}
		part = rest
	}
}

// literal writes an address as a domain (RFC 5321 4.1.3).
func literal(ip netip.Addr) string {
	switch {
	case !ip.IsValid():
		return "localhost"
	case ip.Is4():
		return "[" + ip.String() + "]"
	}
	return "[IPv6:" + ip.String() + "]"
}
