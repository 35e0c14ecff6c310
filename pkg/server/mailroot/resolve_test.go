package mailroot

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/auth"
)

// rootWith opens a MailRoot that has these tables. Fields are separated by
// blanks in the texts.
func rootWith(t *testing.T, tables map[string]string) *Root {
	t.Helper()
	dir := t.TempDir()
	for name, text := range tables {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, " ", "\t")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return r
}

func userRows(names ...string) string {
	text := ""
	for i, n := range names {
		name, domain, _ := strings.Cut(n, "@")
		text += domain + " " + name + " " + auth.Scramble("pw") + " " + string(rune('1'+i)) + " " + name + " U\n"
	}
	return text
}

func TestHandledDomains(t *testing.T) {
	r := rootWith(t, map[string]string{
		DomainsTab: "# homer.net\nhomer.net\nmail.homer.net\nlost.test\n",
		AliasDomainTab: `*.homer.net homer.net
#x.test homer.net
homer.alias homer.net
l?st.test nowhere.test
*.test homer.net
a.test mail.homer.net
[ab].org homer.net
`,
	})
	for domain, want := range map[string]string{
		"homer.net":      "homer.net",
		"HOMER.NET":      "HOMER.NET",
		"mail.homer.net": "mail.homer.net",
		"a.b.homer.net":  "homer.net",
		"A.B.Homer.Net":  "homer.net",
		"homer.alias":    "homer.net",
		"lost.test":      "lost.test",    // real, although a pattern leads elsewhere
		"list.test":      "nowhere.test", // the first pattern in the file, not the longest
		"a.test":         "mail.homer.net",
		"b.test":         "homer.net",
		"a.org":          "homer.net",
		"xhomer.net":     "",
		"c.org":          "",
	} {
		got, handled := r.RealDomain(domain), r.Handled(domain)
		if want == "" {
			if handled || got != domain {
				t.Errorf("%s: real domain %s, handled %v, want neither", domain, got, handled)
			}
			continue
		}
		if got != want || handled != (want != "nowhere.test") {
			t.Errorf("%s: real domain %s, handled %v, want %s", domain, got, handled, want)
		}
	}
}

func TestResolveAccounts(t *testing.T) {
	r := rootWith(t, map[string]string{
		DomainsTab:     "d.org\ne.org\n",
		AliasDomainTab: "*.d.org d.org\n",
		UsersTab:       userRows("x@d.org", "y@d.org", "z@d.org", "w@d.org", "Info2@d.org", "x@e.org", "own@sub.d.org"),
		AliasesTab: `* info x
d.org inf* y
d.org i* z
d.org exact w
d.org far x@e.org
d.org loop exact
d.org gone nobody
* everywhere x@d.org
e.org p?p x
e.org ?ip x@d.org
`,
	})
	for address, want := range map[string]string{
		"x@d.org":           "x@d.org",
		"X@D.ORG":           "x@d.org",
		"info@d.org":        "y@d.org", // 5+4 beats 1+4 and 5+2
		"ink@d.org":         "z@d.org",
		"info2@d.org":       "Info2@d.org", // a user beats every alias
		"EXACT@d.org":       "w@d.org",
		"far@d.org":         "x@e.org",
		"loop@d.org":        "", // one step only
		"gone@d.org":        "",
		"nobody@d.org":      "",
		"everywhere@d.org":  "x@d.org",
		"everywhere@z.test": "x@d.org", // the domain need not be handled
		"pip@e.org":         "x@e.org", // of equally long patterns the earliest
		"x@sub.d.org":       "x@d.org", // an alias domain
		"own@sub.d.org":     "own@sub.d.org",
		"exact@sub.d.org":   "w@d.org",
	} {
		name, domain, _ := strings.Cut(address, "@")
		u, ok := r.Resolve(domain, name)
		got := ""
		if ok {
			got = u.Name + "@" + u.Domain
		}
		if got != want {
			t.Errorf("%s is %q, want %q", address, got, want)
		}
	}
	if _, ok := r.Login("d.org", "exact"); ok {
		t.Error("an alias could log in")
	}
	if u, ok := r.Login("sub.d.org", "X"); !ok || u.Domain != "d.org" {
		t.Errorf("login in an alias domain: %v, %v, want x@d.org", u, ok)
	}
}

