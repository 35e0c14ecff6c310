package admin

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// withClock opens a MailRoot of files whose clock is *now.
func withClock(t *testing.T, files map[string]string, now *time.Time) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir()}
	for name, text := range files {
		f.put(name, text)
	}
	root, err := mailroot.Open(t.Context(), f.dir, mailroot.Options{Clock: func() time.Time { return *now }})
	f.ok(err)
	f.Service = New(root, Options{})
	t.Cleanup(f.stop)
	return f
}

func TestSpammerAddReplacesWhatHasExpired(t *testing.T) {
	f := start(t, map[string]string{"spammers.tab": "192.0.2.9 expires=1000\n192.0.2.9/32 expires=2000\n192.0.2.8 code=1\n"})
	_, err := f.SpammerAdd(t.Context(), at("192.0.2.9"), "code=0", 1)
	f.ok(err)
	if got, want := f.read("spammers.tab"), "\"192.0.2.9\"\t\"code=0\"\n192.0.2.8\tcode=1\n"; got != want {
		t.Errorf("spammers.tab holds %q, want %q", got, want)
	}
}

func TestIPMapAddReplacesWhatHasExpired(t *testing.T) {
	now := time.Unix(1000, 0)
	f := withClock(t, map[string]string{"smtp.ipmap.tab": "192.0.2.9\t\"\"\tDENY\t1\texpires=1000\n192.0.2.8\t\"\"\tDENY\t1\n"}, &now)
	ctx := t.Context()
	change := MapChange{Service: "smtp", Address: at("192.0.2.9/32")}
	f.wantKind(f.IPMapDel(ctx, change), NoRecord)
	for _, expires := range []string{"soon", "1000", "-5", "1e9", "99999999999999999999"} {
		f.wantKind(f.IPMapAdd(ctx, change, IPMapEntry{Permission: "DENY", Precedence: "2", Expires: expires}), Invalid)
	}
	entry := IPMapEntry{Permission: "DENY", Precedence: "2", Expires: "3000"}
	f.ok(f.IPMapAdd(ctx, change, entry))
	f.wantKind(f.IPMapAdd(ctx, change, entry), Exists)
	want := "192.0.2.8\t\"\"\tDENY\t1\n\"192.0.2.9/32\"\t\"\"\t\"DENY\"\t2\t\"expires=3000\"\n"
	if got := f.read("smtp.ipmap.tab"); got != want {
		t.Errorf("smtp.ipmap.tab holds %q, want %q", got, want)
	}
	for _, test := range []struct {
		now    int64
		listed int
		effect string
		entry  string
	}{
		{2999, 2, "denies", "DENY"},
		{3000, 1, "does not count: it has expired", "ALLOW"},
	} {
		now = time.Unix(test.now, 0)
		rows, err := f.IPMaps("smtp", "*")
		f.ok(err)
		if n := len(slices.Collect(rows)); n != test.listed {
			t.Errorf("at %d: %d rows listed, want %d", test.now, n, test.listed)
		}
		checked, err := f.IPCheck(ctx, "smtp", "192.0.2.9", "")
		f.ok(err)
		if checked[0].Effect != test.effect || checked[1].Entry != test.entry {
			t.Errorf("at %d: %+v, want the effect %q and %s", test.now, checked, test.effect, test.entry)
		}
	}
}

// Whoever asks is not to be shut out later either.
func TestGuardLooksAhead(t *testing.T) {
	now := time.Unix(1000, 0)
	asker := netip.MustParseAddr("192.0.2.1")
	const others = "0.0.0.0/0\t\"\"\tDENY\t1\n"
	for _, test := range []struct {
		name, rows, address    string
		permission, precedence string
		expires, refused       string
	}{
		{"a ban for a while", "", "192.0.2.1", "DENY", "5", "2000", "from where you ask, ("},
		{"a ban of others for a while", "", "192.0.2.2", "DENY", "5", "2000", ""},
		{"for all that, once the way in is closed", "192.0.2.1\t\"\"\tALLOW\t5\texpires=2000\n", "0.0.0.0/0", "DENY", "1", "", "from 1970-01-01T00:33:20Z on"},
		{"which it is before", "192.0.2.1\t\"\"\tALLOW\t5\texpires=2000\n", "0.0.0.0/0", "DENY", "1", "1999", ""},
		{"a ban that outlives the way in", "192.0.2.1\t\"\"\tALLOW\t5\texpires=2000\n", "0.0.0.0/0", "DENY", "1", "2001", "from 1970-01-01T00:33:20Z on"},
		{"a way in for a while", others, "192.0.2.1", "ALLOW", "5", "2000", ""},
	} {
		f := withClock(t, map[string]string{"ctrl.ipmap.tab": test.rows}, &now)
		change := MapChange{Service: "ctrl", Address: at(test.address), Asker: asker}
		err := f.Try().IPMapAdd(t.Context(), change, IPMapEntry{test.permission, test.precedence, test.expires})
		switch {
		case test.refused == "" && err != nil:
			t.Errorf("%s: refused: %v", test.name, err)
		case test.refused != "" && (kindOf(err) != Invalid || !strings.Contains(err.Error(), test.refused)):
			t.Errorf("%s: %v, want a refusal with %q", test.name, err, test.refused)
		}
		change.Force = true
		f.ok(f.IPMapAdd(t.Context(), change, IPMapEntry{test.permission, test.precedence, test.expires}))
	}
}

