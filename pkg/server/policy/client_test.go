package policy_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/policy"
	"github.com/xmaild/xmaild/pkg/server/resolve/resolvetest"
)

// summary says in a line how a client is served.
func summary(c policy.Client) string {
	switch {
	case c.Refuse != nil:
		return fmt.Sprintf("refuse %d %s", c.Refuse.Code, c.Refuse.Log)
	case c.LoginOnly != nil && c.Delay > 0:
		return fmt.Sprintf("login %d %s, delay %v", c.LoginOnly.Code, c.LoginOnly.Log, c.Delay)
	case c.LoginOnly != nil:
		return fmt.Sprintf("login %d %s", c.LoginOnly.Code, c.LoginOnly.Log)
	case c.Delay > 0:
		return fmt.Sprintf("delay %v", c.Delay)
	}
	return "serve"
}

func TestTablesOfAddresses(t *testing.T) {
	all := `0.0.0.0|0.0.0.0|DENY|1` + "\n"
	for _, test := range []struct {
		name  string
		files files
		ip    string
		want  string
	}{
		{"nothing", nil, "192.0.2.1", "serve"},
		{"no table is there", files{"spammers.tab": "-", "smtp.ipmap.tab": "-", "smtprelay.tab": "-", "smtp.ipprop.tab": "-", "smtp.hnprop.tab": "-", "spam-address.tab": "-"}, "192.0.2.1", "serve"},
		{"spammer", files{"spammers.tab": "192.0.2.0|255.255.255.0\n"}, "192.0.2.1", "refuse 421 SNDRIP=EIPSPAM"},
		{"spammer, mapped", files{"spammers.tab": "192.0.2.0/24\n"}, "::ffff:192.0.2.1", "refuse 421 SNDRIP=EIPSPAM"},
		{"other spammer", files{"spammers.tab": "192.0.2.0/24\n"}, "192.0.3.1", "serve"},
		{"spammer, IPv6", files{"spammers.tab": "2001:db8::/32|code=2\n"}, "2001:db8::5", "refuse 421 SNDRIP=EIPSPAM"},
		{"spammer who may log in", files{"spammers.tab": "192.0.2.0/24|code=0\n"}, "192.0.2.1", "login 550 SNDRIP=EIPSPAM"},
		{"slow spammer", files{"spammers.tab": "192.0.2.0/24|code=-4\n"}, "192.0.2.1", "delay 4s"},
		{"spammer that has expired", files{"spammers.tab": "192.0.2.0/24|code=1,expires=999999999\n"}, "192.0.2.1", "serve"},
		{"spammer that expires", files{"spammers.tab": "192.0.2.0/24|code=1,expires=1000000001\n"}, "192.0.2.1", "refuse 421 SNDRIP=EIPSPAM"},
		{"expired before another", files{"spammers.tab": "192.0.2.0/24|expires=5\n192.0.2.1|255.255.255.255|code=0\n"}, "192.0.2.1", "login 550 SNDRIP=EIPSPAM"},
		{"spammers message", files{"spammers.tab": "192.0.2.0/24\n", "server.tab": "SmtpMsgIPBanSpammers|554 go away\n"}, "192.0.2.1", "refuse 554 SNDRIP=EIPSPAM"},
		{"map", files{"smtp.ipmap.tab": all}, "192.0.2.1", "refuse 421 SNDRIP=EIPBAN"},
		{"map, IPv6", files{"smtp.ipmap.tab": all}, "2001:db8::1", "refuse 421 SNDRIP=EIPBAN"},
		{"map allows", files{"smtp.ipmap.tab": all + "192.0.2.0|255.255.255.0|ALLOW|2\n"}, "192.0.2.1", "serve"},
		{"map, 0", files{"smtp.ipmap.tab": all, "server.tab": "SMTP-IpMapDropCode|0\n"}, "192.0.2.1", "login 550 SNDRIP=EIPBAN"},
		{"map, -6", files{"smtp.ipmap.tab": all, "server.tab": "SMTP-IpMapDropCode|-6\n"}, "192.0.2.1", "delay 6s"},
		{"map message", files{"smtp.ipmap.tab": all, "server.tab": "SmtpMsgIPBan|550 not you\n"}, "192.0.2.1", "refuse 550 SNDRIP=EIPBAN"},
		{"map before spammers", files{"smtp.ipmap.tab": all, "spammers.tab": "192.0.2.0/24\n"}, "192.0.2.1", "refuse 421 SNDRIP=EIPBAN"},
		{"delay of both", files{"smtp.ipmap.tab": all, "server.tab": "SMTP-IpMapDropCode|-2\n", "spammers.tab": "192.0.2.0/24|code=-5\n"}, "192.0.2.1", "delay 5s"},
		{"login and delay", files{"smtp.ipmap.tab": all, "server.tab": "SMTP-IpMapDropCode|0\n", "spammers.tab": "192.0.2.0/24|code=-5\n"}, "192.0.2.1", "login 550 SNDRIP=EIPBAN, delay 5s"},
		{"white list", files{"smtp.ipmap.tab": all, "spammers.tab": "192.0.2.0/24\n", "smtp.ipprop.tab": "192.0.2.1/32|WhiteList=1\n"}, "192.0.2.1", "serve"},
		{"first row of properties", files{"smtp.ipmap.tab": all, "smtp.ipprop.tab": "192.0.2.0/24|NoAuth=1\n192.0.2.1/32|WhiteList=1\n"}, "192.0.2.1", "refuse 421 SNDRIP=EIPBAN"},
		{"deny", files{"smtp.ipprop.tab": "192.0.2.0/24|Deny=1|WhiteList=1\n"}, "192.0.2.1", "refuse 421 SNDRIP=EIPBAN"},
		{"deny message", files{"smtp.ipprop.tab": "192.0.2.0/24|Deny=1\n", "server.tab": "SmtpMsgIPBan|no\n"}, "192.0.2.1", "refuse 421 SNDRIP=EIPBAN"},
	} {
		h := open(t, test.files, nil, policy.Options{})
		c := h.client(t, test.ip)
		if got := summary(c); got != test.want {
			t.Errorf("%s: %s (%s), want %s", test.name, got, c.Reason, test.want)
		}
		if n := h.dns.Asked(""); n != 0 {
			t.Errorf("%s: the DNS was asked %d times for tables of addresses", test.name, n)
		}
	}
}

