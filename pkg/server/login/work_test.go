package login

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// over is a context in which no hash is worked on: a login that has to is
// ErrTemporary, and others end as ever.
func over(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestGoodLoginsAreRememberedForAWhile(t *testing.T) {
	f := start(t, nil)
	login := func(ctx context.Context, password string) error {
		_, err := f.POP3(ctx, "foo.test", pop3("hash", password))
		return err
	}
	if err := login(over(t), "password"); !errors.Is(err, ErrTemporary) {
		t.Errorf("the first login was no work: %v", err)
	}
	if err := login(t.Context(), "password"); err != nil {
		t.Fatal(err)
	}
	if err := login(over(t), "password"); err != nil {
		t.Errorf("the next login was work: %v", err)
	}
	if _, err := f.SMTP(over(t), smtp("hash@alias.test", "password")); err != nil {
		t.Errorf("a login to another service was work: %v", err)
	}
	if err := login(over(t), "passwort"); !errors.Is(err, ErrTemporary) {
		t.Errorf("a wrong password was remembered: %v", err)
	}
	f.advance(301 * time.Second)
	if err := login(over(t), "password"); !errors.Is(err, ErrTemporary) {
		t.Errorf("a login is remembered for ever: %v", err)
	}
}

func TestChangedAndRemovedPasswordsCountAtOnce(t *testing.T) {
	f := start(t, nil)
	login := func(password string) error {
		_, err := f.POP3(t.Context(), "foo.test", pop3("hash", password))
		return err
	}
	if err := login("password"); err != nil {
		t.Fatal(err)
	}
	other, err := auth.Hash(auth.Bcrypt, "other")
	if err != nil {
		t.Fatal(err)
	}
	f.setPassword("foo.test", "hash", other)
	if err := login("password"); !errors.Is(err, ErrBadLogin) {
		t.Errorf("the old password: %v", err)
	}
	if err := login("other"); err != nil {
		t.Errorf("the new password: %v", err)
	}
	f.setPassword("foo.test", "hash", hashed)
	if err := login("other"); !errors.Is(err, ErrBadLogin) {
		t.Errorf("the password before: %v", err)
	}
	if err := login("password"); err != nil {
		t.Errorf("the first password again: %v", err)
	}
	err = f.root.Update(t.Context(), func(tx *mailroot.Tx) error {
		u, _ := tx.User("foo.test", "hash")
		return tx.Table(mailroot.UsersTab).Delete(u.Row)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := login("password"); !errors.Is(err, ErrBadLogin) {
		t.Errorf("the password of an account that is gone: %v", err)
	}
}

// TestNamesThatAreNotThereCostWhatOthersDo looks at whether a refused login takes the
// work of a hash, not at a clock.
func TestNamesThatAreNotThereCostWhatOthersDo(t *testing.T) {
	withHashes := start(t, nil)
	without := start(t, map[string]string{"mailusers.tab": "foo.test ann " + auth.Scramble("pw") + " 1 ann U\n", "smtpauth.tab": "tool secret MR\n"})
	hashNow := start(t, map[string]string{"mailusers.tab": "foo.test ann " + auth.Scramble("pw") + " 1 ann U\n", "smtpauth.tab": "",
		"server.tab": "CompatLevel 1\nLOGIN-RequireTLS 0\n"})
	for _, name := range []string{"ann@foo.test", "hash@foo.test", "nick@foo.test", "team@foo.test", "none@foo.test", "ann@none.test", "none", "tool", "a\nb@foo.test"} {
		for what, c := range map[string]struct {
			f    *fixture
			want error
		}{
			"some hashed": {withHashes, ErrTemporary}, "none hashed": {without, ErrBadLogin}, "new ones hashed": {hashNow, ErrTemporary},
		} {
			if _, err := c.f.SMTP(over(t), smtp(name, "wrong")); !errors.Is(err, c.want) {
				t.Errorf("%s: SMTP login of %q: %v, want %v", what, name, err, c.want)
			}
			if _, err := c.f.POP3(over(t), "foo.test", pop3(name, "wrong")); !errors.Is(err, c.want) {
				t.Errorf("%s: POP3 login of %q: %v, want %v", what, name, err, c.want)
			}
			c.f.failures.Succeed(stranger.Addr())
		}
	}
	if _, err := withHashes.SMTP(over(t), smtp("ann@foo.test", "pw")); err != nil {
		t.Errorf("a good login by a reversible password was work: %v", err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache()
	now := time.Unix(1e9, 0)
	key := func(n int) (k [sha256.Size]byte) {
		binary.BigEndian.PutUint64(k[:], uint64(n))
		return k
	}
	for n := range maxCached + 1 {
		c.add(key(n), now.Add(time.Duration(n)))
	}
	if n := len(c.until); n > maxCached || n < maxCached/2 {
		t.Errorf("%d logins are remembered, want %d at most and more than half", n, maxCached)
	}
	if !c.has(key(maxCached), now) {
		t.Error("the last one is not remembered")
	}
	a, b := c.key("stored", "clear"), c.key("storedc", "lear")
	if a == b || a != c.key("stored", "clear") || a == newCache().key("stored", "clear") {
		t.Error("keys do not tell logins apart, or are those of another process")
	}
}

func TestOldPasswordsAreUpgradedWhereThatIsWanted(t *testing.T) {
	var upgraded []string
	failing := errors.New("no space")
	use := func(f *fixture, err error) {
		f.use(Options{Upgrade: func(_ context.Context, u mailroot.User, clear string) error {
			upgraded = append(upgraded, u.Name+"@"+u.Domain+"="+clear)
			return err
		}})
	}
	all := func(f *fixture) {
		t.Helper()
		upgraded = nil
		for _, cr := range []Credentials{pop3("ann", "pw"), pop3("ann", "x"), pop3("hash", "password"), smtp("ann@bar.test", "bar"), smtp("tool", "secret"),
			{Name: "ann@foo.test", Mechanism: auth.CRAMMD5, Challenge: "<1@x>", Response: auth.CRAM("<1@x>", "pw"), Remote: stranger, Service: "smtp"},
			{Name: "ann@foo.test", Mechanism: "APOP", Challenge: "<1@x>", Response: auth.Digest("<1@x>", "pw"), Remote: stranger, Service: "pop3"},
		} {
			var err error
			if cr.Service == "pop3" {
				_, err = f.POP3(t.Context(), "foo.test", cr)
			} else {
				_, err = f.SMTP(t.Context(), cr)
			}
			if (err == nil) != (cr.Password != "x") {
				t.Errorf("%s: %v", cr.Name, err)
			}
		}
	}
	f := start(t, map[string]string{"server.tab": "CompatLevel 1\nLOGIN-RequireTLS 0\nPasswordUpgrade 1\n", "domains/bar.test/userdef.tab": "PasswordScheme reversible\n"})
	use(f, nil)
	if all(f); !slices.Equal(upgraded, []string{"ann@foo.test=pw"}) {
		t.Errorf("upgraded %q, want the one account whose domain has hashes now", upgraded)
	}
	use(f, failing)
	all(f)
	if log := f.logged(); !strings.Contains(log, "no space") || strings.Contains(log, "=pw") {
		t.Errorf("the log:\n%s", log)
	}
	for _, vars := range []string{"CompatLevel 1\nLOGIN-RequireTLS 0\n", "PasswordUpgrade 1\n"} {
		f = start(t, map[string]string{"server.tab": vars})
		use(f, nil)
		if all(f); len(upgraded) > 0 {
			t.Errorf("with %q upgraded %q", vars, upgraded)
		}
	}
}

func TestClearTextPasswordsNeedTLSAtLevel1(t *testing.T) {
	for _, c := range []struct {
		vars, remote string
		tls          bool
		want         bool
	}{
		{"", "192.0.2.7:1", false, true}, {"CompatLevel 1\n", "192.0.2.7:1", false, false}, {"CompatLevel 1\n", "192.0.2.7:1", true, true},
		{"CompatLevel 1\n", "127.0.0.1:1", false, true}, {"CompatLevel 1\n", "[::1]:1", false, true}, {"CompatLevel 1\n", "[::ffff:127.0.0.1]:1", false, true},
		{"LOGIN-RequireTLS 1\n", "192.0.2.7:1", false, false}, {"CompatLevel 1\nLOGIN-RequireTLS 0\n", "192.0.2.7:1", false, true},
	} {
		f := start(t, map[string]string{"server.tab": c.vars + "LOGIN-MaxFailures 1\n"})
		cr := smtp("ann@foo.test", "pw")
		cr.Remote, cr.TLS = netip.MustParseAddrPort(c.remote), c.tls
		want := ErrNeedTLS
		if c.want {
			want = nil
		}
		for range 2 { // it does not count as a failure
			if _, err := f.SMTP(t.Context(), cr); !errors.Is(err, want) {
				t.Errorf("%q from %s, TLS %v: %v, want %v", c.vars, c.remote, c.tls, err, want)
			}
		}
		cr.Mechanism, cr.Challenge, cr.Response = auth.CRAMMD5, "<1@x>", auth.CRAM("<1@x>", "pw")
		if _, err := f.SMTP(t.Context(), cr); err != nil {
			t.Errorf("%q from %s, TLS %v: CRAM-MD5: %v", c.vars, c.remote, c.tls, err)
		}
	}
}

func TestMechanisms(t *testing.T) {
	hashOnly := map[string]string{"mailusers.tab": "foo.test hash " + hashed + " 1 hash U\n", "smtpauth.tab": ""}
	with := func(m map[string]string, more ...string) map[string]string {
		all := map[string]string{}
		for k, v := range m {
			all[k] = v
		}
		for i := 0; i < len(more); i += 2 {
			all[more[i]] = more[i+1]
		}
		return all
	}
	for _, c := range []struct {
		files    map[string]string
		far, tls string
		digests  bool
	}{
		{nil, "LOGIN PLAIN CRAM-MD5", "LOGIN PLAIN CRAM-MD5", true},
		{hashOnly, "LOGIN PLAIN", "LOGIN PLAIN", false},
		{with(hashOnly, "smtpauth.tab", "tool secret M\n"), "LOGIN PLAIN CRAM-MD5", "LOGIN PLAIN CRAM-MD5", false},
		{with(nil, "server.tab", "CompatLevel 1\n"), "CRAM-MD5", "LOGIN PLAIN CRAM-MD5", true},
		{with(nil, "server.tab", "SmtpNoTLSAuths cram-md5,PLAIN\n"), "PLAIN CRAM-MD5", "LOGIN PLAIN CRAM-MD5", true},
		{with(nil, "server.tab", "SmtpNoTLSAuths \"\"\n"), "", "LOGIN PLAIN CRAM-MD5", true},
		{with(nil, "smtpextauth.tab", "plain /bin/true\nX-OWN /bin/true\nPLAIN /bin/false\n"), "PLAIN", "PLAIN", true},
		{with(nil, "smtpextauth.tab", "X-OWN /bin/true\n"), "", "", true},
	} {
		f := start(t, c.files)
		far, tls := strings.Join(f.Mechanisms(stranger.Addr(), false), " "), strings.Join(f.Mechanisms(stranger.Addr(), true), " ")
		if far != c.far || tls != c.tls || f.Digests() != c.digests {
			t.Errorf("%q: in clear text %q, in TLS %q, digests %v; want %q, %q, %v", c.files, far, tls, f.Digests(), c.far, c.tls, c.digests)
		}
	}
	f := start(t, map[string]string{"server.tab": "CompatLevel 1\nSmtpNoTLSAuths PLAIN\n"})
	if got := f.Mechanisms(netip.MustParseAddr("::1"), false); !slices.Equal(got, []string{"PLAIN"}) {
		t.Errorf("on the loopback %q", got)
	}
}

func TestLoginToPOP3OpensSMTPForAWhile(t *testing.T) {
	f := start(t, nil)
	u, _ := f.root.User("foo.test", "ann")
	ip := stranger.Addr()
	if f.PopBeforeSMTP(u, ip, time.Hour) {
		t.Error("before any login")
	}
	if err := f.RecordPOP3(u, netip.AddrFrom16(ip.As16())); err != nil {
		t.Fatal(err)
	}
	check := func(what string, u mailroot.User, ip netip.Addr, want bool) {
		t.Helper()
		if got := f.PopBeforeSMTP(u, ip, 900*time.Second); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	hash, _ := f.root.User("foo.test", "hash")
	check("at once", u, ip, true)
	check("from another address", u, ip.Next(), false)
	check("another account", hash, ip, false)
	f.advance(900 * time.Second)
	check("at the end", u, ip, true)
	f.advance(time.Second)
	check("later", u, ip, false)
	if err := f.RecordPOP3(u, ip.Next()); err != nil {
		t.Fatal(err)
	}
	check("the next login", u, ip.Next(), true)
	check("the one before", u, ip, false)
	disabled := start(t, map[string]string{"domains/foo.test/ann/user.tab": "Disabled \"\"\n"})
	if err := disabled.RecordPOP3(u, ip); err != nil {
		t.Fatal(err)
	}
	if disabled.PopBeforeSMTP(u, ip, time.Hour) {
		t.Error("a disabled account sends mail")
	}
	if err := f.RecordPOP3(mailroot.User{Domain: "foo.test", Name: "x", Dir: "../x"}, ip); err == nil {
		t.Error("a folder outside was written")
	}
}

func TestARepeatedLoginLeavesTheFileInPlace(t *testing.T) {
	f := start(t, nil)
	u, _ := f.root.User("foo.test", "ann")
	name := f.root.Path("domains/foo.test/ann/" + lastLoginFile)
	record := func(ip netip.Addr) os.FileInfo {
		t.Helper()
		if err := f.RecordPOP3(u, ip); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(name)
		if err != nil || string(text) != ip.String()+"\n" {
			t.Errorf("after a login from %v: %q, %v", ip, text, err)
		}
		info, err := os.Lstat(name)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	ip := stranger.Addr()
	first := record(ip)
	f.advance(time.Minute)
	again := record(ip)
	if !os.SameFile(first, again) || again.ModTime().Sub(first.ModTime()) != time.Minute {
		t.Errorf("a login from the same address a minute later: the same file %v, %v later", os.SameFile(first, again), again.ModTime().Sub(first.ModTime()))
	}
	if next := record(ip.Next()); os.SameFile(again, next) {
		t.Error("a login from another address is written into the file that others may be reading")
	}
	// Through a link the time of a file elsewhere would change.
	elsewhere := filepath.Join(t.TempDir(), "file")
	if err := errors.Join(os.WriteFile(elsewhere, []byte(ip.String()+"\n"), 0o600), os.Remove(name), os.Symlink(elsewhere, name)); err != nil {
		t.Fatal(err)
	}
	if info := record(ip); !info.Mode().IsRegular() {
		t.Errorf("a link was not replaced: %v", info.Mode())
	}
}

// Durations of days, as LOGIN-CacheTime may have them, are too much for a sum of nanoseconds.
func TestAFullCacheForgetsThoseThatEndSoonest(t *testing.T) {
	c := newCache()
	now := time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)
	late := now.Add(1 << 20 * time.Second)
	key := func(i int) (k [sha256.Size]byte) {
		binary.BigEndian.PutUint64(k[:], uint64(i))
		return k
	}
	for i := range maxCached {
		c.add(key(i), []time.Time{now, late}[i%2])
	}
	c.add(key(maxCached), late)
	if n := len(c.until); n > maxCached {
		t.Errorf("%d logins are remembered, want %d at most", n, maxCached)
	}
	for i := 1; i < maxCached; i += 2 {
		if !c.has(key(i), now) {
			t.Fatal("a login that counts for long was forgotten before those that count no more")
		}
	}
}
