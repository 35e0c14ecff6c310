package access

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

type textRow string

func (r textRow) Fields() []string { return tabfile.Split(string(r)) }
func (r textRow) Raw() string      { return string(r) }

func mapOf(rows ...string) *IPMap {
	var text []textRow
	for _, r := range rows {
		text = append(text, textRow(strings.ReplaceAll(r, " ", "\t")))
	}
	return NewIPMap("ctrl.ipmap.tab", slices.Values(text))
}

func TestIPMapDecide(t *testing.T) {
	vector := []string{
		`"0.0.0.0" "0.0.0.0" "DENY" "1"`,
		`"10.0.0.0" "255.0.0.0" "ALLOW" "2"`,
		`"10.1.0.0" "255.255.0.0" "DENY" 2`,
	}
	tests := []struct {
		name        string
		rows        []string
		allow, deny string
	}{
		{"docs/reference/tables.md 11", vector, "10.2.0.1 ::ffff:10.2.0.1", "10.1.2.3 8.8.8.8 ::ffff:10.1.2.3"},
		{"without its first row", vector[1:], "8.8.8.8 10.2.0.1", "10.1.2.3"},
		{"no rows", nil, "8.8.8.8 ::1", ""},
		{"0.0.0.0/0 is both families", []string{`0.0.0.0 0.0.0.0 DENY 1`}, "", "8.8.8.8 2001:db8::1 ::1"},
		{"0.0.0.0/0 as a prefix", []string{`0.0.0.0/0 "" DENY 1`}, "", "8.8.8.8 2001:db8::1"},
		{"IPv6 prefix", []string{`::/0 "" DENY 1`, `2001:db8::/32 "" ALLOW 2`}, "2001:db8::1", "2001:db9::1 8.8.8.8"},
		{"a prefix needs its four columns", []string{`10.0.0.0/8 DENY 1`}, "10.1.2.3", ""},
		{"the mask column of a prefix does not count", []string{`10.0.0.0/8 255.255.255.255 DENY 1`}, "11.1.2.3", "10.1.2.3"},
		{"higher precedence wins, not the order", []string{`0.0.0.0 0.0.0.0 ALLOW 5`, `10.0.0.0 255.0.0.0 DENY 3`}, "10.1.2.3", ""},
		{"equal precedence: the later row", []string{`10.0.0.0 255.0.0.0 DENY 1`, `0.0.0.0 0.0.0.0 ALLOW 1`}, "10.1.2.3", ""},
		{"below -1 never counts", []string{`0.0.0.0 0.0.0.0 DENY -2`}, "10.1.2.3", ""},
		{"-1 counts", []string{`0.0.0.0 0.0.0.0 DENY -1`}, "", "10.1.2.3"},
		{"allow in any case", []string{`0.0.0.0 0.0.0.0 DENY 1`, `10.0.0.0 255.0.0.0 aLLoW 2`}, "10.1.2.3", "11.1.1.1"},
		{"any other word denies", []string{`10.0.0.0 255.0.0.0 YES 1`}, "11.1.1.1", "10.1.2.3"},
		{"broken rows are skipped", []string{`10.0.0.0 255.0.255 DENY 1`, `host.test 255.0.0.0 DENY 1`, `10.0.0.0/x "" DENY 1`,
			`10.0.0.0 255.0.0.0 DENY one`, `10.0.0.0 255.0.0.0 DENY`, `10.9.0.0 255.255.0.0 DENY 1`}, "10.1.2.3", "10.9.1.1"},
		{"a bare address is one host", []string{`10.1.2.3 "" DENY 1`}, "10.1.2.4", "10.1.2.3"},
		{"a dot at the end", []string{`192.168.0.0. 255.255.0.0. DENY 1`}, "10.1.2.4", "192.168.3.4"},
	}
	for _, tt := range tests {
		m := mapOf(tt.rows...)
		for want, addrs := range map[bool]string{true: tt.allow, false: tt.deny} {
			for _, ip := range strings.Fields(addrs) {
				if v := m.Decide(netip.MustParseAddr(ip), time.Unix(1000, 0)); v.Allow != want {
					t.Errorf("%s: Decide(%s) = %+v, want Allow %v", tt.name, ip, v, want)
				}
			}
		}
	}
}

