package server_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/mail"
	"net/netip"
	"net/smtp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/foxcpp/go-mockdns"

	"github.com/xmaild/xmaild/pkg/server"
	"github.com/xmaild/xmaild/pkg/server/deliver"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/resolve/resolvetest"
	"github.com/xmaild/xmaild/pkg/server/selfcert"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// A mesh is some servers of ours that reach each other by a DNS of their own, and by
// addresses that exist in it alone. Their clock can be put forward.
type mesh struct {
	t     *testing.T
	ctx   context.Context
	roots *x509.CertPool

	mu    sync.Mutex
	ahead time.Duration
	hosts map[netip.Addr]string // where an address really is; the others are dead
	zones resolvetest.Zones
	sites []*site
}

// A site is a server of the mesh, which handles one domain.
type site struct {
	*servertest.Server
	m      *mesh
	domain string
	ip     netip.Addr
}

// The password of all accounts of a mesh.
const sitePassword = "sitepw"

// newMesh makes one without servers. The test goes on beside others of its kind.
func newMesh(t *testing.T) *mesh {
	t.Helper()
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
	t.Cleanup(cancel)
	return &mesh{t: t, ctx: ctx, roots: x509.NewCertPool(), hosts: map[netip.Addr]string{}, zones: resolvetest.Zones{}}
}

func (m *mesh) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Add(m.ahead)
}

// pass puts the clock of all servers forward.
func (m *mesh) pass(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ahead += d
}

// dial connects to whoever has an address of the mesh.
func (m *mesh) dial(ctx context.Context, _ netip.Addr, to netip.AddrPort) (net.Conn, error) {
	m.mu.Lock()
	real, ok := m.hosts[to.Addr()]
	m.mu.Unlock()
	if to.Addr().IsLoopback() {
		real, ok = to.String(), true
	}
	if !ok {
		return nil, fmt.Errorf("%v: no route to host", to)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", real)
}

// host says where an address of the mesh really is; empty: it is dead.
func (m *mesh) host(ip netip.Addr, real string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if delete(m.hosts, ip); real != "" {
		m.hosts[ip] = real
	}
}

// zone sets records of the DNS; all servers see them.
func (m *mesh) zone(name string, z mockdns.Zone) {
	m.t.Helper()
	m.zones = maps.Clone(m.zones) // the servers read the one that they have
	m.zones[name+"."] = z
	for _, s := range m.sites {
		s.DNS.Set(m.t, m.zones)
	}
}

// mx makes a host with an address the mail server of a domain.
func (m *mesh) mx(domain, host string, ip netip.Addr) {
	m.t.Helper()
	m.zone(host, mockdns.Zone{A: []string{ip.String()}})
	m.zone(domain, mockdns.Zone{MX: []net.MX{{Host: host + ".", Pref: 10}}})
}

// site starts a server for a domain with accounts, and with tables as the files say.
func (m *mesh) site(domain string, accounts []string, files map[string]string, opts ...servertest.Option) *site {
	m.t.Helper()
	dir := filepath.Join(m.t.TempDir(), "MailRoot")
	cert, key, err := selfcert.New([]string{"mx." + domain, "localhost"}, time.Now())
	if err != nil {
		m.t.Fatal(err)
	}
	m.roots.AppendCertsFromPEM(cert)
	err = mailroot.Create(dir, mailroot.NewRoot{
		Domains: []string{domain}, Account: "root", AccountPassword: sitePassword,
		Admin: servertest.User, AdminPassword: servertest.Password, Cert: cert, Key: key,
	})
	if err != nil {
		m.t.Fatal(err)
	}
	for name, content := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(content), 0o600)); err != nil {
			m.t.Fatal(err)
		}
	}
	opts = append([]servertest.Option{
		servertest.Dir(dir), servertest.Clock(m.now), servertest.Var("LOGIN-FailureDelay", "0"),
		servertest.Config(func(c *server.Config) {
			c.Retries = deliver.Schedule{Base: time.Minute, Ratio: -1, Tries: 5}
			c.Outbound.Dial = m.dial
			c.Outbound.Own = func(netip.Addr) bool { return false }
			c.Outbound.Roots = func() (*x509.CertPool, error) { return m.roots, nil }
			c.FilterLog = true
		}),
	}, opts...)
	s := &site{Server: servertest.Start(m.t, opts...), m: m, domain: domain, ip: netip.AddrFrom4([4]byte{192, 0, 2, byte(len(m.sites) + 1)})}
	m.sites = append(m.sites, s)
	m.host(s.ip, s.SMTP)
	m.mx(domain, "mx."+domain, s.ip)
	for _, name := range accounts {
		s.do("useradd", domain, name, sitePassword, "U")
	}
	return s
}

// do makes a change by the control port.
func (s *site) do(args ...string) {
	s.m.t.Helper()
	c := s.Dial(s.m.t)
	defer c.Close()
	if _, err := c.Do(s.m.ctx, args...); err != nil {
		s.m.t.Fatalf("%q: %v", args, err)
	}
}

