package ctrl

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func shutdown(t *testing.T, s *testServer, within time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return s.Shutdown(ctx)
}

func TestShutdownDrains(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	uploads := new(atomic.Int64)
	s := startServer(t, func(s *Server) {
		s.Handler = HandlerFunc(func(ctx context.Context, req *Request) Reply {
			switch req.Command {
			case "slow":
				close(started)
				<-release
				return OKf("slow")
			case "upload":
				return Upload(0, func(context.Context, []byte) Reply {
					uploads.Add(1)
					return OK()
				})
			}
			return OK()
		})
	})
	greeted := s.connect(t)
	greeted.want("+00000")
	idle := s.login(t)
	uploading := s.login(t)
	uploading.send("upload")
	uploading.want("+00101")
	uploading.send("one")
	busy := s.login(t)
	busy.send("slow", "noop") // the second is not run any more
	<-started
	done := make(chan error, 1)
	go func() { done <- shutdown(t, s, patience) }()
	for _, w := range []*wire{greeted, idle, uploading} {
		w.want("-00001 ")
		w.wantEOF()
	}
	select {
	case err := <-done:
		t.Fatalf("Shutdown returned %v while a command ran", err)
	default:
	}
	close(release)
	busy.wantLines("+00000 OK slow")
	busy.want("-00001 ")
	busy.wantEOF()
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if n := uploads.Load(); n != 0 {
		t.Errorf("%d uploads done, want none", n)
	}
	if nc, err := net.Dial("tcp", s.addr); err == nil {
		nc.Close()
		t.Error("connected after Shutdown")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(context.Background(), l); !errors.Is(err, ErrServerClosed) {
		t.Errorf("Serve after Shutdown: %v, want %v", err, ErrServerClosed)
	}
}

func TestShutdownDoesNotWaitForTheDelayOfAFailedLogin(t *testing.T) {
	failed := make(chan struct{})
	s := startServer(t, func(s *Server) {
		s.Limits.FailureDelay = time.Hour
		s.LoginLog = func(e LoginEvent) {
			if e.Status == LoginFailed {
				close(failed)
			}
		}
	})
	w := s.connect(t)
	w.want("+00000")
	w.send("admin\twrong")
	<-failed
	if err := shutdown(t, s, patience); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	w.want("-00105 ")
	w.wantEOF()
}

func TestShutdownIsBounded(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	cancelled := make(chan struct{})
	s := startServer(t, func(s *Server) {
		s.Handler = HandlerFunc(func(ctx context.Context, req *Request) Reply {
			close(started)
			<-ctx.Done()
			close(cancelled)
			<-release // and does not heed it
			return OK()
		})
	})
	w := s.login(t)
	w.send("x")
	<-started
	start := time.Now()
	err := shutdown(t, s, 50*time.Millisecond)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 control session") {
		t.Errorf("Shutdown: %v, want that one session was cut", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("Shutdown took %v", took)
	}
	<-cancelled
	close(release)
}

func TestContextOfServeCutsItsSessions(t *testing.T) {
	s := startServer(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	other := s.login(t)
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	w := newWire(t, nc)
	w.want("+00000")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Serve: %v, want %v", err, context.Canceled)
	}
	if _, err := w.r.ReadByte(); err == nil {
		t.Error("the session went on")
	}
	other.send("noop")
	other.want("+00000")
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

func TestAcceptTriesAgain(t *testing.T) {
	s := startServer(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	errs := []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS, syscall.EPERM, syscall.EPROTO}
	go func() { done <- s.Serve(t.Context(), &flakyListener{l, errs}) }()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	newWire(t, nc).want("+00000")
	nc.Close()
	if err := shutdown(t, s, patience); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, ErrServerClosed) {
		t.Errorf("Serve: %v, want %v", err, ErrServerClosed)
	}
}

func TestServeReturnsWhenTheListenerIsLost(t *testing.T) {
	s := startServer(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), &flakyListener{l, []error{syscall.EINVAL}}); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("Serve: %v, want %v", err, syscall.EINVAL)
	}
}
