package admin

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/xmaild/xmaild/pkg/server/policy"
	"github.com/xmaild/xmaild/pkg/server/resolve"
	"github.com/xmaild/xmaild/pkg/server/resolve/resolvetest"
)

func TestIPCheckAsksTheDNS(t *testing.T) {
	zones := resolvetest.Zones{
		"1.2.0.192.in-addr.arpa.": {PTR: []string{"mail.good.test.", "fake.good.test."}},
		"mail.good.test.":         {A: []string{"192.0.2.1"}},
		"3.2.0.192.in-addr.arpa.": {Err: errors.New("broken")},
		"1.2.0.192.one.test.":     {A: []string{"127.0.0.2"}},
		"1.2.0.192.two.test.":     {A: []string{"127.0.0.2"}},
		"1.2.0.192.all.test.":     {A: []string{"127.0.0.2"}},
		"1.0.0.127.all.test.":     {A: []string{"127.0.0.2"}},
	}
	server := "\"RootDomain\" \"xmailserver.test\"\n\"CustMapsList\" \"all.test.:1,one.test.:0,two.test.:1\"\n\"SMTP-RDNSCheck\" \"-5\"\n"
	for _, test := range []struct {
		name, ip, host string
		files          map[string]string
		want           []string
	}{
		{"listed, with a name", "192.0.2.1", "", map[string]string{"smtp.hnprop.tab": ".bad.test Deny=1\n.good.test Relay=1\nmail.good.test NoAuth=1\n"}, []string{
			"dns|0|PTR fake.good.test|does not count as a name: it does not lead back to the address",
			"dns|0|PTR mail.good.test|is the name of the address",
			"smtp.hnprop.tab|2|.good.test Relay=1|counts",
			"smtp.hnprop.tab|3|mail.good.test NoAuth=1|does not count: a row above matches",
			"dns|0|1.2.0.192.all.test|does not count: it lists 127.0.0.1, and so probably everybody",
			"dns|0|1.2.0.192.one.test|counts, with code 0",
			"dns|0|1.2.0.192.two.test|does not count: a list before it has it",
			"server.tab|0|SMTP-RDNSCheck -5|does not count: the address has a name",
			"verdict|0|LOGIN|the list one.test. with code 0",
			"relay|0|ALLOW|without a login",
		}},
		{"no name", "192.0.2.2", "", nil, []string{
			"dns|0|2.2.0.192.all.test|does not have it",
			"dns|0|2.2.0.192.one.test|does not have it",
			"dns|0|2.2.0.192.two.test|does not have it",
			"server.tab|0|SMTP-RDNSCheck -5|counts: the address has no name",
			"verdict|0|DELAY|5s before each command, by an address without a name in the DNS, and SMTP-RDNSCheck -5",
			"relay|0|DENY|unless it logs in with the permission to",
		}},
		{"the name given", "10.0.0.1", "mail.good.test", nil, []string{
			"server.tab|0|CustMapsList all.test.:1,one.test.:0,two.test.:1|is not asked: the address is none of the internet, or there is no list",
			"server.tab|0|SMTP-RDNSCheck -5|does not count: the address has a name",
			"smtprelay.tab|1|10.0.0.0 255.0.0.0|may relay",
			"verdict|0|ALLOW|nothing is against it",
			"relay|0|ALLOW|without a login",
		}},
		{"no answer", "192.0.2.3", "", map[string]string{"smtp.ipprop.tab": "192.0.2.3/32 WhiteList\n"}, []string{
			"smtp.ipprop.tab|1|192.0.2.3/32 WhiteList|counts",
			"dns|0|PTR 192.0.2.3|does not count: no name server answered",
			"verdict|0|ALLOW|the property WhiteList",
			"relay|0|DENY|unless it logs in with the permission to",
		}},
	} {
		files := map[string]string{"server.tab": server, "smtp.ipmap.tab": "", "smtprelay.tab": "10.0.0.0 255.0.0.0\n"}
		for name, text := range test.files {
			files[name] = text
		}
		f := start(t, files)
		dns := policy.New(f.Root(), resolvetest.Start(t, zones).Resolver(resolve.Options{}), nil, policy.Options{})
		f.Service = New(f.Root(), Options{DNS: dns})
		if got := checked(t, f, test.ip, test.host); cmp.Diff(test.want, got) != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, cmp.Diff(test.want, got))
		}
	}
}

func TestIPCheckWithoutADNS(t *testing.T) {
	f := start(t, map[string]string{
		"server.tab": "CustMapsList one.test.:0\nSMTP-RDNSCheck 1\n", "smtp.ipmap.tab": "", "smtp.hnprop.tab": ".good.test Relay=1\n", "smtprelay.tab": "",
	})
	want := []string{
		"server.tab|0|CustMapsList one.test.:0|is not asked here, since it takes name servers",
		"server.tab|0|SMTP-RDNSCheck 1|is not asked here, since it takes name servers",
		"verdict|0|ALLOW|nothing is against it",
		"relay|0|DENY|unless it logs in with the permission to",
	}
	if got := checked(t, f, "192.0.2.1", ""); cmp.Diff(want, got) != "" {
		t.Errorf("(-want +got):\n%s", cmp.Diff(want, got))
	}
}

// checked returns the rows of ipcheck smtp.
func checked(t *testing.T, f *fixture, ip, host string) []string {
	t.Helper()
	rows, err := f.IPCheck(t.Context(), SMTPService, ip, host)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, r := range rows {
		lines = append(lines, fmt.Sprintf("%s|%d|%s|%s", r.Table, r.Row, r.Entry, r.Effect))
	}
	return lines
}