func TestCustomMessages(t *testing.T) {
	for variable, want := range map[string]policy.Reply{
		"":                          {Code: 421, Text: "Service not available, closing transmission channel", Log: "SNDRIP=EIPBAN"},
		"SmtpMsgIPBan|554 5.7.1 no": {Code: 554, Text: "5.7.1 no", Log: "SNDRIP=EIPBAN"},
		"SmtpMsgIPBan|go away":      {Code: 421, Text: "go away", Log: "SNDRIP=EIPBAN"},
		"SmtpMsgIPBan|220 hello":    {Code: 421, Text: "220 hello", Log: "SNDRIP=EIPBAN"},
		"SmtpMsgIPBan|554":          {Code: 554, Text: "Service not available, closing transmission channel", Log: "SNDRIP=EIPBAN"},
		"SmtpMsgIPBan|":             {Code: 421, Text: "Service not available, closing transmission channel", Log: "SNDRIP=EIPBAN"},
	} {
		h := open(t, files{"smtp.ipprop.tab": "192.0.2.0/24|Deny\n", "server.tab": variable + "\n"}.without(variable == ""), nil, policy.Options{})
		if c := h.client(t, "192.0.2.1"); c.Refuse == nil || *c.Refuse != want {
			t.Errorf("%s: refused with %+v, want %+v", variable, c.Refuse, want)
		}
	}
}

// without leaves server.tab out.
func (f files) without(out bool) files {
	if out {
		delete(f, "server.tab")
	}
	return f
}

