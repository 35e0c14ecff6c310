package ctrl

import (
	"bytes"
	"context"
	"io"
	"net"
	"regexp"
	"testing"
	"time"
)

var replyShape = regexp.MustCompile(`^[+-][0-9]{5} [^\x00-\x1f\x7f]+$`)

// checkReplies fails unless out is a sequence of complete replies.
func checkReplies(t *testing.T, out []byte) {
	inList := false
	for n := 0; len(out) > 0; n++ {
		line, rest, ok := bytes.Cut(out, []byte("\r\n"))
		if !ok {
			t.Fatalf("line %d %q has no end", n, line)
		}
		out = rest
		if inList {
			inList = string(line) != "."
			continue
		}
		if !replyShape.Match(line) {
			t.Fatalf("line %d %q is no reply", n, line)
		}
		inList = bytes.HasPrefix(line, []byte("+00100"))
	}
	if inList {
		t.Fatal("a list has no end")
	}
}

// FuzzSession sends what a stranger may send, first of all the login.
func FuzzSession(f *testing.F) {
	for _, seed := range []string{
		"",
		"admin\tsecret\r\nnoop\r\nquit\r\n",
		"admin\tx\r\nquit\r\n",
		"admin\t#6c92cfeb2f47f44af8ed9479add2c35d\n",
		"#!TLS\r\nadmin\tsecret\r\n",
		"admin\tsecret\nlist\ta\"\t.\n\t\n\"\"\nnosuch\x00\n",
		"admin\tsecret\nupload\na\n..b\n\n.\nargs\t\"a\\\"b\"\t\xff\n",
		"admin\tsecret\nupload\na\x00\n.\nbadupload\na\n.\n",
		"admin\tsecret\nupload\nno end",
		"admin\tsecret\ntext\t.\t..\t\r\t" + string(bytes.Repeat([]byte("x"), 3000)) + "\npanic\nnoop\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		string(bytes.Repeat([]byte("x"), 5000)),
	} {
		f.Add([]byte(seed))
	}
	s := startServer(f, func(s *Server) {
		s.TLSConfig = nil // bytes after a handshake are nobody's reply
		s.Limits.FailedLogins = -1
		s.Limits.Upload = 1 << 16
		s.Authenticator = AuthenticatorFunc(func(_ context.Context, l Login) error {
			if l.User == "" {
				return ErrLogin
			}
			return nil
		})
	})
	f.Fuzz(func(t *testing.T, in []byte) {
		nc, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(patience))
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			nc.Write(in)
			nc.(*net.TCPConn).CloseWrite()
		}()
		out, err := io.ReadAll(nc)
		if err != nil {
			t.Fatalf("the session does not end: %v, after %q", err, out)
		}
		<-sent
		checkReplies(t, out)
	})
}
