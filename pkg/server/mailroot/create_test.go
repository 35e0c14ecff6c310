package mailroot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/auth"
)

func freshSpec() NewRoot {
	return NewRoot{
		Domains: []string{"Example.test", "example.org"}, Account: "user", AccountPassword: "one two",
		Admin: "admin", AdminPassword: `s"cret\`, Cert: []byte("cert"), Key: []byte("key"),
	}
}

func TestFreshMailRootIsCompleteAndSafe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "srv", "MailRoot")
	if err := Create(dir, freshSpec()); err != nil {
		t.Fatal(err)
	}
	r, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if p := r.Problems(); len(p) > 0 {
		t.Errorf("problems in a fresh MailRoot: %v", p)
	}
	for name := range Schemas() {
		if !r.Exists(name) && name != RightsTab { // tables of ours come with their first row
			t.Errorf("%s is missing", name)
		}
	}
	if got := r.Vars().CompatLevel(); got != 1 {
		t.Errorf("CompatLevel %d, want 1", got)
	}
	if a, ok := r.Account("ADMIN"); !ok || !a.Password().Verify(`s"cret\`) {
		t.Errorf("administrator %v, %v, want the password given", a, ok)
	}
	if u, ok := r.User("example.test", "user"); !ok || !u.Password().Verify("one two") || u.IsList() {
		t.Errorf("first account %v, %v, want a user with the password given", u, ok)
	}
	for _, domain := range []string{"example.test", "example.org"} {
		if !r.IsDomain(domain) {
			t.Errorf("%s is not a domain", domain)
		}
	}
	// A domain that comes later has the aliases as well.
	for _, domain := range []string{"example.test", "example.org", "later.example"} {
		for _, role := range []string{"root", "postmaster", "abuse"} {
			u, ok := r.Resolve(domain, role)
			if !ok || u.Domain != "example.test" || u.Name != "user" {
				t.Errorf("%s@%s is %v, %v, want the first account", role, domain, u, ok)
			}
		}
	}
	err = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("mode of %s is %o, want %o", name, got, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRelayingIsForTheLoopback(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "MailRoot")
	if err := Create(dir, freshSpec()); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, "smtprelay.tab"))
	if err != nil {
		t.Fatal(err)
	}
	var active []string
	for line := range strings.Lines(string(content)) {
		if !strings.HasPrefix(line, "#") {
			active = append(active, strings.TrimSpace(line))
		}
	}
	if got, want := strings.Join(active, "|"), "\"127.0.0.0\"\t\"255.0.0.0\"|\"::1/128\""; got != want {
		t.Errorf("rows in force %q, want the loopback alone: %q", got, want)
	}
	for _, network := range []string{"10.0.0.0", "172.16.0.0", "192.168.0.0"} {
		if !strings.Contains(string(content), `#"`+network+`"`) {
			t.Errorf("no comment with %s", network)
		}
	}
}

func TestEmptyFolderBecomesAMailRoot(t *testing.T) {
	dir := t.TempDir()
	if err := Create(dir, freshSpec()); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s is left over", e.Name())
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "domains", "example.test", "user", "Maildir", "new")); err != nil {
		t.Error(err)
	}
}

func TestWhatIsThereIsNeverTouched(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "server.tab")
	if err := os.WriteFile(name, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Create(dir, freshSpec()); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("over a MailRoot: %v, want ErrNotEmpty", err)
	}
	if err := Create(name, freshSpec()); err == nil {
		t.Error("over a file: no error")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(name); err != nil || string(content) != "mine" || len(entries) != 1 {
		t.Errorf("the folder has %v and server.tab %q, %v, want both untouched", entries, content, err)
	}
}

func TestBadNamesMakeNothing(t *testing.T) {
	for what, change := range map[string]func(*NewRoot){
		"no domain":              func(s *NewRoot) { s.Domains = nil },
		"a path for a domain":    func(s *NewRoot) { s.Domains = []string{"../x"} },
		"a pattern for a domain": func(s *NewRoot) { s.Domains = []string{"*.x"} },
		"a tab in a domain":      func(s *NewRoot) { s.Domains = []string{"a\tb"} },
		"no account":             func(s *NewRoot) { s.Account = "" },
		"a path for an account":  func(s *NewRoot) { s.Account = "a/b" },
		"an address":             func(s *NewRoot) { s.Account = "a@example.test" },
		"no administrator":       func(s *NewRoot) { s.Admin = "" },
		"a line for a name":      func(s *NewRoot) { s.Admin = "a\nb" },
		"no password":            func(s *NewRoot) { s.AdminPassword = "" },
		"no account's password":  func(s *NewRoot) { s.AccountPassword = "" },
	} {
		parent := t.TempDir()
		spec := freshSpec()
		change(&spec)
		if err := Create(filepath.Join(parent, "MailRoot"), spec); err == nil {
			t.Errorf("%s: no error", what)
		}
		if entries, err := os.ReadDir(parent); err != nil || len(entries) > 0 {
			t.Errorf("%s: made %v, %v, want nothing", what, entries, err)
		}
	}
}

func TestPlainMailboxAndAccountNamedLikeARole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "MailRoot")
	spec := freshSpec()
	spec.Plain, spec.Account = true, "postmaster"
	if err := Create(dir, spec); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "domains", "example.test", "postmaster", "mailbox")); err != nil {
		t.Error(err)
	}
	r, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.HasAlias("example.test", "postmaster") {
		t.Error("the account has an alias of its own name")
	}
	if u, ok := r.User("example.test", "postmaster"); !ok || auth.Scheme(u.Stored) != auth.Argon2id || !u.Password().Verify("one two") {
		t.Errorf("first account %v, %v; want a hash of its password", u, ok)
	}
}
