package ctrl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRepliesToCommands(t *testing.T) {
	w := startServer(t, nil).login(t)
	for _, c := range []struct{ line, want string }{
		{"noop", "+00000 OK"},
		{"NoOp", "+00000 OK"},
		{`"noop"`, "+00000 OK"},
		{`"noop"xyz`, "+00000 OK"},
		{"\tnoop\t\t", "+00000 OK"},
		{"noop\x00rubbish", "+00000 OK"},
		{"noop\r\r", "+00000 OK"},
		{"noop ", "-00103 "},
		{"", "-00103 "},
		{"\t\t", "-00103 "},
		{`""`, "-00103 "},
		{"#!TLS", "-00103 "},
		{"quit\tx", "-00103 "},
		{"args\ta\t\"\"\t\"b \\\" c\"\td", `+00000 OK ["a" "" "b \" c" "d"]`},
		{"args\t\"é\"\t\"\xff\"", `+00000 OK ["é" "\xff"]`},
		{"badupload", "-00214 "},
	} {
		w.send(c.line)
		if got := w.line(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%q: got %q, want %q...", c.line, got, c.want)
		}
	}
	w.send("quit")
	w.wantLines("+00000 OK")
	w.wantEOF()
}

func TestListsAreDotStuffedAndSplit(t *testing.T) {
	w := startServer(t, nil).login(t)
	w.send("list\ta\"b\tc\x01d")
	w.wantLines("+00100 OK", `"a"b"`+"\t"+`"x"`, "\"c\x01d\"\t\"x\"", ".")
	w.send("list")
	w.wantLines("+00100 OK", ".")
	w.send("text\t.\t..x\tplain\t\"\"\tcr\r\r\r")
	w.wantLines("+00100 OK", "..", "...x", "plain", "", "cr", ".")
	w.send("text")
	w.wantLines("+00100 OK", ".")
	long := strings.Repeat("x", 2046) + "." + strings.Repeat("y", 100)
	w.send("text\t" + long)
	w.wantLines("+00100 OK", long[:2046], "."+long[2046:], ".")
	w.send("text\t" + long[:2046])
	w.wantLines("+00100 OK", long[:2046], ".")
}

func TestListWriterLines(t *testing.T) {
	for _, c := range []struct {
		name string
		f    func(w *ListWriter) error
		want string
	}{
		{"rows", func(w *ListWriter) error { return w.Row("a", "", "b\tc\r\n\x00d") }, "\"a\"\t\"\"\t\"b?c???d\"\r\n"},
		{"row of nothing", func(w *ListWriter) error { return w.Row() }, "\"\"\r\n"},
		{"line", func(w *ListWriter) error { return w.Line("x\r\n") }, "x\r\n"},
		{"empty line", func(w *ListWriter) error { return w.Line("\r\n") }, "\r\n"},
		{"lines in a line", func(w *ListWriter) error { return w.Line("a\n.b\n\n") }, "a\r\n..b\r\n"},
		{"text without end", func(w *ListWriter) error { return w.Text([]byte("a\n\nb")) }, "a\r\n\r\nb\r\n"},
		{"empty text", func(w *ListWriter) error { return w.Text(nil) }, ""},
	} {
		var b strings.Builder
		if err := c.f(&ListWriter{w: &b, start: func() {}}); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if b.String() != c.want {
			t.Errorf("%s: got %q, want %q", c.name, b.String(), c.want)
		}
	}
}

func TestListsThatFail(t *testing.T) {
	broken := errors.New("disk on fire")
	s := startServer(t, func(s *Server) {
		s.Handler = HandlerFunc(func(_ context.Context, req *Request) Reply {
			return List(func(w *ListWriter) error {
				switch req.Command {
				case "code":
					return fmt.Errorf("open: %w", &Error{CodeOpenFile, "no such file"})
				case "error":
					return broken
				case "panic":
					panic(broken)
				case "late":
					w.Row("one")
					return &Error{Code: CodeOpenFile}
				case "latepanic":
					w.Row("one")
					panic(broken)
				}
				return nil
			})
		})
	})
	w := s.login(t)
	w.send("code")
	w.wantLines("-00019 no such file")
	w.send("error")
	w.want("-00002 ")
	w.send("ok")
	w.wantLines("+00100 OK", ".")
	w.send("panic")
	w.want("-00002 ")
	w.wantEOF()
	for _, command := range []string{"late", "latepanic"} {
		w := s.login(t)
		w.send(command)
		w.wantLines("+00100 OK", `"one"`)
		w.wantEOF() // and no dot
	}
}

