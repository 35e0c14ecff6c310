// Package address reads mail addresses and the paths of SMTP (RFC 5321 4.1.2,
// RFC 6531 3.3). It knows nothing of accounts: it says what an address is, not
// whose.
package address

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// The longest parts that are read, in bytes. A local part may be longer than RFC
// 5321 has it, since senders of lists are.
const (
	MaxLocal  = 255
	MaxDomain = 253
	MaxLabel  = 63
	MaxPath   = 1023
)

// A Path is a mail address with the route by which it is to be reached. The zero
// value is the null path, <>.
type Path struct {
	Route  []string // hosts of a source route, as in <@a,@b:user@c>; none as a rule
	Local  string   // without its quotes
	Domain string   // as it was written: a name, or a literal with its brackets; empty for a bare postmaster
}

// IsNull reports whether the path is <>.
func (p Path) IsNull() bool { return p.Local == "" && p.Domain == "" && len(p.Route) == 0 }

// String returns the address as it stands between the brackets of a path, without
// the route. The local part is quoted where it needs to be.
func (p Path) String() string {
	local := p.Local
	if !p.Plain() && !p.IsNull() {
		local = quote(local)
	}
	if p.Domain == "" {
		return local
	}
	return local + "@" + p.Domain
}

// Plain reports whether the local part can stand without quotes. Only such are the
// names of accounts.
func (p Path) Plain() bool { return isDotAtom(p.Local) }

// Literal reports whether the domain is an address in brackets.
func (p Path) Literal() bool { return strings.HasPrefix(p.Domain, "[") }

// UTF8 reports whether the path can be sent only to hosts that know SMTPUTF8.
func (p Path) UTF8() bool {
	for _, host := range p.Route {
		if !isASCII(host) {
			return true
		}
	}
	return !isASCII(p.Local) || !isASCII(p.Domain)
}

// Equal reports whether two paths are the same address, as accounts are compared:
// without regard to the case of ASCII letters.
func (p Path) Equal(q Path) bool {
	return tabfile.EqualFold(p.Local, q.Local) && tabfile.EqualFold(p.Domain, q.Domain)
}

// IsDomain reports whether s is a domain name: labels of ASCII letters, digits, _
// and inner -, or of UTF-8, with single dots between them and none at the end.
func IsDomain(s string) bool {
	if len(s) > MaxDomain || !isText(s) {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > MaxLabel || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; c < utf8.RuneSelf && !isAlnum(c) && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// ParseLiteral returns the address in a literal, as [192.0.2.1] or
// [IPv6:2001:db8::1] (RFC 5321 4.1.3). There are no others.
func ParseLiteral(s string) (netip.Addr, bool) {
	if len(s) < 2 || s[0] != '[' || s[len(s)-1] != ']' {
		return netip.Addr{}, false
	}
	text := s[1 : len(s)-1]
	const tag = "ipv6:"
	six := len(text) > len(tag) && tabfile.EqualFold(text[:len(tag)], tag)
	if six {
		text = text[len(tag):]
	}
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" || ip.Is4() == six {
		return netip.Addr{}, false
	}
	return ip, true
}

// IsHost reports whether s is what HELO may say: a domain name or a literal.
func IsHost(s string) bool {
	if strings.HasPrefix(s, "[") {
		_, ok := ParseLiteral(s)
		return ok
	}
	return IsDomain(s)
}

// quote writes a local part as a quoted string.
func quote(local string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(local) {
		if local[i] == '"' || local[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(local[i])
	}
	b.WriteByte('"')
	return b.String()
}

// isDotAtom reports whether s is atoms with single dots between them.
func isDotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for i := range len(atom) {
			if !isAtext(atom[i]) {
				return false
			}
		}
	}
	return isText(s)
}

// isAtext reports whether c is of an atom; bytes of UTF-8 are (RFC 6531 3.3).
func isAtext(c byte) bool {
	return isAlnum(c) || c >= utf8.RuneSelf || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// isText reports whether s is UTF-8 without control characters, and without blanks
// other than that of ASCII, which a quoted local part may have.
func isText(s string) bool {
	for _, r := range s {
		if unicode.IsControl(r) || r != ' ' && unicode.IsSpace(r) {
			return false
		}
	}
	return utf8.ValidString(s)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
