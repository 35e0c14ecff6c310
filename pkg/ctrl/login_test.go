package ctrl

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestLogin(t *testing.T) {
	s := startServer(t, nil)
	for _, c := range []struct{ line, want string }{
		{"admin\tsecret", "+00000 OK"},
		{`"admin"` + "\t" + `"secret"`, "+00000 OK"},
		{"admin\t#MD5", "+00000 OK"},
		{"admin\t#md5", "+00000 OK"},
		{"admin\t#", "-00105 "},
		{"admin\t#00", "-00105 "},
		{"admin\t##MD5", "-00105 "},
		{"admin\tSecret", "-00105 "},
		{"admin\tsecre", "-00105 "},
		{"admin\t\"\"", "-00105 "},
		{"admin\té", "-00105 "},
		{"other\tsecret", "-00105 "},
		{"admin\tsecret\textra", "-00105 "},
		{"admin", "-00105 "},
		{"", "-00105 "},
		{"#!TLS\tx", "-00105 "},
		{"#!tls", "-00105 "},
		{"noop", "-00105 "},
	} {
		w := s.connect(t)
		digest := Digest(timestampOf(w.want("+00000")), "secret")
		w.send(strings.NewReplacer("MD5", strings.ToUpper(digest), "md5", digest).Replace(c.line))
		w.want(c.want)
		if c.want[0] == '-' {
			w.wantEOF()
			continue
		}
		w.send("noop")
		w.wantLines("+00000 OK")
	}
}

func TestThereIsOneLoginAConnection(t *testing.T) {
	w := startServer(t, nil).login(t)
	w.send("admin\tsecret")
	w.want("-00103 ")
}

func TestDigestIsOfThisConnection(t *testing.T) {
	s := startServer(t, nil)
	one, other := s.connect(t), s.connect(t)
	digest := Digest(timestampOf(one.want("+00000")), "secret")
	other.want("+00000")
	other.send("admin\t#" + digest)
	other.want("-00105 ")
}

func TestPasswordThatBeginsWithHashIsADigest(t *testing.T) {
	var got Login
	s := startServer(t, func(s *Server) {
		s.Authenticator = AuthenticatorFunc(func(_ context.Context, l Login) error {
			got = l
			return nil
		})
	})
	w := s.connect(t)
	timestamp := timestampOf(w.want("+00000"))
	w.send("admin\t#abc")
	w.want("+00000")
	want := Login{User: "admin", MD5: true, Digest: "abc", Timestamp: timestamp}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Login{}, "Remote")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if want := w.LocalAddr().String(); got.Remote.String() != want {
		t.Errorf("remote address %v, want %v", got.Remote, want)
	}
}

// A wrong name cannot be told from a wrong password, nor from an error with a text
// of its own.
func TestRefusedLoginsLookAlike(t *testing.T) {
	const delay = 150 * time.Millisecond
	s := startServer(t, func(s *Server) {
		s.Limits.FailureDelay = delay
		s.Authenticator = AuthenticatorFunc(func(ctx context.Context, l Login) error {
			if l.User == "nobody" {
				return &Error{CodeLogin, "there is no nobody"}
			}
			return fmt.Errorf("checked: %w", login(ctx, l))
		})
	})
	var replies []string
	for _, line := range []string{"admin\twrong", "other\tsecret", "nobody\tx"} {
		w := s.connect(t)
		w.want("+00000")
		start := time.Now()
		w.send(line)
		replies = append(replies, w.line())
		if took := time.Since(start); took < delay {
			t.Errorf("%q refused after %v, want at least %v", line, took, delay)
		}
	}
	for _, reply := range replies[1:] {
		if reply != replies[0] {
			t.Errorf("replies differ: %q", replies)
		}
	}
}

func TestAuthenticatorChoosesTheCodeOfItsOwnTrouble(t *testing.T) {
	s := startServer(t, func(s *Server) {
		s.Limits.FailedLogins = 1
		s.Authenticator = AuthenticatorFunc(func(context.Context, Login) error {
			return fmt.Errorf("read: %w", &Error{Code: CodeNoAccountsTable})
		})
	})
	for range 3 { // and it does not count
		w := s.connect(t)
		w.want("+00000")
		w.send("admin\tsecret")
		w.want("-00106 ")
		w.wantEOF()
	}
}

func (s *testServer) tryLogin(t *testing.T, line, want string) {
	t.Helper()
	w := s.connect(t)
	if greeting := w.line(); greeting[0] == '-' {
		if !strings.HasPrefix(greeting, want) {
			t.Fatalf("greeting %q, want %q...", greeting, want)
		}
		w.wantEOF()
		return
	}
	w.send(line)
	w.want(want)
}

func TestFailedLoginsBlockAnAddress(t *testing.T) {
	var mu sync.Mutex
	now := time.Unix(1e9, 0)
	pass := func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(d)
	}
	s := startServer(t, func(s *Server) {
		s.Limits.FailedLogins = 3
		s.Clock = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return now
		}
	})
	const good, bad = "admin\tsecret", "admin\tx"
	early := s.connect(t) // greeted before there is a block
	early.want("+00000")
	s.tryLogin(t, bad, "-00105 ")
	s.tryLogin(t, bad, "-00105 ")
	s.tryLogin(t, good, "+00000 OK") // clears the count
	s.tryLogin(t, bad, "-00105 ")
	s.tryLogin(t, bad, "-00105 ")
	pass(5*time.Minute + time.Second) // they are too long ago
	s.tryLogin(t, bad, "-00105 ")
	s.tryLogin(t, bad, "-00105 ")
	s.tryLogin(t, "malformed", "-00105 ") // no guess
	s.tryLogin(t, bad, "-00105 ")
	s.tryLogin(t, good, "-00130 ")
	early.send(good)
	early.want("-00130 ")
	pass(4 * time.Minute)
	s.tryLogin(t, good, "-00130 ")
	pass(time.Minute)
	s.tryLogin(t, good, "+00000 OK")
}

