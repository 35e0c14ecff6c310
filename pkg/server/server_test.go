package server_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server"
	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// login returns the code of the refusal of a login, 0 where it is good.
func login(t *testing.T, addr, user, password string) ctrl.Code {
	t.Helper()
	c, err := ctrl.Dial(t.Context(), addr, user, password)
	if err == nil {
		c.Close()
		return 0
	}
	var refused *ctrl.Error
	if !errors.As(err, &refused) {
		t.Fatalf("login of %s: %v, want a reply", user, err)
	}
	return refused.Code
}

func accounts(rows ...string) string {
	text := ""
	for i := 0; i < len(rows); i += 2 {
		text += fmt.Sprintf("%q\t%q\n", rows[i], rows[i+1])
	}
	return text
}

func reload(t *testing.T, s *servertest.Server) {
	t.Helper()
	if err := s.Server.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestAccountsOfTheControlPort(t *testing.T) {
	s := servertest.Start(t)
	s.Write(t, mailroot.AccountsTab, accounts("one", auth.Scramble("first"), "ONE", auth.Scramble("second"), "broken", "xyz", "two", auth.Scramble("pässword\\")))
	s.Restart(t)
	for _, test := range []struct {
		user, password string
		want           ctrl.Code
	}{
		{"one", "first", 0},
		{"One", "first", 0},
		{"one", "second", ctrl.CodeLogin}, // the first row of a name decides
		{"two", "pässword\\", 0},
		{"two", "PÄSSWORD\\", ctrl.CodeLogin},
		{"broken", "", ctrl.CodeLogin}, // a password that does not decode is no empty one
		{"broken", "xyz", ctrl.CodeLogin},
		{"nobody", "first", ctrl.CodeLogin},
		{servertest.User, servertest.Password, ctrl.CodeLogin},
	} {
		if got := login(t, s.Addr, test.user, test.password); got != test.want {
			t.Errorf("login %q with %q: code %d, want %d", test.user, test.password, got, test.want)
		}
	}
}

func TestAccountsAreReadAfresh(t *testing.T) {
	s := servertest.Start(t)
	s.Write(t, mailroot.AccountsTab, accounts("new", auth.Scramble("pw")))
	reload(t, s)
	if got := login(t, s.Addr, "new", "pw"); got != 0 {
		t.Errorf("login of the new account: code %d", got)
	}
	if got := login(t, s.Addr, servertest.User, servertest.Password); got != ctrl.CodeLogin {
		t.Errorf("login of the account that is gone: code %d, want %d", got, ctrl.CodeLogin)
	}
}

func TestNoAccountsTable(t *testing.T) {
	s := servertest.Start(t)
	s.Stop(t)
	if err := os.Remove(filepath.Join(s.Dir, mailroot.AccountsTab)); err != nil {
		t.Fatal(err)
	}
	s.Restart(t)
	if got := login(t, s.Addr, servertest.User, servertest.Password); got != ctrl.CodeNoAccountsTable {
		t.Errorf("login without a table: code %d, want %d", got, ctrl.CodeNoAccountsTable)
	}
}

func TestAddressMapIsReadAfresh(t *testing.T) {
	s := servertest.Start(t)
	s.Write(t, mailroot.CtrlMapTab, "\"0.0.0.0\"\t\"0.0.0.0\"\t\"DENY\"\t1\n")
	reload(t, s)
	if got := login(t, s.Addr, servertest.User, servertest.Password); got != ctrl.CodeNotAllowed {
		t.Errorf("login from a denied address: code %d, want %d", got, ctrl.CodeNotAllowed)
	}
	s.Write(t, mailroot.CtrlMapTab, "\"0.0.0.0\"\t\"0.0.0.0\"\t\"DENY\"\t1\n\"127.0.0.1/32\"\t\"\"\t\"ALLOW\"\t2\n")
	reload(t, s)
	if got := login(t, s.Addr, servertest.User, servertest.Password); got != 0 {
		t.Errorf("login from an allowed address: code %d", got)
	}
}

func TestLoopOfShellsMayLogInAtOnce(t *testing.T) {
	const parallel = 64
	s := servertest.Start(t)
	var wg sync.WaitGroup
	hold := make(chan struct{})
	errs := make(chan error, parallel)
	for range parallel {
		wg.Go(func() {
			c, err := ctrl.Dial(t.Context(), s.Addr, servertest.User, servertest.Password)
			errs <- err
			if err == nil {
				<-hold
				c.Close()
			}
		})
	}
	for range parallel {
		if err := <-errs; err != nil {
			t.Errorf("one of %d logins at once: %v", parallel, err)
		}
	}
	close(hold)
	wg.Wait()
}

func TestLimitsAreVariables(t *testing.T) {
	s := servertest.Start(t, servertest.Var("CTRL-MaxUploadSize", "1"), servertest.Var("CTRL-MaxSessionsPerAddress", "2"),
		servertest.Var("CTRL-MaxLineSize", "100"), servertest.Var("CTRL-MaxFailedLogins", "3"))
	first, second := s.Dial(t), s.Dial(t)
	if got := login(t, s.Addr, servertest.User, servertest.Password); got != ctrl.CodeTooManySessions {
		t.Errorf("third session: code %d, want %d", got, ctrl.CodeTooManySessions)
	}
	if err := refusal(first.Upload(t.Context(), strings.NewReader(strings.Repeat("x\n", 1000)), "cfgfileset", "filters/x.tab")); err != ctrl.CodeTooBig {
		t.Errorf("upload of 2000 bytes: code %d, want %d", err, ctrl.CodeTooBig)
	}
	if _, err := second.Do(t.Context(), "noop", strings.Repeat("x", 200)); refusal(err) != ctrl.CodeLineTooLong {
		t.Errorf("line of 200 bytes: %v, want code %d", err, ctrl.CodeLineTooLong)
	}
	first.Close()
	second.Close()
	for failed := 0; failed < 3; {
		switch got := login(t, s.Addr, servertest.User, "wrong"); got {
		case ctrl.CodeLogin:
			failed++
		case ctrl.CodeTooManySessions: // the sessions before have not ended yet
		default:
			t.Fatalf("wrong password: code %d, want %d", got, ctrl.CodeLogin)
		}
	}
	if got := login(t, s.Addr, servertest.User, servertest.Password); got != ctrl.CodeNotAllowed {
		t.Errorf("login after three failures: code %d, want %d", got, ctrl.CodeNotAllowed)
	}
}

func refusal(err error) ctrl.Code {
	var refused *ctrl.Error
	if errors.As(err, &refused) {
		return refused.Code
	}
	return 0
}

func TestShutdownFileIsAskedFor(t *testing.T) {
	s := servertest.Start(t)
	select {
	case <-s.Server.Done():
		t.Fatal("the server is done before it was asked to")
	default:
	}
	s.Write(t, ".shutdown", "")
	select {
	case <-s.Server.Done():
	case <-time.After(10 * time.Second):
		t.Fatal(".shutdown is not seen")
	}
	if err := s.Server.Err(); err != nil {
		t.Errorf("reason %v, want none", err)
	}
	s.Stop(t)
	if _, err := os.Stat(filepath.Join(s.Dir, ".shutdown")); !os.IsNotExist(err) {
		t.Errorf(".shutdown after the stop: %v, want it gone", err)
	}
}

func TestFailedStartLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "MailRoot")
	if err := servertest.NewMailRoot(dir); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	config := server.Config{
		Root:    dir,
		PIDFile: filepath.Join(dir, "test.pid"),
		Ctrl:    server.Endpoint{Addrs: []string{"127.0.0.1:0"}},
		Ctrls:   server.Endpoint{Addrs: []string{taken.Addr().String()}},
	}
	s, err := server.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("start on a port in use: %v, want it said", err)
	}
	for _, name := range []string{".shutdown", ".xmaild.lock", "test.pid"} {
		if _, err := os.Stat(filepath.Join(dir, name)); !os.IsNotExist(err) {
			t.Errorf("%s: %v, want none", name, err)
		}
	}
	servertest.Start(t, servertest.Dir(dir))
}

