package session_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/session"
)

// A line server echoes lines; "work" waits for a release, "panic" panics, "quit" ends.
type lineServer struct {
	session.Server
	addr    string
	started chan struct{} // work has begun
	release chan struct{}
	served  chan error
	cancel  context.CancelFunc
}

func serve(t testing.TB, setUp func(s *session.Server)) *lineServer {
	t.Helper()
	s := &lineServer{started: make(chan struct{}, 1), release: make(chan struct{}), served: make(chan error, 1)}
	s.Name = "smtp"
	s.Registry = session.NewRegistry(nil)
	s.Handle = s.handle
	s.Refuse = func(c *session.Conn, why error) { fmt.Fprintf(c, "421 %v\r\n", why) }
	if setUp != nil {
		setUp(&s.Server)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go func() { s.served <- s.Serve(ctx, l, false) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-s.served:
		case <-time.After(10 * time.Second):
			t.Error("Serve has not returned ten seconds after its context was cancelled")
		}
	})
	return s
}

func (s *lineServer) handle(ctx context.Context, c *session.Conn) {
	fmt.Fprintf(c, "220 %d\r\n", c.ID())
	r := bufio.NewReader(c)
	for {
		c.Idle()
		c.SetReadDeadline(time.Now().Add(time.Minute))
		line, err := r.ReadString('\n')
		if err != nil {
			if c.Ending() {
				fmt.Fprintf(c, "421 ending\r\n")
			}
			return
		}
		c.Busy()
		switch line = strings.TrimSpace(line); line {
		case "panic":
			panic("of a test")
		case "quit":
			fmt.Fprintf(c, "221 bye\r\n")
			return
		case "work":
			s.started <- struct{}{}
			select {
			case <-s.release:
			case <-ctx.Done():
				return
			}
		case "data":
			s.started <- struct{}{}
			c.SetReadDeadline(time.Now().Add(time.Minute))
			if line, err = r.ReadString('\n'); err != nil {
				fmt.Fprintf(c, "451 %v\r\n", err)
				return
			}
			line = strings.TrimSpace(line)
		case "ann":
			c.SetUser("ann@example.org")
			c.SetTLS(true)
		}
		fmt.Fprintf(c, "250 %s\r\n", line)
	}
}

type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func (s *lineServer) dial(t testing.TB) *client {
	t.Helper()
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{t, nc, bufio.NewReader(nc)}
}

func (c *client) send(line string) { fmt.Fprintf(c, "%s\r\n", line) }

func (c *client) expect(want string) {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if got := strings.TrimSpace(line); !strings.HasPrefix(got, want) || err != nil {
		c.t.Fatalf("want a line that begins with %q, got %q (%v)", want, got, err)
	}
}

func (c *client) expectEnd() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.r); err != nil || len(rest) > 0 {
		c.t.Fatalf("want the connection closed, got %q (%v)", rest, err)
	}
}

func TestLimitsRefuseTheNextSession(t *testing.T) {
	for name, tc := range map[string]struct {
		all, perAddress int
		want            error
	}{
		"in all":         {2, 0, session.ErrTooMany},
		"of one address": {0, 2, session.ErrTooManyOfAddress},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(s *session.Server) {
				s.Limits = func() (int, int) { return tc.all, tc.perAddress }
			})
			first, second := s.dial(t), s.dial(t)
			first.expect("220")
			second.expect("220")
			third := s.dial(t)
			third.send("a line that the refusal must survive")
			third.expect("421 " + tc.want.Error())
			third.expectEnd()

			first.send("quit")
			first.expect("221")
			first.expectEnd()
			first.Close()
			waitFor(t, "a free place", func() bool {
				c := s.dial(t)
				line, _ := c.r.ReadString('\n')
				return strings.HasPrefix(line, "220")
			})
		})
	}
}

// waitFor asks until the answer is yes.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited ten seconds for %s", what)
		case <-tick.C:
		}
	}
}

