// Package servertest runs whole servers in tests: in the test's process, on free
// ports of the loopback, each on a MailRoot of its own in a temporary folder.
package servertest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server"
	"github.com/xmaild/xmaild/pkg/server/obs"
	"github.com/xmaild/xmaild/pkg/server/resolve"
	"github.com/xmaild/xmaild/pkg/server/resolve/resolvetest"
	"github.com/xmaild/xmaild/pkg/server/selfcert"
)

// The administrator of the default MailRoot.
const (
	User     = "admin"
	Password = "secretpw"
)

// A Server is a server that runs. Its methods are for the test's own goroutine.
type Server struct {
	Addr    string // of the control port
	TLSAddr string // of the control port inside TLS
	SMTP    string // of SMTP
	SMTPS   string // of SMTP inside TLS
	POP3    string // of POP3
	POP3S   string // of POP3 inside TLS
	Finger  string // of finger
	Dir     string // the MailRoot

	DNS *resolvetest.Server // all of the DNS that the server sees; empty until the test fills it

	Server *server.Server // nil while stopped

	options options
	log     *log
}

// An Option changes how a server is started.
type Option func(*options)

type options struct {
	dir    string
	vars   [][2]string
	config []func(*server.Config)
}

// Dir takes a MailRoot that is there, as it is, in place of a copy of the default one.
func Dir(dir string) Option { return func(o *options) { o.dir = dir } }

// Var sets a variable of server.tab before the first start.
func Var(name, value string) Option {
	return func(o *options) { o.vars = append(o.vars, [2]string{name, value}) }
}

// CompatLevel sets that variable; the default MailRoot has none, which is level 0.
func CompatLevel(level int) Option { return Var("CompatLevel", fmt.Sprint(level)) }

// Clock is the time that the server goes by.
func Clock(clock func() time.Time) Option {
	return Config(func(c *server.Config) { c.Clock = clock })
}

// Config changes the configuration of the server, also at each restart.
func Config(f func(*server.Config)) Option {
	return func(o *options) { o.config = append(o.config, f) }
}

// Start starts a server, and stops it at the end of the test. Its MailRoot is a
// copy of testdata/conformance/mailroot with the folders that cannot be kept
// there and a certificate of its own, unless an option says otherwise. The
// login log is on, refused logins are hardly held back.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s := &Server{log: &log{}}
	for _, o := range opts {
		o(&s.options)
	}
	s.DNS = resolvetest.Start(t, nil)
	s.Dir = s.options.dir
	if s.Dir == "" {
		s.Dir = filepath.Join(t.TempDir(), "MailRoot")
		if err := NewMailRoot(s.Dir); err != nil {
			t.Fatalf("servertest: %v", err)
		}
	}
	if err := s.setVars(); err != nil {
		t.Fatalf("servertest: %v", err)
	}
	s.start(t)
	t.Cleanup(func() {
		if s.Server != nil {
			s.Stop(t)
		}
		if t.Failed() {
			t.Logf("log of the server:\n%s", s.Log())
		}
	})
	return s
}

// setVars writes the variables of the options at the start of server.tab, where
// they win over rows of the same name.
func (s *Server) setVars() error {
	if len(s.options.vars) == 0 {
		return nil
	}
	name := filepath.Join(s.Dir, "server.tab")
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var rows strings.Builder
	for _, v := range s.options.vars {
		fmt.Fprintf(&rows, "\"%s\"\t\"%s\"\n", v[0], v[1])
	}
	return os.WriteFile(name, append([]byte(rows.String()), content...), 0o600)
}

