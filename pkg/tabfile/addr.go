package tabfile

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// AddrRule is a network as the address columns of the tables name it: an
// address and a mask. The zero value matches nothing.
type AddrRule struct {
	addr     netip.Addr // masked
	low      netip.Addr // the IPv4 address in that of an IPv6 rule, masked; invalid if it has none
	mask     [16]byte   // of an IPv4 rule the last four bytes count
	warnings []string
}

// ParseAddrRule reads an address column and the mask column after it.
//
//   - ADDR/BITS is a prefix of either family; mask is not looked at.
//   - ADDR with a mask is an IPv4 network. A mask with gaps works, with a warning.
//   - ADDR with an empty mask is one host.
//
// The short and the octal forms of an IPv4 address are read as the reference
// reads them ("10" is 0.0.0.10, "127.1" is 127.0.0.1), with a warning, and so is
// one dot too many at the end of a complete address. Host names are an error:
// nothing here asks a name server.
func ParseAddrRule(addr, mask string) (AddrRule, error) {
	var r AddrRule
	text, bits, isPrefix := strings.Cut(addr, "/")
	ip, err := r.parseAddr(text)
	if err != nil {
		return AddrRule{}, err
	}
	switch {
	case isPrefix:
		err = r.setPrefix(ip, addr, bits)
	case mask == "":
		r.setBits(ip.BitLen())
	default:
		err = r.setMask(ip, mask)
	}
	if err != nil {
		return AddrRule{}, err
	}
	r.addr = r.apply(ip)
	if low, ok := embedded(ip); ok {
		r.low = netip.AddrFrom4(r.apply4(low.As4()))
	}
	if r.isZeroMask() && !ip.IsUnspecified() {
		r.warn("%q has no network bits: it matches every address", addr)
	}
	return r, nil
}

func (r *AddrRule) warn(format string, args ...any) {
	r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
}

func (r *AddrRule) parseAddr(text string) (netip.Addr, error) {
	if strings.Contains(text, ":") {
		ip, err := netip.ParseAddr(text)
		if err != nil || ip.Zone() != "" {
			return netip.Addr{}, fmt.Errorf("bad address %q", text)
		}
		return ip, nil
	}
	v4, err := r.parseQuad(text)
	if err != nil {
		return netip.Addr{}, err
	}
	return v4, nil
}

// parseQuad reads an IPv4 address in every form that inet_aton knows.
func (r *AddrRule) parseQuad(text string) (netip.Addr, error) {
	short := strings.TrimSuffix(text, ".")
	parts := strings.Split(short, ".")
	if len(parts) > 4 || short != text && len(parts) < 4 {
		return netip.Addr{}, badAddr(text)
	}
	var v uint64
	for i, part := range parts {
		n, err := parseOctet(part)
		if err != nil {
			return netip.Addr{}, badAddr(text)
		}
		if i < len(parts)-1 {
			if n > 255 {
				return netip.Addr{}, badAddr(text)
			}
			v |= n << (8 * (3 - i))
			continue
		}
		if n >= 1<<(8*(4-i)) {
			return netip.Addr{}, badAddr(text)
		}
		v |= n
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(v))
	ip := netip.AddrFrom4(b)
	if short != text {
		r.warn("%q ends in a dot; it is read as %s", text, ip)
	} else if ip.String() != text {
		r.warn("%q is read as %s", text, ip)
	}
	return ip, nil
}

// parseOctet reads decimal, octal with a leading 0, or hexadecimal with 0x.
func parseOctet(s string) (uint64, error) {
	base := 10
	switch {
	case len(s) > 2 && (s[:2] == "0x" || s[:2] == "0X"):
		s, base = s[2:], 16
	case len(s) > 1 && s[0] == '0':
		s, base = s[1:], 8
	}
	return strconv.ParseUint(s, base, 32)
}

func badAddr(text string) error {
	letter := func(c rune) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
	if strings.ContainsFunc(text, letter) && !strings.HasPrefix(Fold(text), "0x") {
		return fmt.Errorf("%q is a host name; write its address, names are not looked up", text)
	}
	return fmt.Errorf("bad address %q", text)
}

func (r *AddrRule) setPrefix(ip netip.Addr, addr, bits string) error {
	n, err := strconv.ParseUint(bits, 10, 16)
	if err != nil {
		return fmt.Errorf("bad prefix length in %q", addr)
	}
	if n > uint64(ip.BitLen()) {
		r.warn("prefix length in %q is longer than the address; it is read as %d", addr, ip.BitLen())
		n = uint64(ip.BitLen())
	}
	if ip.Is4() {
		r.setBits(int(n))
	} else {
		setBits(r.mask[:], int(n))
	}
	return nil
}

// setBits sets the mask of an IPv4 rule, or of a host of IPv6.
func (r *AddrRule) setBits(n int) {
	if n > 32 {
		setBits(r.mask[:], n)
		return
	}
	setBits(r.mask[12:], n)
}

