package access

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestParseDNSLists(t *testing.T) {
	got := ParseDNSLists("bl.example.test.:1, dul.example.test:0,x.test.:-5,,y.test.,z.test.:no,:1,.:1")
	want := []DNSList{{"bl.example.test.", 1}, {"dul.example.test.", 0}, {"x.test.", -5}}
	if !slices.Equal(got, want) {
		t.Errorf("ParseDNSLists = %v, want %v", got, want)
	}
}

func TestNamesInDNSLists(t *testing.T) {
	list := DNSList{Root: "bl.test."}
	for ip, want := range map[string]string{
		"192.0.2.99":                "99.2.0.192.bl.test.",
		"::ffff:192.0.2.99":         "99.2.0.192.bl.test.",
		"2001:db8:1:2:3:4:567:89ab": "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.test.", // RFC 5782 2.4
	} {
		if got := list.Name(netip.MustParseAddr(ip)); got != want {
			t.Errorf("Name(%s) = %s, want %s", ip, got, want)
		}
	}
}

func TestOnlyAnswersOfTheLoopbackAreListings(t *testing.T) {
	for answer, want := range map[string][2]bool{
		"":                        {false, false},
		"127.0.0.2":               {true, false},
		"127.0.0.1":               {true, false},
		"127.255.0.2":             {true, false},
		"127.0.0.2 192.0.2.1":     {true, false},
		"192.0.2.1":               {false, false},
		"128.0.0.1 ::1":           {false, false},
		"127.255.255.254":         {false, true},
		"127.255.255.1 127.0.0.4": {true, true},
		"::ffff:127.0.0.2":        {true, false},
	} {
		var ips []netip.Addr
		for _, ip := range strings.Fields(answer) {
			ips = append(ips, netip.MustParseAddr(ip))
		}
		listed, refused := Listed(ips)
		if got := [2]bool{listed, refused}; got != want {
			t.Errorf("Listed(%s) = %v, want %v", answer, got, want)
		}
	}
}