func TestRowsOfAMapExpire(t *testing.T) {
	m := mapOf(
		`0.0.0.0/0 "" ALLOW 1`,
		`10.0.0.0/8 "" DENY 2 expires=2000`,
		`10.1.0.0/16 "" ALLOW 3 expires=1500`,
		`192.0.2.0/24 "" DENY 2 expires=soon`,
		`198.51.100.0/24 "" DENY 2 expires=0`,
	)
	for _, tt := range []struct {
		ip   string
		now  int64
		want bool
	}{
		{"10.9.9.9", 1999, false}, {"10.9.9.9", 2000, true}, {"10.9.9.9", 9999, true},
		{"10.1.1.1", 1499, true}, {"10.1.1.1", 1500, false}, {"10.1.1.1", 2000, true},
		{"192.0.2.1", 1 << 40, false}, // what is no time never comes
		{"198.51.100.1", 1, true},
	} {
		if v := m.Decide(netip.MustParseAddr(tt.ip), time.Unix(tt.now, 0)); v.Allow != tt.want {
			t.Errorf("Decide(%s) at %d = %+v, want Allow %v", tt.ip, tt.now, v, tt.want)
		}
	}
}

func TestVerdictSaysWhy(t *testing.T) {
	m := mapOf(`0.0.0.0 0.0.0.0 ALLOW 1`, `10.0.0.0 255.0.0.0 DENY 2`)
	want := Verdict{
		Reason: "denied by ctrl.ipmap.tab: 10.0.0.0 255.0.0.0 DENY 2",
		File:   "ctrl.ipmap.tab",
		Row:    "10.0.0.0\t255.0.0.0\tDENY\t2",
	}
	if got := m.Decide(netip.MustParseAddr("10.1.2.3"), time.Unix(1000, 0)); got != want {
		t.Errorf("Decide = %+v, want %+v", got, want)
	}
	want = Verdict{Allow: true, Reason: "no row of ctrl.ipmap.tab matches"}
	if got := mapOf().Decide(netip.MustParseAddr("10.1.2.3"), time.Unix(1000, 0)); got != want {
		t.Errorf("Decide without rows = %+v, want %+v", got, want)
	}
	var none *IPMap
	if got := none.Decide(netip.MustParseAddr("10.1.2.3"), time.Unix(1000, 0)); !got.Allow || got.File != "" {
		t.Errorf("Decide of a table that is not there = %+v, want an allowing one without a file", got)
	}
}

func TestParseIPRow(t *testing.T) {
	tests := []struct{ row, want, warning string }{
		{`10.0.0.0 255.0.0.0 ALLOW 1`, "", ""},
		{`10.0.0.0 255.0.0.0 PERHAPS 1`, "", "neither ALLOW nor DENY"},
		{`10.0.0.0 255.0.0.0 DENY -7`, "", "never counts"},
		{`10.0.0.0. 255.0.0.0 DENY 1`, "", "ends in a dot"},
		{`10.0.0.0 255.0.0.0 DENY 1 expires=1900000000`, "", ""},
		{`10.0.0.0 255.0.0.0 DENY 1 expires=soon`, "", `expires="soon" is no time in seconds since 1970; the row stands for good`},
		{`10.0.0.0 255.0.0.0 DENY 1 expires`, "", `"expires" after the precedence means nothing`},
		{`10.0.0.0/8 DENY 1 expires=1900000000`, `bad precedence`, ""},
		{`10.0.0.0 255.0.255 DENY 1`, `bad netmask "255.0.255"`, ""},
		{`10.0.0.0 255.0.0.0 DENY 1x`, `bad precedence "1x"`, ""},
		{`10.0.0.0/8 DENY 1`, "3 fields", ""},
		{`mail.test 255.0.0.0 DENY 1`, "host name", ""},
	}
	for _, tt := range tests {
		row, err := ParseIPRow(tabfile.Split(strings.ReplaceAll(tt.row, " ", "\t")))
		text := ""
		if err != nil {
			text = err.Error()
		}
		if (tt.want == "") != (err == nil) || !strings.Contains(text, tt.want) {
			t.Errorf("ParseIPRow(%s): error %q, want %q", tt.row, text, tt.want)
		}
		got := strings.Join(row.Warnings, "; ")
		if (tt.warning == "") != (got == "") || !strings.Contains(got, tt.warning) {
			t.Errorf("ParseIPRow(%s) warns %q, want %q", tt.row, got, tt.warning)
		}
	}
}
