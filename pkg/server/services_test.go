package server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// A talk is a session at a service, by hand.
type talk struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func dialTalk(t *testing.T, addr string) *talk {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &talk{conn, t, bufio.NewReader(conn)}
}

// want wants the last line of the next reply to begin so, after a line was sent
// where there is one.
func (c *talk) want(begin string, send ...string) {
	c.t.Helper()
	for _, line := range send {
		if _, err := fmt.Fprintf(c, "%s\r\n", line); err != nil {
			c.t.Fatal(err)
		}
	}
	for {
		line, err := c.r.ReadString('\n')
		if err == nil && len(line) > 3 && line[3] == '-' && line[0] != '-' {
			continue
		}
		if !strings.HasPrefix(line, begin) || err != nil {
			c.t.Fatalf("after %q: got %q (%v), want a line that begins with %q", send, line, err, begin)
		}
		return
	}
}

func (c *talk) wantEnd() {
	c.t.Helper()
	if line, err := c.r.ReadString('\n'); err == nil {
		c.t.Fatalf("got %q, want the connection closed", line)
	}
}

func TestFingerIsOffAtLevelOneUnlessAskedFor(t *testing.T) {
	for _, test := range []struct {
		level  int
		config func(*server.Config)
		want   bool
	}{
		{0, func(c *server.Config) { c.Finger = server.Endpoint{} }, true},
		{1, func(c *server.Config) { c.Finger = server.Endpoint{} }, false},
		{1, func(c *server.Config) { c.Finger, c.FingerAsked = server.Endpoint{}, true }, true},
		{1, func(*server.Config) {}, true}, // by an address
		{0, func(c *server.Config) { c.Finger = server.Endpoint{Off: true} }, false},
	} {
		s := servertest.Start(t, servertest.CompatLevel(test.level), servertest.Config(test.config))
		if got := s.Finger != ""; got != test.want {
			t.Errorf("level %d: finger listens at %q, want it to listen: %v", test.level, s.Finger, test.want)
		}
	}
}

func TestSessionsAreLimited(t *testing.T) {
	s := servertest.Start(t, servertest.Var("POP3-MaxSessionsPerAddress", "2"), servertest.Config(func(c *server.Config) { c.SMTPSessions = 1 }))
	dialTalk(t, s.SMTP).want("220 ")
	dialTalk(t, s.SMTP).want("421 ")
	dialTalk(t, s.SMTPS).wantEnd() // they count together
	dialTalk(t, s.POP3).want("+OK ")
	dialTalk(t, s.POP3).want("+OK ")
	third := dialTalk(t, s.POP3)
	third.want("-ERR ")
	third.wantEnd()
}

func TestShutdownTakesLeaveOfIdleClients(t *testing.T) {
	s := servertest.Start(t)
	smtp, pop3, finger := dialTalk(t, s.SMTP), dialTalk(t, s.POP3), dialTalk(t, s.Finger)
	smtp.want("220 ")
	smtp.want("250 ", "EHLO client.test")
	pop3.want("+OK ")
	smtps, pop3s := dialTalk(t, s.SMTPS), dialTalk(t, s.POP3S) // and no handshake
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	}()
	smtp.want("421 ")
	smtp.wantEnd()
	pop3.want("-ERR ")
	pop3.wantEnd()
	finger.wantEnd()
	smtps.wantEnd()
	pop3s.wantEnd()
	<-stopped
	if strings.Contains(s.Log(), "sessions were cut") {
		t.Error("sessions were cut, want them ended")
	}
	s.Server = nil
}

func TestLocksOfAnEarlierProcessAreRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "MailRoot")
	if err := servertest.NewMailRoot(dir); err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(dir, "pop3locks", "xmailuser@xmailserver.test.lock")
	if err := os.MkdirAll(filepath.Dir(lock), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(lock, []byte("1234\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	servertest.Start(t, servertest.Dir(dir))
	if _, err := os.Lstat(lock); !os.IsNotExist(err) {
		t.Errorf("%s after the start: %v, want it gone", lock, err)
	}
}

func TestRiskyDefaultsAreTold(t *testing.T) {
	openUp := func(c *server.Config) {
		c.Ctrl, c.Finger = server.Endpoint{}, server.Endpoint{}
	}
	risks := []string{
		"the control port is open on all addresses",
		"userlist and poplnklist show passwords",
		"administrators may log in with a clear-text password",
		"users may log in to SMTP and POP3 with a clear-text password",
		"whoever shares an address with a user of POP3 may send mail",
		"finger tells strangers",
		"a row of smtprelay.tab lets everybody send mail",
		"the catch-all custom domain",
	}
	for level, want := range []bool{true, false} {
		dir := filepath.Join(t.TempDir(), "MailRoot")
		if err := servertest.NewMailRoot(dir); err != nil {
			t.Fatal(err)
		}
		if level == 0 {
			for name, content := range map[string]string{
				"smtprelay.tab": "\"10.0.0.0\"\t\"255.0.0.0\"\n\"0.0.0.0\"\t\"0.0.0.0\"\n", "custdomains/.tab": "\"smtp\"\n",
			} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		s := servertest.Start(t, servertest.Dir(dir), servertest.CompatLevel(level), servertest.Config(openUp))
		for _, risk := range risks {
			if n := strings.Count(s.Log(), risk); n != map[bool]int{true: 1}[want] {
				t.Errorf("level %d: %q is told %d times, want it told once: %v", level, risk, n, want)
			}
		}
	}
}

func TestCertificateIsMadeAtTheFirstStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "MailRoot")
	if err := servertest.NewMailRoot(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"server.cert", "server.key"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	s := servertest.Start(t, servertest.Dir(dir))
	trusted := s.TLSConfig(t)
	serial := func() string {
		t.Helper()
		for _, name := range []string{"xmailserver.test", "localhost"} {
			trusted.ServerName = name
			c, err := tls.Dial("tcp", s.POP3S, trusted)
			if err != nil {
				t.Fatalf("as %s: %v", name, err)
			}
			c.Close()
		}
		c, err := tls.Dial("tcp", s.SMTPS, trusted)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	first := serial()
	if info, err := os.Stat(filepath.Join(dir, "server.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("server.key: %v, %v, want it private", info.Mode(), err)
	}
	if !regexp.MustCompile(`certificate that signs itself was made.*sha256=[0-9A-F:]{95}`).MatchString(s.Log()) {
		t.Errorf("the log does not tell of it:\n%s", s.Log())
	}
	s.Restart(t)
	if again := serial(); again != first {
		t.Errorf("certificate %s after a restart, want the first one, %s", again, first)
	}
}

func TestHalfAPairIsLeftAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "MailRoot")
	if err := servertest.NewMailRoot(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "server.cert")); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(dir, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	s := servertest.Start(t, servertest.Dir(dir))
	if got := s.Read(t, "server.key"); got != string(key) {
		t.Error("the key was replaced")
	}
	if !strings.Contains(s.Log(), "no TLS until this is right") {
		t.Errorf("the log does not say that there is no TLS:\n%s", s.Log())
	}
	c := dialTalk(t, s.SMTP)
	c.want("220 ")
	c.want("250 ", "EHLO client.test")
	c.want("454 ", "STARTTLS")
}
