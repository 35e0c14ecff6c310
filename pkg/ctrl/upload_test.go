package ctrl

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestUploads(t *testing.T) {
	w := startServer(t, nil).login(t)
	for _, c := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"lines", []string{"a", "", "b"}, `"a\n\nb\n"`},
		{"none", nil, `""`},
		{"a blank line", []string{""}, `"\n"`},
		{"dots", []string{"..", "..x", ".y", "x."}, `".\n.x\ny\nx.\n"`},
		{"carriage returns", []string{"a\r\r", "b\rc", ".\r."}, `"a\nb\rc\n\r.\n"`},
		{"bytes", []string{"é\xff\t\x01"}, `"é\xff\t\x01\n"`},
		{"long", []string{strings.Repeat("x", 65536)}, `"` + strings.Repeat("x", 65536)[:100]},
	} {
		w.send("upload")
		w.want("+00101 OK")
		w.send(append(c.lines, ".")...)
		if got, want := w.line(), "+00000 OK "+c.want; !strings.HasPrefix(got, want[:min(len(want), 300)]) {
			t.Errorf("%s: got %.300q, want %.300q", c.name, got, want)
		}
	}
	w.send("upload")
	w.want("+00101")
	w.send("one", "two\x00", "three", ".")
	w.want("-00020 line 2 ")
	w.send("noop")
	w.wantLines("+00000 OK")
}

// uploadServer tells what uploads are done.
func uploadServer(t *testing.T, set func(*Server)) (*testServer, *atomic.Int64) {
	done := new(atomic.Int64)
	s := startServer(t, func(s *Server) {
		s.Handler = HandlerFunc(func(_ context.Context, req *Request) Reply {
			if req.Command != "upload" {
				return echo(context.Background(), req)
			}
			return Upload(20, func(context.Context, []byte) Reply {
				done.Add(1)
				return OK()
			})
		})
		if set != nil {
			set(s)
		}
	})
	return s, done
}

// An upload that does not end in its dot does nothing.
func TestUploadsThatBreakOff(t *testing.T) {
	t.Run("connection closed", func(t *testing.T) {
		s, done := uploadServer(t, nil)
		w := s.login(t)
		w.send("upload")
		w.want("+00101")
		w.send("one")
		w.Write([]byte("two"))
		w.Conn.(*net.TCPConn).CloseWrite()
		w.wantEOF()
		wantNone(t, done)
	})
	t.Run("time-out", func(t *testing.T) {
		s, done := uploadServer(t, func(s *Server) { s.Limits.UploadGap = 50 * time.Millisecond })
		w := s.login(t)
		w.send("upload")
		w.want("+00101")
		w.send("one")
		w.want("-00005 ")
		w.wantEOF()
		wantNone(t, done)
	})
	t.Run("line too long", func(t *testing.T) {
		s, done := uploadServer(t, func(s *Server) { s.Limits.UploadLine = 10 })
		w := s.login(t)
		w.send("upload")
		w.want("+00101")
		w.send("0123456789", "0123456789a", ".", "noop")
		w.want("-00162 ")
		w.wantEOF()
		wantNone(t, done)
	})
	t.Run("too big", func(t *testing.T) {
		s, done := uploadServer(t, nil)
		w := s.login(t)
		w.send("upload")
		w.want("+00101")
		w.send("012345678", "012345678", ".") // 20 bytes
		w.want("+00000")
		w.send("upload")
		w.want("+00101")
		w.send("012345678", "0123456789", ".", "noop")
		w.want("-00268 ")
		w.wantEOF()
		if n := done.Load(); n != 1 {
			t.Errorf("%d uploads done, want 1", n)
		}
	})
	t.Run("the server's limit", func(t *testing.T) {
		s, done := uploadServer(t, func(s *Server) { s.Limits.Upload = 4 })
		w := s.login(t)
		w.send("upload", "12345", ".")
		w.want("+00101")
		w.want("-00268 ")
		w.wantEOF()
		wantNone(t, done)
	})
}

func wantNone(t *testing.T, done *atomic.Int64) {
	t.Helper()
	if n := done.Load(); n != 0 {
		t.Errorf("%d uploads done, want none", n)
	}
}

// Lines that were meant as data of a refused upload are not run as commands.
func TestDataOfARefusedUploadIsNotRun(t *testing.T) {
	s := startServer(t, nil)
	w := s.login(t)
	w.send("badupload", "noop", ".")
	w.want("-00214 ")
	w.wantEOF()
	w = s.login(t)
	w.send("badupload")
	w.want("-00214 ")
	w.send("noop") // who waits may go on
	w.want("+00000")
}

func TestUploadsMayEndInOtherReplies(t *testing.T) {
	s := startServer(t, func(s *Server) {
		s.Handler = HandlerFunc(func(_ context.Context, req *Request) Reply {
			return Upload(0, func(context.Context, []byte) Reply {
				switch req.Command {
				case "list":
					return List(func(w *ListWriter) error { return w.Row("a") })
				case "upload":
					return Upload(0, func(context.Context, []byte) Reply { return OK() })
				case "close":
					return OK().ThenClose()
				}
				panic("in the middle")
			})
		})
	})
	w := s.login(t)
	w.send("list", ".", "upload", ".", "close", ".")
	w.wantLines("+00101 OK", "+00100 OK", `"a"`, ".", "+00101 OK")
	w.want("-00002 ")
	w.wantLines("+00101 OK", "+00000 OK")
	w.wantEOF()
	w = s.login(t)
	w.send("panic", ".")
	w.want("+00101 ")
	w.want("-00002 ")
	w.wantEOF()
}
