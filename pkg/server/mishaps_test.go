package server_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/servertest"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// want runs a command and compares the code of its reply.
func want(t *testing.T, c *ctrl.Client, code ctrl.Code, args ...string) {
	t.Helper()
	_, err := c.Do(t.Context(), args...)
	got := ctrl.CodeOK
	var refusal *ctrl.Error
	if errors.As(err, &refusal) {
		got = refusal.Code
	} else if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	if got != code {
		t.Errorf("%q: %v, want %v", args, err, code)
	}
}

func TestTableDeletedUnderTheServer(t *testing.T) {
	s := servertest.Start(t)
	c, other := s.Dial(t), s.Dial(t)
	want(t, c, ctrl.CodeOK, "domainadd", "foo.test")
	want(t, c, ctrl.CodeOK, "useradd", "foo.test", "ann", "pw", "U")
	tables := []string{"mailusers.tab", "aliases.tab", "domains.tab", "pop3links.tab", "extaliases.tab", "aliasdomain.tab"}
	kept := make(map[string]string)
	for _, name := range tables {
		kept[name] = s.Read(t, name)
		if err := os.Remove(filepath.Join(s.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	want(t, c, ctrl.CodeNoUsersTable, "useradd", "foo.test", "bob", "pw", "U")
	want(t, c, ctrl.CodeNoUsersTable, "userdel", "foo.test", "ann")
	want(t, c, ctrl.CodeNoAliasesTable, "aliasadd", "foo.test", "a", "ann")
	want(t, c, ctrl.CodeNoAliasesTable, "domainadd", "bar.test")
	want(t, c, ctrl.CodeNoDomainsTable, "domaindel", "foo.test")
	want(t, c, ctrl.CodeNoLinksTable, "poplnkadd", "foo.test", "ann", "h.test", "r", "pw", "CLR")
	want(t, c, ctrl.CodeNoExAliasesTable, "exaliasadd", "a@foo.test", "b@x.test")
	want(t, c, ctrl.CodeNoAliasDomTable, "aliasdomainadd", "foo.test", "a.test")
	want(t, other, ctrl.CodeOK, "userauth", "foo.test", "ann", "pw")
	want(t, other, ctrl.CodeOK, "uservarsset", "foo.test", "ann", "RealName", "Ann")
	for _, name := range tables {
		if _, err := os.Stat(filepath.Join(s.Dir, name)); !os.IsNotExist(err) {
			t.Errorf("%s: %v, want it to stay away: nobody was told that a change was made", name, err)
		}
		s.Write(t, name, kept[name])
	}
	if _, err := os.Stat(filepath.Join(s.Dir, "domains", "foo.test", "bob")); !os.IsNotExist(err) {
		t.Errorf("folder of a refused account: %v, want none", err)
	}
	s.Restart(t)
	c = s.Dial(t)
	want(t, c, ctrl.CodeOK, "useradd", "foo.test", "bob", "pw", "U")
	want(t, c, ctrl.CodeOK, "userauth", "foo.test", "ann", "pw")
}

// A link to a folder elsewhere goes with the account, what it leads to stays.
func TestRemovalDoesNotFollowLinks(t *testing.T) {
	s := servertest.Start(t)
	c := s.Dial(t)
	outside := t.TempDir()
	treasure := filepath.Join(outside, "treasure")
	if err := os.WriteFile(treasure, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, account := range []string{"ann", "bob"} {
		want(t, c, ctrl.CodeOK, "useradd", "xmailserver.test", account, "pw", "U")
		link := filepath.Join(s.Dir, "domains", "xmailserver.test", account, "shared")
		if err := os.Symlink(outside, link); err != nil {
			t.Skipf("no symbolic links here: %v", err)
		}
	}
	want(t, c, ctrl.CodeOK, "userdel", "xmailserver.test", "ann")
	want(t, c, ctrl.CodeOK, "domainadd", "other.test")
	want(t, c, ctrl.CodeOK, "domaindel", "xmailserver.test")
	for _, gone := range []string{"domains/xmailserver.test"} {
		if _, err := os.Lstat(filepath.Join(s.Dir, gone)); !os.IsNotExist(err) {
			t.Errorf("%s: %v, want it removed", gone, err)
		}
	}
	if _, err := os.Stat(treasure); err != nil {
		t.Errorf("what the link led to: %v, want it untouched", err)
	}
}

func TestParallelSessionsLoseNothing(t *testing.T) {
	const sessions, each = 64, 4
	s := servertest.Start(t)
	want(t, s.Dial(t), ctrl.CodeOK, "domainadd", "foo.test")
	var wg sync.WaitGroup
	for i := range sessions {
		wg.Go(func() {
			for j := range each {
				c, err := ctrl.Dial(t.Context(), s.Addr, servertest.User, servertest.Password)
				if err != nil {
					t.Errorf("session %d: %v", i, err)
					return
				}
				if _, err := c.Do(t.Context(), "useradd", "foo.test", fmt.Sprintf("u%d-%d", i, j), "pw", "M"); err != nil {
					t.Errorf("session %d: %v", i, err)
				}
				if err := c.Quit(); err != nil {
					t.Errorf("session %d: quit: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	want(t, s.Dial(t), ctrl.CodeOK, "sync")
	ids := make(map[string]bool)
	for line := range strings.Lines(s.Read(t, "mailusers.tab")) {
		fields := tabfile.Split(tabfile.TrimEnd(line))
		if len(fields) != 6 || ids[fields[3]] {
			t.Errorf("row %q is short, or has the id of another", line)
			continue
		}
		ids[fields[3]] = true
	}
	if got, want := len(ids), sessions*each+1; got != want {
		t.Errorf("%d accounts, want %d", got, want)
	}
}

func TestLoginLogIsTheReferences(t *testing.T) {
	s := servertest.Start(t)
	s.Dial(t)
	if _, err := ctrl.Dial(t.Context(), s.Addr, "mal\"lory", "guess-1234"); err == nil {
		t.Fatal("a login of nobody succeeded")
	}
	s.Stop(t)
	names, err := filepath.Glob(filepath.Join(s.Dir, "logs", "ctrl-*0000"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no login log: %v", err)
	}
	var rows []string
	for _, name := range names { // two, where midnight has just passed
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			f := tabfile.Split(tabfile.TrimEnd(line))
			if len(f) != 5 || len(f[3]) != len("2006-01-02 15:04:05") {
				t.Errorf("line %q, want address, name, *, time and status", line)
				continue
			}
			rows = append(rows, strings.Join([]string{f[0], f[1], f[2], f[4]}, " "))
		}
		if strings.Contains(string(content), "guess") {
			t.Errorf("%s holds the password:\n%s", name, content)
		}
	}
	const wantRows = "127.0.0.1 admin * REQ\n127.0.0.1 admin * AUTH\n127.0.0.1 mal\"lory * REQ\n127.0.0.1 mal\"lory * FAIL"
	if got := strings.Join(rows, "\n"); got != wantRows {
		t.Errorf("log is\n%s\nwant\n%s", got, wantRows)
	}
	if strings.Contains(s.Log(), "guess-1234") {
		t.Errorf("the structured log holds the password:\n%s", s.Log())
	}
}

// No password of a command that carries one reaches a log.
func TestSecretsOfCommandsAreMasked(t *testing.T) {
	s := servertest.Start(t)
	c := s.Dial(t)
	const secret = "hunter2-secret"
	want(t, c, ctrl.CodeOK, "useradd", "xmailserver.test", "ann", secret, "U")
	want(t, c, ctrl.CodeOK, "userpasswd", "xmailserver.test", "ann", secret)
	want(t, c, ctrl.CodeOK, "userauth", "xmailserver.test", "ann", secret)
	want(t, c, ctrl.CodeBadPassword, "userauth", "xmailserver.test", "ann", secret+"x")
	want(t, c, ctrl.CodeOK, "poplnkadd", "xmailserver.test", "ann", "h.test", "r", secret, "CLR")
	want(t, c, ctrl.CodeCommand, "useradd", "xmailserver.test", "ann", "U", secret, "extra", secret)
	want(t, c, ctrl.CodeOK, "try", "useradd", "xmailserver.test", "bob", secret, "U")
	want(t, c, ctrl.CodeCommand, "try", "useradd", "xmailserver.test", secret)
	want(t, c, ctrl.CodeCommand, "usradd", "xmailserver.test", "ann", secret, "U")
	s.Stop(t)
	if log := s.Log(); strings.Contains(log, "hunter2") || !strings.Contains(log, "useradd") {
		t.Errorf("the log holds a password, or no commands:\n%s", log)
	}
}

// TestVanishedVariablesComeBackWithTheNextChange removes the table of an account
// under the server, which goes on with its rows.
func TestVanishedVariablesComeBackWithTheNextChange(t *testing.T) {
	s := servertest.Start(t)
	client := s.Dial(t)
	const name = "domains/xmailserver.test/xmailuser/user.tab"
	before := s.Read(t, name)
	if _, err := client.Do(t.Context(), "uservarsset", "xmailserver.test", "xmailuser", "RealName", "Example User"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(s.Dir, name)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Do(t.Context(), "uservarsset", "xmailserver.test", "xmailuser", "Telephone", "17"); err != nil {
		t.Fatal(err)
	}
	if want, got := before+"\"Telephone\"\t\"17\"\n", s.Read(t, name); got != want {
		t.Errorf("user.tab holds %q, want %q", got, want)
	}
}
