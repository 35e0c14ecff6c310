package pop3d

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/login"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/session"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func digest(hello, password string) string {
	challenge := hello[strings.Index(hello, "<") : strings.Index(hello, ">")+1]
	sum := md5.Sum([]byte(challenge + password))
	return hex.EncodeToString(sum[:])
}

func TestWaysToLogIn(t *testing.T) {
	s := newSite(t)
	for name, dial := range map[string]func() *client{"clear": s.dial, "TLS": s.dialTLS} {
		t.Run(name, func(t *testing.T) {
			for _, test := range []struct {
				name  string
				steps []string // command and beginning of the reply, by turns
			}{
				{"the name alone", []string{"USER ann", "+OK", "PASS pass word", "+OK Maildrop has 0 messages (0 bytes)"}},
				{"@", []string{"USER ann@example.test", "+OK", "PASS pass word", "+OK"}},
				{":", []string{"user ANN:example.test", "+OK", "pass pass word", "+OK"}},
				{"%", []string{"USER ann%Example.TEST", "+OK", "PASS pass word", "+OK"}},
				{"second USER", []string{"USER bob", "+OK", "USER ann", "+OK", "PASS pass word", "+OK"}},
				{"SASL-IR", []string{"AUTH PLAIN " + b64("\x00ann\x00pass word"), "+OK"}},
				{"own identity", []string{"auth plain " + b64("ann\x00ann\x00pass word"), "+OK"}},
				{"challenge", []string{"AUTH PLAIN", "+ ", b64("\x00ann@example.test\x00pass word"), "+OK"}},
				{"wrong password", []string{"USER ann", "+OK", "PASS pass  word", "-ERR [AUTH] ", "PASS pass word", "-ERR", "STAT", "-ERR"}},
				{"unknown", []string{"USER bob", "+OK", "PASS pass word", "-ERR [AUTH] "}},
				{"list", []string{"USER news", "+OK", "PASS pass word", "-ERR [AUTH] "}},
				{"alias", []string{"USER postmaster", "+OK", "PASS pass word", "-ERR [AUTH] "}},
				{"other domain", []string{"USER ann@other.test", "+OK", "PASS pass word", "-ERR [AUTH] ", "USER ann", "+OK", "PASS pass word", "+OK"}},
				{"identity of another", []string{"AUTH PLAIN " + b64("bob\x00ann\x00pass word"), "-ERR [AUTH] "}},
				{"wrong in PLAIN", []string{"AUTH PLAIN " + b64("\x00ann\x00pass"), "-ERR [AUTH] ", "STAT", "-ERR"}},
				{"empty in PLAIN", []string{"AUTH PLAIN =", "-ERR [AUTH] "}},
				{"parts in PLAIN", []string{"AUTH PLAIN " + b64("ann"), "-ERR [AUTH] "}},
				{"control character in PLAIN", []string{"AUTH PLAIN " + b64("\x00ann\r\nx\x00pass word"), "-ERR [AUTH] "}},
				{"blanks around", []string{"USER  ann ", "+OK", "PASS pass word", "+OK", "STAT  ", "+OK"}},
				{"blanks of the password", []string{"USER ann", "+OK", "PASS pass word ", "-ERR [AUTH] "}},
				{"canceled", []string{"AUTH PLAIN", "+ ", "*", "-ERR", "USER ann", "+OK"}},
				{"no base64", []string{"AUTH PLAIN AG=FubgBw", "-ERR Invalid"}},
				{"unknown mechanism", []string{"AUTH GSSAPI", "-ERR"}},
				{"syntax", []string{"USER", "-ERR", "USER a b", "-ERR", "PASS x", "-ERR", "USER ann", "+OK", "PASS", "-ERR", "PASS pass word", "-ERR"}},
			} {
				t.Run(test.name, func(t *testing.T) {
					c := dial()
					c.t = t
					for i := 0; i < len(test.steps); i += 2 {
						c.want(test.steps[i], test.steps[i+1])
					}
					c.want("QUIT", "+OK")
					c.closed()
				})
			}
		})
	}
}

