package pop3d

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/login"
	"github.com/xmaild/xmaild/pkg/server/mailbox"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/selfcert"
	"github.com/xmaild/xmaild/pkg/server/session"
)

// A site is a POP3 server on the loopback, with the account ann@example.test and the
// list news@example.test.
type site struct {
	t     testing.TB
	root  *mailroot.Root
	boxes *mailbox.Store
	pop   *Server
	log   *tabLog
	text  *syncBuffer // what is logged
	addr  string      // POP3
	tls   string      // POP3S
	roots *tls.Config // of clients
	front *session.Server
}

type option func(*site)

// tables replaces tables of the MailRoot before it is opened.
func tables(name, text string) option {
	return func(s *site) {
		if s.root == nil {
			write(s.t, filepath.Join(s.addr, filepath.FromSlash(name)), text)
		}
	}
}

// setting changes the server before it serves.
func setting(f func(*Server)) option {
	return func(s *site) {
		if s.root != nil {
			f(s.pop)
		}
	}
}

func vars(level int, lines ...string) option {
	text := fmt.Sprintf("\"RootDomain\"\t\"example.test\"\n\"CompatLevel\"\t\"%d\"\n", level)
	for i := 0; i+1 < len(lines); i += 2 {
		text += fmt.Sprintf("\"%s\"\t\"%s\"\n", lines[i], lines[i+1])
	}
	return tables("server.tab", text)
}

func newSite(t testing.TB, options ...option) *site {
	t.Helper()
	return newSiteFrom(t, func(l net.Listener) net.Listener { return l }, options...)
}

func newSiteFrom(t testing.TB, listen func(net.Listener) net.Listener, options ...option) *site {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "root")
	cert, key, err := selfcert.New([]string{"localhost"}, time.Now())
	if err == nil {
		err = mailroot.Create(dir, mailroot.NewRoot{
			Domains: []string{"example.test"}, Account: "ann", AccountPassword: "pass word",
			Admin: "admin", AdminPassword: "secret of admin", Cert: cert, Key: key,
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, addr: dir, log: &tabLog{}, text: &syncBuffer{}}
	// Passwords that can be recovered, for APOP.
	write(t, filepath.Join(dir, "mailusers.tab"), fmt.Sprintf(
		"\"example.test\"\t\"ann\"\t\"%[1]s\"\t1\t\"ann\"\t\"U\"\n\"example.test\"\t\"news\"\t\"%[1]s\"\t2\t\"news\"\t\"M\"\n",
		auth.Scramble("pass word")))
	for _, o := range options {
		o(s)
	}
	log := slog.New(slog.NewTextHandler(s.text, nil))
	s.root, err = mailroot.Open(t.Context(), dir, mailroot.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.root.Close(); err != nil {
			t.Error(err)
		}
	})
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, SessionTicketsDisabled: true}
	s.roots = &tls.Config{InsecureSkipVerify: true}
	s.boxes = mailbox.New(s.root, mailbox.Options{Log: log})
	s.pop = &Server{
		Root: s.root, Boxes: s.boxes, Log: log, POP3Log: s.log,
		Login: login.New(s.root, login.Options{Delay: func(context.Context, time.Duration) {}}),
		TLS:   func() (*tls.Config, error) { return config, nil },
	}
	for _, o := range options {
		o(s)
	}
	s.front = &session.Server{Name: "pop3", Handle: s.pop.ServeConn, Refuse: s.pop.RefuseConn, Log: log}
	s.addr = s.serve(listen, false)
	s.tls = s.serve(listen, true)
	return s
}

func (s *site) serve(listen func(net.Listener) net.Listener, implicit bool) string {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	ctx := context.WithoutCancel(s.t.Context())
	var wait sync.WaitGroup
	wait.Go(func() { s.front.Serve(ctx, listen(l), implicit) })
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.front.Shutdown(ctx); err != nil {
			s.t.Errorf("Shutdown: %v", err)
		}
		wait.Wait()
	})
	return l.Addr().String()
}