func TestPropertiesOfAddresses(t *testing.T) {
	h := open(t, files{
		"smtp.ipprop.tab": "192.0.2.1/32|NoAuth=1|SenderDomainCheck=0|EaseTLS=1|EnableVRFY=1|EnableETRN=1|Relay=1|WhiteList\n192.0.2.2/32|NoAuth=0|SenderDomainCheck=1\n",
	}, nil, policy.Options{})
	for ip, want := range map[string]bool{"192.0.2.1": true, "192.0.2.2": false, "192.0.2.3": false} {
		c := h.client(t, ip)
		for name, got := range map[string]bool{
			"NoAuth": c.NoAuth, "NoSenderCheck": c.NoSenderCheck, "EaseTLS": c.EaseTLS, "VRFY": c.VRFY, "ETRN": c.ETRN, "Relay": c.Relay, "WhiteList": c.WhiteList,
			"MayVerify": h.MayVerify(&c, policy.Session{}), "MayETRN": h.MayETRN(&c, policy.Session{}),
		} {
			if got != want {
				t.Errorf("%s: %s is %v, want %v", ip, name, got, want)
			}
		}
	}
	if c := h.client(t, "10.1.2.3"); !c.Relay {
		t.Error("an address in smtprelay.tab may not relay")
	}
}

// named has the names of 192.0.2.1 (good), .2 (whose name leads elsewhere), .3 (no
// name), .4 (SERVFAIL) and .5 (two names).
var named = resolvetest.Zones{
	"1.2.0.192.in-addr.arpa.":   {PTR: []string{"mail.good.test."}},
	"mail.good.test.":           {A: []string{"192.0.2.77", "192.0.2.1"}},
	"2.2.0.192.in-addr.arpa.":   {PTR: []string{"mail.good.test."}},
	"4.2.0.192.in-addr.arpa.":   {Err: errors.New("broken")},
	"5.2.0.192.in-addr.arpa.":   {PTR: []string{"z.two.test.", "a.one.test."}},
	"a.one.test.":               {A: []string{"192.0.2.5"}},
	"z.two.test.":               {A: []string{"192.0.2.5"}},
	"6.2.0.192.in-addr.arpa.":   {PTR: []string{"mail.good.test.evil.test."}},
	"mail.good.test.evil.test.": {A: []string{"192.0.2.6"}},
	"7.2.0.192.in-addr.arpa.":   {PTR: []string{"half.test."}},
	"half.test.":                {Err: errors.New("broken")},
	"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.": {PTR: []string{"six.good.test."}},
	"six.good.test.": {AAAA: []string{"2001:db8::1"}},
}

func TestNamesOfClients(t *testing.T) {
	for _, test := range []struct {
		name, table, ip string
		relay           bool
		want            string
	}{
		{"exactly", "mail.good.test|Relay=1\n", "192.0.2.1", true, "serve"},
		{"without regard to case", "Mail.GOOD.test|Relay=1\n", "192.0.2.1", true, "serve"},
		{"below a domain", ".good.test|Relay=1\n", "192.0.2.1", true, "serve"},
		{"below the top", ".test|Relay=1\n", "192.0.2.1", true, "serve"},
		{"the domain is not below itself", ".mail.good.test|Relay=1\n", "192.0.2.1", false, "serve"},
		{"a part of a label", ".ood.test|Relay=1\n", "192.0.2.1", false, "serve"},
		{"the domain without a dot", "good.test|Relay=1\n", "192.0.2.1", false, "serve"},
		{"a name that leads elsewhere", ".good.test|Relay=1\n", "192.0.2.2", false, "serve"},
		{"a name that begins so", "mail.good.test|Relay=1\n", "192.0.2.6", false, "serve"},
		{"no name", ".good.test|Relay=1\n", "192.0.2.3", false, "serve"},
		{"SERVFAIL", ".good.test|Relay=1\n", "192.0.2.4", false, "serve"},
		{"SERVFAIL of the name", "half.test|Relay=1\n", "192.0.2.7", false, "serve"},
		{"IPv6", ".good.test|Relay=1\n", "2001:db8::1", true, "serve"},
		{"a dot at the end", "mail.good.test.|Relay=1\n", "192.0.2.1", true, "serve"},
		{"a dot at either end", ".good.test.|Relay=1\n", "192.0.2.1", true, "serve"},
		{"deny", ".good.test|Deny=1\n", "192.0.2.1", false, "refuse 421 SNDRIP=EIPBAN"},
		{"deny who has no such name", ".good.test|Deny=1\n", "192.0.2.2", false, "serve"},
		{"the first row of the table, whichever name", ".two.test|Relay=1\n.one.test|Deny=1\n", "192.0.2.5", true, "serve"},
		{"the first row of the table, the other way round", ".one.test|Deny=1\n.two.test|Relay=1\n", "192.0.2.5", false, "refuse 421 SNDRIP=EIPBAN"},
		{"an empty selector is nobody", "|Relay=1\n.|Relay=1\n", "192.0.2.1", false, "serve"},
	} {
		h := open(t, files{"smtp.hnprop.tab": test.table}, named, policy.Options{})
		c := h.client(t, test.ip)
		if got := summary(c); got != test.want || c.Relay != test.relay {
			t.Errorf("%s: %s (%s), relays %v, want %s, %v", test.name, got, c.Reason, c.Relay, test.want, test.relay)
		}
	}
}

