package tabfile

import (
	"net/netip"
	"strings"
	"testing"
)

func TestAddrRuleMatches(t *testing.T) {
	tests := []struct {
		addr, mask string
		yes, no    string // addresses, separated by blanks
	}{
		{"10.0.0.0", "255.0.0.0", "10.0.0.0 10.255.1.2 ::ffff:10.1.2.3 ::10.1.2.3", "11.0.0.1 2001:db8::1 ::ffff:11.0.0.1"},
		{"10.0.0.0/8", "", "10.1.2.3 ::ffff:10.1.2.3", "11.1.2.3 fe80::1"},
		{"10.0.0.0/8", "whatever", "10.1.2.3", "11.1.2.3"},
		{"10.1.2.3", "255.0.0.0", "10.9.9.9", "11.1.2.3"},
		{"10.1.2.3", "", "10.1.2.3 ::ffff:10.1.2.3", "10.1.2.4"},
		{"10.1.2.3", "255.255.255.255", "10.1.2.3", "10.1.2.2"},
		{"10.1.2.3/40", "", "10.1.2.3", "10.1.2.4"},
		{"0.0.0.0", "0.0.0.0", "8.8.8.8 ::1 2001:db8::1 ::ffff:1.2.3.4 fe80::1%eth0", ""},
		{"0.0.0.0/0", "", "8.8.8.8 2001:db8::1", ""},
		{"::/0", "", "8.8.8.8 ::1 2001:db8::1 ::ffff:1.2.3.4", ""},
		{"127.0.0.1", "255.255.255.255", "127.0.0.1 ::ffff:127.0.0.1", "::1 127.0.0.2"},
		{"0.0.0.1", "", "0.0.0.1 ::1", "127.0.0.1"},
		{"::1", "", "::1 0.0.0.1", "::2 127.0.0.1"},
		{"2001:db8::/32", "", "2001:db8::1 2001:db8:ffff::1", "2001:db9::1 10.0.0.1 ::ffff:10.0.0.1"},
		{"2001:db8::5", "", "2001:db8::5 2001:db8::5%eth0", "2001:db8::6"},
		{"2001:db8::/200", "", "2001:db8::", "2001:db8::1"},
		{"fe80::/10", "", "fe80::1 fe80::1%eth0 febf::1", "fec0::1"},
		{"::ffff:10.0.0.0/104", "", "10.1.2.3 ::ffff:10.1.2.3", "11.1.2.3 2001:db8::1"},
		{"ff::/8", "", "::1", "10.1.2.3"},
		{"127.1", "255.255.255.255", "127.0.0.1", "127.1.0.0"},
		{"10", "255.255.255.255", "0.0.0.10", "10.0.0.0"},
		{"010.0.0.1", "", "8.0.0.1", "10.0.0.1"},
		{"0x7f.1", "", "127.0.0.1", "127.0.0.2"},
		{"192.168.0.0.", "255.255.0.0", "192.168.7.7", "192.169.0.1"},
		{"192.168.0.0", "255.255.0.0.", "192.168.7.7", "192.169.0.1"},
		{"192.168.0.0./16", "", "192.168.7.7", "192.169.0.1"},
		{"10.0.0.5", "255.0.0.255", "10.1.2.5 10.0.0.5", "10.0.0.6"},
	}
	for _, tt := range tests {
		r, err := ParseAddrRule(tt.addr, tt.mask)
		if err != nil {
			t.Errorf("ParseAddrRule(%q, %q): %v", tt.addr, tt.mask, err)
			continue
		}
		for _, ip := range strings.Fields(tt.yes) {
			if !r.Matches(netip.MustParseAddr(ip)) {
				t.Errorf("%q %q (%v) does not match %s, want a match", tt.addr, tt.mask, r, ip)
			}
		}
		for _, ip := range strings.Fields(tt.no) {
			if r.Matches(netip.MustParseAddr(ip)) {
				t.Errorf("%q %q (%v) matches %s, want none", tt.addr, tt.mask, r, ip)
			}
		}
	}
}

func TestParseAddrRuleRefuses(t *testing.T) {
	tests := []struct{ addr, mask, want string }{
		{"", "255.0.0.0", `bad address ""`},
		{"300.1.1.1", "255.0.0.0", `bad address "300.1.1.1"`},
		{"1.2.3.4.5", "", "bad address"},
		{"1..2", "", "bad address"},
		{"192.168.", "255.255.0.0", "bad address"},
		{"192.168.0.0..", "255.255.0.0", "bad address"},
		{"08.0.0.1", "", "bad address"},
		{"4294967296", "", "bad address"},
		{"1.16777216", "", "bad address"},
		{" 10.0.0.1", "", "bad address"},
		{"-1.0.0.0", "", "bad address"},
		{"10.0.0.0/", "", `bad prefix length in "10.0.0.0/"`},
		{"10.0.0.0/x", "", "bad prefix length"},
		{"10.0.0.0/-1", "", "bad prefix length"},
		{"10.0.0.0/+8", "", "bad prefix length"},
		{"10.0.0.0/255.0.0.0", "", "bad prefix length"},
		{"10.0.0.0", "255.0.255", `bad netmask "255.0.255"`},
		{"10.0.0.0", "255.255", "bad netmask"},
		{"10.0.0.0", "255.255.256.0", "bad netmask"},
		{"10.0.0.0", "ffff::", "bad netmask"},
		{"2001:db8::", "255.0.0.0", "2001:db8::/BITS"},
		{"fe80::1%eth0", "", "bad address"},
		{"2001:db8::g", "", "bad address"},
		{"[::1]", "", "bad address"},
		{"mail.example.org", "255.255.255.255", "host name"},
		{"localhost", "", "host name"},
	}
	for _, tt := range tests {
		r, err := ParseAddrRule(tt.addr, tt.mask)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ParseAddrRule(%q, %q) = %v, %v, want an error with %q", tt.addr, tt.mask, r, err, tt.want)
		}
		if r.Matches(netip.MustParseAddr("10.0.0.0")) {
			t.Errorf("ParseAddrRule(%q, %q): the rule of an error matches", tt.addr, tt.mask)
		}
	}
}

