package smtpd

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
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
	"github.com/xmaild/xmaild/pkg/server/obs"
	"github.com/xmaild/xmaild/pkg/server/policy"
	"github.com/xmaild/xmaild/pkg/server/resolve"
	"github.com/xmaild/xmaild/pkg/server/selfcert"
	accept "github.com/xmaild/xmaild/pkg/server/session"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// A testPolicy is the policy of the server's own, with what a test says of clients.
type testPolicy struct {
	*policy.Policy
	mu     sync.Mutex
	change func(*policy.Client)
}

// set changes what is said of clients that connect from now on.
func (p *testPolicy) set(f func(*policy.Client)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.change = f
}

func (p *testPolicy) Client(ctx context.Context, remote, local netip.AddrPort) policy.Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.Policy.Client(ctx, remote, local)
	if p.change != nil {
		p.change(&c)
	}
	return c
}

// noDNS is a DNS in which there is nothing.
type noDNS struct{}

func (noDNS) LookupPTR(context.Context, netip.Addr) ([]string, error) {
	return nil, resolve.ErrNotFound
}
func (noDNS) LookupIP(context.Context, string) ([]netip.Addr, error) { return nil, resolve.ErrNotFound }
func (noDNS) LookupIP4(context.Context, string) ([]netip.Addr, error) {
	return nil, resolve.ErrNotFound
}
func (noDNS) LookupMX(context.Context, string) ([]resolve.MX, error) { return nil, resolve.ErrNotFound }

// A rig is a Server on ports of the loopback.
type rig struct {
	*Server
	dir    string
	policy *testPolicy
	queue  *spool.Queue
	conns  *accept.Server
	addr   string // clear text
	tls    string // implicit TLS
	set    func(*rig)
	stop   func() // stops it before the end of the test
}

// newRig serves the domain foo.test, in which alice has an account with the password
// "secret", and bob another one. variables are rows of server.tab, NAME=VALUE.
func newRig(t testing.TB, variables ...string) *rig {
	t.Helper()
	return newRigSet(t, nil, variables...)
}

// newRigSet is newRig with a Server that set has changed before it serves.
func newRigSet(t testing.TB, set func(*rig), variables ...string) *rig {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "MailRoot")
	err := mailroot.Create(dir, mailroot.NewRoot{Domains: []string{"foo.test"}, Account: "alice", AccountPassword: "secret", Admin: "admin", AdminPassword: "x"})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, v := range append(variables, "RootDomain=foo.test", "SmtpServerDomain=mx.foo.test") {
		name, value, _ := strings.Cut(v, "=")
		fmt.Fprintf(&text, "%q\t%q\n", name, value)
	}
	write(t, dir, "mailusers.tab", "") // the password there is hashed
	addUser(t, dir, "foo.test", "alice", "secret")
	addUser(t, dir, "foo.test", "bob", "secret")
	write(t, dir, "server.tab", text.String())
	write(t, dir, "smtprelay.tab", "") // that of a fresh MailRoot has the loopback
	r := &rig{dir: dir, set: set}
	r.serve(t)
	return r
}

