package outbound_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/outbound"
	"github.com/xmaild/xmaild/pkg/server/resolve"
	"github.com/xmaild/xmaild/pkg/server/resolve/resolvetest"
)

// A world is a MailRoot, a name server, and hosts at addresses that only the sender
// under test can reach.
type world struct {
	t      *testing.T
	root   *mailroot.Root
	dns    *resolvetest.Server
	sender *outbound.Sender
	log    *lockedBuffer
	ca     *authority

	mu    sync.Mutex
	now   time.Time
	hosts map[string]string // address:port as the DNS has it -> address:port of this machine; "" never answers
	calls []string          // addresses that were called
	binds []netip.Addr
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// newWorld starts one. files are tables of the MailRoot; rows of server.tab are added
// to those that a fresh one has, of CompatLevel 1.
func newWorld(t *testing.T, zones resolvetest.Zones, files map[string]string, change func(*outbound.Options)) *world {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "MailRoot")
	err := mailroot.Create(dir, mailroot.NewRoot{Domains: []string{"ours.test"}, Account: "ann", AccountPassword: "x", Admin: "admin", AdminPassword: "x"})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if name == "server.tab" {
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			text = text + string(before) // the first row of a name counts
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{t: t, now: time.Now(), hosts: map[string]string{}, log: &lockedBuffer{}, ca: newAuthority(t)}
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if w.root, err = mailroot.Open(t.Context(), dir, mailroot.Options{Log: log, Clock: w.clock}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.root.Close() })
	w.dns = resolvetest.Start(t, zones)
	o := outbound.Options{
		Dial:     w.dial,
		Roots:    func() (*x509.CertPool, error) { return w.ca.pool, nil },
		Timeouts: outbound.Timeouts{Connect: 10 * time.Second, Greeting: 10 * time.Second, Command: 10 * time.Second, Final: 10 * time.Second},
	}
	o.Own = netip.Addr.IsLoopback // the machine may well have addresses of 192.0.2.0/24
	if change != nil {
		change(&o)
	}
	w.sender = outbound.New(w.root, w.dns.Resolver(resolve.Options{Timeout: 10 * time.Second}), o)
	t.Cleanup(w.sender.Close)
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) dial(ctx context.Context, bind netip.Addr, to netip.AddrPort) (net.Conn, error) {
	w.mu.Lock()
	real, ok := w.hosts[to.String()]
	w.calls = append(w.calls, to.String())
	w.binds = append(w.binds, bind)
	w.mu.Unlock()
	switch {
	case !ok:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	case real == "":
		<-ctx.Done() // a black hole
		return nil, ctx.Err()
	}
	d := net.Dialer{}
	if bind.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(bind, 0))
	}
	return d.DialContext(ctx, "tcp", real)
}

// at puts a host at an address of the DNS.
func (w *world) at(public, real string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := netip.ParseAddrPort(public); err != nil {
		public = netip.AddrPortFrom(netip.MustParseAddr(public), 25).String()
	}
	w.hosts[public] = real
}

// called returns which addresses were called since the last time.
func (w *world) called() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := strings.Join(w.calls, " ")
	w.calls = nil
	return all
}

const text = "Subject: x\r\n\r\nhello\r\n"

func message(to ...string) outbound.Message { return messageOf(text, to...) }

func messageOf(text string, to ...string) outbound.Message {
	m := outbound.Message{From: "ann@ours.test", Body: strings.NewReader(text), Size: int64(len(text))}
	for _, address := range to {
		m.Recipients = append(m.Recipients, outbound.Recipient{Address: address})
	}
	return m
}

// send plans by the domain and sends.
func (w *world) send(domain string, m outbound.Message) []outbound.Result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 60*time.Second)
	defer cancel()
	r, err := w.sender.Plan(ctx, domain)
	if err != nil {
		return outbound.Failed(err, len(m.Recipients))
	}
	return w.sender.Send(ctx, r, m)
}

// one sends to one recipient of a domain.
func (w *world) one(domain string) outbound.Result {
	w.t.Helper()
	return w.send(domain, message("bob@"+domain))[0]
}

// want checks a result: the state, and what Enhanced, Reply and Host say.
func want(t *testing.T, r outbound.Result, state outbound.State, parts ...string) {
	t.Helper()
	all := fmt.Sprintf("%s | %s | %s", r.Enhanced, r.Reply, r.Host)
	if r.State != state {
		t.Errorf("result is %v (%s), want %v", r.State, all, state)
	}
	for _, part := range parts {
		if !strings.Contains(all, part) {
			t.Errorf("result is %q, want %q in it", all, part)
		}
	}
}

// A mail is what a receiver got.
type mail struct {
	from     string
	fromOpts smtp.MailOptions
	to       []string
	toOpts   []smtp.RcptOptions
	text     string
	size     int64
	tls      bool
	helo     string
	user     string
	peer     string
}

// A receiver is a host by go-smtp.
type receiver struct {
	t    *testing.T
	addr string
	srv  *smtp.Server

	// What it answers; nil: it takes all. step is MAIL, RCPT or DATA.
	answer func(step, arg string) *smtp.SMTPError
	secret string // that logs in the user "relay"; "": there is no AUTH
	listen string // where, if not at the loopback
	count  bool   // counts the bytes of texts, and does not keep them

	mu    sync.Mutex
	mails []mail
	conns int
}