func TestAddrRuleWarns(t *testing.T) {
	tests := []struct{ addr, mask, want string }{
		{"10.0.0.0", "255.0.0.0", ""},
		{"10.0.0.0/8", "", ""},
		{"::/0", "", ""},
		{"0.0.0.0", "0.0.0.0", ""},
		{"2001:DB8::/32", "", ""},
		{"10", "", `"10" is read as 0.0.0.10`},
		{"127.1/8", "", `"127.1" is read as 127.0.0.1`},
		{"010.0.0.1", "", "read as 8.0.0.1"},
		{"192.168.0.0.", "255.255.0.0", `"192.168.0.0." ends in a dot`},
		{"192.168.0.0", "255.255.0.0.", `"255.255.0.0." ends in a dot`},
		{"10.0.0.5", "255.0.0.255", `netmask "255.0.0.255" has gaps`},
		{"10.0.0.5/33", "", "longer than the address"},
		{"10.0.0.5/0", "", "matches every address"},
		{"10.0.0.5", "0", `"0" is read as 0.0.0.0`},
	}
	for _, tt := range tests {
		r, err := ParseAddrRule(tt.addr, tt.mask)
		got := strings.Join(r.Warnings(), "; ")
		if err != nil || (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
			t.Errorf("ParseAddrRule(%q, %q) warns %q, %v, want %q", tt.addr, tt.mask, got, err, tt.want)
		}
	}
}

func TestAddrRuleString(t *testing.T) {
	tests := []struct {
		addr, mask, want string
		contiguous       bool
	}{
		{"10.1.2.3", "255.255.0.0", "10.1.0.0/16", true},
		{"10.1.2.3", "", "10.1.2.3/32", true},
		{"0.0.0.0", "0.0.0.0", "0.0.0.0/0", true},
		{"2001:db8::1/32", "", "2001:db8::/32", true},
		{"::ffff:10.0.0.1/104", "", "::ffff:10.0.0.0/104", true},
		{"10.1.2.3", "255.0.0.255", "10.0.0.3/255.0.0.255", false},
	}
	for _, tt := range tests {
		r, err := ParseAddrRule(tt.addr, tt.mask)
		if err != nil || r.String() != tt.want || r.Contiguous() != tt.contiguous {
			t.Errorf("ParseAddrRule(%q, %q) = %v, contiguous %v, %v, want %s, %v",
				tt.addr, tt.mask, r, r.Contiguous(), err, tt.want, tt.contiguous)
		}
	}
	var zero AddrRule
	if zero.Matches(netip.MustParseAddr("::")) || zero.Contiguous() || zero.String() != "invalid rule" {
		t.Errorf("the zero rule is %v and matches ::, want one that matches nothing", zero)
	}
	if r, _ := ParseAddrRule("0.0.0.0/0", ""); r.Matches(netip.Addr{}) {
		t.Errorf("0.0.0.0/0 matches the zero address, want none")
	}
}

func FuzzAddrRule(f *testing.F) {
	for _, s := range [][3]string{
		{"10.0.0.0", "255.0.0.0", "10.1.2.3"}, {"10.0.0.0/8", "", "::ffff:10.1.2.3"}, {"0.0.0.0/0", "", "::1"}, {"::/0", "", "1.2.3.4"},
		{"127.1", "", "127.0.0.1"}, {"192.168.0.0.", "255.255.0.0.", "192.168.1.1"}, {"10.0.0.5", "255.0.0.255", "10.9.9.5"},
		{"2001:db8::/32", "", "2001:db8::1"}, {"::ffff:10.0.0.0/104", "", "10.1.1.1"}, {"host.example", "", "::"}, {"10/8", "x", "0.0.0.1"},
		{"0x7f.1", "0xff000000", "127.0.0.1"}, {"fe80::1%eth0", "", "fe80::1%eth0"},
	} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, addr, mask, peer string) {
		r, err := ParseAddrRule(addr, mask)
		if err != nil {
			return
		}
		if ip, err := netip.ParseAddr(peer); err == nil {
			if got, want := r.Matches(ip), r.Matches(ip.Unmap().WithZone("")); got != want {
				t.Errorf("%v matches %v: %v, and its plain form: %v", r, ip, got, want)
			}
			if p, ok := r.Prefix(); ok && p.Bits() > 0 && p.Addr().Is4() == ip.Is4() && !ip.Is4In6() && ip.Zone() == "" {
				if got, want := r.Matches(ip), p.Contains(ip); got != want && !p.Addr().Is4In6() {
					t.Errorf("%v matches %v: %v, as a prefix: %v", r, ip, got, want)
				}
			}
		}
		text, m, _ := strings.Cut(r.String(), "/")
		again, err := ParseAddrRule(r.String(), "")
		if !r.Contiguous() {
			again, err = ParseAddrRule(text, m)
		}
		if err != nil || again.String() != r.String() {
			t.Errorf("ParseAddrRule(%q, %q) = %v, which reads as %v, %v", addr, mask, r, again, err)
		}
	})
}