func TestAPOP(t *testing.T) {
	s := newSite(t)
	c := s.dial()
	if !regexp.MustCompile(`^\+OK <\d+\.[0-9a-f]{32}@example\.test> \[xmaild POP3 Server\] service ready; \w{3}, \d+ \w{3} \d{4} [0-9:]{8} [+-]\d{4}$`).MatchString(c.hello) {
		t.Errorf("greeting %q", c.hello)
	}
	other := s.dial()
	if other.hello == c.hello {
		t.Errorf("two connections have the same challenge %q", c.hello)
	}
	other.want("APOP ann "+digest(c.hello, "pass word"), "-ERR [AUTH] ")
	c.want("APOP ann", "-ERR Invalid")
	c.want("APOP ann "+digest(c.hello, "wrong"), "-ERR [AUTH] ")
	c.want("APOP ann@example.test "+strings.ToUpper(digest(c.hello, "pass word")), "+OK")
}

func TestAPOPIsNotOfferedWhereNobodyCanUseIt(t *testing.T) {
	hash := "\"example.test\"\t\"ann\"\t\"$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy\"\t1\t\"ann\"\t\"U\"\n"
	s := newSite(t, tables("mailusers.tab", hash))
	c := s.dial()
	if strings.Contains(c.hello, "<") {
		t.Errorf("greeting %q has a challenge that nobody can use", c.hello)
	}
	c.want("APOP ann 00000000000000000000000000000000", "-ERR")
}

func TestNoPasswordsInClearTextFromOtherMachines(t *testing.T) {
	s := newSiteFrom(t, fromElsewhere)
	c := s.dial()
	for _, line := range c.lines("CAPA") {
		if strings.HasPrefix(line, "USER") || strings.HasPrefix(line, "SASL") {
			t.Errorf("CAPA offers %q in clear text", line)
		}
	}
	c.want("USER ann", "-ERR")
	c.want("PASS pass word", "-ERR")
	c.want("AUTH", "-ERR")
	c.want("AUTH PLAIN "+b64("\x00ann\x00pass word"), "-ERR")
	c.want("APOP ann "+digest(c.hello, "pass word"), "+OK")
	c.want("QUIT", "+OK")
	s.dialTLS().want("AUTH PLAIN "+b64("\x00ann\x00pass word"), "+OK")

	old := newSiteFrom(t, fromElsewhere, vars(0))
	old.dial().want("AUTH PLAIN "+b64("\x00ann\x00pass word"), "+OK")
}

func TestFailuresAreHeldBack(t *testing.T) {
	s := newSite(t, setting(func(p *Server) { p.FailureDelay = 100 * time.Millisecond }))
	c := s.dial()
	began := time.Now()
	c.send("USER ann", "PASS wrong", "USER ann", "PASS wrong", "NOOP")
	c.reply("USER", "+OK")
	c.reply("PASS", "-ERR [AUTH]")
	if d := time.Since(began); d < 100*time.Millisecond {
		t.Errorf("the first failure was answered after %v, want 100 ms", d)
	}
	c.reply("USER", "+OK")
	c.reply("PASS", "-ERR [AUTH]")
	if d := time.Since(began); d < 300*time.Millisecond {
		t.Errorf("the second failure was answered after %v, want 300 ms", d)
	}
	c.reply("NOOP", "-ERR Command not valid here")
}

func TestAShutdownDoesNotWaitForADelay(t *testing.T) {
	s := newSite(t, setting(func(p *Server) { p.FailureDelay = time.Hour }))
	c := s.dial()
	c.want("USER ann", "+OK")
	c.send("PASS wrong")
	for deadline := time.Now().Add(20 * time.Second); len(s.log.all()) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the failure is not logged")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.front.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	c.reply("PASS", "-ERR [SYS/TEMP]")
}

// counting is a listener whose clients are told of when they have sent so much.
type counting struct {
	net.Listener
	most int
	came func()
}

func (l *counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countedConn{c.(*net.TCPConn), l.most, l.came}, nil
}

type countedConn struct {
	*net.TCPConn
	left int
	came func()
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if c.left -= n; c.left <= 0 {
		c.came()
	}
	return n, err
}

func TestAShutdownDoesNotWaitForADelayOfAClientWhoGoesOn(t *testing.T) {
	came := make(chan struct{})
	login := "USER ann\r\nPASS wrong\r\n"
	s := newSiteFrom(t, func(l net.Listener) net.Listener {
		return &counting{l, len(login) + maxLine, sync.OnceFunc(func() { close(came) })}
	}, setting(func(p *Server) { p.FailureDelay = time.Hour }))
	c := s.dial()
	c.send(login + strings.Repeat("NOOP\r\n", maxLine/6+1)) // more than is kept while it waits
	c.reply("USER", "+OK")
	<-came
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.front.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	c.reply("PASS", "-ERR [SYS/TEMP]")
}

