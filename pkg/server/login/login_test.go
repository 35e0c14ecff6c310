package login

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// A fixture is a checker of a MailRoot with a clock that stands still.
type fixture struct {
	*Checker
	t      *testing.T
	dir    string
	root   *mailroot.Root
	delays []time.Duration

	mu  sync.Mutex
	now time.Time
	log bytes.Buffer
}

func (f *fixture) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.Write(b)
}

func (f *fixture) logged() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.String()
}

func (f *fixture) advance(d time.Duration) { f.now = f.now.Add(d) }

// Passwords of the accounts of a fixture. The hash is a quick one.
const hashed = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4" // password

var stranger = netip.MustParseAddrPort("192.0.2.7:4711")

// start makes a MailRoot with the accounts ann (password "pw", reversible) and hash
// ("password"), the list team, and what files says besides.
func start(t *testing.T, files map[string]string) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir(), now: time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)}
	pw := auth.Scramble("pw")
	for name, text := range map[string]string{
		"server.tab":      "",
		"domains.tab":     "foo.test\nbar.test\n",
		"aliasdomain.tab": "alias.test\tfoo.test\n",
		"aliases.tab":     "foo.test\tnick\tann\n",
		"mailusers.tab": "foo.test\tann\t" + pw + "\t1\tann\tU\nfoo.test\thash\t" + hashed + "\t2\thash\tU\n" +
			"foo.test\tteam\t" + pw + "\t3\tteam\tM\nfoo.test\tempty\t\"\"\t4\tempty\tU\nbar.test\tann\t" + auth.Scramble("bar") + "\t5\tann\tU\n",
		"smtpauth.tab": "tool\tsecret\tMRx\nhtool\t" + hashed + "\tVT\nann@foo.test\textra\tZ\n",
	} {
		f.put(name, text)
	}
	for _, dir := range []string{"domains/foo.test/ann", "domains/foo.test/hash", "domains/bar.test/ann"} {
		f.put(dir+"/user.tab", "RealName\tX\n")
	}
	for name, text := range files {
		f.put(name, strings.ReplaceAll(text, " ", "\t"))
	}
	root, err := mailroot.Open(t.Context(), f.dir, mailroot.Options{Log: slog.New(slog.NewTextHandler(f, nil)), Clock: func() time.Time { return f.now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := root.Close(); err != nil {
			t.Error(err)
		}
	})
	f.root = root
	f.use(Options{})
	return f
}

func (f *fixture) use(o Options) {
	o.Delay = func(_ context.Context, d time.Duration) { f.delays = append(f.delays, d) }
	f.Checker = New(f.root, o)
}

