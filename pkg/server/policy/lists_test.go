package policy_test

import (
	"errors"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/policy"
	"github.com/xmaild/xmaild/pkg/server/resolve/resolvetest"
)

// listZones has 192.0.2.1 in one.test, .2 in two.test, .3 in both, 2001:db8::1 in
// one.test. sale.test answers for everything with a web server, all.test lists
// everybody, shy.test does not answer us, broken.test nobody.
func listZones() resolvetest.Zones {
	return resolvetest.Zones{
		"1.2.0.192.one.test.": {A: []string{"127.0.0.2"}},
		"2.2.0.192.two.test.": {A: []string{"127.0.0.10"}},
		"3.2.0.192.one.test.": {A: []string{"127.0.0.2"}},
		"3.2.0.192.two.test.": {A: []string{"127.0.0.2"}},
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.one.test.": {A: []string{"127.0.0.2"}},
		"1.2.0.192.sale.test.":   {A: []string{"203.0.113.1"}},
		"1.0.0.127.sale.test.":   {A: []string{"203.0.113.1"}},
		"1.2.0.192.all.test.":    {A: []string{"127.0.0.2"}},
		"1.0.0.127.all.test.":    {A: []string{"127.0.0.2"}},
		"1.2.0.192.shy.test.":    {A: []string{"127.255.255.254"}},
		"1.2.0.192.broken.test.": {Err: errors.New("broken")},
		"1.2.0.192.half.test.":   {A: []string{"127.0.0.2"}},
		"1.0.0.127.half.test.":   {Err: errors.New("broken")},
		"1.2.0.192.six.test.":    {AAAA: []string{"::ffff:127.0.0.2"}},
	}
}

func TestListsOfTheDNS(t *testing.T) {
	for _, test := range []struct{ name, lists, ip, want, list string }{
		{"refused", "one.test.:1", "192.0.2.1", "refuse 550 SNDRIP=EIPMAP (one.test.)", "one.test."},
		{"IPv6", "one.test.:1", "2001:db8::1", "refuse 550 SNDRIP=EIPMAP (one.test.)", "one.test."},
		{"mapped", "one.test.:1", "::ffff:192.0.2.1", "refuse 550 SNDRIP=EIPMAP (one.test.)", "one.test."},
		{"not in it", "one.test.:1", "192.0.2.9", "serve", ""},
		{"login", "one.test.:0", "192.0.2.1", "login 550 SNDRIP=EIPMAP (one.test.)", "one.test."},
		{"delay", "one.test.:-3", "192.0.2.1", "delay 3s", "one.test."},
		{"delay by a number above 1", "one.test.:3", "192.0.2.1", "delay 3s", "one.test."},
		{"the first list decides", "one.test.:0,two.test.:1", "192.0.2.3", "login 550 SNDRIP=EIPMAP (one.test.)", "one.test."},
		{"the second list has it", "one.test.:0,two.test.:1", "192.0.2.2", "refuse 550 SNDRIP=EIPMAP (two.test.)", "two.test."},
		{"a domain for sale", "sale.test.:1", "192.0.2.1", "serve", ""},
		{"everybody", "all.test.:1", "192.0.2.1", "serve", ""},
		{"no answer for us", "shy.test.:1", "192.0.2.1", "serve", ""},
		{"SERVFAIL", "broken.test.:1", "192.0.2.1", "serve", ""},
		{"SERVFAIL of the check of the list", "half.test.:1", "192.0.2.1", "serve", ""},
		{"no A record", "six.test.:1", "192.0.2.1", "serve", ""},
		{"broken ones do not hide a good one", "broken.test.:1,all.test.:1,sale.test.:1,nonsense,one.test.:1", "192.0.2.1", "refuse 550 SNDRIP=EIPMAP (one.test.)", "one.test."},
		{"nonsense", "nonsense,:,x.:y", "192.0.2.1", "serve", ""},
	} {
		h := open(t, files{"server.tab": "CustMapsList|" + test.lists + "\n"}, listZones(), policy.Options{})
		c := h.client(t, test.ip)
		if got := summary(c); got != test.want || c.Map != test.list {
			t.Errorf("%s: %s (%s), list %q, want %s, %q", test.name, got, c.Reason, c.Map, test.want, test.list)
		}
	}
}

func TestTextsOfLists(t *testing.T) {
	for _, test := range []struct{ files, want string }{
		{"", "Denied due to inclusion of your address in (one.test.)"},
		{"SmtpMsgIPBanMaps|554 See http://x.test\n", "See http://x.test (one.test.)"},
	} {
		h := open(t, files{"server.tab": "CustMapsList|one.test.:1\n" + test.files}, listZones(), policy.Options{})
		if c := h.client(t, "192.0.2.1"); c.Refuse == nil || c.Refuse.Text != test.want {
			t.Errorf("%s: %+v, want %q", test.files, c.Refuse, test.want)
		}
	}
}

func TestListsAreNotAskedForNothing(t *testing.T) {
	h := open(t, files{
		"server.tab":      "CustMapsList|one.test.:1\n",
		"spammers.tab":    "192.0.2.0/24\n",
		"smtp.ipprop.tab": "203.0.113.0/24|WhiteList=1\n",
	}, listZones(), policy.Options{})
	for _, ip := range []string{"127.0.0.1", "10.0.0.1", "::1", "fe80::1", "fd00::1", "192.0.2.1", "203.0.113.1"} {
		h.client(t, ip)
	}
	if n := h.dns.Asked(""); n != 0 {
		t.Errorf("the DNS was asked %d times for clients that no list has a say in", n)
	}
}

func TestAListThatHasEverybodyIsReportedOnce(t *testing.T) {
	h := open(t, files{"server.tab": "CustMapsList|all.test.:1\n"}, listZones(), policy.Options{})
	const off, on = "is switched off", "counts again"
	for range 3 {
		if got := summary(h.client(t, "192.0.2.1")); got != "serve" {
			t.Errorf("a client that such a list has: %s", got)
		}
	}
	if n := h.log.count(off); n != 1 || h.log.count("127.0.0.1") == 0 {
		t.Errorf("it was reported %d times, want once, with the reason", n)
	}
	good := listZones()
	delete(good, "1.0.0.127.all.test.")
	h.dns.Set(t, good)
	h.pass(time.Hour)
	if got := summary(h.client(t, "192.0.2.1")); got != "refuse 550 SNDRIP=EIPMAP (all.test.)" {
		t.Errorf("once the list is good again: %s", got)
	}
	if n := h.log.count(on); n != 1 {
		t.Errorf("that it counts again was reported %d times, want once", n)
	}
}

func TestAnswersOfListsAreKept(t *testing.T) {
	h := open(t, files{"server.tab": "CustMapsList|one.test.:1\n"}, listZones(), policy.Options{})
	for range 5 {
		h.client(t, "192.0.2.1")
		h.client(t, "192.0.2.9")
	}
	if n := h.dns.Asked("1.2.0.192.one.test."); n != 1 {
		t.Errorf("five connections were %d questions, want 1", n)
	}
	h.dns.Set(t, nil)
	h.pass(5 * time.Minute)
	if got := summary(h.client(t, "192.0.2.1")); got != "serve" {
		t.Errorf("five minutes after the list let go: %s", got)
	}
}