func TestNameOfAClientIsOneThatLeadsBack(t *testing.T) {
	h := open(t, files{"smtp.hnprop.tab": ".x.test|NoAuth\n"}, named, policy.Options{})
	for ip, want := range map[string][2]string{
		"192.0.2.1": {"mail.good.test", "mail.good.test"}, "192.0.2.2": {"", "mail.good.test"}, "192.0.2.3": {"", ""}, "192.0.2.5": {"a.one.test", "a.one.test"},
	} {
		c := h.client(t, ip)
		if got := [2]string{c.Name, c.PTR}; got != want {
			t.Errorf("%s: name and PTR are %q, want %q", ip, got, want)
		}
	}
}

func TestReverseDNSCheck(t *testing.T) {
	for _, test := range []struct{ check, ip, want string }{
		{"1", "192.0.2.1", "serve"},
		{"1", "192.0.2.2", "serve"}, // any name will do
		{"1", "192.0.2.3", "login 550 SNDRIP=ERDNS"},
		{"1", "192.0.2.4", "serve"}, // what is not known does not count
		{"-7", "192.0.2.3", "delay 7s"},
		{"-7", "192.0.2.1", "serve"},
		{"0", "192.0.2.3", "serve"},
	} {
		h := open(t, files{"server.tab": "SMTP-RDNSCheck|" + test.check + "\n"}, named, policy.Options{})
		if got := summary(h.client(t, test.ip)); got != test.want {
			t.Errorf("SMTP-RDNSCheck %s, %s: %s, want %s", test.check, test.ip, got, test.want)
		}
	}
	h := open(t, files{"server.tab": "SMTP-RDNSCheck|1\n", "smtp.ipprop.tab": "192.0.2.3/32|WhiteList\n", "spammers.tab": "192.0.2.9/32\n"}, named, policy.Options{})
	if got := summary(h.client(t, "192.0.2.3")); got != "serve" {
		t.Errorf("no name, but on the white list: %s", got)
	}
	h.client(t, "192.0.2.9")
	if n := h.dns.Asked(""); n != 0 {
		t.Errorf("the DNS was asked %d times for clients about whom the tables say all", n)
	}
}

func TestTheDNSFailsOpenAndInTime(t *testing.T) {
	h := open(t, files{
		"server.tab":      "SMTP-RDNSCheck|1\nCustMapsList|bl.test.:1,other.test.:0\nCheckMailerDomain|1\n",
		"smtp.hnprop.tab": ".good.test|Deny=1\n",
	}, named, policy.Options{Timeout: 50 * time.Millisecond})
	h.dns.Silence(true)
	start := time.Now()
	c := h.client(t, "192.0.2.3")
	if got := summary(c); got != "serve" {
		t.Errorf("with a silent name server: %s (%s), want that the client is served", got, c.Reason)
	}
	if r := h.Sender(t.Context(), &c, policy.Session{}, path(t, "x@ext.test")); code(r) != 451 {
		t.Errorf("MAIL with a silent name server: %+v, want 451", r)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v, want less than a second", took)
	}
}

