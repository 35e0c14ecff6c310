package login

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// implemented are the mechanisms of SMTP AUTH in the order in which they are announced.
var implemented = []string{sasl.Login, sasl.Plain, auth.CRAMMD5}

// Mechanisms returns the mechanisms of SMTP AUTH that a client may use and EHLO may
// announce: those of smtpextauth.tab where it has any, else LOGIN, PLAIN, and CRAM-MD5
// where it is of use to somebody. Without TLS only those of SmtpNoTLSAuths count, where
// there is such a variable, and none that sends a password where [Checker.ClearTextAllowed]
// says no.
func (c *Checker) Mechanisms(remote netip.Addr, tls bool) []string {
	var list []string
	for a := range c.root.ExternalAuths() {
		if m := strings.ToUpper(a.Mechanism); slices.Contains(implemented, m) && !slices.Contains(list, m) {
			list = append(list, m)
		}
	}
	if list == nil && !c.hasExternalAuths() {
		list = slices.Clone(implemented)
		if !c.root.HasReversible() && !c.root.HasClear() {
			list = slices.DeleteFunc(list, isDigest)
		}
	}
	if tls {
		return list
	}
	if named, ok := c.root.Vars().Lookup("SmtpNoTLSAuths"); ok {
		words := strings.FieldsFunc(named, func(r rune) bool { return r == ',' || r == ' ' })
		list = slices.DeleteFunc(list, func(m string) bool {
			return !slices.ContainsFunc(words, func(w string) bool { return tabfile.EqualFold(w, m) })
		})
	}
	if !c.ClearTextAllowed(remote, tls) {
		list = slices.DeleteFunc(list, func(m string) bool { return !isDigest(m) })
	}
	return list
}

func isDigest(mechanism string) bool { return mechanism == auth.CRAMMD5 }

func (c *Checker) hasExternalAuths() bool {
	for range c.root.ExternalAuths() {
		return true
	}
	return false
}

// ClearTextAllowed reports whether a client may send a password as it is: inside TLS,
// on the loopback, and elsewhere where LOGIN-RequireTLS does not forbid it.
func (c *Checker) ClearTextAllowed(remote netip.Addr, tls bool) bool {
	return tls || remote.Unmap().IsLoopback() || !c.root.Vars().On("LOGIN-RequireTLS")
}

// Digests reports whether APOP is of use to somebody: the password of some account can
// be known.
func (c *Checker) Digests() bool { return c.root.HasReversible() }
