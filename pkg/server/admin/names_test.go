package admin

import (
	"errors"
	"strings"
	"testing"
)

// kindOf returns the kind of an error of this package; kinds where it is none,
// and -1 where there is no error.
func kindOf(err error) Kind {
	var e *Error
	switch {
	case err == nil:
		return -1
	case errors.As(err, &e):
		return e.Kind
	}
	return kinds
}

const fine Kind = -1

func TestUserNames(t *testing.T) {
	for name, want := range map[string]Kind{
		"bob":                    fine,
		"Bob.x-y_z":              fine,
		"carol+tag":              fine,
		"-x":                     fine,
		"#x":                     fine,
		"jürgen":                 fine,
		"山田":                     fine,
		strings.Repeat("x", 64):  fine,
		strings.Repeat("x", 65):  BadName,
		"":                       BadName,
		".":                      BadName,
		"..":                     BadName,
		".x":                     BadName,
		"x.":                     BadName,
		"x..y":                   BadName,
		"a b":                    BadName,
		"a/b":                    BadName,
		`a\b`:                    BadName,
		"a*":                     BadName,
		"a?":                     BadName,
		"a[b]":                   BadName,
		"a@b":                    BadName,
		"a\"b":                   BadName,
		"a\x01":                  BadName,
		"a\x7f":                  BadName,
		"a\u0085b":               BadName,
		"a\u00a0b":               BadName,
		"a\u3000b":               BadName,
		"\x8f\x5c":               BadName,
		"caf\xe9":                BadName,
		"mailproc.tab":           BadName,
		"UserDef.tab":            BadName,
		"a\u2028b":               BadName,
		strings.Repeat("ü", 100): BadName,
	} {
		if got := kindOf(checkUserName(name)); got != want {
			t.Errorf("user name %q: kind %d, want %d", name, got, want)
		}
	}
}

func TestDomainNames(t *testing.T) {
	long := strings.Repeat("x", 63)
	for name, want := range map[string]Kind{
		"foo.test": fine, "nodot": fine, "bad_domain": fine, "_x._y": fine, "xn--bcher-kva.test": fine,
		"bücher.test": fine, "1.2.3": fine, long + ".test": fine, "a-b.c": fine,
		long + "x.test": BadDomain, strings.Repeat("a.", 126) + "ab": BadDomain,
		"": BadDomain, ".": BadDomain, "..": BadDomain, "a..b": BadDomain, ".a": BadDomain, "a.": BadDomain,
		"-lead.test": BadDomain, "trail-.test": BadDomain, "a b.test": BadDomain, "a/b.test": BadDomain,
		"../x": BadDomain, "*.x": BadDomain, "a?b": BadDomain, "[1.2.3.4]": BadDomain, "a\tb": BadDomain,
		"a\x00b": BadDomain, "a+b.test": BadDomain, "caf\xe9.test": BadDomain, "a\u00a0b.test": BadDomain, `a\b`: BadDomain,
	} {
		if got := kindOf(checkDomainName(name)); got != want {
			t.Errorf("domain %q: kind %d, want %d", name, got, want)
		}
	}
}

func TestAliasNamesAndDomainPatterns(t *testing.T) {
	for name, want := range map[string]Kind{
		"al": fine, "support*": fine, "??trips": fine, "[a-c]x": fine, "[^a]*": fine, `a\*b`: fine, "*": fine, "a.b": fine, "ä*": fine,
		"bad alias": BadName, "a/b": BadName, "a@b": BadName, "": BadName, "..": BadName, "a\x02": BadName, strings.Repeat("x", 65): BadName,
	} {
		if got := kindOf(checkAliasName(name)); got != want {
			t.Errorf("alias %q: kind %d, want %d", name, got, want)
		}
	}
	for name, want := range map[string]Kind{
		"*": fine, "*.foo.test": fine, "bar.*": fine, "foo.alias": fine, "[a-z].test": fine, "[^x].test": fine,
		"a b": BadDomain, "../x": BadDomain, "a/b": BadDomain, "-x.test": BadDomain, ".x": BadDomain, "": BadDomain, "a^b": BadDomain,
	} {
		if got := kindOf(checkDomainPattern(name)); got != want {
			t.Errorf("domain pattern %q: kind %d, want %d", name, got, want)
		}
	}
}

// TestAddressesAreRefusedAsByTheReference has the kinds that its codes 33, 40,
// 132 and 260 are.
func TestAddressesAreRefusedAsByTheReference(t *testing.T) {
	for address, want := range map[string]Kind{
		"a@b.test": fine, "a+b@b": fine, "*@*": fine, "a?@x.*": fine, "a@[1.2.3.4]": fine, "a@[::1]": fine, "ä@ö.test": fine,
		"noat": BadAddress, "": BadAddress, "@b.test": BadAddress, "a@": BadAddress, "a b@c": BadAddress,
		"a@b.": BadAddress, "a@.b": BadAddress, "a@b..c": BadAddress, "a..b@c": BadAddress, "a@[1.2.3.4": BadAddress,
		"a@b c": BadDomain, "a@b@c": BadDomain, "a@b\"": BadDomain,
		"a@[nohost]": BadAddressLiteral, "a@[1.2.3.4]x": BadAddress,
		"@x,@y:user@host": BadMailAddress, "@x:user@host": BadMailAddress, "@x:user": BadAddress,
		strings.Repeat("x", 256) + "@b": BadAddress,
	} {
		if _, _, err := parseAddress(address); kindOf(err) != want {
			t.Errorf("address %q: %v (kind %d), want kind %d", address, err, kindOf(err), want)
		}
	}
}

func TestErrorsQuoteWhatWouldDisturbATerminal(t *testing.T) {
	for name, want := range map[string]string{
		"plain.test": "plain.test", "": `""`, "a b": `"a b"`, "\x1b[2J": `"\x1b[2J"`, "caf\xe9": `"caf\xe9"`,
	} {
		if got := quote(name); got != want {
			t.Errorf("quote(%q) = %s, want %s", name, got, want)
		}
	}
	if got := quote(strings.Repeat("x", 5000)); len(got) > 300 {
		t.Errorf("a name of 5000 bytes fills %d bytes of a message", len(got))
	}
}
