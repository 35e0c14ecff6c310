package psync

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// The ports of POP3, and of POP3 inside TLS.
const (
	defaultPort    = 110
	defaultTLSPort = 995
)

// A tlsLevel is how a link is encrypted.
type tlsLevel int

const (
	tlsNone     tlsLevel = iota
	tlsOffered           // STLS: in clear where it is refused
	tlsRequired          // FSTLS
	tlsImplicit          // POP3S
)

// options are what the sixth column of a link says (docs/reference/tables.md 3.14).
type options struct {
	clear       bool // CLR: the password may go over an open line
	digest      bool // APOP, FAPOP
	digestOnly  bool // FAPOP
	tls         tlsLevel
	verify      bool // a certificate that is not good ends the session
	leave       bool
	bind        netip.Addr
	clearLevel0 bool // what is not said may go over an open line
}

// parseOptions reads the options of a link. Those that are not known do not count.
func parseOptions(text string, vars mailroot.ServerVars) (options, error) {
	level := vars.CompatLevel()
	o := options{clearLevel0: level == 0}
	verify := ""
	for option := range strings.SplitSeq(text, ",") {
		switch word, value, _ := strings.Cut(strings.TrimSpace(option), "="); word {
		case "CLR":
			o.clear = true
		case "APOP":
			o.digest = true
		case "FAPOP":
			o.digest, o.digestOnly = true, true
		case "STLS":
			o.tls = max(o.tls, tlsOffered)
		case "FSTLS":
			o.tls = max(o.tls, tlsRequired)
		case "POP3S":
			o.tls = tlsImplicit
		case "Verify":
			verify = value
		case "Leave":
			o.leave = value == "" || mailroot.Atoi(value) > 0
		case "OutBind":
			ip, err := netip.ParseAddr(strings.Trim(value, "[]"))
			if err != nil {
				return o, errors.New("OutBind: the value is not an address")
			}
			o.bind = ip.Unmap()
		}
	}
	switch verify {
	case "0":
	case "":
		o.verify = vars.Flag("SSLWantVerify", false) || level >= 1 && o.tls >= tlsRequired
	default:
		o.verify = true
	}
	return o, nil
}

// A host is where a link leads to.
type host struct {
	name string     // without a dot at the end; of an address the address
	addr netip.Addr // valid: it need not be looked up
	port uint16
}

// parseHost reads host[:port], where the port may also come after | or ;, and an
// address of IPv6 may stand in brackets or without a port.
func parseHost(s string, port uint16) (host, error) {
	h := host{name: s, port: port}
	if ip, err := netip.ParseAddr(s); err == nil {
		h.addr = ip.Unmap()
		return h, nil
	}
	if i := strings.LastIndexAny(s, "|;:"); i > strings.LastIndexByte(s, ']') {
		n, err := strconv.ParseUint(s[i+1:], 10, 16)
		if err != nil || n == 0 {
			return host{}, fmt.Errorf("%q is not a port", s[i+1:])
		}
		h.name, h.port = s[:i], uint16(n)
	}
	inner, bracket := strings.CutPrefix(h.name, "[")
	if ip, err := netip.ParseAddr(strings.TrimSuffix(inner, "]")); err == nil && bracket == strings.HasSuffix(inner, "]") {
		h.addr = ip.Unmap()
		h.name = h.addr.String()
		return h, nil
	}
	h.name = strings.TrimSuffix(h.name, ".")
	if !address.IsDomain(h.name) {
		return host{}, fmt.Errorf("%q is not a host", s)
	}
	return h, nil
}