func TestSweepAsksTheClock(t *testing.T) {
	const account = "domains/a.test/ann/pop3.ipmap.tab"
	now := time.Unix(999, 0)
	f := withClock(t, map[string]string{
		"domains.tab":    "a.test\n",
		"mailusers.tab":  "a.test\tann\t\"1d\"\t1\tann\tU\na.test\tbob\t\"1d\"\t2\tbob\tU\n",
		"spammers.tab":   "192.0.2.1\texpires=1000\n# x\n192.0.2.2\n192.0.2.3\texpires=2000\n",
		"pop3.ipmap.tab": "192.0.2.1\t\"\"\tDENY\t1\texpires=1000\n# x\n192.0.2.2\t\"\"\tDENY\t1\n",
		"ctrl.ipmap.tab": "192.0.2.1\t\"\"\tDENY\t1\texpires=2000\n",
		account:          "192.0.2.1\t\"\"\tDENY\t1\texpires=1000\n192.0.2.2\t\"\"\tDENY\t1\texpires=soon\n",
	}, &now)
	for _, step := range []struct {
		now   int64
		want  string
		files map[string]string
	}{
		{999, "[]", map[string]string{"spammers.tab": "192.0.2.1\texpires=1000\n# x\n192.0.2.2\n192.0.2.3\texpires=2000\n"}},
		{1000, "[{spammers.tab 1} {pop3.ipmap.tab 1} {pop3:ann@a.test 1}]", map[string]string{
			"spammers.tab":   "# x\n192.0.2.2\n192.0.2.3\texpires=2000\n",
			"pop3.ipmap.tab": "# x\n192.0.2.2\t\"\"\tDENY\t1\n",
			account:          "192.0.2.2\t\"\"\tDENY\t1\texpires=soon\n",
		}},
		{1999, "[]", nil},
		{9999, "[{spammers.tab 1} {ctrl.ipmap.tab 1}]", map[string]string{"spammers.tab": "# x\n192.0.2.2\n", "ctrl.ipmap.tab": ""}},
	} {
		now = time.Unix(step.now, 0)
		swept, err := f.Sweep(t.Context())
		f.ok(err)
		accounts, err := f.SweepAccounts(t.Context())
		f.ok(err)
		f.ok(f.Root().Store.Sync(t.Context()))
		if got := fmt.Sprint(append(swept, accounts...)); got != step.want {
			t.Errorf("at %d: swept %s, want %s", step.now, got, step.want)
		}
		for name, want := range step.files {
			if got := f.read(name); got != want {
				t.Errorf("at %d: %s holds %q, want %q", step.now, name, got, want)
			}
		}
	}
}

func TestSweepPassesOverAccountsThatGo(t *testing.T) {
	f := &fixture{t: t, dir: t.TempDir()}
	const row = "192.0.2.1\t\"\"\tDENY\t1\texpires=1000\n"
	for name, text := range map[string]string{
		"domains.tab":                       "a.test\n",
		"mailusers.tab":                     "a.test\tann\t\"1d\"\t1\tann\tU\na.test\tbob\t\"1d\"\t2\tbob\tU\n",
		"domains/a.test/ann/pop3.ipmap.tab": row,
		"domains/a.test/bob/pop3.ipmap.tab": row,
	} {
		f.put(name, text)
	}
	var meanwhile func() // when a table is about to be swept
	root, err := mailroot.Open(t.Context(), f.dir, mailroot.Options{Clock: func() time.Time {
		if do := meanwhile; do != nil {
			meanwhile = nil
			do()
		}
		return time.Unix(2000, 0)
	}})
	f.ok(err)
	f.Service = New(root, Options{})
	t.Cleanup(f.stop)
	meanwhile = func() { f.ok(f.UserDel(t.Context(), "a.test", "ann")) }
	swept, err := f.SweepAccounts(t.Context())
	f.ok(err)
	if got, want := fmt.Sprint(swept), "[{pop3:bob@a.test 1}]"; got != want {
		t.Errorf("swept %s, want %s", got, want)
	}
}
