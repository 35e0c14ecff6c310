package outbound

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/address"
)

// A TLSLevel says whether a connection is encrypted: the option NeedTLS.
type TLSLevel int

// The levels. Where no option says anything it is TLSOffered.
const (
	TLSNever    TLSLevel = iota // NeedTLS=0
	TLSOffered                  // NeedTLS=1: where it is offered, and in clear where it fails
	TLSRequired                 // NeedTLS=2: with a certificate that is good for the name of the host
)

// HostOptions are how a host is talked to.
type HostOptions struct {
	TLS  TLSLevel
	Bind netip.Addr // OutBind: our own address; not valid: any
}

// A Host takes the mail of a domain.
type Host struct {
	Name  string     // without a dot at the end; of a literal the address
	Addr  netip.Addr // of a literal, which is not looked up
	Port  uint16
	Rank  int    // that of the first hosts is the least; among equals the order is random where it may be
	Entry string // host and port as the table or the DNS has them
	HostOptions
}

// DefaultPort is that of SMTP.
const DefaultPort = 25

// parseHosts reads a list of smtpfwd.tab, DefaultSMTPGateways or the command
// smtprelay: host[:port][,options];… with a # in front for random order
// (docs/reference/tables.md 3.16). What cannot be read is left out and told of in
// the error. A list without hosts is none.
func parseHosts(list string, base HostOptions) ([]Host, error) {
	list, random := strings.CutPrefix(strings.TrimSpace(list), "#")
	var hosts []Host
	var bad error
	for entry := range strings.SplitSeq(list, ";") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		target, options, _ := strings.Cut(entry, ",")
		h, err := parseHost(strings.TrimSpace(target))
		if err == nil {
			h.HostOptions, err = parseOptions(options, base)
		}
		if err != nil {
			bad = errors.Join(bad, fmt.Errorf("%q: %w", entry, err))
			continue
		}
		h.Rank = len(hosts)
		hosts = append(hosts, h)
	}
	if random {
		rand.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
		for i := range hosts {
			hosts[i].Rank = 0
		}
	}
	return hosts, bad
}

// parseHost reads host[:port], where the port may also come after a |, and an
// address of IPv6 may stand in brackets or without a port.
func parseHost(s string) (Host, error) {
	h := Host{Name: s, Port: DefaultPort, Entry: s}
	if ip, err := netip.ParseAddr(s); err == nil {
		return h.literal(ip), nil
	}
	if i := strings.LastIndexAny(s, "|:"); i > strings.LastIndexByte(s, ']') {
		port, err := strconv.ParseUint(s[i+1:], 10, 16)
		if err != nil || port == 0 {
			return Host{}, fmt.Errorf("%q is not a port", s[i+1:])
		}
		h.Name, h.Port = s[:i], uint16(port)
	}
	if ip, ok := parseLiteral(h.Name); ok {
		return h.literal(ip), nil
	}
	h.Name = strings.TrimSuffix(h.Name, ".")
	if !address.IsDomain(h.Name) {
		return Host{}, errors.New("it is not a host")
	}
	return h, nil
}

// parseLiteral reads an address with or without brackets; in them IPv6 may have its
// tag of RFC 5321 or not.
func parseLiteral(s string) (netip.Addr, bool) {
	if ip, ok := address.ParseLiteral(s); ok {
		return ip, true
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if s, ok = strings.CutSuffix(inner, "]"); !ok {
			return netip.Addr{}, false
		}
	}
	ip, err := netip.ParseAddr(s)
	return ip.WithZone(""), err == nil
}

func (h Host) literal(ip netip.Addr) Host {
	h.Addr = ip.Unmap()
	h.Name = h.Addr.String()
	return h
}

// parseOptions reads NeedTLS=0, 1 or 2 and OutBind=ADDRESS with commas between them.
// What they do not say is as base has it; options that do not exist are let pass.
func parseOptions(s string, base HostOptions) (HostOptions, error) {
	o := base
	for option := range strings.SplitSeq(s, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(option), "=")
		switch name {
		case "NeedTLS":
			n, err := strconv.ParseUint(value, 10, 16)
			if err != nil {
				return o, fmt.Errorf("NeedTLS=%s: the value is 0, 1 or 2", value)
			}
			o.TLS = TLSOffered // as the reference takes 3 and more
			if n <= uint64(TLSRequired) {
				o.TLS = TLSLevel(n)
			}
		case "OutBind":
			ip, err := netip.ParseAddr(strings.Trim(value, "[]"))
			if err != nil {
				return o, fmt.Errorf("OutBind=%s: the value is not an address", value)
			}
			o.Bind = ip.Unmap()
		}
	}
	return o, nil
}

// addresses returns what of ips is of a family that counts, in the order in which
// they are tried. Among those of one family it is random.
func (f Family) addresses(ips []netip.Addr) []netip.Addr {
	var four, six []netip.Addr
	for _, ip := range ips {
		if ip = ip.Unmap(); ip.Is4() {
			four = append(four, ip)
		} else {
			six = append(six, ip)
		}
	}
	shuffle(four)
	shuffle(six)
	switch f {
	case IPv6:
		return six
	case IPv4First:
		return append(four, six...)
	case IPv6First:
		return append(six, four...)
	}
	return four
}

func shuffle[T any](s []T) {
	rand.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
}

// own reports whether an address is one of this machine's.
func own(ip netip.Addr) bool {
	if ip.IsLoopback() || ip.IsUnspecified() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false // what is not known is not ours
	}
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Unmap().WithZone("") == ip {
			return true
		}
	}
	return false
}
