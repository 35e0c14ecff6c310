package admin

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// A fixture is a service on a copy of the MailRoot of the recorded exchanges.
type fixture struct {
	*Service
	t   *testing.T
	dir string
	log *bytes.Buffer
}

// emptyDirs are the folders of the MailRoot that git does not keep.
func emptyDirs() []string {
	return []string{
		"cmdaliases/xmailserver.test", "custdomains", "msgsync", "pop3links", "userauth/pop3",
		"domains/xmailserver.test/xmailuser/Maildir/tmp", "domains/xmailserver.test/xmailuser/Maildir/new",
		"domains/xmailserver.test/xmailuser/Maildir/cur",
	}
}

// start opens a MailRoot with these files besides, in whose texts a blank
// separates fields.
func start(t *testing.T, files map[string]string) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir(), log: &bytes.Buffer{}}
	if err := os.CopyFS(f.dir, os.DirFS("../../../testdata/conformance/mailroot")); err != nil {
		t.Fatal(err)
	}
	for _, dir := range emptyDirs() {
		if err := os.MkdirAll(f.path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		f.put(name, strings.ReplaceAll(text, " ", "\t"))
	}
	f.open(Options{})
	return f
}

func (f *fixture) open(o Options) {
	f.t.Helper()
	log := slog.New(slog.NewTextHandler(f.log, nil))
	root, err := mailroot.Open(f.t.Context(), f.dir, mailroot.Options{Log: log})
	if err != nil {
		f.t.Fatal(err)
	}
	first := f.Service == nil
	f.Service = New(root, o)
	if first {
		f.t.Cleanup(f.stop)
	}
}

func (f *fixture) stop() {
	if err := f.Root().Close(); err != nil {
		f.t.Errorf("close: %v", err)
	}
}

func (f *fixture) path(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

func (f *fixture) put(name, text string) {
	f.t.Helper()
	if err := os.MkdirAll(filepath.Dir(f.path(name)), 0o700); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(f.path(name), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) read(name string) string {
	f.t.Helper()
	text, err := os.ReadFile(f.path(name))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
}

// ok fails the test when something that must work does not.
func (f *fixture) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatalf("unexpected refusal: %v", err)
	}
}

func (f *fixture) wantKind(err error, want Kind) {
	f.t.Helper()
	if got := kindOf(err); got != want {
		f.t.Errorf("refusal %v (kind %d), want kind %d", err, got, want)
	}
}

