package address

import (
	"slices"
	"strings"
	"testing"
)

func TestListsOfAddresses(t *testing.T) {
	for _, test := range []struct {
		value string
		want  string // addresses, divided by |
		bad   string
	}{
		{"", "", ""},
		{" ann@example.org", "ann@example.org", ""},
		{"root (Cron Daemon)", "root", ""},
		{`"Doe, Ann" <ann@example.org>, bob@example.org (Bob, (the) \) one)`, "ann@example.org|bob@example.org", ""},
		{"Ann\r\n <ann@example.org>,\r\n\tbob", "ann@example.org|bob", ""},
		{`"a, b"@example.org, <"x>y"@example.org>`, `"a, b"@example.org|"x>y"@example.org`, ""},
		{"undisclosed-recipients:;", "", ""},
		{"team: ann@example.org, bob@example.org; eve@example.org", "ann@example.org|bob@example.org|eve@example.org", ""},
		{"<@a.example,@b.example:ann@example.org>", "ann@example.org", ""},
		{"ann@[IPv6:2001:db8::1]", "ann@[IPv6:2001:db8::1]", ""},
		{"Ann Doe, bob", "bob", `"Ann Doe" is no address`},
		{"<>, ,,", "", ""},
		{"<ann", "ann", ""},
		{`"open`, `"open`, ""},
		{"(open", "", ""},
		{`\`, `\`, ""},
	} {
		found, err := List(test.value)
		var got []string
		for _, l := range found {
			got = append(got, l.Address)
			if at := test.value[l.Start:l.End]; at != l.Address {
				t.Errorf("List(%q): %q stands at %d to %d, where there is %q", test.value, l.Address, l.Start, l.End, at)
			}
		}
		var want []string
		if test.want != "" {
			want = strings.Split(test.want, "|")
		}
		if !slices.Equal(got, want) {
			t.Errorf("List(%q) = %q, want %q", test.value, got, want)
		}
		if bad := ""; err != nil || test.bad != "" {
			if err != nil {
				bad = err.Error()
			}
			if bad != test.bad {
				t.Errorf("List(%q): error %q, want %q", test.value, bad, test.bad)
			}
		}
	}
}

// FuzzList wants addresses to stand where the list says.
func FuzzList(f *testing.F) {
	for _, s := range []string{"a, b", `"x" <y@z>`, "(((", "<@a:b>", "g: a;", `"\`, "[", "a\x00b<"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		found, _ := List(s)
		last := 0
		for _, l := range found {
			if l.Start < last || l.End < l.Start || s[l.Start:l.End] != l.Address {
				t.Fatalf("List(%q): %+v after %d", s, l, last)
			}
			last = l.End
		}
	})
}