func setBits(mask []byte, n int) {
	for i := range mask {
		switch {
		case n >= 8:
			mask[i] = 0xff
		case n > 0:
			mask[i] = 0xff << (8 - n)
		}
		n -= 8
	}
}

// setMask reads a mask column. A mask of two or three parts is refused: people
// mean 255.255.0.0 by 255.255, the reference reads 255.0.0.255.
func (r *AddrRule) setMask(ip netip.Addr, mask string) error {
	if !ip.Is4() {
		return fmt.Errorf("bad netmask %q: an IPv6 network is written %s/BITS", mask, ip)
	}
	if n := strings.Count(strings.TrimSuffix(mask, "."), "."); n == 1 || n == 2 {
		return fmt.Errorf("bad netmask %q", mask)
	}
	m, err := r.parseQuad(mask)
	if err != nil {
		return fmt.Errorf("bad netmask %q", mask)
	}
	m4 := m.As4()
	copy(r.mask[12:], m4[:])
	if !contiguous(m4[:]) {
		r.warn("netmask %q has gaps", mask)
	}
	return nil
}

func contiguous(mask []byte) bool {
	zero := false
	for _, b := range mask {
		for bit := 7; bit >= 0; bit-- {
			set := b&(1<<bit) != 0
			if set && zero {
				return false
			}
			zero = zero || !set
		}
	}
	return true
}

// apply returns ip, which is of the rule's family, with the mask laid over it.
func (r *AddrRule) apply(ip netip.Addr) netip.Addr {
	if ip.Is4() {
		return netip.AddrFrom4(r.apply4(ip.As4()))
	}
	b := ip.As16()
	for i := range b {
		b[i] &= r.mask[i]
	}
	return netip.AddrFrom16(b)
}

func (r *AddrRule) apply4(b [4]byte) [4]byte {
	for i := range b {
		b[i] &= r.mask[12+i]
	}
	return b
}

func (r *AddrRule) isZeroMask() bool {
	return r.mask == [16]byte{}
}

// Matches reports whether ip lies in the network. An IPv4 address that is
// mapped into IPv6 counts as the IPv4 one, and a zone does not count.
//
// A mask of no bits matches every address of both families. Else an IPv4 rule
// matches an IPv6 address only in ::/96, where the last four bytes are taken (so
// that ::1 is 0.0.0.1), and an IPv6 rule matches an IPv4 address only if the
// rule's own address is mapped or lies in ::/96, by the last four bytes of both.
func (r AddrRule) Matches(ip netip.Addr) bool {
	if !r.addr.IsValid() || !ip.IsValid() {
		return false
	}
	if r.isZeroMask() {
		return true
	}
	ip = ip.Unmap().WithZone("")
	if r.addr.Is4() {
		if !ip.Is4() {
			var ok bool
			if ip, ok = embedded(ip); !ok {
				return false
			}
		}
		return r.apply4(ip.As4()) == r.addr.As4()
	}
	if !ip.Is4() {
		return r.apply(ip) == r.addr
	}
	return r.low.IsValid() && r.apply4(ip.As4()) == r.low.As4()
}

// embedded returns the IPv4 address in an IPv6 one that is mapped or lies in
// ::/96.
func embedded(ip netip.Addr) (netip.Addr, bool) {
	if ip.Is4() {
		return netip.Addr{}, false
	}
	if ip.Is4In6() {
		return ip.Unmap(), true
	}
	b := ip.As16()
	if [12]byte(b[:12]) != [12]byte{} {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([4]byte(b[12:])), true
}

// Contiguous reports whether the mask is a prefix, as it has to be in new rows.
func (r AddrRule) Contiguous() bool {
	_, ok := r.Prefix()
	return ok
}

// Prefix returns the network as a prefix, if its mask is one.
func (r AddrRule) Prefix() (netip.Prefix, bool) {
	if !r.addr.IsValid() {
		return netip.Prefix{}, false
	}
	mask := r.mask[:]
	if r.addr.Is4() {
		mask = r.mask[12:]
	}
	if !contiguous(mask) {
		return netip.Prefix{}, false
	}
	ones := 0
	for _, b := range mask {
		for ; b != 0; b <<= 1 {
			ones++
		}
	}
	return netip.PrefixFrom(r.addr, ones), true
}

// Warnings returns what is odd about the rule although it works: short forms,
// a dot at the end, a mask with gaps. Each is a phrase for check and the log.
func (r AddrRule) Warnings() []string {
	return r.warnings
}

// String returns the rule as ADDR/BITS, or ADDR/MASK where the mask has gaps.
func (r AddrRule) String() string {
	if !r.addr.IsValid() {
		return "invalid rule"
	}
	if p, ok := r.Prefix(); ok {
		return p.String()
	}
	return r.addr.String() + "/" + netip.AddrFrom4([4]byte(r.mask[12:])).String()
}
