package admin

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

func (f *fixture) get(name string, rights ...mailroot.Rights) (string, error) {
	f.t.Helper()
	r, err := f.File(f.t.Context(), name, append(rights, mailroot.Rights{All: true})[0])
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(r)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	return string(text), err
}

func TestPaths(t *testing.T) {
	f := start(t, map[string]string{"sub/x.txt": "in\n", "tmp/x": ""})
	for name, want := range map[string]Kind{
		"sub/x.txt": fine, "sub/x.txt/": fine, "sub//x.txt": fine, "./sub/x.txt": fine, "/": fine, ".": fine, "": fine, "sub": fine,
		"/etc/passwd": BadPath, "//": BadPath, "//etc": BadPath, "../x": BadPath, "sub/../x": BadPath, "a..b": BadPath, `sub\x.txt`: BadPath,
		"..": BadPath, "/..": BadPath, "sub/x\x01": Invalid,
		"none": CannotRead, "none/x": CannotRead, "sub/x.txt/x": CannotRead,
		".xmaild.lock": Forbidden, "./.XMAILD.lock": Forbidden, "journal": Forbidden, "journal/extra": Forbidden, "tmp/x": Forbidden,
		".mailusers.tab.new": Forbidden,
	} {
		_, err := f.get(name)
		if got := kindOf(err); got != want {
			t.Errorf("get %q: %v (kind %d), want kind %d", name, err, got, want)
		}
		if want == fine || want == CannotRead {
			continue
		}
		f.unchanged(name, func() {
			f.wantKind(f.CheckSetFile(t.Context(), name), want)
			f.wantKind(f.SetFile(t.Context(), name, []byte("x\n")), want)
		})
	}
	for name, want := range map[string]Kind{
		"sub": CannotCreate, "/": CannotCreate, "none/x": CannotCreate, "sub/x.txt/y": CannotCreate,
	} {
		f.unchanged(name, func() { f.wantKind(f.SetFile(t.Context(), name, []byte("x\n")), want) })
	}
	for dir, want := range map[string]Kind{
		"/": fine, "sub/": fine, "sub/x.txt": NoFolder, "none": NoFolder, "/sub": BadPath, "..": BadPath, `\`: BadPath,
	} {
		_, err := f.Files(t.Context(), dir, "*")
		if got := kindOf(err); got != want {
			t.Errorf("list %q: %v (kind %d), want kind %d", dir, err, got, want)
		}
	}
}

func TestFilesListsWhatLeadsNowhereToo(t *testing.T) {
	f := start(t, map[string]string{"sub/b": "12", "sub/B": "1", "sub/.hid": "", "sub/dir/x": ""})
	f.ok(os.Symlink("nowhere", f.path("sub/a")))
	f.ok(os.Symlink(f.path("sub/b"), f.path("sub/link")))
	list := func(pattern string) string {
		files, err := f.Files(t.Context(), "sub", pattern)
		f.ok(err)
		text := ""
		for file := range files {
			text += file.Name + " "
		}
		return text
	}
	for pattern, want := range map[string]string{"*": ".hid B b link ", "b": "b ", "[a-z]*": "b link ", "none": ""} {
		if got := list(pattern); got != want {
			t.Errorf("files that match %q: %q, want %q", pattern, got, want)
		}
	}
	for _, dir := range []string{".", "tmp", "journal"} {
		files, err := f.Files(t.Context(), dir, "*")
		if dir == "." {
			f.ok(err)
		}
		if err != nil {
			continue
		}
		for file := range files {
			if dir != "." || strings.HasPrefix(file.Name, ".xmaild") {
				t.Errorf("%s of the server's own is listed in %s", file.Name, dir)
			}
		}
	}
}

func TestUploadsOfTables(t *testing.T) {
	f := start(t, nil)
	ctx := t.Context()
	f.ok(f.SetFile(ctx, "smtprelay.tab", []byte("# ours\n\"127.0.0.0\"\t\"255.0.0.0\"\n\n")))
	if got := f.read("smtprelay.tab"); got != "# ours\n\"127.0.0.0\"\t\"255.0.0.0\"\n\n" {
		t.Errorf("smtprelay.tab is %q", got)
	}
	for _, c := range []struct{ name, content, place string }{
		{"smtprelay.tab", "\"127.0.0.0\"\t\"255.0.0.0\"\n\"10.0.0.0\"\t\"255.0.255\"\n", "smtprelay.tab:2: "},
		{"ctrl.ipmap.tab", "\"0.0.0.0\"\t\"0.0.0.0\"\t\"ALLOW\"\n", "ctrl.ipmap.tab:1: "},
		{"ctrl.ipmap.tab", "\"host.example\"\t\"255.0.0.0\"\t\"ALLOW\"\t1\n", "ctrl.ipmap.tab:1: "},
		{"mailusers.tab", "broken\n", "mailusers.tab:1: "},
		{"mailusers.tab", "# nobody\n", "mailusers.tab"},
		{"mailusers.tab", "", "mailusers.tab"},
		{"domains.tab", "", "domains.tab"},
		{"ctrlaccounts.tab", "", "ctrlaccounts.tab"},
		{"ctrlaccounts.tab", "\"admin\"\t\"in clear\"\n", "ctrlaccounts.tab:1: "},
		{"ctrlaccounts.tab", "\"admin\"\t\"\"\n", "ctrlaccounts.tab:1: "},
		{"ctrlaccounts.tab", "#\"admin\"\t\"1512\"\n", "ctrlaccounts.tab"},
		{"domains/xmailserver.test/xmailuser/user.tab", "\"only\"\n", "domains/xmailserver.test/xmailuser/user.tab:1: "},
		{"userauth/pop3/.tab", "useradd\n", "userauth/pop3/.tab:1: "},
	} {
		f.unchanged(c.name, func() {
			err := f.SetFile(ctx, c.name, []byte(c.content))
			f.wantKind(err, BadContent)
			if err != nil && (!strings.HasPrefix(err.Error(), c.place) || strings.Contains(err.Error(), "clear")) {
				t.Errorf("refusal %q, want it to begin with %q and to hold no password", err, c.place)
			}
		})
	}
	f.ok(f.SetFile(ctx, "mailusers.tab", []byte("xmailserver.test\tbob\t1512\t7\tbob\tU\n")))
	if _, ok := f.Root().User("xmailserver.test", "bob"); !ok {
		t.Error("a user of an uploaded table is not there")
	}
	f.ok(f.SetFile(ctx, "aliases.tab", nil))
	f.wantKind(f.AliasAdd(ctx, "xmailserver.test", "x", "bob"), NoAliasesTable)
}

// TestLinksOfTheAdministratorAreFollowed: a link in MailRoot is there because an
// administrator made it, since no command makes one.
func TestLinksOfTheAdministratorAreFollowed(t *testing.T) {
	f := start(t, nil)
	outside := t.TempDir() + "/relay"
	f.ok(os.WriteFile(outside, []byte("\"10.0.0.0\"\t\"255.0.0.0\"\n"), 0o600))
	f.ok(os.Remove(f.path("smtprelay.tab")))
	f.ok(os.Symlink(outside, f.path("smtprelay.tab")))
	if got, err := f.get("smtprelay.tab"); err != nil || !strings.Contains(got, "10.0.0.0") {
		t.Errorf("through the link: %q, %v", got, err)
	}
	f.ok(f.SetFile(t.Context(), "smtprelay.tab", []byte("\"127.0.0.1\"\t\"255.255.255.255\"\n")))
	text, err := os.ReadFile(outside)
	if err != nil || !strings.Contains(string(text), "127.0.0.1") {
		t.Errorf("behind the link: %q, %v", text, err)
	}
}

func TestSecretsNeedARightAtLevel1(t *testing.T) {
	secrets := []string{"mailusers.tab", "./ctrlaccounts.tab", "pop3links.tab", "smtpauth.tab", "server.key", "MAILUSERS.tab", "userauth/smtp/x.tab", "sub/other.KEY", "mailusers.tab.bak", "sub/old-ctrlaccounts.tab~"}
	files := map[string]string{"server.key": "key", "userauth/smtp/x.tab": "PLAIN u p\n", "MAILUSERS.tab": "", "sub/other.KEY": "", "mailusers.tab.bak": "", "sub/old-ctrlaccounts.tab~": "",
		"ctrlaccounts.tab": "admin 1512\nkeeper 1512 secrets,other\n"}
	f := start(t, files)
	for _, name := range secrets {
		if _, err := f.get(name); err != nil {
			t.Errorf("level 0: %s: %v", name, err)
		}
	}
	files["server.tab"] = "CompatLevel 1\n"
	f = start(t, files)
	for _, name := range secrets {
		_, err := f.get(name, f.Rights("admin"))
		f.wantKind(err, Forbidden)
		if _, err := f.get(name, f.Rights("Keeper")); err != nil {
			t.Errorf("level 1, with the right: %s: %v", name, err)
		}
	}
	if _, err := f.get("server.tab"); err != nil {
		t.Errorf("level 1: server.tab: %v", err)
	}
}

func TestCustomDomains(t *testing.T) {
	f := start(t, nil)
	ctx := t.Context()
	for name, want := range map[string]Kind{
		"cust.test": fine, "UPPER.test": fine, ".sub.cust.test": fine, ".": fine, "[": BadAddress,
		"": BadAddress, "a b": BadDomain, "*.x": BadDomain, "a.": BadAddress,
		"../evil": BadPath, "a/b": BadPath, "a..b": BadPath, `a\b`: BadPath, "..": BadPath, "a\x01": Invalid,
	} {
		f.wantKind(f.CheckSetCustomDomain(ctx, name), want)
		if want != fine {
			f.unchanged(name, func() { f.wantKind(f.SetCustomDomain(ctx, name, []byte("smtp\n")), want) })
			continue
		}
		f.ok(f.SetCustomDomain(ctx, name, []byte(strings.ToLower(name)+"\n")))
	}
	for name, want := range map[string]string{
		"cust.test": "cust.test", "x.sub.cust.test": ".sub.cust.test", "sub.cust.test": ".", "Upper.Test": "upper.test", "none": ".", "": ".", ".": ".",
	} {
		r, err := f.CustomDomain(ctx, name)
		f.ok(err)
		text, err := io.ReadAll(r)
		f.ok(err)
		f.ok(r.Close())
		if got := strings.TrimSpace(string(text)); got != want {
			t.Errorf("%q is processed as %q, want %q", name, got, want)
		}
	}
	_, err := f.CustomDomain(ctx, "../server")
	f.wantKind(err, BadPath)
	f.ok(f.SetCustomDomain(ctx, ".", nil))
	_, err = f.CustomDomain(ctx, "none.test")
	f.wantKind(err, NoCustomDomain)
}

func TestMailProcessingFiles(t *testing.T) {
	f := start(t, map[string]string{"aliasdomain.tab": "al.test xmailserver.test\n"})
	ctx := t.Context()
	for _, c := range []struct {
		domain, name, flag string
		want               Kind
	}{
		{"none.test", "x", "Q", NoDomain},
		{"xmailserver.test", "nobody", "Q", NoRecord},
		{"al.test", "nobody", "Q", NoUser},
		{"xmailserver.test", "xmailuser", "Q", Invalid},
		{"xmailserver.test", "xmailuser", "UD", Invalid},
		{"xmailserver.test", "xmailuser", "", Invalid},
		{"xmailserver.test", "xmailuser", "u", fine},
		{"al.test", "xmailuser", "D", fine},
	} {
		f.wantKind(f.CheckSetMailProc(ctx, c.domain, c.name, c.flag), c.want)
		f.wantKind(f.SetMailProc(ctx, c.domain, c.name, c.flag, []byte(c.flag+"\n")), c.want)
	}
	if got := f.read("domains/xmailserver.test/xmailuser/mailproc.tab") + f.read("domains/xmailserver.test/mailproc.tab"); got != "u\nD\n" {
		t.Errorf("the files hold %q", got)
	}
	files, err := f.MailProcFiles(ctx, "al.test", "xmailuser", "du")
	f.ok(err)
	text := ""
	for _, file := range files {
		part, err := io.ReadAll(file)
		f.ok(err)
		f.ok(file.Close())
		text += string(part)
	}
	if text != "D\nu\n" {
		t.Errorf("both files are %q, want the domain's first", text)
	}
	f.ok(f.SetMailProc(ctx, "xmailserver.test", "xmailuser", "U", nil))
	_, err = f.MailProcFiles(ctx, "xmailserver.test", "xmailuser", "U")
	f.wantKind(err, NoMailProc)
}
