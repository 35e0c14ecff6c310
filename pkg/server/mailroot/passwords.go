package mailroot

import (
	"slices"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// VarPasswordScheme says how new passwords are stored: "reversible", "argon2id" or
// "bcrypt". It stands in server.tab, and in the userdef.tab of a domain, where it wins.
const VarPasswordScheme = "PasswordScheme"

// PasswordScheme returns the scheme by which new passwords of a domain's accounts are
// stored.
func (t Tables) PasswordScheme(domain string) string {
	if defaults, err := t.UserDefaults(domain); err == nil {
		v, _ := LookupServerVar(VarPasswordScheme)
		if scheme, ok := defaults.Lookup(VarPasswordScheme); ok && slices.Contains(v.Words, scheme) {
			return scheme
		}
	}
	return t.Vars().Word(VarPasswordScheme)
}

// schemeCount counts passwords that somebody can log in by. scheme returns ""
// for others.
func schemeCount(scheme func(fields []string) string) tabfile.Index {
	return tabfile.Index{Name: "scheme", Key: func(f []string) (string, bool) {
		s := scheme(f)
		return s, s != ""
	}}
}

// HasReversible reports whether the password of some account that can log in can be
// known, so that APOP and CRAM-MD5 are of use.
func (t Tables) HasReversible() bool { return t.has(UsersTab, auth.Reversible) }

// HasClear reports whether smtpauth.tab has a password in clear.
func (t Tables) HasClear() bool { return t.has(SMTPAuthTab, auth.ClearText) }

// Hashed returns a scheme by which some account or some row of smtpauth.tab has its
// password hashed, and "" where there is none.
func (t Tables) Hashed() string {
	for _, scheme := range []string{auth.Argon2id, auth.Bcrypt} {
		if t.has(UsersTab, scheme) || t.has(SMTPAuthTab, scheme) {
			return scheme
		}
	}
	return ""
}

func (t Tables) has(table, scheme string) bool {
	return t.table(table).Count("scheme", scheme) > 0
}