// addUser makes an account with a reversible password.
func addUser(t testing.TB, dir, domain, name, password string) {
	t.Helper()
	table, err := os.ReadFile(filepath.Join(dir, "mailusers.tab"))
	if err != nil {
		t.Fatal(err)
	}
	row := fmt.Sprintf("%q\t%q\t%q\t%d\t%q\t\"U\"\n", domain, name, auth.Scramble(password), 100+len(table), name)
	write(t, dir, "mailusers.tab", row+string(table))
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(dir, "domains", domain, name, "Maildir", sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir, "domains/"+domain+"/"+name+"/user.tab", "\"RealName\"\t\""+name+"\"\n")
}

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	name = filepath.Join(dir, filepath.FromSlash(name))
	err := os.MkdirAll(filepath.Dir(name), 0o700)
	if err == nil {
		err = os.WriteFile(name, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// serve serves the MailRoot at dir.
func (r *rig) serve(t testing.TB) {
	t.Helper()
	root, err := mailroot.Open(context.Background(), r.dir, mailroot.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r.queue, err = spool.Open(context.Background(), filepath.Join(r.dir, "spool"), spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := selfcert.New([]string{"localhost", "127.0.0.1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	boxes := mailbox.New(root, mailbox.Options{})
	r.policy = &testPolicy{Policy: policy.New(root, noDNS{}, boxes, policy.Options{})}
	logins := login.New(root, login.Options{Delay: func(context.Context, time.Duration) {}})
	logs := obs.NewTabLog("smtp", obs.Options{Dir: filepath.Join(r.dir, "logs")})
	r.Server = &Server{
		Root: root, Policy: r.policy, Login: logins, Queue: r.queue, SMTPLog: logs,
		TLS: func() (*tls.Config, error) {
			return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
		},
		Log:     slog.New(slog.NewTextHandler(testWriter{t}, nil)),
		Timeout: patience,
	}
	r.conns = &accept.Server{
		Name:   "smtp",
		Handle: func(ctx context.Context, c *accept.Conn) { r.ServeConn(ctx, c) },
		Refuse: func(c *accept.Conn, why error) { r.RefuseConn(c, why) },
	}
	if r.set != nil {
		r.set(r)
	}
	var served sync.WaitGroup
	for _, implicit := range []bool{false, true} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if implicit {
			r.tls = l.Addr().String()
		} else {
			r.addr = l.Addr().String()
		}
		served.Go(func() {
			if err := r.conns.Serve(context.Background(), l, implicit); !errors.Is(err, accept.ErrServerClosed) {
				t.Errorf("Serve: %v", err)
			}
		})
	}
	r.stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := r.conns.Shutdown(ctx); err != nil {
			t.Errorf("shut down: %v", err)
		}
		served.Wait()
		for _, c := range []io.Closer{r.queue, root, logs} {
			if err := c.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
	})
	t.Cleanup(r.stop)
}

// A testWriter shows what the server logs where a test fails.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", strings.TrimSpace(string(p)))
	return len(p), nil
}

// messages returns what is in the queue: the texts of the messages.
func (r *rig) messages(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(r.dir, "spool", "live", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, name := range names {
		if strings.HasSuffix(name, ".new") {
			t.Errorf("%s is left behind", name)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, body, _ := strings.Cut(string(text), "\n\n")
		texts = append(texts, body)
	}
	return texts
}

// records returns the columns of the smtp log.
func (r *rig) records(t testing.TB) [][]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(r.dir, "logs", "smtp-*"))
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Split(strings.TrimSpace(line), "\t")
			for i := range fields {
				fields[i] = strings.Trim(fields[i], `"`)
			}
			rows = append(rows, fields)
		}
	}
	return rows
}

// A client speaks SMTP as a test tells it.
type client struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func (r *rig) dial(t testing.TB) *client {
	t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return newClient(t, c)
}

func newClient(t testing.TB, c net.Conn) *client { return &client{c, t, bufio.NewReader(c)} }

// greet dials and says EHLO.
func (r *rig) greet(t testing.TB) *client {
	t.Helper()
	c := r.dial(t)
	c.want("220")
	c.ask("EHLO client.test", "250")
	return c
}

// startTLS begins TLS.
func (c *client) startTLS() {
	c.t.Helper()
	tc := tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true})
	if err := tc.Handshake(); err != nil {
		c.t.Fatalf("handshake: %v", err)
	}
	c.Conn, c.r = tc, bufio.NewReader(tc)
}

// reply reads a reply: its lines with | between them.
func (c *client) reply() string {
	var lines []string
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return strings.Join(append(lines, line+"<"+err.Error()+">"), "|")
		}
		lines = append(lines, strings.TrimRight(line, "\r\n"))
		if len(line) < 4 || line[3] != '-' {
			return strings.Join(lines, "|")
		}
	}
}

// want reads a reply that begins so.
func (c *client) want(prefix string) string {
	c.t.Helper()
	got := c.reply()
	if !strings.HasPrefix(got, prefix) {
		c.t.Fatalf("answered %q, want %q", got, prefix)
	}
	return got
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatalf("send %.40q: %v", text, err)
	}
}

// ask sends a command and reads a reply that begins so.
func (c *client) ask(command, prefix string) string {
	c.t.Helper()
	c.send(command + "\r\n")
	got := c.reply()
	if !strings.HasPrefix(got, prefix) {
		c.t.Fatalf("%s: answered %q, want %q", command, got, prefix)
	}
	return got
}

// begin begins a message from a stranger to alice.
func (c *client) begin() {
	c.t.Helper()
	c.ask("MAIL FROM:<x@ext.test>", "250 2.1.0")
	c.ask("RCPT TO:<alice@foo.test>", "250 2.1.5")
}

// gone waits for the end of the connection.
func (c *client) gone() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.r); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") || len(rest) > 0 {
		c.t.Fatalf("the connection goes on: %q, %v", rest, err)
	}
}
