package mailroot

import (
	"slices"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/auth"
)

// A hash of each scheme.
const (
	hashArgon2id = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4" // password
	hashBcrypt   = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"                         // U*U
)

func TestHashesAreReadableWhereNobodyNeedsThePassword(t *testing.T) {
	r := rootWith(t, map[string]string{
		"domains.tab": "\"foo.test\"\n",
		"mailusers.tab": "foo.test\tann\t" + hashArgon2id + "\t1\tann\tU\n" + "foo.test\tbob\t" + hashBcrypt + "\t2\tbob\tU\n" +
			"foo.test\ttoomuch\t" + strings.Replace(hashArgon2id, "m=256", "m=10485760", 1) + "\t3\tx\tU\n",
		"smtpauth.tab":     "one\t" + hashBcrypt + "\tMR\ntwo\t$2a$broken\tMR\nthree\t$ecret\tMR\n",
		"ctrlaccounts.tab": "admin\t" + hashBcrypt + "\n",
		"pop3links.tab":    "foo.test\tann\thost\tremote\t" + hashBcrypt + "\tCLR\n",
	})
	for name, clear := range map[string]string{"ann": "password", "bob": "U*U"} {
		if u, ok := r.User("foo.test", name); !ok || !u.Password().Verify(clear) {
			t.Errorf("the password of %s is not read: %v", name, ok)
		}
	}
	var problems []string
	for _, p := range r.Problems() {
		problems = append(problems, p.File+":"+p.Msg[:min(len(p.Msg), 30)])
		if strings.Contains(p.Msg, "CCCC") || strings.Contains(p.Msg, "c29t") {
			t.Errorf("a message has the hash: %s", p.Msg)
		}
	}
	slices.Sort(problems)
	if len(problems) != 4 || !strings.HasPrefix(problems[0], "ctrlaccounts.tab") || !strings.HasPrefix(problems[1], "mailusers.tab") ||
		!strings.HasPrefix(problems[2], "pop3links.tab") || !strings.HasPrefix(problems[3], "smtpauth.tab") {
		t.Errorf("unreadable rows %q, want one in each of ctrlaccounts, mailusers, pop3links, smtpauth", problems)
	}
	var logins []string
	for l := range r.SMTPLogins() {
		clear, _ := l.Password().Clear()
		logins = append(logins, l.Name+"="+clear)
	}
	if want := []string{"one=", "three=$ecret"}; !slices.Equal(logins, want) {
		t.Errorf("smtpauth.tab has %q, want %q", logins, want)
	}
}

func TestPasswordSchemeOfTheDomainWins(t *testing.T) {
	r := rootWith(t, map[string]string{
		"domains.tab":                  "\"foo.test\"\n\"old.test\"\n\"odd.test\"\n",
		"server.tab":                   "CompatLevel\t1\n",
		"domains/old.test/userdef.tab": "PasswordScheme\treversible\n",
		"domains/odd.test/userdef.tab": "PasswordScheme\tmd5\n",
		"domains/foo.test/userdef.tab": "MaxMBSize\t100\n",
	})
	for domain, want := range map[string]string{
		"foo.test": auth.Argon2id, "old.test": auth.Reversible, "OLD.test": auth.Reversible, "odd.test": auth.Argon2id,
		"../old.test": auth.Argon2id, "": auth.Argon2id,
	} {
		if got := r.PasswordScheme(domain); got != want {
			t.Errorf("the scheme of %q is %s, want %s", domain, got, want)
		}
	}
	if got := rootWith(t, nil).PasswordScheme("foo.test"); got != auth.Reversible {
		t.Errorf("the scheme at CompatLevel 0 is %s", got)
	}
	r = rootWith(t, map[string]string{"userdef.tab": "PasswordScheme\tbcrypt\n"})
	if got := r.PasswordScheme("foo.test"); got != auth.Bcrypt {
		t.Errorf("the scheme of the server's userdef.tab is %s, want bcrypt", got)
	}
}

func TestWhichPasswordsThereAre(t *testing.T) {
	pw := auth.Scramble("pw")
	for _, c := range []struct {
		name, users, logins string
		reversible, clear   bool
		hashed              string
	}{
		{name: "nothing"},
		{name: "an old account", users: "foo.test\tann\t" + pw + "\t1\tann\tU\n", reversible: true},
		{name: "a list", users: "foo.test\tlist\t" + pw + "\t1\tlist\tM\n"},
		{name: "an empty password", users: "foo.test\tann\t\"\"\t1\tann\tU\n"},
		{name: "a hash", users: "foo.test\tann\t" + hashBcrypt + "\t1\tann\tU\n", hashed: auth.Bcrypt},
		{name: "a clear login", logins: "one\tpw\tM\n", clear: true},
		{name: "a hashed login", logins: "one\t" + hashArgon2id + "\tM\n", hashed: auth.Argon2id},
	} {
		r := rootWith(t, map[string]string{"domains.tab": "foo.test\n", "mailusers.tab": c.users, "smtpauth.tab": c.logins})
		if r.HasReversible() != c.reversible || r.HasClear() != c.clear || r.Hashed() != c.hashed {
			t.Errorf("%s: reversible %v, clear %v, hashed %q; want %v, %v, %q", c.name,
				r.HasReversible(), r.HasClear(), r.Hashed(), c.reversible, c.clear, c.hashed)
		}
	}
}

func TestLoginHookIsThatOfTheTypedDomainThenOfTheRealOne(t *testing.T) {
	r := rootWith(t, map[string]string{
		"domains.tab":                "\"foo.test\"\n\"bar.test\"\n",
		"aliasdomain.tab":            "alias.test\tfoo.test\nown.test\tfoo.test\nb.test\tbar.test\n",
		"userauth/pop3/foo.test.tab": "userauth\t/foo\n",
		"userauth/pop3/own.test.tab": "userauth\t/own\n",
		"userauth/pop3/bar.test.tab": "userdel\t/del\n",
		"userauth/pop3/.tab":         "userauth\t/all\targ\n",
		"userauth/smtp.tab":          "userauth\t/outside\n",
	})
	for domain, want := range map[string]string{
		"foo.test": "/foo", "FOO.test": "/foo", "alias.test": "/foo", "own.test": "/own", "bar.test": "", "b.test": "",
		"none.test": "/all", "": "/all", "../smtp": "/all", "..": "/all", "foo.test/../foo.test": "/all", "/etc/passwd": "/all", "a\x00b": "/all",
		strings.Repeat("x", 255): "/all", strings.Repeat("x", 252): "/all", strings.Repeat("x", 251): "/all", // too long with .tab
	} {
		words, err := r.LoginHook(domain)
		got := ""
		if len(words) > 0 {
			got = words[0]
		}
		if err != nil || got != want {
			t.Errorf("the program of %q is %q, %v; want %q", domain, got, err, want)
		}
	}
}
