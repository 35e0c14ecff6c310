//go:build unix

package admin

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/program"
	"github.com/xmaild/xmaild/pkg/server/program/programtest"
)

// recorder is a hook table whose programs append their arguments to a file, a
// line a run, with their input and what of the account's folder they see. It returns
// what reads the file.
func recorder(t *testing.T, f *fixture) (ran func() string) {
	t.Helper()
	file := filepath.Join(programtest.Dir(t), "ran")
	script := programtest.Script(t, `{ for a in "$@"; do printf '%s|' "$a"; done; tr -d '\n'; [ -d "$4" ] && printf '|dir'; echo; } >>"`+file+`"`+"\n")
	table := ""
	for _, action := range []string{"useradd", "useredit", "userdel", "domaindrop"} {
		table += action + "\t" + script + "\t" + action + "\t$(USER)@$(DOMAIN)\tp=$(PASSWD)\t@@PATH\n"
	}
	f.put("userauth/pop3/.tab", table)
	return func() string {
		b, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return string(b)
	}
}

// seen is what a recorder says of a folder that is there. As nobody it cannot look.
func seen(t *testing.T) string {
	t.Helper()
	if _, _, other, err := program.RunsAs(); err != nil || other {
		return ""
	}
	return "|dir"
}

func TestHooksRunWithMacrosAndWhileTheFolderExists(t *testing.T) {
	f := start(t, nil)
	ran := recorder(t, f)
	ctx := t.Context()
	f.ok(f.DomainAdd(ctx, "foo.test"))
	f.ok(f.UserAdd(ctx, "FOO.test", "Bob", "p w$(USER)`id`", "U"))
	f.ok(f.UserPasswd(ctx, "foo.test", "bob", "new"))
	f.ok(f.UserAuth(ctx, "foo.test", "bob", "new"))
	f.wantKind(f.UserAdd(ctx, "foo.test", "bob", "x", "U"), UserExists)
	f.wantKind(f.UserDel(ctx, "foo.test", "nobody"), NoUser)
	f.ok(f.UserDel(ctx, "foo.test", "bob"))
	f.wantKind(f.DomainDel(ctx, "none.test"), NoDomain)
	f.ok(f.DomainDel(ctx, "foo.test"))
	dir := f.path("domains/foo.test/Bob")
	want := "useradd|Bob@FOO.test|p=p w$(USER)`id`|" + dir + "|p w$(USER)`id`" + seen(t) + "\n" +
		"useredit|Bob@FOO.test|p=new|" + dir + "|new" + seen(t) + "\n" +
		"userdel|Bob@FOO.test|p=new|" + dir + "|new" + seen(t) + "\n" +
		"domaindrop|@foo.test|p=||\n"
	if got := ran(); got != want {
		t.Errorf("hooks ran:\n%swant\n%s", got, want)
	}
	if log := f.log.String(); strings.Contains(log, "p w") || strings.Contains(log, "new") || !strings.Contains(log, "account hook run") {
		t.Errorf("the log holds a password, or nothing of the hooks:\n%s", log)
	}
}

func TestTheDomainsOwnHookTableWins(t *testing.T) {
	f := start(t, nil)
	ran := recorder(t, f)
	f.put("userauth/pop3/xmailserver.test.tab", "userdel\t/bin/false\n")
	f.ok(f.UserAdd(t.Context(), "xmailserver.test", "bob", "pw", "U"))
	if got := ran(); got != "" {
		t.Errorf("the table for all ran: %s", got)
	}
	f.ok(f.UserDel(t.Context(), "xmailserver.test", "bob"))
	if !strings.Contains(f.log.String(), "account hook failed") {
		t.Errorf("the failing hook is not in the log:\n%s", f.log.String())
	}
}

func TestHookThatCannotBeRunChangesNothing(t *testing.T) {
	f := start(t, map[string]string{"userauth/pop3/.tab": "useradd /nonexistent/program\n"})
	f.ok(f.UserAdd(t.Context(), "xmailserver.test", "bob", "pw", "U"))
}

// TestHangingHookIsKilledAndHoldsNobodyUp has a hook that does not end. While it
// runs other changes go through; when its time is over it is killed with its
// child, whose connection closes then.
func TestHangingHookIsKilledAndHoldsNobodyUp(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("needs bash for its /dev/tcp")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	f := start(t, nil)
	f.stop()
	f.open(Options{HookTimeout: 2 * time.Second})
	hang := programtest.Write(t, programtest.Dir(t), "hang.sh", `(exec 3<>/dev/tcp/127.0.0.1/`+port+`; printf ready >&3; sleep 600) & wait`+"\n")
	f.put("userauth/pop3/.tab", "userdel\t"+bash+"\t"+hang+"\n")
	f.ok(f.UserAdd(t.Context(), "xmailserver.test", "bob", "pw", "U"))
	done := make(chan error, 1)
	go func() { done <- f.UserDel(t.Context(), "xmailserver.test", "bob") }()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	f.ok(f.UserAdd(t.Context(), "xmailserver.test", "other", "pw", "U"))
	select {
	case err := <-done:
		t.Fatalf("userdel ended before its hook: %v", err)
	default:
	}
	f.ok(<-done)
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || os.IsTimeout(err) {
		t.Errorf("the child of the hook is still alive: read %d bytes, %v", n, err)
	}
	if !strings.Contains(f.log.String(), "it took too long") {
		t.Errorf("the log does not say that the hook was killed:\n%s", f.log.String())
	}
}

func TestHooksOfABatch(t *testing.T) {
	f := start(t, nil)
	ran := recorder(t, f)
	ctx := t.Context()
	f.ok(f.DomainAdd(ctx, "foo.test"))
	f.ok(f.UserAdd(ctx, "foo.test", "bob", "old", "U"))
	before := ran()
	if _, err := f.batch(addUser("foo.test", "ann"), delUser("foo.test", "bob"), addUser("foo.test", "bob")); err == nil {
		t.Error("an account came back in the transaction that removed it")
	}
	if got := ran(); got != before {
		t.Errorf("hooks of a refused batch ran: %s", got)
	}
	n, err := f.batch(
		addUser("foo.test", "ann"), addUser("foo.test", "gone"), delUser("foo.test", "gone"), delUser("foo.test", "bob"),
		addDomain("bar.test"), addUser("bar.test", "x"), delDomain("bar.test"),
	)
	if n != 7 || err != nil {
		t.Fatalf("step %d: %v", n, err)
	}
	want := before + "userdel|bob@foo.test|p=old|" + f.path("domains/foo.test/bob") + "|old" + seen(t) + "\n" +
		"useradd|ann@foo.test|p=pw|" + f.path("domains/foo.test/ann") + "|pw" + seen(t) + "\n"
	if got := ran(); got != want {
		t.Errorf("hooks ran:\n%swant\n%s", got, want)
	}
	if _, err := f.Try().batchOf(ctx, delDomain("foo.test")); err != nil {
		t.Errorf("try: %v", err)
	}
	if got := ran(); got != want {
		t.Errorf("hooks of a batch that is tried ran:\n%s", got)
	}
}

func (s *Service) batchOf(ctx context.Context, steps ...step) (int, error) {
	return s.Batch(ctx, len(steps), func(s *Service, i int) error { return steps[i](ctx, s) })
}