func TestHangUp(t *testing.T) {
	s := newSite(t, setting(func(p *Server) { p.HangUp, p.FailureDelay = true, time.Hour }))
	c := s.dial()
	c.want("USER ann", "+OK")
	c.want("PASS wrong", "-ERR [AUTH]")
	c.closed()
}

func TestABlockedAddressIsTold(t *testing.T) {
	s := newSite(t, vars(1, "LOGIN-MaxFailures", "2"))
	c := s.dial()
	for range 2 {
		c.want("USER ann", "+OK")
		c.want("PASS wrong", "-ERR [AUTH]")
	}
	c.want("USER ann", "+OK")
	c.want("PASS pass word", "-ERR [SYS/TEMP]")
	c.closed()
}

func TestASecondSessionIsRefusedAtOnce(t *testing.T) {
	s := newSite(t, setting(func(p *Server) { p.FailureDelay = time.Hour }))
	c := s.login()
	second := s.dial()
	second.want("USER ann", "+OK")
	second.want("PASS pass word", "-ERR [IN-USE]")
	if _, err := os.Stat(s.root.Path("pop3locks/ann@example.test.lock")); err != nil {
		t.Errorf("the lock file of the session: %v", err)
	}
	c.want("QUIT", "+OK")
	c.closed()
	second.want("USER ann", "+OK")
	second.want("PASS pass word", "+OK")
	second.conn.Close() // it dies
	third := s.dial()
	for deadline := time.Now().Add(20 * time.Second); ; {
		third.want("USER ann", "+OK")
		third.send("PASS pass word")
		if got := third.line(); strings.HasPrefix(got, "+OK") {
			break
		} else if !strings.HasPrefix(got, "-ERR [IN-USE]") || time.Now().After(deadline) {
			t.Fatalf("after the second one had died: %s", got)
		}
	}
}

func TestWhoMayConnectAndLogIn(t *testing.T) {
	deny := "\"127.0.0.0\"\t\"255.0.0.0\"\t\"DENY\"\t1\n"
	s := newSite(t, tables("pop3.ipmap.tab", deny))
	c := s.dial()
	if !strings.HasPrefix(c.hello, "-ERR") {
		t.Errorf("a denied client is greeted by %q", c.hello)
	}
	c.closed()
	for name, o := range map[string]option{
		"address map": tables("domains/example.test/ann/pop3.ipmap.tab", deny),
		"PopEnable":   tables("domains/example.test/ann/user.tab", "\"PopEnable\"\t\"0\"\n"),
		"disabled":    tables("domains/example.test/ann/user.tab", "\"Disabled\"\t\"holidays\"\n"),
	} {
		c := newSite(t, o).dial()
		c.want("USER ann", "+OK")
		if got := c.want("PASS pass word", "-ERR"); got != "-ERR [AUTH] Invalid auth or access denied" {
			t.Errorf("%s: %q tells more than that it is refused", name, got)
		}
	}
}

func TestTooLittleMemory(t *testing.T) {
	var free atomic.Int64
	free.Store(1 << 20)
	s := newSite(t, vars(1, "Pop3MinVirtMemSpace", "1024"), setting(func(p *Server) {
		p.FreeMemory = func() (int64, bool) { return free.Load(), true }
	}))
	if c := s.dial(); !strings.HasPrefix(c.hello, "+OK") {
		t.Errorf("with just enough memory: %q", c.hello)
	}
	free.Add(-1)
	if c := s.dial(); !strings.HasPrefix(c.hello, "-ERR [SYS/TEMP] ") {
		t.Errorf("with too little memory: %q", c.hello)
	}
}

func TestTheDefaultDomain(t *testing.T) {
	lookup := func(name string) option {
		return setting(func(p *Server) {
			p.LocalName = func(_ context.Context, ip netip.Addr) string {
				if !ip.IsLoopback() {
					t.Errorf("asked for %v", ip)
				}
				return name
			}
		})
	}
	for _, test := range []struct {
		options []option
		want    string
	}{
		{[]option{vars(1), lookup("pop.mail.example.test")}, "example.test"},
		{[]option{vars(1), lookup("pop.other.test")}, "pop.other.test"},
		{[]option{vars(1), lookup("")}, "example.test"},
		{[]option{vars(1, "POP3Domain", "given.test"), lookup("pop.mail.example.test")}, "given.test"},
		{[]option{vars(1)}, "example.test"},
	} {
		if c := newSite(t, test.options...).dial(); !strings.Contains(c.hello, "@"+test.want+">") {
			t.Errorf("greeting %q, want the domain %s", c.hello, test.want)
		}
	}
}