func TestPanicEndsOneSessionOnly(t *testing.T) {
	var log syncBuffer
	s := serve(t, func(s *session.Server) { s.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	other, c := s.dial(t), s.dial(t)
	other.expect("220")
	c.expect("220")
	c.send("panic")
	c.expectEnd()
	other.send("hello")
	other.expect("250 hello")
	if got := log.String(); !strings.Contains(got, "of a test") || !strings.Contains(got, "server_test.go") {
		t.Errorf("want the panic and its stack in the log, got %q", got)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestShutdownWakesTheIdleAndLetsWorkFinish(t *testing.T) {
	s := serve(t, nil)
	idle, working, reading := s.dial(t), s.dial(t), s.dial(t)
	for _, c := range []*client{idle, working, reading} {
		c.expect("220")
	}
	working.send("work")
	<-s.started
	reading.send("data")
	<-s.started
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	idle.expect("421 ending")
	idle.expectEnd()
	idle.Close()
	if _, err := net.Dial("tcp", s.addr); err == nil {
		t.Error("a client could connect while the server shuts down")
	}
	reading.send("the rest of it")
	reading.expect("250 the rest of it")
	reading.expect("421 ending")
	close(s.release)
	working.expect("250 work")
	working.expect("421 ending")
	if err := <-done; err != nil {
		t.Errorf("Shutdown: want no error, got %v", err)
	}
	if err := <-s.served; !errors.Is(err, session.ErrServerClosed) {
		t.Errorf("Serve: want %v, got %v", session.ErrServerClosed, err)
	}
	s.served <- nil
}

func TestShutdownCutsWhatDoesNotEnd(t *testing.T) {
	s := serve(t, nil)
	c := s.dial(t)
	c.expect("220")
	c.send("work")
	<-s.started
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: want an error that wraps %v, got %v", context.Canceled, err)
	}
	c.expectEnd()
}

func TestRegistryListsAndKills(t *testing.T) {
	s := serve(t, nil)
	ann, other := s.dial(t), s.dial(t)
	ann.expect("220 ")
	other.expect("220 ")
	ann.send("ann")
	ann.expect("250")
	list := s.Registry.List()
	if len(list) != 2 {
		t.Fatalf("want two sessions, got %+v", list)
	}
	var of session.Info
	for _, info := range list {
		if info.User == "ann@example.org" {
			of = info
		}
	}
	if of.Service != "smtp" || !of.TLS || of.Remote.String() != ann.LocalAddr().String() || of.Local.String() != s.addr || time.Since(of.Started) > time.Minute {
		t.Errorf("want what is known of ann's session, got %+v", list)
	}
	if n := s.Registry.KillUser("nobody@example.org"); n != 0 {
		t.Errorf("want no session of nobody killed, got %d", n)
	}
	if n := s.Registry.KillUser("Ann@Example.org"); n != 1 {
		t.Errorf("want one session of ann killed, got %d", n)
	}
	ann.expect("421 ending")
	ann.expectEnd()
	other.send("still here")
	other.expect("250 still here")
	if s.Registry.Kill(12345) {
		t.Error("a session that is not there was killed")
	}
	ann.Close()
	waitFor(t, "the end of ann's session", func() bool { return len(s.Registry.List()) == 1 })
	if id := s.Registry.List()[0].ID; !s.Registry.Kill(id) {
		t.Errorf("session %d could not be killed", id)
	}
	other.expect("421 ending")
}

func TestKillEndsReadingAtWork(t *testing.T) {
	s := serve(t, nil)
	c := s.dial(t)
	c.expect("220")
	c.send("data")
	<-s.started
	s.Registry.Kill(s.Registry.List()[0].ID)
	c.expect("451")
	c.expectEnd()
}

func TestAdministratorsAreNoMailAccounts(t *testing.T) {
	r := session.NewRegistry(nil)
	m := &member{info: session.Info{Service: session.Ctrl, User: "ann@example.org"}}
	id := r.Add(m)
	if n := r.KillUser("ann@example.org"); n != 0 || m.ended {
		t.Errorf("want the administrator's session left alone, got %d killed", n)
	}
	if !r.Kill(id) || !m.ended {
		t.Error("the administrator's session could not be killed by its number")
	}
	r.Remove(id)
	if list := r.List(); len(list) != 0 {
		t.Errorf("want no sessions, got %+v", list)
	}
}

type member struct {
	info  session.Info
	ended bool
}

func (m *member) Info() session.Info { return m.info }
func (m *member) End()               { m.ended = true }

// The race detector has an eye on this, too.
func TestSessionsAreListedWhileTheyBegin(t *testing.T) {
	s := serve(t, nil)
	done := make(chan struct{})
	var lister sync.WaitGroup
	lister.Go(func() {
		for {
			seen := make(map[uint64]bool)
			for _, info := range s.Registry.List() {
				if info.ID == 0 || seen[info.ID] {
					t.Errorf("session %+v has no number of its own", info)
				}
				seen[info.ID] = true
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for range 50 {
		s.dial(t).expect("220 ")
	}
	close(done)
	lister.Wait()
}

// A flakyListener fails first with each of some errors of the system.
type flakyListener struct {
	net.Listener
	errs []error
}

func (l *flakyListener) Accept() (net.Conn, error) {
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", err)}
	}
	return l.Listener.Accept()
}

func TestAcceptTriesAgainUnlessTheListenerIsLost(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	shut := errors.New("that is enough")
	for _, test := range []struct{ errs, want error }{
		{errors.Join(syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS, syscall.EPERM, syscall.EPROTO, shut), shut},
		{errors.Join(syscall.EINVAL, shut), syscall.EINVAL},
	} {
		var s session.Server
		err := s.Serve(t.Context(), &flakyListener{l, test.errs.(interface{ Unwrap() []error }).Unwrap()}, false)
		if !errors.Is(err, test.want) {
			t.Errorf("Serve after %q: %v, want %v", test.errs, err, test.want)
		}
	}
}
