package admin

import (
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// Limits of names, in bytes (docs/design.md, Control protocol; RFC 5321 4.5.3.1).
const (
	maxName    = 64
	maxLabel   = 63
	maxDomain  = 253
	maxSecret  = 255  // the reference's buffer for a password
	maxAddress = 255  // and for a part of an address
	maxLine    = 2000 // and for a row of user.tab, less what surrounds the value
)

// isAtom reports whether c may stand in an atom as the reference understands it
// (docs/reference/control-protocol.md 3.0). Bytes above 127 may, unlike there.
func isAtom(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80 ||
		strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// cutDotAtom returns what follows the dot-atom at the beginning of s. It is
// false where there is none, or one that ends in a dot or has two in a row.
func cutDotAtom(s string) (rest string, ok bool) {
	for {
		n := 0
		for n < len(s) && isAtom(s[n]) {
			n++
		}
		if n == 0 {
			return "", false
		}
		if s = s[n:]; s == "" || s[0] != '.' {
			return s, true
		}
		s = s[1:]
	}
}

func isDotAtom(s string) bool {
	rest, ok := cutDotAtom(s)
	return ok && rest == ""
}

// checkHostSyntax refuses what the reference refuses as a host, with its kinds.
func checkHostSyntax(host string) error {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		if !ok {
			return refuse(BadAddress, "host %q has no closing bracket", host)
		}
		if _, err := netip.ParseAddr(inner); err != nil {
			return refuse(BadAddressLiteral, "host %q is not an address in brackets", host)
		}
		return nil
	}
	rest, ok := cutDotAtom(host)
	switch {
	case !ok || len(host) > maxAddress:
		return refuse(BadAddress, "%q is not a host name", host)
	case rest != "":
		return refuse(BadDomain, "%q is not a host name: bad character at %q", host, rest)
	}
	return nil
}

// parseAddress splits a mail address and refuses what the reference refuses.
func parseAddress(address string) (user, host string, err error) {
	if route, rest, ok := strings.Cut(address, ":"); ok && strings.HasPrefix(route, "@") {
		if _, _, err := parseAddress(rest); err == nil {
			return "", "", refuse(BadMailAddress, "%q has a source route", address)
		}
	}
	user, host, ok := strings.Cut(address, "@")
	if !ok || !isDotAtom(user) || len(user) > maxAddress {
		return "", "", refuse(BadAddress, "%q is not a mail address", address)
	}
	return user, host, checkHostSyntax(host)
}

// checkAddressParts refuses a mail address that the reference takes and that
// nobody can have: wildcards, overlong names.
func checkAddressParts(user, host string) error {
	if strings.ContainsAny(user, "*?") || len(user) > maxName || !isPlainText(user) {
		return refuse(BadName, "%q is not the name in a mail address", user)
	}
	if strings.HasPrefix(host, "[") {
		return nil
	}
	return checkDomainName(host)
}

// checkUserSyntax refuses what the reference refuses as the name of a user.
func checkUserSyntax(name string) error {
	if !isDotAtom(name) {
		return refuse(BadName, "%q is not a valid user name", name)
	}
	return nil
}

// checkUserName refuses what the reference takes and what does harm: a name is a
// folder, and no pattern.
func checkUserName(name string) error {
	switch {
	case !isDotAtom(name):
		return refuse(BadName, "%q is not a valid user name", name)
	case len(name) > maxName:
		return refuse(BadName, "a user name has at most %d bytes, this has %d", maxName, len(name))
	case strings.ContainsAny(name, "/*?"):
		return refuse(BadName, "user name %q has one of the characters / * ?", name)
	case slices.Contains(reserved, tabfile.Fold(name)):
		return refuse(BadName, "user name %q is that of a table beside the accounts", name)
	case !isPlainText(name):
		return refuse(BadName, "user name %q is not UTF-8, or has a blank or control character", name)
	}
	return nil
}

// reserved are the files that stand beside the folders of accounts.
var reserved = []string{mailroot.MailProcTab, mailroot.UserDefTab}

// checkAliasName allows what a user's name may have, and the signs of patterns.
func checkAliasName(name string) error {
	plain := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`*?[]\`, r) {
			return 'x'
		}
		return r
	}, name)
	if !isDotAtom(plain) || len(name) > maxName || strings.Contains(plain, "/") || !isPlainText(name) {
		return refuse(BadName, "%q is not a valid alias", name)
	}
	return nil
}

// checkDomainName allows labels of letters, digits, "_", inner "-" and UTF-8.
func checkDomainName(name string) error {
	if len(name) > maxDomain {
		return refuse(BadDomain, "a domain name has at most %d bytes, this has %d", maxDomain, len(name))
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' || !isLabel(label) {
			return refuse(BadDomain, "%q is not a valid domain name", name)
		}
	}
	if !isPlainText(name) {
		return refuse(BadDomain, "%q is not a valid domain name: not UTF-8, or a blank or control character", name)
	}
	return nil
}

const labelChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

func isLabel(label string) bool {
	for i := range len(label) {
		if c := label[i]; c < 0x80 && strings.IndexByte(labelChars, c) < 0 {
			return false
		}
	}
	return true
}

// checkDomainPattern allows the signs of patterns in a domain name besides.
func checkDomainPattern(name string) error {
	plain := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`*?[]\^-`, r) {
			return 'x'
		}
		return r
	}, name)
	if checkDomainName(plain) != nil || !strings.ContainsAny(name, `*?[`) && checkDomainName(name) != nil {
		return refuse(BadDomain, "%q is not a valid domain name or pattern", name)
	}
	return nil
}

// isPlainText reports whether s is UTF-8 without blanks and control characters.
func isPlainText(s string) bool {
	for _, r := range s {
		if unicode.IsControl(r) || unicode.IsSpace(r) {
			return false
		}
	}
	return utf8.ValidString(s)
}

// checkValues refuses control characters. Other bytes are the administrator's
// business, whatever their encoding. what names the value in the error, which
// does not repeat it.
func checkValues(what string, values ...string) error {
	for _, v := range values {
		for i := range len(v) {
			if v[i] < ' ' || v[i] == 0x7f {
				return refuse(Invalid, "%s has a control character (byte %#02x)", what, v[i])
			}
		}
	}
	return nil
}

// checkSecret refuses a password that no table can hold.
func checkSecret(clear string) error {
	if len(clear) > maxSecret {
		return refuse(Invalid, "a password has at most %d bytes", maxSecret)
	}
	return checkValues("the password", clear)
}