func TestUnreadableRowsAreNoUsers(t *testing.T) {
	r := rootWith(t, map[string]string{
		UsersTab: "d.org good 1512 1 good U\n#d.org off 1512 2 off U\nd.org odd 151 3 odd U\nd.org text hello! 4 text U\n" +
			"d.org short 1512 5\nd.org number 1512 x number U\n\n",
		AccountsTab: "plain secret\nempty \"\"\n#dis 1512\ngood 1512\n",
	})
	var names []string
	for u := range r.Users() {
		names = append(names, u.Name)
	}
	if want := []string{"good"}; !slices.Equal(names, want) {
		t.Errorf("users %q, want %q", names, want)
	}
	for _, name := range []string{"plain", "empty", "#dis", `#"dis"`} {
		if a, ok := r.Account(name); ok {
			t.Errorf("%s is an administrator: %v", name, a)
		}
	}
	if _, ok := r.Account("GOOD"); !ok {
		t.Error("the good administrator is missing")
	}
	var places []string
	for _, p := range r.Problems() {
		text := p.Error()
		if strings.Contains(text, "hello") || strings.Contains(text, "secret") {
			t.Errorf("a problem repeats what may be a password: %s", text)
		}
		places = append(places, strings.SplitN(text, ": ", 2)[0])
	}
	want := []string{"ctrlaccounts.tab:1", "ctrlaccounts.tab:2", "mailusers.tab:3", "mailusers.tab:4", "mailusers.tab:5", "mailusers.tab:6"}
	if !slices.Equal(places, want) {
		t.Errorf("problems at %q, want %q", places, want)
	}
}

func TestFolders(t *testing.T) {
	for _, u := range []User{
		{Domain: "Foo.Test", Dir: "Bob"},
		{Domain: "foo.test", Dir: "a/b"},
	} {
		if path, err := u.Path(); err != nil || path != "domains/foo.test/"+u.Dir {
			t.Errorf("%q of %q has the path %q, %v", u.Dir, u.Domain, path, err)
		}
	}
	for _, u := range []User{
		{Domain: "foo.test", Dir: ""},
		{Domain: "foo.test", Dir: "."},
		{Domain: "foo.test", Dir: ".."},
		{Domain: "foo.test", Dir: "../bar.test/x"},
		{Domain: "foo.test", Dir: "/etc"},
		{Domain: "foo.test", Dir: `a\..\..`},
		{Domain: "..", Dir: "x"},
		{Domain: "", Dir: "x"},
		{Domain: "a/b", Dir: "x"},
	} {
		if path, err := u.Path(); err == nil {
			t.Errorf("%q of %q has the path %q, want an error", u.Dir, u.Domain, path)
		}
	}
}

func TestServerVariables(t *testing.T) {
	r := rootWith(t, map[string]string{ServerTab: "Num 12x\nFirst 1\nFirst 2\nOff 0\nWord yes\nEmpty \"\"\nNeg -3\nHuge 99999999999999\n"})
	v := r.Vars()
	for name, want := range map[string]int{"Num": 12, "First": 1, "Word": 0, "Empty": 7, "None": 7, "Neg": -3, "Huge": 1<<31 - 1} {
		if got := v.Int(name, 7); got != want {
			t.Errorf("Int(%s) = %d, want %d", name, got, want)
		}
	}
	for name, want := range map[string]bool{"Num": true, "Off": false, "Word": false, "Empty": false, "None": true, "none": true} {
		if got := v.Flag(name, true); got != want {
			t.Errorf("Flag(%s) = %v, want %v", name, got, want)
		}
	}
	if got := v.CompatLevel(); got != 0 {
		t.Errorf("CompatLevel %d, want 0", got)
	}
}

func TestHookTables(t *testing.T) {
	r := rootWith(t, map[string]string{
		"userauth/pop3/.tab":          "useradd all $(USER)\nuserdel all\n",
		"userauth/pop3/d.org.tab":     "UserAdd first a b\nuseradd second\n",
		"userauth/pop3/Typed.org.tab": "useradd typed\n",
	})
	for _, c := range []struct {
		domain, action string
		want           []string
	}{
		{"d.org", "useradd", []string{"first", "a", "b"}},
		{"D.ORG", "useradd", []string{"first", "a", "b"}},
		{"d.org", "userdel", nil},
		{"other.org", "useradd", []string{"all", "$(USER)"}},
		{"other.org", "useredit", nil},
		{"Typed.org", "useradd", []string{"typed"}},
		{"../pop3/d.org", "useradd", []string{"all", "$(USER)"}},
	} {
		got, err := r.Hook(c.domain, c.action)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("hook %s of %s: %q, %v, want %q", c.action, c.domain, got, err, c.want)
		}
	}
}

func TestEmptyMailRootHasNoRows(t *testing.T) {
	r := rootWith(t, nil)
	for name := range Schemas() {
		if r.Exists(name) {
			t.Errorf("%s exists", name)
		}
	}
	if r.Handled("x") || r.Vars().CompatLevel() != 0 {
		t.Error("an empty MailRoot handles domains or has a level")
	}
	if id, err := r.NextID(); id != 1 || err != nil {
		t.Errorf("first account number %d, %v, want 1", id, err)
	}
}
