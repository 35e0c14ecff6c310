package mailroot

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// tables opens a MailRoot of these tables, in whose texts a blank separates
// fields.
func tables(t *testing.T, files map[string]string) Tables {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		text = strings.ReplaceAll(text, " ", "\t")
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Open(context.Background(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r.Tables
}

// TestMatchingFindsWhatAScanFinds compares look-ups by the index with asking every
// row, on odd rows and odd addresses.
func TestMatchingFindsWhatAScanFinds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	rules := []string{
		"0.0.0.0/0", "::/0", "10.0.0.5/0", "10.0.0.0 255.0.0.0", "10.1.2.3", "10.0.0.7 255.0.0.255", "::/64", "::1", "::10.0.0.0/104",
		"::ffff:10.0.0.0/104", "::ffff:0:0/96", "::ffff:1.2.3.4/90", "2001:db8::/32", "2001:db8::5/64", "2001:db8::1", "::/1", "::/96", "10.0.0.0/33",
	}
	for range 200 {
		rules = append(rules, fmt.Sprintf("10.%d.%d.%d/%d", rng.IntN(3), rng.IntN(3), rng.IntN(3), rng.IntN(33)),
			fmt.Sprintf("2001:db8:%x::%x/%d", rng.IntN(3), rng.IntN(3), rng.IntN(129)))
	}
	rng.Shuffle(len(rules), func(i, j int) { rules[i], rules[j] = rules[j], rules[i] })
	n := tables(t, map[string]string{RelayTab: strings.Join(rules, "\n") + "\n"}).Relays()
	if got := len(slices.Collect(n.All())); got != len(rules) {
		t.Fatalf("%d rows, want %d", got, len(rules))
	}
	addrs := []string{"0.0.0.0", "0.0.0.1", "255.255.255.255", "::", "::1", "::10.1.1.1", "::ffff:10.1.1.1", "2001:db8::1", "2001:db8:1::2", "fe80::1%eth0"}
	for range 100 {
		addrs = append(addrs, fmt.Sprintf("10.%d.%d.%d", rng.IntN(3), rng.IntN(3), rng.IntN(9)))
	}
	for _, a := range addrs {
		ip := netip.MustParseAddr(a)
		var want, got []string
		for row := range n.All() {
			if row.Rule.Matches(ip) {
				want = append(want, row.Text())
			}
		}
		for _, row := range n.Matching(ip) {
			got = append(got, row.Text())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", a, diff)
		}
	}
}

func TestCoveringNetworks(t *testing.T) {
	n := tables(t, map[string]string{SpammersTab: strings.Join([]string{
		"10.1.0.0/16", "10.0.0.0 255.0.0.0 code=0", "10.1.2.0/24 code=-5", "10.0.0.7 255.0.0.255", "2001:db8::/32", "# a remark", "192.0.2.0/24",
	}, "\n")}).Spammers()
	for _, test := range []struct{ network, want string }{
		{"10.1.2.0/25", "10.1.0.0/16; 10.0.0.0 255.0.0.0 code=0; 10.1.2.0/24 code=-5"},
		{"10.1.2.7/32", "10.1.0.0/16; 10.0.0.0 255.0.0.0 code=0; 10.1.2.0/24 code=-5; 10.0.0.7 255.0.0.255"},
		{"10.2.0.0/16", "10.0.0.0 255.0.0.0 code=0"},
		{"::ffff:10.2.0.0/112", "10.0.0.0 255.0.0.0 code=0"},
		{"10.0.0.0/7", ""},
		{"0.0.0.0/0", ""},
		{"2001:db8:1::/48", "2001:db8::/32"},
		{"2001:db8::/31", ""},
		{"192.0.2.0/24", "192.0.2.0/24"},
	} {
		var got []string
		for _, row := range n.Covering(netip.MustParsePrefix(test.network)) {
			got = append(got, row.Text())
		}
		if text := strings.Join(got, "; "); text != test.want {
			t.Errorf("%s: %s, want %s", test.network, text, test.want)
		}
	}
}

func TestSameNetworkHoweverWritten(t *testing.T) {
	n := tables(t, map[string]string{RelayTab: "10.0.0.9 255.0.0.0\n10.0.0.0/16\n::ffff:10.0.0.0/104\n2001:DB8::1\n10.0.0.1 255.0.0.255\n"}).Relays()
	for _, test := range []struct {
		addr, mask string
		want       int
	}{
		{"10.0.0.0/8", "", 2}, {"10.1.2.3", "255.0.0.0", 2}, {"10", "", 0}, {"10.0.1.0/16", "", 1}, {"2001:db8:0::1/128", "", 1},
		{"10.0.0.1", "255.0.0.255", 1}, {"10.9.9.1", "255.0.0.255", 1}, {"0.0.0.0/0", "", 0},
	} {
		rule, err := tabfile.ParseAddrRule(test.addr, test.mask)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(slices.Collect(n.Same(rule))); got != test.want {
			t.Errorf("%s %s: %d rows, want %d", test.addr, test.mask, got, test.want)
		}
	}
}

func TestSpammersExpire(t *testing.T) {
	tt := tables(t, map[string]string{SpammersTab: strings.Join([]string{
		"10.0.0.1 code=0,expires=2000", "10.0.0.2/32 expires=1000", "10.0.0.3 255.255.255.255 expires=3000,code=-4", "10.0.0.4", "10.0.0.5 expires=soon",
	}, "\n")})
	var gone []string
	for row := range tt.Spammers().Expired(time.Unix(2000, 0)) {
		gone = append(gone, row.Field(0))
	}
	if want := []string{"10.0.0.2/32", "10.0.0.1"}; !slices.Equal(gone, want) {
		t.Errorf("expired: %q, want %q", gone, want)
	}
	var codes []int
	for n := range tt.Spammers().All() {
		codes = append(codes, n.Code())
		if n.Expired(time.Unix(999, 0)) {
			t.Errorf("%s has expired too early", n.Text())
		}
	}
	if want := []int{0, 1, -4, 1, 1}; !slices.Equal(codes, want) {
		t.Errorf("codes %v, want %v", codes, want)
	}
}

func TestRowsOfAddressMapsExpire(t *testing.T) {
	n := tables(t, map[string]string{POP3MapTab: strings.Join([]string{
		`10.0.0.1 "" DENY 1 expires=2000`, `10.0.0.2/32 "" ALLOW 1 expires=1000`, `10.0.0.3 255.255.255.255 DENY 1`,
		`10.0.0.4 "" DENY 1 expires=soon`, `10.0.0.5 "" DENY 1 remark expires=1000`,
	}, "\n")}).IPMap("pop3")
	var gone []string
	for row := range n.Expired(time.Unix(2000, 0)) {
		gone = append(gone, row.Field(0))
	}
	if want := []string{"10.0.0.2/32", "10.0.0.1"}; !slices.Equal(gone, want) {
		t.Errorf("expired: %q, want %q", gone, want)
	}
	var at []int64
	for row := range n.All() {
		if row.Expires().IsZero() {
			at = append(at, 0)
		} else {
			at = append(at, row.Expires().Unix())
		}
	}
	if want := []int64{2000, 1000, 0, 0, 0}; !slices.Equal(at, want) {
		t.Errorf("rows expire at %v, want %v", at, want)
	}
	relays := tables(t, map[string]string{RelayTab: "10.0.0.1\texpires=1\n"}).Relays()
	for row := range relays.Expired(time.Unix(2000, 0)) {
		t.Errorf("a row of %s has expired: %q", RelayTab, row.Raw())
	}
}

func TestCoveringHosts(t *testing.T) {
	n := tables(t, map[string]string{HNPropTab: "a.b.test X=1\n.TEST X=1\n.b.test X=1\nb.test X=1\n"}).Named(HNPropTab)
	for host, want := range map[string]string{
		"a.b.test": "a.b.test .TEST .b.test", "A.B.Test": "a.b.test .TEST .b.test", ".b.test": ".TEST .b.test", "b.test": ".TEST b.test",
		"xb.test": ".TEST", "test": "", ".test": ".TEST", "c.a.b.test": ".TEST .b.test",
	} {
		var got []string
		for _, row := range n.CoveringHost(host) {
			got = append(got, row.Name)
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: %s, want %s", host, text, want)
		}
	}
}

func TestCoveringPatterns(t *testing.T) {
	for _, test := range []struct {
		wide, narrow string
		want         bool
	}{
		{"*", "a.test", true}, {"*", "*", true}, {"*.test", "*.a.test", true}, {"*.a.test", "*.test", false}, {"?.test", "*.test", false},
		{"?.test", "a.test", true}, {"*.test", "?.test", true}, {"a*.test", "*.test", false}, {"*a.test", "*.test", false}, {"[ab].test", "[ab].test", false},
		{"?.test", "[ab].test", true}, {"[^c].test", "[ab].test", false}, {"*.TEST", "a.test", true}, {"a.test", "*.test", false}, {`\*.test`, "*.test", false},
		{"*.test", `\*.test`, true},
	} {
		if got := coversPattern(test.wide, test.narrow); got != test.want {
			t.Errorf("%s covers %s: %v, want %v", test.wide, test.narrow, got, test.want)
		}
	}
	n := tables(t, map[string]string{GatewaysTab: "*.b.test @x\na.test @y\n*.test @z\n* @w\n"}).Named(GatewaysTab)
	for domain, want := range map[string]string{
		"a.test": "a.test *.test *", "c.b.test": "*.b.test *.test *", "*.c.b.test": "*.b.test *.test *", "*.test": "*.test *", "none.org": "*",
	} {
		var got []string
		for _, row := range n.CoveringDomain(domain) {
			got = append(got, row.Name)
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: %s, want %s", domain, text, want)
		}
	}
}