// A list is not held in memory: the writer waits for a client that does not read, and
// is told when that takes too long.
func TestListWaitsForItsReader(t *testing.T) {
	wrote := make(chan error, 1)
	events := make(chan CommandEvent, 1)
	s := startServer(t, func(s *Server) {
		s.Limits.Write = 200 * time.Millisecond
		s.CommandLog = func(e CommandEvent) { events <- e }
		s.Handler = HandlerFunc(func(context.Context, *Request) Reply {
			return List(func(w *ListWriter) error {
				row := strings.Repeat("x", 1000)
				var err error
				for n := 0; n < 1<<20 && err == nil; n++ { // a gigabyte
					err = w.Row(row)
				}
				wrote <- err
				return err
			})
		})
	})
	w := s.login(t)
	w.send("all")
	select {
	case err := <-wrote:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the writer got %v, want a time-out", err)
		}
	case <-time.After(patience):
		t.Fatal("the writer was not told")
	}
	if e := <-events; e.Err == nil || e.Request.Command != "all" {
		t.Errorf("event %+v, want the error of all", e)
	}
}

func TestPipelinedCommands(t *testing.T) {
	s, writes := startCounting(t)
	w := s.login(t)
	before := writes.Load()
	w.send("args\t1", "nosuch", "list\ta", "upload", "data", ".", "args\t2", "quit", "noop")
	w.want(`+00000 OK ["1"]`)
	w.want("-00103 ")
	w.wantLines("+00100 OK", `"a"`+"\t"+`"x"`, ".", "+00101 OK", `+00000 OK "data\n"`, `+00000 OK ["2"]`, "+00000 OK")
	w.wantEOF() // what follows quit is not run
	if n := writes.Load() - before; n != 1 {
		t.Errorf("replies in %d writes, want 1", n)
	}
}

func TestBareLFAndSplitInput(t *testing.T) {
	w := startServer(t, nil).login(t)
	for _, part := range []string{"no", "op\nargs\t\"a", " b\"\n"} {
		w.Write([]byte(part))
	}
	w.wantLines("+00000 OK", `+00000 OK ["a b"]`)
	w.Write([]byte("noop")) // without its end it is none
	w.Conn.(*net.TCPConn).CloseWrite()
	w.wantEOF()
}

func TestLinesThatAreTooLong(t *testing.T) {
	s := startServer(t, nil)
	for _, c := range []struct {
		limit int
		conn  func() *wire
		fits  string
	}{
		{1024, func() *wire { w := s.connect(t); w.want("+00000"); return w }, "-00105 "},
		{4092, func() *wire { return s.login(t) }, "-00103 "},
	} {
		w := c.conn()
		w.send(strings.Repeat("x", c.limit))
		w.want(c.fits)
		w = c.conn()
		w.send(strings.Repeat("x", c.limit+1), "noop")
		w.want("-00162 ")
		w.wantEOF()
		w = c.conn()
		w.Write([]byte(strings.Repeat("x", c.limit+2))) // found out before its end
		w.want("-00162 ")
		w.wantEOF()
		w = c.conn()
		w.send(strings.Repeat("x", 1<<20)) // and the reply is not lost
		w.want("-00162 ")
	}
}

func TestIdleSessionsEnd(t *testing.T) {
	w := startServer(t, func(s *Server) { s.Limits.Login = 50 * time.Millisecond }).connect(t)
	w.want("+00000")
	w.want("-00005 ")
	w.wantEOF()
	w = startServer(t, func(s *Server) { s.Limits.Idle = 50 * time.Millisecond }).login(t)
	w.want("-00005 ")
	w.wantEOF()
}

// A client that sends a byte now and then gets no more time than another.
func TestTricklingDoesNotBuyTime(t *testing.T) {
	s := startServer(t, func(s *Server) { s.Limits.Idle = 200 * time.Millisecond })
	w := s.login(t)
	start := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.NewTicker(20 * time.Millisecond); time.Since(start) < patience; <-tick.C {
			if _, err := w.Write([]byte("x")); err != nil {
				return
			}
		}
	}()
	w.want("-00005 ")
	w.wantEOF()
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("closed after %v, want 200ms", took)
	}
	w.Close()
	<-done
}

func TestPanicEndsItsSessionOnly(t *testing.T) {
	var out bytes.Buffer
	s := startServer(t, func(s *Server) { s.Log = slog.New(slog.NewTextHandler(&out, nil)) })
	other := s.login(t)
	w := s.login(t)
	w.send("panic")
	w.want("-00002 ")
	w.wantEOF()
	other.send("noop")
	other.want("+00000")
	if !strings.Contains(out.String(), "a handler's") {
		t.Errorf("log %q, want the panic", out.String())
	}
}