func TestSessionLimits(t *testing.T) {
	t.Run("all", func(t *testing.T) {
		s := startServer(t, func(s *Server) { s.Limits.Sessions = 2 })
		testSessionLimit(t, s)
	})
	t.Run("of an address", func(t *testing.T) {
		s := startServer(t, func(s *Server) { s.Limits.AddressSessions = 2 })
		testSessionLimit(t, s)
	})
}

func testSessionLimit(t *testing.T, s *testServer) {
	first, second := s.login(t), s.connect(t) // not logged in counts too
	second.want("+00000")
	third := s.connect(t)
	third.want("-00129 ")
	third.wantEOF()
	nc, err := tls.Dial("tcp", s.tlsAddr, s.config) // told under TLS
	if err != nil {
		t.Fatal(err)
	}
	under := newWire(t, nc)
	under.want("-00129 ")
	under.wantEOF()
	first.send("quit")
	first.want("+00000")
	first.wantEOF()
	first.Close()
	for deadline := time.Now().Add(patience); ; { // the server notices in its own time
		w := s.connect(t)
		if strings.HasPrefix(w.line(), "+00000") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("a session that ended still counts")
		}
	}
}

// A shell loop under xargs -P64.
func TestDefaultLimitsAllowParallelLogins(t *testing.T) {
	s := startServer(t, nil)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 5 {
				c, err := Dial(t.Context(), s.addr, "admin", "secret")
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := c.Do(t.Context(), "noop"); err != nil {
					t.Error(err)
				}
				if err := c.Quit(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestAddressesThatAreNotAllowed(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("not from there"), "-00130 "},
		{&Error{CodeOpenFile, "no map"}, "-00019 no map"},
	} {
		s := startServer(t, func(s *Server) {
			s.Allow = func(a netip.Addr) error {
				if want := netip.MustParseAddr("127.0.0.1"); a != want {
					t.Errorf("asked for %v, want %v", a, want)
				}
				return c.err
			}
		})
		w := s.connect(t)
		w.want(c.want)
		w.wantEOF()
		nc, err := tls.Dial("tcp", s.tlsAddr, s.config)
		if err != nil {
			t.Fatal(err)
		}
		w = newWire(t, nc)
		w.want(c.want)
		w.wantEOF()
	}
}

func TestLoginLogHasNoPassword(t *testing.T) {
	var mu sync.Mutex
	var events []LoginEvent
	var out bytes.Buffer
	s := startServer(t, func(s *Server) {
		s.LoginLog = func(e LoginEvent) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, e)
		}
		s.Log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	s.tryLogin(t, "admin\tsecret", "+00000")
	s.tryLogin(t, "admin\thunter2", "-00105")
	s.tryLogin(t, "malformed", "-00105")
	mu.Lock()
	defer mu.Unlock()
	var got []string
	for _, e := range events {
		got = append(got, e.User+" "+string(e.Status))
		if e.Time.IsZero() || e.Remote.Addr().String() != "127.0.0.1" {
			t.Errorf("event %+v lacks time or address", e)
		}
	}
	want := []string{"admin REQ", "admin AUTH", "admin REQ", "admin FAIL"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if text := fmt.Sprint(events) + out.String(); strings.Contains(text, "hunter2") || strings.Contains(text, "secret") {
		t.Errorf("a password in the logs: %s", text)
	}
	if !strings.Contains(out.String(), "user=admin") || !strings.Contains(out.String(), "addr=127.0.0.1") {
		t.Errorf("log %q, want name and address of the refused login", out.String())
	}
}

func TestSecretsOfLoginsAreNotPrinted(t *testing.T) {
	l := Login{User: "admin", Password: "hunter2", Remote: netip.MustParseAddrPort("192.0.2.1:9")}
	for _, format := range []string{"%v", "%+v", "%s"} {
		if got := fmt.Sprintf(format, l); got != "admin@192.0.2.1:9" {
			t.Errorf("%s: %q", format, got)
		}
	}
}

func TestClearTextLoginIsRefusedWhereTLSIsRequired(t *testing.T) {
	asked := false
	s := startServer(t, func(s *Server) {
		s.RequireTLS = func(a netip.Addr) bool { return true }
		s.Authenticator = AuthenticatorFunc(func(ctx context.Context, l Login) error {
			asked = asked || !l.MD5 && l.TLS == nil
			return login(ctx, l)
		})
	})
	s.tryLogin(t, "admin\tsecret", "-00245 ")
	s.tryLogin(t, "admin\twrong", "-00245 ")
	w := s.connect(t)
	w.send("admin\t#" + Digest(timestampOf(w.want("+00000")), "secret"))
	w.want("+00000 OK")
	nc, err := tls.Dial("tcp", s.tlsAddr, s.config)
	if err != nil {
		t.Fatal(err)
	}
	w = newWire(t, nc)
	w.want("+00000")
	w.send("admin\tsecret")
	w.want("+00000 OK")
	if asked {
		t.Error("the authenticator saw a password that came in clear")
	}
}