// receive starts a receiver; change may set it up.
func receive(t *testing.T, change func(*receiver)) *receiver {
	t.Helper()
	r := &receiver{t: t}
	r.srv = smtp.NewServer(r)
	r.srv.Domain = "receiver.test"
	r.srv.AllowInsecureAuth = true
	r.srv.EnableDSN = true
	r.srv.ErrorLog = noLog{}
	if change != nil {
		change(r)
	}
	if r.listen == "" {
		r.listen = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", r.listen)
	if err != nil {
		t.Fatal(err)
	}
	r.addr = l.Addr().String()
	var wait sync.WaitGroup
	wait.Go(func() { _ = r.srv.Serve(l) })
	t.Cleanup(func() {
		r.srv.Close()
		l.Close() // where Serve has not begun, Close of the server knows nothing of it
		wait.Wait()
	})
	return r
}

type noLog struct{}

func (noLog) Printf(string, ...any) {}
func (noLog) Println(...any)        {}

func (r *receiver) NewSession(c *smtp.Conn) (smtp.Session, error) {
	_, encrypted := c.TLSConnectionState()
	r.mu.Lock()
	r.conns++
	r.mu.Unlock()
	s := &session{r: r, c: c}
	s.m.tls = encrypted
	if r.secret != "" {
		return &authSession{s}, nil
	}
	return s, nil
}

func (r *receiver) got() []mail {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]mail(nil), r.mails...)
}

func (r *receiver) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conns
}

type session struct {
	r *receiver
	c *smtp.Conn
	m mail
}

func (s *session) Reset()        { s.m = mail{tls: s.m.tls, user: s.m.user} }
func (s *session) Logout() error { return nil }

func (s *session) ask(step, arg string) error {
	if s.r.answer == nil {
		return nil
	}
	if e := s.r.answer(step, arg); e != nil {
		return e
	}
	return nil
}

func (s *session) Mail(from string, o *smtp.MailOptions) error {
	s.m.from, s.m.fromOpts, s.m.helo, s.m.peer = from, *o, s.c.Hostname(), s.c.Conn().RemoteAddr().String()
	return s.ask("MAIL", from)
}

func (s *session) Rcpt(to string, o *smtp.RcptOptions) error {
	if err := s.ask("RCPT", to); err != nil {
		return err
	}
	s.m.to, s.m.toOpts = append(s.m.to, to), append(s.m.toOpts, *o)
	return nil
}

func (s *session) Data(in io.Reader) error {
	var b strings.Builder
	var out io.Writer = &b
	if s.r.count {
		out = io.Discard
	}
	n, err := io.Copy(out, in)
	if err != nil {
		return err
	}
	s.m.text, s.m.size = b.String(), n
	if err := s.ask("DATA", ""); err != nil {
		if e, ok := err.(*smtp.SMTPError); !ok || e.Code != 250 {
			return err
		}
		s.keep()
		return err
	}
	s.keep()
	return nil
}

func (s *session) keep() {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.r.mails = append(s.r.mails, s.m)
}

// An authSession has logins.
type authSession struct{ *session }

func (s *authSession) AuthMechanisms() []string { return []string{"PLAIN", "LOGIN", "CRAM-MD5"} }

func (s *authSession) Auth(method string) (sasl.Server, error) {
	check := func(user, password string) error {
		if user != "relay" || password != s.r.secret {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "no, not with " + password}
		}
		s.m.user = method
		return nil
	}
	switch method {
	case "PLAIN":
		return sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }), nil
	case "LOGIN":
		return &loginServer{check: check}, nil
	}
	return &cramServer{secret: s.r.secret, done: func() { s.m.user = method }}, nil
}

// loginServer asks in other words than most.
type loginServer struct {
	user  *string
	asked bool
	check func(user, password string) error
}

func (l *loginServer) Next(response []byte) ([]byte, bool, error) {
	switch {
	case !l.asked:
		l.asked = true
		return []byte("User Name"), false, nil
	case l.user == nil:
		user := string(response)
		l.user = &user
		return []byte("Password"), false, nil
	}
	return nil, true, l.check(*l.user, string(response))
}

type cramServer struct {
	secret    string
	challenge string
	done      func()
}

func (c *cramServer) Next(response []byte) ([]byte, bool, error) {
	if c.challenge == "" {
		c.challenge = auth.Challenge("receiver.test")
		return []byte(c.challenge), false, nil
	}
	if string(response) != "relay "+auth.CRAM(c.challenge, c.secret) {
		return nil, true, &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "no"}
	}
	c.done()
	return nil, true, nil
}

// refuse answers a step whose argument begins so.
func refuse(step, prefix string, code int, message string) func(*receiver) {
	return func(r *receiver) {
		r.answer = func(s, arg string) *smtp.SMTPError {
			if s != step || !strings.HasPrefix(arg, prefix) {
				return nil
			}
			return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: message}
		}
	}
}