func (f *fixture) put(name, text string) {
	f.t.Helper()
	path := filepath.Join(f.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// setPassword changes a password as a control command does.
func (f *fixture) setPassword(domain, name, stored string) {
	f.t.Helper()
	err := f.root.Update(f.t.Context(), func(tx *mailroot.Tx) error {
		u, _ := tx.User(domain, name)
		fields := u.Row.Fields()
		fields[2] = stored
		return tx.Table(mailroot.UsersTab).Replace(u.Row, fields...)
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

func pop3(name, password string) Credentials {
	return Credentials{Name: name, Password: password, Mechanism: "USER", Service: "pop3", Remote: stranger}
}

func smtp(name, password string) Credentials {
	return Credentials{Name: name, Password: password, Mechanism: "PLAIN", Service: "smtp", Remote: stranger}
}

func TestSplit(t *testing.T) {
	for name, want := range map[string][2]string{
		"a@b": {"a", "b"}, "a:b": {"a", "b"}, "a%b": {"a", "b"}, "a@b:c": {"a", "b:c"}, "a:b@c": {"a:b", "c"},
		"a%b@c": {"a%b", "c"}, "a": {"a", ""}, "": {"", ""}, "a@": {"a", ""}, "@b": {"", "b"},
	} {
		if user, domain := Split(name); user != want[0] || domain != want[1] {
			t.Errorf("Split(%q) = %q, %q; want %q", name, user, domain, want)
		}
	}
}

func TestPOP3Login(t *testing.T) {
	f := start(t, nil)
	for _, c := range []struct {
		name, password string
		want           string // "" is a refusal
	}{
		{"ann", "pw", "ann@foo.test"}, {"ann@foo.test", "pw", "ann@foo.test"}, {"ANN:FOO.test", "pw", "ann@foo.test"},
		{"ann%alias.test", "pw", "ann@foo.test"}, {"ann@bar.test", "bar", "ann@bar.test"}, {"hash", "password", "hash@foo.test"},
		{"ann", "PW", ""}, {"ann", "", ""}, {"ann@bar.test", "pw", ""}, {"hash", "passwore", ""}, {"hash", "", ""},
		{"nick", "pw", ""}, {"team", "pw", ""}, {"empty", "", ""}, {"none", "pw", ""}, {"ann@none.test", "pw", ""},
		{"", "pw", ""}, {"tool", "secret", ""}, {"ann\x00", "pw", ""}, {"ann\n", "pw", ""}, {strings.Repeat("a", 2000), "pw", ""},
		{"ann@../foo.test", "pw", ""},
	} {
		u, err := f.POP3(t.Context(), "foo.test", pop3(c.name, c.password))
		got := ""
		if err == nil {
			got = u.Name + "@" + u.Domain
		}
		if got != c.want || c.want == "" && (!errors.Is(err, ErrBadLogin) || err.Error() != ErrBadLogin.Error()) {
			t.Errorf("%.30q with %q is %q, %v; want %q", c.name, c.password, got, err, c.want)
		}
		f.failures.Succeed(stranger.Addr())
	}
	if log := f.logged(); strings.Contains(log, "passwore") || strings.Contains(log, "PW") || strings.Contains(log, "ann\n\"") {
		t.Errorf("the log has a password, or a name as it came:\n%s", log)
	}
}

func TestPOP3RefusesByTheSettingsOfTheAccount(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"PopEnable of the account is 0": {"domains/foo.test/ann/user.tab": "PopEnable 0\n"},
		"the account is disabled":       {"domains/foo.test/ann/user.tab": "Disabled why\n"},
		"denied by pop3.ipmap.tab":      {"domains/foo.test/ann/pop3.ipmap.tab": "0.0.0.0 0.0.0.0 DENY 1\n10.0.0.0 255.0.0.0 ALLOW 2\n"},
	} {
		f := start(t, files)
		if _, err := f.POP3(t.Context(), "foo.test", pop3("ann", "pw")); !errors.Is(err, ErrBadLogin) {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.Contains(f.logged(), name) {
			t.Errorf("the log does not say that %s:\n%s", name, f.logged())
		}
		if strings.HasPrefix(name, "denied") {
			cr := pop3("ann", "pw")
			cr.Remote = netip.MustParseAddrPort("10.1.2.3:5")
			if _, err := f.POP3(t.Context(), "foo.test", cr); err != nil {
				t.Errorf("from an address that the map allows: %v", err)
			}
		}
	}
}

func TestDigestLogins(t *testing.T) {
	f := start(t, nil)
	const challenge = "<1.2@foo.test>"
	for _, c := range []struct {
		name, clear string
		want        bool
	}{
		{"ann", "pw", true}, {"ann", "x", false}, {"hash", "password", false}, {"hash", "", false}, {"empty", "", false}, {"none", "pw", false}, {"none", "", false},
	} {
		cr := Credentials{Name: c.name + "@foo.test", Mechanism: "APOP", Challenge: challenge, Response: strings.ToUpper(auth.Digest(challenge, c.clear)), Service: "pop3", Remote: stranger}
		if _, err := f.POP3(t.Context(), "", cr); (err == nil) != c.want {
			t.Errorf("APOP of %s with %q: %v, want %v", c.name, c.clear, err, c.want)
		}
		cr.Mechanism, cr.Response, cr.Service = auth.CRAMMD5, auth.CRAM(challenge, c.clear), "smtp"
		if _, err := f.SMTP(t.Context(), cr); (err == nil) != c.want {
			t.Errorf("CRAM-MD5 of %s with %q: %v, want %v", c.name, c.clear, err, c.want)
		}
	}
	cr := Credentials{Name: "tool", Mechanism: auth.CRAMMD5, Challenge: challenge, Response: auth.CRAM(challenge, "secret"), Remote: stranger}
	if i, err := f.SMTP(t.Context(), cr); err != nil || i.Perms != "MR" {
		t.Errorf("CRAM-MD5 of smtpauth.tab: %+v, %v", i, err)
	}
}

func TestSMTPLogin(t *testing.T) {
	f := start(t, map[string]string{
		"server.tab":                     "MaxMessageSize 1000\n",
		"domains/foo.test/hash/user.tab": "SmtpPerms MSq\nMaxMessageSize 7\n",
		"domains/bar.test/ann/user.tab":  "Disabled \"\"\n",
	})
	for _, c := range []struct {
		name, password string
		want           string // address, permissions, size
	}{
		{"ann@foo.test", "pw", "ann@foo.test MRVZ 0"}, {"ann:alias.test", "pw", "ann@foo.test MRVZ 0"},
		{"hash@foo.test", "password", "hash@foo.test MS 7168"},
		{"tool", "secret", " MR -1"}, {"htool", "password", " VT -1"}, {"ann@foo.test", "extra", " Z 0"},
		{"ann", "pw", ""}, {"ANN@foo.test", "extra", ""}, {"Tool", "secret", ""}, {"tool", "Secret", ""}, {"tool", "", ""},
		{"team@foo.test", "pw", ""}, {"ann@bar.test", "bar", ""}, {"nick@foo.test", "pw", ""}, {"empty@foo.test", "", ""}, {"", "", ""},
	} {
		i, err := f.SMTP(t.Context(), smtp(c.name, c.password))
		got := ""
		if err == nil {
			got = strings.Join([]string{i.Address(), i.Perms, formatInt(i.MaxMessage)}, " ")
			if i.Name != c.name {
				t.Errorf("%s is now named %s", c.name, i.Name)
			}
		}
		if got != c.want || c.want == "" && !errors.Is(err, ErrBadLogin) {
			t.Errorf("%s with %q is %q, %v; want %q", c.name, c.password, got, err, c.want)
		}
	}
}

func formatInt(n int64) string {
	return slog.Int64Value(n).String()
}

func TestDisabledAccountCannotLogInByARowOfSMTPAuth(t *testing.T) {
	f := start(t, map[string]string{"domains/foo.test/ann/user.tab": "Disabled \"\"\n"})
	if i, err := f.SMTP(t.Context(), smtp("ann@foo.test", "extra")); !errors.Is(err, ErrBadLogin) {
		t.Errorf("%+v, %v", i, err)
	}
}

func TestPermissions(t *testing.T) {
	for _, c := range []struct{ server, user, want string }{
		{"", "", "MRVZ"}, {"DefaultSmtpPerms M\n", "", "M"}, {"SmtpPerms MT\n", "", "MT"}, {"SmtpPerms MT\nDefaultSmtpPerms V\n", "", "V"},
		{"DefaultSmtpPerms M\n", "SmtpPerms \"\"\n", ""}, {"", "SmtpPerms RZ\n", "RZ"}, {"", "SmtpPerms Rr9!\n", "R"},
	} {
		f := start(t, map[string]string{"server.tab": c.server, "domains/foo.test/ann/user.tab": c.user})
		u, _ := f.root.User("foo.test", "ann")
		if got := f.Perms(u); got != c.want {
			t.Errorf("server.tab %q, user.tab %q: %q, want %q", c.server, c.user, got, c.want)
		}
	}
}

func TestFailuresOfAllServicesBlockAnAddress(t *testing.T) {
	f := start(t, map[string]string{"server.tab": "LOGIN-MaxFailures 3\nLOGIN-FailureWindow 60\nLOGIN-BlockTime 100\nLOGIN-FailureDelay 2\n"})
	try := func(cr Credentials) error {
		if cr.Service == "smtp" {
			_, err := f.SMTP(t.Context(), cr)
			return err
		}
		_, err := f.POP3(t.Context(), "foo.test", cr)
		return err
	}
	want := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	other := pop3("ann", "pw")
	other.Remote = netip.MustParseAddrPort("192.0.2.8:1")
	want("first", try(pop3("ann", "x")), ErrBadLogin)
	want("second", try(smtp("none@foo.test", "x")), ErrBadLogin)
	want("a good one clears", try(pop3("ann", "pw")), nil)
	want("1", try(smtp("ann@foo.test", "x")), ErrBadLogin)
	f.advance(61 * time.Second)
	want("the first is forgotten: 2", try(smtp("ann@foo.test", "x")), ErrBadLogin)
	want("3", try(pop3("ann", "x")), ErrBadLogin)
	want("still free", try(pop3("ann", "y")), ErrBadLogin)
	want("blocked", try(pop3("ann", "pw")), ErrBlocked)
	want("blocked for SMTP", try(smtp("ann@foo.test", "pw")), ErrBlocked)
	want("another address", try(other), nil)
	f.advance(99 * time.Second)
	want("blocked still", try(pop3("ann", "pw")), ErrBlocked)
	f.advance(2 * time.Second)
	want("no more", try(pop3("ann", "pw")), nil)
	if want := slices.Repeat([]time.Duration{2 * time.Second}, 6); !slices.Equal(f.delays, want) {
		t.Errorf("failures were held back %v, want %v", f.delays, want)
	}
	if log := f.logged(); strings.Count(log, "login failed") != 6 || strings.Count(log, "address blocked") != 1 {
		t.Errorf("the log:\n%s", log)
	}
}

func TestAnIPv6AddressCountsAsItsNetwork(t *testing.T) {
	f := start(t, map[string]string{"server.tab": "LOGIN-MaxFailures 2\n"})
	cr := pop3("ann", "x")
	for _, a := range []string{"[2001:db8:1:2::1]:1", "[2001:db8:1:2:ffff::2]:1"} {
		cr.Remote = netip.MustParseAddrPort(a)
		if _, err := f.POP3(t.Context(), "foo.test", cr); !errors.Is(err, ErrBadLogin) {
			t.Errorf("%s: %v", a, err)
		}
	}
	cr.Password, cr.Remote = "pw", netip.MustParseAddrPort("[2001:db8:1:2::3]:1")
	if _, err := f.POP3(t.Context(), "foo.test", cr); !errors.Is(err, ErrBlocked) {
		t.Errorf("another address of the network: %v", err)
	}
	cr.Remote = netip.MustParseAddrPort("[2001:db8:1:3::3]:1")
	if _, err := f.POP3(t.Context(), "foo.test", cr); err != nil {
		t.Errorf("an address of another network: %v", err)
	}
}

func TestNoLimitWhereTheVariablesAreZero(t *testing.T) {
	f := start(t, map[string]string{"server.tab": "LOGIN-MaxFailures 0\nLOGIN-FailureDelay 0\n"})
	for range 50 {
		if _, err := f.POP3(t.Context(), "foo.test", pop3("ann", "x")); !errors.Is(err, ErrBadLogin) {
			t.Fatal(err)
		}
	}
	if _, err := f.POP3(t.Context(), "foo.test", pop3("ann", "pw")); err != nil || len(f.delays) > 0 {
		t.Errorf("%v, delays %v", err, f.delays)
	}
}

func TestWaitEndsWithTheSession(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wait(ctx, time.Hour, nil)
	wait(t.Context(), time.Nanosecond, nil)
	wait(t.Context(), time.Hour, func() bool { return true })
}