func TestTheLogOfLogins(t *testing.T) {
	stamp := time.Date(2026, 11, 5, 3, 4, 5, 0, time.Local)
	s := newSite(t, setting(func(p *Server) { p.Clock = func() time.Time { return stamp } }))
	s.put("new/m", "12345\r\n", 1)
	c := s.dial()
	c.want("USER bob@other.test", "+OK")
	c.want("PASS hidden secret", "-ERR")
	c.want("APOP ann "+digest(c.hello, "hidden secret"), "-ERR")
	c.want("USER ann", "+OK")
	c.want("PASS pass word", "+OK")
	want := []string{
		"127.0.0.1|other.test|127.0.0.1|2026-11-05 03:04:05|bob|*|ELOGIN",
		"127.0.0.1|example.test|127.0.0.1|2026-11-05 03:04:05|ann|*|ELOGIN",
		"127.0.0.1|example.test|127.0.0.1|2026-11-05 03:04:05|ann|*|LOGIN|1|7",
	}
	if diff := cmp.Diff(want, s.log.all()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	for _, secret := range []string{"pass word", "hidden", digest(c.hello, "hidden secret")} {
		if text := s.text.String(); strings.Contains(text, secret) {
			t.Errorf("the log tells %q:\n%s", secret, text)
		}
	}
	if text, err := os.ReadFile(s.root.Path("domains/example.test/ann/.ipconn")); err != nil || strings.TrimSpace(string(text)) != "127.0.0.1" {
		t.Errorf(".ipconn holds %q (%v), want the address of the client", text, err)
	}
	if list := s.front.Registry.List(); !slices.ContainsFunc(list, func(i session.Info) bool { return i.User == "ann@example.test" && i.Service == "pop3" }) {
		t.Errorf("sessions %+v, want one of ann", list)
	}
}

// A changing Login lets somebody in whose account is changed right then, before the
// session is known as one of the account.
type changing struct {
	Login
	root   *mailroot.Root
	change func(tx *mailroot.Tx, u mailroot.User) error
}

func (l changing) POP3(ctx context.Context, domain string, cr login.Credentials) (mailroot.User, error) {
	u, err := l.Login.POP3(ctx, domain, cr)
	return u, errors.Join(err, l.root.Update(ctx, func(tx *mailroot.Tx) error { return l.change(tx, u) }))
}

func TestAccountChangedDuringTheLogin(t *testing.T) {
	store := func(stored string) func(*mailroot.Tx, mailroot.User) error {
		return func(tx *mailroot.Tx, u mailroot.User) error {
			fields := u.Row.Fields()
			fields[2] = stored
			return tx.Table(mailroot.UsersTab).Replace(u.Row, fields...)
		}
	}
	hash := func(password string) string {
		stored, err := auth.Hash(auth.Bcrypt, password)
		if err != nil {
			t.Fatal(err)
		}
		return stored
	}
	for name, test := range map[string]struct {
		change func(*mailroot.Tx, mailroot.User) error
		want   string
	}{
		"disabled": {func(tx *mailroot.Tx, u mailroot.User) error {
			vars, err := tx.ChangeUserVars(u)
			if err != nil {
				return err
			}
			return vars.Append(mailroot.VarDisabled, "why")
		}, "-ERR [AUTH] "},
		"another password":              {store(auth.Scramble("other")), "-ERR [AUTH] "},
		"another password, hashed":      {store(hash("other")), "-ERR [AUTH] "},
		"the same password, but hashed": {store(hash("pass word")), "+OK"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, func(s *site) {
				if s.pop != nil {
					s.pop.Login = changing{s.pop.Login, s.root, test.change}
				}
			})
			c := s.dial()
			c.want("USER ann", "+OK")
			c.want("PASS pass word", test.want)
			if test.want == "+OK" {
				c.want("QUIT", "+OK")
			} else {
				c.want("STAT", "-ERR")
			}
			drop, err := s.boxes.Open(t.Context(), s.ann(), "test")
			if err != nil {
				t.Fatalf("the mailbox after that: %v, want it free", err)
			}
			drop.Close()
		})
	}
}