func TestNoiseEndsNoOtherSession(t *testing.T) {
	s := startServer(t, nil)
	other := s.login(t)
	noise := make([]byte, 64<<10)
	rand.New(rand.NewSource(1)).Read(noise)
	for _, w := range []*wire{s.connect(t), s.login(t)} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.Write(noise)
			w.Conn.(*net.TCPConn).CloseWrite()
		}()
		if _, err := io.Copy(io.Discard, w.r); err != nil {
			t.Errorf("want the connection closed, got %v", err)
		}
		<-done
	}
	other.send("noop")
	other.want("+00000")
}

func TestRequestsKnowTheirSession(t *testing.T) {
	sessions := make(chan *Session, 1)
	s := startServer(t, func(s *Server) {
		s.Handler = HandlerFunc(func(_ context.Context, req *Request) Reply {
			sessions <- req.Session
			return OK()
		})
	})
	w := s.login(t)
	w.send("x")
	w.want("+00000")
	got := <-sessions
	if got.User != "admin" || got.RemoteAddr.String() != w.LocalAddr().String() || got.LocalAddr.String() != s.addr || got.TLS != nil || got.ID == 0 {
		t.Errorf("session %+v, want admin from %v at %v", got, w.LocalAddr(), s.addr)
	}
}

func TestCommandLog(t *testing.T) {
	events := make(chan CommandEvent, 10)
	s := startServer(t, func(s *Server) { s.CommandLog = func(e CommandEvent) { events <- e } })
	w := s.login(t)
	w.send("NOOP", "badupload\tx")
	w.want("+00000")
	w.want("-00214")
	w = s.login(t)
	w.send("upload", "12345", ".")
	w.want("+00101")
	w.want("+00000")
	var got []string
	for range 3 {
		e := <-events
		got = append(got, fmt.Sprintf("%s %q %v %d", e.Request.Command, e.Request.Args, e.Code, e.Uploaded))
	}
	want := []string{`noop [] +00000 0`, `badupload ["x"] -00214 0`, `upload [] +00000 6`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestTextsOfRepliesAreOneLine(t *testing.T) {
	s := startServer(t, func(s *Server) {
		s.Handler = HandlerFunc(func(_ context.Context, req *Request) Reply {
			return Refuse(CodeInvalid, "a\r\n+00000 OK\x00%s", strings.Repeat("x", 1000))
		})
	})
	w := s.login(t)
	w.send("x")
	if got, want := w.line(), "-00230 a??+00000 OK?xxx"; !strings.HasPrefix(got, want) || len(got) > 420 {
		t.Errorf("got %q, want %q... of at most 420 bytes", got, want)
	}
}

func TestNegativeLimitsAreNone(t *testing.T) {
	s := startServer(t, func(s *Server) {
		s.Limits = Limits{
			Sessions: -1, AddressSessions: -1, FailedLogins: -1, FailureWindow: -1, BlockTime: -1, FailureDelay: -1,
			LoginLine: -1, CommandLine: -1, UploadLine: -1, Upload: -1,
			Handshake: -1, Login: -1, Idle: -1, UploadGap: -1, Write: -1,
		}
	})
	for range 30 {
		s.tryLogin(t, "admin\tx", "-00105 ")
	}
	w := s.login(t)
	w.send("args\t" + strings.Repeat("x", 1<<20))
	w.want("+00000")
	w.send("upload", strings.Repeat("x", 1<<20), ".", "quit")
	w.want("+00101")
	w.want("+00000")
	w.want("+00000")
	w.wantEOF()
}

func TestPanicOfAHookEndsItsSessionOnly(t *testing.T) {
	s := startServer(t, func(s *Server) {
		s.CommandLog = func(e CommandEvent) {
			if e.Request.Command == "args" {
				panic("a hook's")
			}
		}
	})
	other := s.login(t)
	w := s.login(t)
	w.send("args")
	w.want("+00000")
	w.wantEOF()
	other.send("noop")
	other.want("+00000")
}

func TestStatusOfReplies(t *testing.T) {
	for _, c := range []struct {
		reply  Reply
		status Status
		code   Code
		text   string
	}{
		{OK(), StatusOK, CodeOK, "OK"},
		{Reply{}, StatusOK, CodeOK, "OK"},
		{OKf("%d", 1), StatusOK, CodeOK, "OK 1"},
		{List(func(*ListWriter) error { return nil }), StatusList, CodeOK, "OK"},
		{Upload(0, func(context.Context, []byte) Reply { return OK() }), StatusData, CodeOK, "OK"},
		{Refuse(CodeNoUser, ""), StatusOK, CodeNoUser, "no such user"},
		{(&Error{CodeNoUser, "no bob"}).Reply().ForUpload(), StatusOK, CodeNoUser, "no bob"},
	} {
		if r := c.reply; r.Status() != c.status || r.Code() != c.code || r.Text() != c.text {
			t.Errorf("got %v %v %q, want %v %v %q", r.Status(), r.Code(), r.Text(), c.status, c.code, c.text)
		}
	}
}