func TestRunningSessionsAreDrained(t *testing.T) {
	s := servertest.Start(t)
	c := s.Dial(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Server.Shutdown(ctx); err != nil {
		t.Errorf("shutdown with an idle session: %v", err)
	}
	if err := s.Server.Shutdown(ctx); err != nil {
		t.Errorf("second shutdown: %v", err)
	}
	if _, err := c.Do(t.Context(), "noop"); err == nil {
		t.Error("the session goes on after the shutdown")
	}
}

func TestClearTextNeedsTLSOffTheLoopbackAtLevelOne(t *testing.T) {
	// Another address of this machine stands for another machine.
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var own netip.Addr
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Is4() && !prefix.Addr().IsLoopback() {
			own = prefix.Addr()
		}
	}
	if !own.IsValid() {
		t.Skip("this machine has no address but the loopback's")
	}
	for _, test := range []struct {
		level int
		want  ctrl.Code
	}{{0, 0}, {1, ctrl.CodeTLSRequired}} {
		s := servertest.Start(t, servertest.CompatLevel(test.level), servertest.Config(func(c *server.Config) {
			c.Ctrl.Addrs = []string{netip.AddrPortFrom(own, 0).String()}
		}))
		d := ctrl.Dialer{User: servertest.User, Password: servertest.Password, ClearText: true}
		c, err := d.Dial(t.Context(), s.Addr)
		if err == nil {
			c.Close()
		}
		if got := refusal(err); got != test.want || err != nil && got == 0 {
			t.Errorf("level %d: clear-text login from %s: %v, want code %d", test.level, own, err, test.want)
		}
		if got := login(t, s.Addr, servertest.User, servertest.Password); got != 0 {
			t.Errorf("level %d: login by digest: code %d", test.level, got)
		}
	}
}