// restart starts the server again, with whatever is in its queue.
func (s *site) restart() {
	s.m.t.Helper()
	s.Restart(s.m.t)
	s.m.host(s.ip, s.SMTP)
}

// text is a message with a subject.
func text(subject string) string {
	return "From: somebody <somebody@ext.test>\r\nSubject: " + subject + "\r\nDate: Sun, 22 Nov 2026 05:06:02 +0000\r\n\r\n.dot\r\ntext of " + subject + "\r\n"
}

// submit sends a message as an account of the server does that logs in.
func (s *site) submit(from, to, message string) {
	s.m.t.Helper()
	if err := s.trySubmit(from, message, to); err != nil {
		s.m.t.Fatalf("%s submits to %s: %v", from, to, err)
	}
}

func (s *site) trySubmit(from, message string, to ...string) error {
	c, err := smtp.Dial(s.SMTP)
	if err != nil {
		return err
	}
	defer c.Close()
	host, _, err := net.SplitHostPort(s.SMTP)
	if err == nil {
		err = c.Auth(smtp.PlainAuth("", from, sitePassword, host))
	}
	if err == nil {
		err = c.Mail(from)
	}
	for _, to := range to {
		if err == nil {
			err = c.Rcpt(to)
		}
	}
	if err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	_, err = w.Write([]byte(message))
	return errors.Join(err, w.Close())
}

// receive takes a message from a stranger.
func (s *site) receive(from, to, message string) {
	s.m.t.Helper()
	if err := sendMail(s.SMTP, from, to, message); err != nil {
		s.m.t.Fatalf("%s sends to %s: %v", from, to, err)
	}
}

// box is the folder of new mail of an account.
func (s *site) box(account string) string {
	return filepath.Join(s.Dir, "domains", s.domain, account, "Maildir", "new")
}

// mails are what is in a mailbox, in the order of arrival.
func (s *site) mails(account string) []string {
	s.m.t.Helper()
	entries, err := os.ReadDir(s.box(account))
	if err != nil {
		s.m.t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(s.box(account), e.Name()))
		if err != nil {
			s.m.t.Fatal(err)
		}
		all = append(all, string(content))
	}
	return all
}

// waitFor waits until something has come about.
func (m *mesh) waitFor(what string, come func() bool) {
	m.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !come() {
		select {
		case <-tick.C:
		case <-m.ctx.Done():
			m.t.Fatalf("%s: it has not come about", what)
		}
	}
}

// arrived waits for so many messages in a mailbox, and returns them.
func (s *site) arrived(account string, count int) []string {
	s.m.t.Helper()
	var all []string
	s.m.waitFor(fmt.Sprintf("%d messages for %s@%s", count, account, s.domain), func() bool {
		all = s.mails(account)
		return len(all) >= count
	})
	if len(all) > count {
		s.m.t.Errorf("%s@%s has %d messages, want %d: %q", account, s.domain, len(all), count, all)
	}
	return all
}

// waiting is how many messages are in the queue of a server.
func (s *site) waiting() int {
	s.m.t.Helper()
	names, err := filepath.Glob(filepath.Join(s.Dir, "spool", "live", "*.msg"))
	if err != nil {
		s.m.t.Fatal(err)
	}
	return len(names)
}

// settle waits until no server has anything to deliver, which lets a mistaken second
// copy come out of its hole.
func (m *mesh) settle() {
	m.t.Helper()
	m.waitFor("empty queues", func() bool {
		return !slices.ContainsFunc(m.sites, func(s *site) bool { return s.waiting() > 0 })
	})
}

// logged waits until the server has logged a text.
func (s *site) logged(text string) {
	s.m.t.Helper()
	s.m.waitFor(fmt.Sprintf("%q in the log of %s", text, s.domain), func() bool { return strings.Contains(s.Log(), text) })
}

// deferredOnce waits until the server has put a message off, and lets the time pass
// that it waits.
func (s *site) deferredOnce() {
	s.m.t.Helper()
	s.logged("delivery is deferred")
	s.m.pass(30 * time.Minute)
}

// parsed is a message of a mailbox, its header decoded.
func (m *mesh) parsed(content string) *mail.Message {
	m.t.Helper()
	msg, err := mail.ReadMessage(bytes.NewReader([]byte(content)))
	if err != nil {
		m.t.Fatalf("%v in %q", err, content)
	}
	return msg
}

// subjects of messages, sorted.
func (m *mesh) subjects(all []string) []string {
	m.t.Helper()
	var names []string
	for _, content := range all {
		names = append(names, m.parsed(content).Header.Get("Subject"))
	}
	slices.Sort(names)
	return names
}

// wantBody wants a message to end as it was sent.
func (m *mesh) wantBody(content, subject string) {
	m.t.Helper()
	if !strings.HasSuffix(content, "\r\n\r\n.dot\r\ntext of "+subject+"\r\n") {
		m.t.Errorf("message %s has not arrived as it was sent: %q", subject, content)
	}
}