func TestDomainOfTheServer(t *testing.T) {
	zones := resolvetest.Zones{
		"1.100.51.198.in-addr.arpa.": {PTR: []string{"mx1.sub.foo.test."}},
		"2.100.51.198.in-addr.arpa.": {PTR: []string{"host.else.test."}},
		"3.100.51.198.in-addr.arpa.": {PTR: []string{"mx.alias.test."}},
	}
	for _, test := range []struct{ server, local, want string }{
		{"", "198.51.100.1", "foo.test"},
		{"", "198.51.100.2", "host.else.test"},
		{"", "198.51.100.3", "alias.test"},
		{"", "198.51.100.4", "foo.test"},
		{"", "127.0.0.1", "foo.test"},
		{"set.test", "198.51.100.2", "set.test"},
	} {
		h := open(t, files{"server.tab": "=RootDomain|foo.test\nSmtpServerDomain|" + test.server + "\n"}, zones, policy.Options{})
		c := h.Client(t.Context(), netip.MustParseAddrPort("192.0.2.1:5"), netip.AddrPortFrom(netip.MustParseAddr(test.local), 25))
		if c.Domain != test.want {
			t.Errorf("SmtpServerDomain %q at %s: %q, want %q", test.server, test.local, c.Domain, test.want)
		}
	}
	h := open(t, files{"server.tab": "="}, zones, policy.Options{})
	if c := h.Client(t.Context(), netip.MustParseAddrPort("192.0.2.1:5"), netip.MustParseAddrPort("[2001:db8::1]:25")); c.Domain != "[IPv6:2001:db8::1]" || c.Refuse != nil {
		t.Errorf("without any name: %q, %+v, want the address", c.Domain, c.Refuse)
	}
}

func TestGuards(t *testing.T) {
	var disk, memory uint64 = 10 << 20, 10 << 20
	var err error
	measured := 0
	o := policy.Options{
		DiskFree: func(string) (uint64, error) { measured++; return disk, err },
		MemFree:  func() (uint64, error) { return memory, err },
	}
	h := open(t, files{"server.tab": "SmtpMinDiskSpace|1024\nSmtpMinVirtMemSpace|2048\n"}, nil, o)
	expect := func(when, want string) {
		t.Helper()
		c := h.client(t, "192.0.2.1")
		got := "serve"
		if c.Refuse != nil {
			got = fmt.Sprint(c.Refuse.Code, " ", c.Refuse.Text)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
	expect("plenty", "serve")
	disk = 1<<20 - 1
	h.pass(7 * time.Second)
	expect("measured seven seconds ago", "serve")
	if measured != 1 {
		t.Errorf("measured %d times in seven seconds, want once", measured)
	}
	h.pass(time.Second)
	expect("little disk space", "421 Service not available, the server is low on disk space")
	for range 3 {
		expect("little disk space, again", "421 Service not available, the server is low on disk space")
	}
	if n := h.log.count("the server is low"); n != 1 {
		t.Errorf("four refusals were logged %d times, want once a measure", n)
	}
	disk, memory = 1<<20, 2<<20-1
	h.pass(8 * time.Second)
	expect("little memory", "421 Service not available, the server is low on memory")
	err = errors.New("unknown")
	h.pass(8 * time.Second)
	expect("it cannot be measured", "serve")
	for _, off := range []string{"0", "-1", ""} {
		h := open(t, files{"server.tab": "SmtpMinDiskSpace|" + off + "\n"}, nil, policy.Options{DiskFree: func(string) (uint64, error) { return 0, nil }})
		if c := h.client(t, "192.0.2.1"); c.Refuse != nil {
			t.Errorf("SmtpMinDiskSpace %q: %+v, want that it counts not", off, c.Refuse)
		}
	}
}

func TestTheSystemIsMeasured(t *testing.T) {
	h := open(t, files{"server.tab": "SmtpMinDiskSpace|1\nSmtpMinVirtMemSpace|1\n"}, nil, policy.Options{})
	if c := h.client(t, "192.0.2.1"); c.Refuse != nil {
		t.Errorf("a KB of disk space and memory: %+v", c.Refuse)
	}
	if n := h.log.count("cannot measure"); n != 0 {
		t.Errorf("%d measures failed", n)
	}
	h = open(t, files{"server.tab": "SmtpMinDiskSpace|2147483647\nSmtpMinVirtMemSpace|2147483647\n"}, nil, policy.Options{DiskFree: func(string) (uint64, error) { return 1 << 50, nil }})
	if c := h.client(t, "192.0.2.1"); c.Refuse == nil {
		t.Error("there are 2 TiB of memory, it seems")
	}
}