// tree returns every file with its content, and every folder.
func (f *fixture) tree() map[string]string {
	f.t.Helper()
	tree := make(map[string]string)
	err := filepath.WalkDir(f.dir, func(name string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(f.dir, name)
		rel = filepath.ToSlash(rel)
		switch {
		case err != nil:
			return err
		case rel == "journal" || rel == "tmp" || rel == ".xmaild.lock":
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.IsDir():
			tree[rel+"/"] = ""
		default:
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			tree[rel] = string(text)
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return tree
}

// names returns what exists below a folder.
func (f *fixture) names(dir string) []string {
	var names []string
	for name := range f.tree() {
		if rest, ok := strings.CutPrefix(name, dir+"/"); ok && rest != "" {
			names = append(names, rest)
		}
	}
	slices.Sort(names)
	return names
}

// unchanged runs f and fails when anything on disk is different after it.
func (f *fixture) unchanged(what string, run func()) {
	f.t.Helper()
	before := f.tree()
	run()
	if diff := cmp.Diff(before, f.tree()); diff != "" {
		f.t.Errorf("%s changed something (-before +after):\n%s", what, diff)
	}
}

func TestUserAddMakesAccountsOfBothTypes(t *testing.T) {
	f := start(t, map[string]string{"domains/foo.test/userdef.tab": "# own\nRealName \"own\"\nToo many fields\n"})
	f.ok(f.DomainAdd(t.Context(), "bar.test"))
	f.put("domains.tab", f.read("domains.tab")+"foo.test\n")
	if _, err := f.Root().Store.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.ok(f.UserAdd(t.Context(), "Bar.test", "Bob", "p w", "U"))
	f.ok(f.UserAdd(t.Context(), "foo.test", "news", "", "M"))
	want := `"xmailserver.test"	"xmailuser"	"1d08040c09"	1	"xmailuser"	"U"
"Bar.test"	"Bob"	"154512"	2	"Bob"	"U"
"foo.test"	"news"	""	3	"news"	"M"
`
	if got := f.read("mailusers.tab"); got != want {
		t.Errorf("mailusers.tab:\n%swant\n%s", got, want)
	}
	wantNames := []string{"Bob/", "Bob/Maildir/", "Bob/Maildir/cur/", "Bob/Maildir/new/", "Bob/Maildir/tmp/", "Bob/user.tab"}
	if got := f.names("domains/bar.test"); !slices.Equal(got, wantNames) {
		t.Errorf("folder of the account %q, want %q", got, wantNames)
	}
	if got, want := f.read("domains/foo.test/news/user.tab"), "\"RealName\"\t\"own\"\n"; got != want {
		t.Errorf("user.tab %q, want %q", got, want)
	}
	if got := f.read("domains/foo.test/news/mlusers.tab"); got != "" {
		t.Errorf("mlusers.tab %q, want it empty", got)
	}
}

func TestUserAddInMailboxMode(t *testing.T) {
	f := start(t, nil)
	f.stop()
	f.open(Options{Plain: true})
	f.ok(f.UserAdd(t.Context(), "xmailserver.test", "bob", "pw", "U"))
	if got, want := f.names("domains/xmailserver.test/bob"), []string{"mailbox/", "user.tab"}; !slices.Equal(got, want) {
		t.Errorf("folder of the account %q, want %q", got, want)
	}
	st, err := f.UserStat(t.Context(), "xmailserver.test", "bob")
	if err != nil || st.Messages != 0 {
		t.Errorf("state %v, %v", st, err)
	}
}

// TestUserAddRefusals has the order of the reference: what comes first in the
// list wins over what comes later.
func TestUserAddRefusals(t *testing.T) {
	f := start(t, map[string]string{
		"aliasdomain.tab": "al.test xmailserver.test\n",
		"aliases.tab":     "xmailserver.test root xmailuser\nxmailserver.test ca*rol xmailuser\nal.test only xmailuser\n",
	})
	f.put("domains/xmailserver.test/taken/x", "")
	for _, c := range []struct {
		domain, name, password, typ string
		want                        Kind
	}{
		{"none.test", "bad name", "\x01", "X", NoDomain},
		{"xmailserver.test", "bad name", "\x01", "X", BadName},
		{"xmailserver.test", "ROOT", "\x01", "X", AliasExists},
		{"xmailserver.test", "ca*rol", "pw", "U", AliasExists},
		{"al.test", "only", "pw", "U", AliasExists},
		{"xmailserver.test", "XMailUser", "\x01", "X", UserExists},
		{"al.test", "bob", "\x01", "X", NoDomain},
		{"xmailserver.test", "ca?rol", "\x01", "X", BadName},
		{"xmailserver.test", "a/b", "pw", "U", BadName},
		{"xmailserver.test", "taken", "pw", "X", Invalid},
		{"xmailserver.test", "bob", "pw", "m", Invalid},
		{"xmailserver.test", "bob", "pw", "", Invalid},
		{"xmailserver.test", "bob", "", "U", Invalid},
		{"xmailserver.test", "bob", "a\x1bb", "U", Invalid},
		{"xmailserver.test", "bob", strings.Repeat("x", 256), "U", Invalid},
		{"xmailserver.test", "taken", "pw", "U", CannotMakeDir},
	} {
		f.unchanged(c.name, func() {
			err := f.UserAdd(t.Context(), c.domain, c.name, c.password, c.typ)
			f.wantKind(err, c.want)
			if err != nil && c.password != "" && strings.Contains(err.Error(), c.password) {
				t.Errorf("the refusal repeats the password: %v", err)
			}
		})
	}
}

func TestDomainAddIsUndoneWhenAFolderCannotBeMade(t *testing.T) {
	f := start(t, map[string]string{"cmdaliases/there.test/x.tab": ""})
	f.unchanged("domainadd", func() {
		f.wantKind(f.DomainAdd(t.Context(), "there.test"), CannotMakeDir)
	})
	if err := os.RemoveAll(f.path("cmdaliases")); err != nil {
		t.Fatal(err)
	}
	f.unchanged("domainadd", func() {
		f.wantKind(f.DomainAdd(t.Context(), "other.test"), CannotMakeDir)
	})
}

func TestMissingTables(t *testing.T) {
	for table, run := range map[string]struct {
		want Kind
		run  func(f *fixture) error
	}{
		"mailusers.tab":   {NoUsersTable, func(f *fixture) error { return f.UserAdd(f.t.Context(), "xmailserver.test", "b", "p", "U") }},
		"domains.tab":     {NoAliasesTable, func(f *fixture) error { return f.DomainAdd(f.t.Context(), "new.test") }},
		"aliases.tab":     {NoAliasesTable, func(f *fixture) error { return f.AliasAdd(f.t.Context(), "xmailserver.test", "a", "xmailuser") }},
		"extaliases.tab":  {NoExtAliasesTable, func(f *fixture) error { return f.ExtAliasAdd(f.t.Context(), "a@b", "c@d") }},
		"pop3links.tab":   {NoLinksTable, func(f *fixture) error { return f.LinkDel(f.t.Context(), "a", "b", "c", "d") }},
		"aliasdomain.tab": {NoAliasDomainTable, func(f *fixture) error { return f.DomainDel(f.t.Context(), "xmailserver.test") }},
	} {
		f := start(t, nil)
		if err := os.Remove(f.path(table)); err != nil {
			t.Fatal(err)
		}
		f.unchanged(table, func() { f.wantKind(run.run(f), run.want) })
	}
}

// TestUserDelRemovesEverythingOfAnAccount and nothing of anybody else's.
func TestUserDelRemovesEverythingOfAnAccount(t *testing.T) {
	f := start(t, nil)
	ctx := t.Context()
	before := f.tree()
	f.ok(f.UserAdd(ctx, "xmailserver.test", "Bob", "pw", "U"))
	f.put("domains/xmailserver.test/Bob/webmail/prefs", "foreign")
	f.ok(f.AliasAdd(ctx, "xmailserver.test", "b", "bob"))
	f.ok(f.AliasAdd(ctx, "*", "b2", "BOB@xmailserver.test"))
	f.ok(f.ExtAliasAdd(ctx, "bob@xmailserver.test", "b@ext.test"))
	f.ok(f.LinkAdd(ctx, NewLink{"xmailserver.test", "bob", "pop.test:110", "b", "x", "CLR"}))
	f.ok(f.LinkAdd(ctx, NewLink{"xmailserver.test", "bob", "pop.test", "shared", "x", "APOP,Leave"}))
	f.ok(f.LinkEnable(ctx, false, "xmailserver.test", "bob"))
	f.put("msgsync/pop.test_110/b.uidb", "1")
	f.put("msgsync/pop.test/shared.uidb", "1")
	f.ok(f.LinkAdd(ctx, NewLink{"xmailserver.test", "xmailuser", "pop.test", "shared", "x", "APOP"}))

	f.ok(f.UserDel(ctx, "XMAILSERVER.test", "bob"))
	got := f.tree()
	if want := "\"xmailserver.test\"\t\"xmailuser\"\t\"pop.test\"\t\"shared\"\t\"1d\"\t\"APOP\"\n"; got["pop3links.tab"] != want {
		t.Errorf("pop3links.tab %q, want %q", got["pop3links.tab"], want)
	}
	if _, ok := got["msgsync/pop.test/shared.uidb"]; !ok {
		t.Error("the file that another link uses is gone")
	}
	for _, name := range []string{"pop3links.tab", "msgsync/pop.test/", "msgsync/pop.test/shared.uidb", "msgsync/pop.test_110/"} {
		delete(got, name)
		delete(before, name)
	}
	if diff := cmp.Diff(before, got); diff != "" {
		t.Errorf("left behind by the account (-before +after):\n%s", diff)
	}
}

func TestDomainDelRemovesEverythingOfADomain(t *testing.T) {
	f := start(t, nil)
	ctx := t.Context()
	before := f.tree()
	f.ok(f.DomainAdd(ctx, "foo.test"))
	f.ok(f.AliasDomainAdd(ctx, "foo.test", "*.foo.test"))
	f.ok(f.UserAdd(ctx, "foo.test", "ann", "pw", "U"))
	f.ok(f.UserAdd(ctx, "foo.test", "news", "pw", "M"))
	f.ok(f.AliasAdd(ctx, "foo.test", "a*", "ann"))
	f.ok(f.AliasAdd(ctx, "xmailserver.test", "ann", "ann@foo.test"))
	f.ok(f.ExtAliasAdd(ctx, "ann@foo.test", "b@ext.test"))
	f.ok(f.LinkAdd(ctx, NewLink{"foo.test", "ann", "pop.test", "b", "x", "CLR"}))
	f.put("msgsync/pop.test/b.uidb", "1")
	f.put("domains/foo.test/mailproc.tab", "mailbox\n")
	f.put("cmdaliases/foo.test/x.tab", "smtp\n")

	f.ok(f.DomainDel(ctx, "FOO.test"))
	got := f.tree()
	delete(got, "msgsync/pop.test/")
	if diff := cmp.Diff(before, got); diff != "" {
		t.Errorf("left behind by the domain (-before +after):\n%s", diff)
	}
	f.wantKind(f.DomainDel(ctx, "foo.test"), NoDomain)
}

// TestRowsMadeByHandNeverLeadOutOfTheirFolder deletes accounts whose rows an
// administrator made with an odd folder.
func TestRowsMadeByHandNeverLeadOutOfTheirFolder(t *testing.T) {
	f := start(t, map[string]string{
		"domains.tab":                        "xmailserver.test\n../filters\nbar.test\n",
		"mailusers.tab":                      "bar.test a 1512 1 . U\nbar.test b 1512 2 ../xmailserver.test U\nbar.test c 1512 3 shared U\nbar.test d 1512 4 shared U\nbar.test e 1512 5 shared/sub U\n",
		"domains/bar.test/shared/sub/x":      "",
		"domains/xmailserver.test/keep":      "",
		"filters/keep":                       "",
		"domains/bar.test/shared/Maildir/xy": "",
	})
	var kept []string
	for name := range f.tree() {
		if strings.HasPrefix(name, "domains/") || strings.HasPrefix(name, "filters/") {
			kept = append(kept, name)
		}
	}
	f.ok(f.UserDel(t.Context(), "bar.test", "a"))
	f.ok(f.UserDel(t.Context(), "bar.test", "b"))
	f.ok(f.UserDel(t.Context(), "bar.test", "c"))
	f.ok(f.DomainDel(t.Context(), "../filters"))
	after := f.tree()
	for _, name := range kept {
		if _, ok := after[name]; !ok {
			t.Errorf("%s is gone", name)
		}
	}
	f.ok(f.UserDel(t.Context(), "bar.test", "e"))
	f.ok(f.UserDel(t.Context(), "bar.test", "d"))
	if _, err := os.Stat(f.path("domains/bar.test/shared")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder of the last account is still there: %v", err)
	}
}

func TestTryChangesNothingAndSaysWhatWouldCome(t *testing.T) {
	f := start(t, map[string]string{"userauth/pop3/.tab": "useradd /bin/sh -c touch@@PATH\n"})
	ctx := t.Context()
	f.unchanged("try", func() {
		s := f.Try()
		f.ok(s.UserAdd(ctx, "xmailserver.test", "bob", "pw", "U"))
		f.ok(s.UserAdd(ctx, "xmailserver.test", "bob", "pw", "U"))
		f.wantKind(s.UserAdd(ctx, "xmailserver.test", "xmailuser", "pw", "U"), UserExists)
		f.ok(s.DomainDel(ctx, "xmailserver.test"))
		f.ok(s.UserDel(ctx, "xmailserver.test", "xmailuser"))
		f.ok(s.SetUserVars(ctx, "xmailserver.test", "xmailuser", Setting{"A", "b"}))
		f.ok(s.SetFile(ctx, "new.tab", []byte("x\n")))
		f.wantKind(s.SetFile(ctx, "mailusers.tab", []byte("broken\n")), BadContent)
	})
}

func TestTimesOfLinksAndStatesAreTheServers(t *testing.T) {
	f := start(t, nil)
	st, err := f.UserStat(t.Context(), "xmailserver.test", "root")
	f.ok(err)
	if st.Address != "xmailuser@xmailserver.test" || st.LoginIP != "0.0.0.0" || time.Since(st.LoginTime) > time.Minute {
		t.Errorf("state of an account that never logged in: %+v", st)
	}
	f.put("domains/xmailserver.test/xmailuser/.ipconn", "192.0.2.7\n")
	when := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	f.ok(os.Chtimes(f.path("domains/xmailserver.test/xmailuser/.ipconn"), when, when))
	f.put("domains/xmailserver.test/xmailuser/Maildir/new/1", "12345")
	f.put("domains/xmailserver.test/xmailuser/Maildir/.Sent/cur/2", "123")
	f.put("domains/xmailserver.test/xmailuser/Maildir/.Sent/.state", "123")
	f.ok(os.Symlink("nowhere", f.path("domains/xmailserver.test/xmailuser/Maildir/new/0link")))
	st, err = f.UserStat(t.Context(), "xmailserver.test", "root")
	f.ok(err)
	if want := (UserStat{Address: "xmailuser@xmailserver.test", Size: 8, Messages: 2, LoginTime: st.LoginTime, LoginIP: "192.0.2.7"}); st != want || !st.LoginTime.Equal(when) {
		t.Errorf("state %+v, want %+v at %v", st, want, when)
	}
	f.ok(f.UserAdd(t.Context(), "xmailserver.test", "news", "pw", "M"))
	_, err = f.UserStat(t.Context(), "xmailserver.test", "news")
	f.wantKind(err, NoMailbox)
	_, err = f.UserStat(t.Context(), "none.test", "x")
	f.wantKind(err, NoRecord)
}

func TestConcurrentChangesAreOneAfterTheOther(t *testing.T) {
	f := start(t, nil)
	const n = 60
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			name := fmt.Sprintf("user%d", i/2) // each of two wants to be the one
			err := f.UserAdd(t.Context(), "xmailserver.test", name, "pw", "U")
			if err != nil && kindOf(err) != UserExists {
				t.Errorf("add %s: %v", name, err)
			}
		})
	}
	group.Wait()
	ids := make(map[uint64]string)
	for u := range f.Root().Users() {
		if other, ok := ids[u.ID]; ok {
			t.Errorf("%s and %s have the number %d", other, u.Name, u.ID)
		}
		ids[u.ID] = u.Name
	}
	if len(ids) != n/2+1 {
		t.Errorf("%d accounts, want %d", len(ids), n/2+1)
	}
}