func (s *Server) start(t testing.TB) {
	t.Helper()
	config := server.Config{
		Root:             s.Dir,
		Ctrl:             server.Endpoint{Addrs: []string{"127.0.0.1:0"}},
		Ctrls:            server.Endpoint{Addrs: []string{"127.0.0.1:0"}},
		SMTP:             server.Endpoint{Addrs: []string{"127.0.0.1:0"}},
		SMTPS:            server.Endpoint{Addrs: []string{"127.0.0.1:0"}},
		POP3:             server.Endpoint{Addrs: []string{"127.0.0.1:0"}},
		POP3S:            server.Endpoint{Addrs: []string{"127.0.0.1:0"}},
		Finger:           server.Endpoint{Addrs: []string{"127.0.0.1:0"}},
		CtrlLog:          true,
		SMTPLog:          true,
		POP3Log:          true,
		FingerLog:        true,
		QueueLog:         true,
		POP3Delay:        time.Millisecond,
		CtrlFailureDelay: time.Millisecond,
		Version:          "test",
		Log:              obs.NewLog(s.log, true),
		Poll:             10 * time.Millisecond,
	}
	for _, f := range s.options.config {
		f(&config)
	}
	if config.Resolver == nil {
		config.Resolver = s.DNS.Resolver(resolve.Options{Clock: config.Clock})
	}
	srv, err := server.New(config)
	if err == nil {
		err = srv.Start(t.Context())
	}
	if err != nil {
		t.Fatalf("servertest: start: %v", err)
	}
	s.Server = srv
	s.Addr, s.TLSAddr = first(srv.CtrlAddrs()), first(srv.CtrlsAddrs())
	s.SMTP, s.SMTPS = first(srv.SMTPAddrs()), first(srv.SMTPSAddrs())
	s.POP3, s.POP3S = first(srv.POP3Addrs()), first(srv.POP3SAddrs())
	s.Finger = first(srv.FingerAddrs())
}

// first is the first of some addresses, empty where there is none.
func first(all []netip.AddrPort) string {
	if len(all) == 0 {
		return ""
	}
	return all[0].String()
}

// Stop stops the server and waits until everything of it has ended.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	// The test's own context has ended where this runs as its cleanup.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := s.Server.Shutdown(ctx)
	s.Server = nil
	if err != nil {
		t.Errorf("servertest: stop: %v", err)
	}
}

// Restart stops the server, unless it is stopped, and starts it again on the
// same MailRoot. Its ports are others then.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if s.Server != nil {
		s.Stop(t)
	}
	s.start(t)
}

// Dial logs in as the administrator of the default MailRoot. The connection is
// closed at the end of the test.
func (s *Server) Dial(t testing.TB) *ctrl.Client {
	t.Helper()
	c, err := ctrl.Dial(t.Context(), s.Addr, User, Password)
	if err != nil {
		t.Fatalf("servertest: log in: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TLSConfig is that of a client which trusts the certificate of this server.
func (s *Server) TLSConfig(t testing.TB) *tls.Config {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(s.Read(t, "server.cert"))) {
		t.Fatal("servertest: no certificate in server.cert")
	}
	return &tls.Config{RootCAs: roots}
}

// Read returns the content of a file, named relative to the MailRoot.
func (s *Server) Read(t testing.TB, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(s.Dir, filepath.FromSlash(name)))
	if err != nil {
		t.Fatalf("servertest: %v", err)
	}
	return string(content)
}

// Write writes a file, named relative to the MailRoot, as an administrator
// would; the server need not be stopped.
func (s *Server) Write(t testing.TB, name, content string) {
	t.Helper()
	name = filepath.Join(s.Dir, filepath.FromSlash(name))
	err := os.MkdirAll(filepath.Dir(name), 0o700)
	if err == nil {
		err = os.WriteFile(name, []byte(content), 0o600)
	}
	if err != nil {
		t.Fatalf("servertest: %v", err)
	}
}

// Log returns what the server has logged so far, restarts included.
func (s *Server) Log() string { return s.log.String() }

// emptyFolders are the folders of the default MailRoot that git does not keep.
var emptyFolders = []string{
	"cmdaliases/xmailserver.test", "custdomains", "filters", "logs", "pop3locks", "pop3linklocks", "spool/local", "spool/temp",
	"userauth/pop3", "userauth/smtp", "msgsync", "domains/xmailserver.test/xmailuser/Maildir/tmp",
	"domains/xmailserver.test/xmailuser/Maildir/new", "domains/xmailserver.test/xmailuser/Maildir/cur",
}

// NewMailRoot makes a MailRoot at dir, which must be absent: a copy of
// testdata/conformance/mailroot, complete. It is for servers in processes of their own.
func NewMailRoot(dir string) error {
	from, err := repository()
	if err != nil {
		return err
	}
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(from, "testdata", "conformance", "mailroot"))); err != nil {
		return err
	}
	for _, name := range emptyFolders {
		if err := os.MkdirAll(filepath.Join(dir, filepath.FromSlash(name)), 0o700); err != nil {
			return err
		}
	}
	cert, key, err := selfcert.New([]string{"localhost", "127.0.0.1", "::1"}, time.Now())
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "server.cert"), cert, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "server.key"), key, 0o600)
}

// repository is the folder of go.mod: tests run in folders below it.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("no go.mod in the folders above %s", dir)
		}
		dir = up
	}
}

// log collects what the server logs.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