func write(t testing.TB, name, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(name), 0o700)
	if err == nil {
		err = os.WriteFile(name, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (s *site) ann() mailroot.User {
	s.t.Helper()
	u, ok := s.root.User("example.test", "ann")
	if !ok {
		s.t.Fatal("there is no ann")
	}
	return u
}

// path is a file in ann's Maildir.
func (s *site) path(name string) string {
	return s.root.Path("domains/example.test/ann/Maildir/" + name)
}

// put places a message in ann's mailbox whose file holds just that text.
func (s *site) put(name, text string, seconds int64) {
	s.t.Helper()
	write(s.t, s.path(name), text)
	when := time.Unix(seconds, 0)
	if err := os.Chtimes(s.path(name), when, when); err != nil {
		s.t.Fatal(err)
	}
}

// A client speaks POP3.
type client struct {
	t     testing.TB
	conn  net.Conn
	r     *bufio.Reader
	hello string
}

func (s *site) dial() *client {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.client(conn)
}

func (s *site) client(conn net.Conn) *client {
	s.t.Helper()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	s.t.Cleanup(func() { conn.Close() })
	c := &client{t: s.t, conn: conn, r: bufio.NewReader(conn)}
	c.hello = c.line()
	return c
}

func (s *site) dialTLS() *client {
	s.t.Helper()
	conn, err := tls.Dial("tcp", s.tls, s.roots)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.client(conn)
}

// login opens ann's mailbox.
func (s *site) login() *client {
	s.t.Helper()
	c := s.dial()
	c.want("USER ann", "+OK")
	c.want("PASS pass word", "+OK")
	return c
}

func (c *client) line() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read after %q: %v", line, err)
	}
	if !strings.HasSuffix(line, "\r\n") {
		c.t.Errorf("line %q does not end in CRLF", line)
	}
	return strings.TrimRight(line, "\r\n")
}

func (c *client) send(lines ...string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, strings.Join(lines, "\r\n")+"\r\n"); err != nil {
		c.t.Fatal(err)
	}
}

// want sends a command and checks the beginning of the reply.
func (c *client) want(command, prefix string) string {
	c.t.Helper()
	c.send(command)
	return c.reply(command, prefix)
}

func (c *client) reply(command, prefix string) string {
	c.t.Helper()
	got := c.line()
	if !strings.HasPrefix(got, prefix) {
		c.t.Fatalf("%s is answered %q, want %s", command, got, prefix)
	}
	return got
}

// lines sends a command and returns the lines after +OK as they come, dots included.
func (c *client) lines(command string) []string {
	c.t.Helper()
	c.want(command, "+OK")
	return c.rest()
}

func (c *client) rest() []string {
	c.t.Helper()
	var all []string
	for {
		line := c.line()
		if line == "." {
			return all
		}
		all = append(all, line)
	}
}

// closed checks that the server has ended the session.
func (c *client) closed() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.r); err != nil || len(rest) > 0 {
		c.t.Errorf("at the end of the session came %q (err %v), want nothing", rest, err)
	}
}

// A tabLog keeps what is written to the log of the service.
type tabLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *tabLog) Write(fields ...string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, strings.Join(fields, "|"))
	return nil
}

func (l *tabLog) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

type syncBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// elsewhere is a listener whose clients come from another machine.
type elsewhere struct{ net.Listener }

func fromElsewhere(l net.Listener) net.Listener { return elsewhere{l} }

func (l elsewhere) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return remoteConn{c.(*net.TCPConn)}, nil
}

type remoteConn struct{ *net.TCPConn }

func (remoteConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 4711} }

func newReader(conn net.Conn) *bufio.Reader { return bufio.NewReader(conn) }

func tlsClient(t testing.TB, conn net.Conn, config *tls.Config) net.Conn {
	t.Helper()
	inner := tls.Client(conn, config)
	if err := inner.Handshake(); err != nil {
		t.Fatal(err)
	}
	return inner
}

// tcpPair returns two ends of a connection.
func tcpPair(t testing.TB) (server, client net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err == nil {
		server, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return server, client
}

func newConn(c net.Conn, implicit bool) *session.Conn { return session.NewConn(c, "pop3", implicit) }

func chtimes(t testing.TB, name string, when time.Time) {
	t.Helper()
	if err := os.Chtimes(name, when, when); err != nil {
		t.Fatal(err)
	}
}
