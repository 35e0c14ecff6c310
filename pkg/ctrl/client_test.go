package ctrl

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestClientCommands(t *testing.T) {
	c := startServer(t, nil).dial(t)
	r, err := c.Do(t.Context(), "args", `say "hi"`, "", `a\`, "é\xff")
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != StatusOK || r.Text != `OK ["say \"hi\"" "" "a\\" "é\xff"]` {
		t.Errorf("got %v %s", r.Status, r.Text)
	}
	_, err = c.Do(t.Context(), "nosuch")
	wantCode(t, err, CodeCommand)
	lines, err := c.List(t.Context(), "text", "a", ".", "..b", "")
	if diff := cmp.Diff([]string{"a", ".", "..b"}, lines[:3]); err != nil || diff != "" {
		t.Errorf("error %v, -want +got\n%s", err, diff)
	}
	if lines, err := c.List(t.Context(), "noop"); err != nil || lines != nil {
		t.Errorf("List of noop: %q, %v", lines, err)
	}
	r, err = c.Do(t.Context(), "list", "1", `2"`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Do(t.Context(), "noop"); err != ErrBusy {
		t.Errorf("Do before the list was read: %v, want %v", err, ErrBusy)
	}
	var rows [][]string
	for row, err := range r.Rows() {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	if diff := cmp.Diff([][]string{{"1", "x"}, {`2"`, "x"}}, rows); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if err := c.Quit(); err != nil {
		t.Errorf("Quit: %v", err)
	}
	if _, err := c.Do(t.Context(), "noop"); err == nil {
		t.Error("Do after Quit: no error")
	}
}

func TestClientUploads(t *testing.T) {
	var got []byte
	s := startServer(t, func(s *Server) {
		s.Handler = HandlerFunc(func(_ context.Context, req *Request) Reply {
			if req.Command != "upload" {
				return echo(context.Background(), req)
			}
			return Upload(2<<20, func(_ context.Context, content []byte) Reply {
				got = content
				if len(req.Args) > 0 {
					return Refuse(CodeBadFile, "no")
				}
				return OK()
			})
		})
	})
	c := s.dial(t)
	for _, content := range []string{"", "\n", "a\n.b\n..\n", "no end", ".", "a\r\nb\r\n", strings.Repeat("line\n", 200000), strings.Repeat("x", 65536) + "\n"} {
		want := strings.ReplaceAll(content, "\r", "")
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		for name, upload := range map[string]func() error{
			"Client.Upload": func() error { return c.Upload(t.Context(), strings.NewReader(content), "upload") },
			"Response.Upload": func() error {
				r, err := c.Do(t.Context(), "upload")
				if err != nil {
					return err
				}
				return r.Upload(iotest.OneByteReader(strings.NewReader(content)))
			},
		} {
			if err := upload(); err != nil {
				t.Fatalf("%s of %.20q: %v", name, content, err)
			}
			if string(got) != want {
				t.Errorf("%s: got %.40q, want %.40q", name, got, want)
			}
		}
	}
	wantCode(t, c.Upload(t.Context(), strings.NewReader("x"), "upload", "refuse"), CodeBadFile)
	wantCode(t, c.Upload(t.Context(), strings.NewReader("x"), "badupload"), CodeBadPath)
	if err := c.Upload(t.Context(), strings.NewReader("x"), "noop"); err != ErrNoUpload {
		t.Errorf("upload to noop: %v, want %v", err, ErrNoUpload)
	}
	broken := errors.New("broken")
	for _, r := range []io.Reader{
		strings.NewReader("a\n" + strings.Repeat("x", 65537) + "\n"),
		strings.NewReader("a\nb\x00\n"),
		iotest.ErrReader(broken),
	} {
		err := c.Upload(t.Context(), r, "upload")
		if e, ok := errors.AsType[*UploadError](err); !ok || e.Line != 2 && !errors.Is(e, broken) {
			t.Errorf("got %v, want line 2 or %v", err, broken)
		}
	}
	if _, err := c.Do(t.Context(), "noop"); err != nil {
		t.Errorf("nothing was sent, but then: %v", err)
	}
	err := c.Upload(t.Context(), strings.NewReader(strings.Repeat("0123456789abcde\n", 1<<18)), "upload") // 4 MiB
	wantCode(t, err, CodeTooBig)
	if _, err := c.Do(t.Context(), "noop"); !errors.Is(err, &Error{Code: CodeTooBig}) {
		t.Errorf("after the server closed: %v, want its reason", err)
	}
}

func TestUploadWhoseContentFailsChangesNothing(t *testing.T) {
	s, done := uploadServer(t, nil)
	c := s.dial(t)
	r, err := c.Do(t.Context(), "upload")
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := r.Upload(io.MultiReader(strings.NewReader("a\n"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	if err := shutdown(t, s, patience); err != nil { // the session has ended
		t.Fatal(err)
	}
	wantNone(t, done)
}

// The context of one command has no say over the next.
func TestContextsOfCommandsAreTheirOwn(t *testing.T) {
	c := startServer(t, nil).dial(t)
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := c.Do(ctx, "noop"); err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := c.Do(ctx, "noop"); !errors.Is(err, context.Canceled) {
			t.Fatalf("Do with a context that is done: %v, want %v", err, context.Canceled)
		}
	}
	if _, err := c.Do(t.Context(), "noop"); err != nil {
		t.Errorf("nothing was sent, but then: %v", err)
	}
}

// A fakeServer is what a test makes of the other end.
func fakeServer(t *testing.T, serve func(w *wire)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			nc.SetDeadline(time.Now().Add(patience))
			serve(&wire{t, nc, bufio.NewReader(nc)})
			nc.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

const originalGreeting = "+00000 <1795304826.140629884655296@192.0.2.5> XMail 1.27 CTRL Server; Sat, 21 Nov 2026 23:47:06 -0000"

// greet plays a server as far as the login, after which it expects a command.
func greet(w *wire) (login string) {
	w.Write([]byte(originalGreeting + "\r\n"))
	login, _ = w.r.ReadString('\n')
	w.Write([]byte("+00000 OK\r\n"))
	return strings.TrimRight(login, "\r\n")
}

// script serves connections that end after what it says to the one command.
func script(t *testing.T, reply string) string {
	return fakeServer(t, func(w *wire) {
		greet(w)
		if _, err := w.r.ReadString('\n'); err == nil {
			w.Write([]byte(reply))
		}
	})
}

func TestOutcomeIsUnknownWhenTheReplyIsLost(t *testing.T) {
	for _, reply := range []string{"", "+00000", "hello\r\n", "+x OK\r\n", "+ OK\r\n"} {
		c, err := Dial(t.Context(), script(t, reply), "a", "b")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = c.Do(t.Context(), "domaindel", "d")
		e, ok := errors.AsType[*UnknownOutcomeError](err)
		if !ok || e.Command != "domaindel" {
			t.Errorf("%q: got %v, want the outcome unknown", reply, err)
		}
		_, understood := errors.AsType[*ProtocolError](err)
		if want := strings.HasSuffix(reply, "\n"); understood != want {
			t.Errorf("%q: got %v, want a ProtocolError: %v", reply, err, want)
		}
		if _, err := c.Do(t.Context(), "noop"); err == nil {
			t.Error("the connection is used again")
		} else if _, ok := err.(*UnknownOutcomeError); ok {
			t.Errorf("nothing was sent, but: %v", err)
		}
	}
}

func TestListsCutShort(t *testing.T) {
	for _, reply := range []string{"+00100 OK\r\n", "+00100 OK\r\n\"a\"\r\n", "+00100 OK\r\n\"a\"\r\n."} {
		c, err := Dial(t.Context(), script(t, reply), "a", "b")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		lines, err := c.List(t.Context(), "domainlist")
		if _, ok := errors.AsType[*CutError](err); !ok || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: got %q, %v, want a CutError", reply, lines, err)
		}
	}
	c, err := Dial(t.Context(), script(t, "+00100 OK\r\na\r\nb\r\n.\r\n"), "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := c.Do(t.Context(), "domainlist")
	if err != nil {
		t.Fatal(err)
	}
	for range r.Lines() {
		break
	}
	if _, err := c.Do(t.Context(), "noop"); !errors.Is(err, errAbandoned) {
		t.Errorf("after half a list: %v, want %v", err, errAbandoned)
	}
}

// XMail itself ends an upload at a long line and runs the rest as commands.
func TestLimitsOfXMailAreKept(t *testing.T) {
	addr := fakeServer(t, func(w *wire) {
		greet(w)
		w.r.ReadString('\n')
		w.Write([]byte("+00101 OK\r\n"))
		for {
			line, err := w.r.ReadString('\n')
			if err != nil || line == ".\r\n" {
				break
			}
			if len(line)-1 > 2045 {
				w.t.Errorf("a line of %d bytes", len(line))
			}
		}
		w.Write([]byte("-00021 no\r\n"))
	})
	c, err := Dial(t.Context(), addr, "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, line := range []string{strings.Repeat("x", 2045), "." + strings.Repeat("x", 2043)} {
		err := c.Upload(t.Context(), strings.NewReader(line+"\n"), "cfgfileset", "x")
		if e, ok := errors.AsType[*UploadError](err); !ok || e.Line != 1 {
			t.Errorf("%d bytes: %v, want an UploadError", len(line), err)
		}
	}
	content := strings.Repeat("x", 2044) + "\n." + strings.Repeat("x", 2042)
	wantCode(t, c.Upload(t.Context(), strings.NewReader(content), "cfgfileset", "x"), CodeWriteFile)
}

func TestContextEndsACommand(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c, err := Dial(t.Context(), fakeServer(t, func(w *wire) {
		greet(w)
		w.r.ReadString('\n')
		cancel() // and never a reply
		io.Copy(io.Discard, w.r)
	}), "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Do(ctx, "domaindel", "d")
	if _, ok := errors.AsType[*UnknownOutcomeError](err); !ok || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the outcome unknown by %v", err, context.Canceled)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dial(cancelled, script(t, ""), "a", "b"); !errors.Is(err, context.Canceled) {
		t.Errorf("Dial: %v, want %v", err, context.Canceled)
	}
}

func TestRepliesThatTheServerSentBeforeItLeft(t *testing.T) {
	s := startServer(t, func(s *Server) { s.Limits.Idle = 50 * time.Millisecond })
	c := s.dial(t)
	var b [1]byte
	if _, err := c.raw.Read(b[:0]); err != nil {
		t.Fatal(err)
	}
	if err := c.r.fill(); err != nil { // the server's time-out has come
		t.Fatal(err)
	}
	_, err := c.Do(t.Context(), "noop")
	wantCode(t, err, CodeTimeout)
}

// Who loses the connection in the middle of an upload knows what became of it where the
// server is ours; XMail installs what it has got.
func TestConnectionLostInAnUpload(t *testing.T) {
	for _, c := range []struct {
		greeting string
		unknown  bool
	}{
		{originalGreeting, true},
		{strings.Replace(originalGreeting, "Server;", "Server xmaild;", 1), false},
	} {
		addr := fakeServer(t, func(w *wire) {
			w.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
			w.Write([]byte(c.greeting + "\r\n"))
			w.r.ReadString('\n')
			w.Write([]byte("+00000 OK\r\n"))
			w.r.ReadString('\n')
			w.Write([]byte("+00101 OK\r\n"))
			w.r.ReadString('\n')
			w.Conn.(*net.TCPConn).SetLinger(0) // a reset
		})
		// The system holds a small part of the upload only, so that it need not be long.
		d := Dialer{User: "a", Password: "b", DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, network, address)
			if err == nil {
				err = nc.(*net.TCPConn).SetWriteBuffer(4 << 10)
			}
			return nc, err
		}}
		for name, upload := range map[string]func(*Client, io.Reader) error{
			"Client.Upload": func(c *Client, r io.Reader) error { return c.Upload(t.Context(), r, "cfgfileset", "x") },
			"Response.Upload": func(c *Client, r io.Reader) error {
				reply, err := c.Do(t.Context(), "cfgfileset", "x")
				if err != nil {
					return err
				}
				return reply.Upload(r)
			},
		} {
			client, err := d.Dial(t.Context(), addr)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			err = upload(client, strings.NewReader(strings.Repeat(strings.Repeat("x", 1000)+"\n", 2<<10)))
			_, unknown := errors.AsType[*UnknownOutcomeError](err)
			if err == nil || unknown != c.unknown {
				t.Errorf("%s: %v, want an error, the outcome unknown: %v", name, err, c.unknown)
			}
			if !c.unknown && !strings.Contains(err.Error(), "nothing changed") {
				t.Errorf("%s: %v, want that it says that nothing changed", name, err)
			}
		}
	}
}

func TestUploadToAReplyThatWantsNone(t *testing.T) {
	c := startServer(t, nil).dial(t)
	r, err := c.Do(t.Context(), "list", "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Upload(strings.NewReader("x")); err != ErrNoUpload {
		t.Errorf("upload to a list: %v, want %v", err, ErrNoUpload)
	}
	for range r.Lines() {
	}
	if err := r.Upload(strings.NewReader("x")); err != ErrBusy {
		t.Errorf("upload to a reply that is finished: %v, want %v", err, ErrBusy)
	}
	if err := c.Upload(t.Context(), strings.NewReader("x"), "list", "a"); err != ErrNoUpload {
		t.Errorf("upload to a list: %v, want %v", err, ErrNoUpload)
	}
	if _, err := c.List(t.Context(), "upload"); err == nil || err.Error() != "upload asks for an upload" {
		t.Errorf("List of an upload: %v", err)
	}
	if _, err := c.Do(t.Context(), "noop"); err == nil {
		t.Error("the upload that was asked for is open, and a command was sent")
	}
}

func TestErrorsSayWhatTheyAre(t *testing.T) {
	cause := errors.New("cause")
	for want, err := range map[string]error{
		"TLS handshake: cause":                     &TLSError{cause},
		"list cut short: cause":                    &CutError{cause},
		"read what to upload: cause":               &UploadError{0, cause},
		"line 3 cannot be uploaded: cause":         &UploadError{3, cause},
		"userdel: outcome unknown: cause":          &UnknownOutcomeError{"userdel", cause},
		"cannot log in: -00105 login refused":      &LoginError{&Error{Code: CodeLogin}},
		`reply not understood: "hello\x1b"`:        &ProtocolError{"hello\x1b"},
		"-00230 invalid value":                     &Error{Code: CodeInvalid},
		"the server closed the connection":         &closedError{errors.New("the server closed the connection")},
		"the password has a TAB in it":             &ArgError{Name: "password", Reason: "has a TAB in it"},
		"the command took no upload":               ErrNoUpload,
		"the reply before was not finished":        ErrBusy,
		"-00105 login refused":                     ErrLogin,
		"-00059 domain example.com is not handled": &Error{CodeNoDomain, "domain example.com is not handled"},
	} {
		if got := err.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
