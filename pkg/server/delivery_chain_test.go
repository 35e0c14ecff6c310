package server_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMailGoesAlongChainsOfServers follows one message through an alias of commands
// here, a list there, a custom domain here again, and the processing of an account.
func TestMailGoesAlongChainsOfServers(t *testing.T) {
	m := newMesh(t)
	a := m.site("a.test", []string{"ann", "archive"}, map[string]string{
		"cmdaliases/a.test/start.tab": row("redirect", "team@b.test"),
		"custdomains/c.test.tab":      row("lredirect", "ben@b.test"),
	})
	b := m.site("b.test", []string{"ben", "bob"}, nil)
	m.mx("c.test", "mx.a.test", a.ip)
	b.do("useradd", "b.test", "team", "x", "M")
	for _, member := range []string{"bob@b.test", "x@c.test"} {
		b.do("mluseradd", "b.test", "team", member, "RW")
	}
	b.do("mluseradd", "b.test", "team", "writer@ext.test", "W")
	b.do("uservarsset", "b.test", "team", "ClosedML", "0")
	b.Write(t, "domains/b.test/ben/mailproc.tab", row("mailbox")+row("redirect", "archive@a.test"))
	a.receive("writer@ext.test", "start@a.test", text("round"))
	archived := a.arrived("archive", 1)[0]
	m.wantBody(archived, "round")
	m.wantBody(b.arrived("ben", 1)[0], "round")
	list := m.parsed(b.arrived("bob", 1)[0])
	m.settle()
	if got := list.Header.Get("List-Id"); got != "<team.b.test>" {
		t.Errorf("List-Id: %q, want <team.b.test>", got)
	}
	// The sender of what a custom domain sends on with lredirect is that domain's.
	if !strings.HasPrefix(archived, "Return-Path: <x@c.test>\r\n") {
		t.Errorf("the archived message begins %.60q, want the sender that lredirect gives it", archived)
	}
	if got := m.parsed(archived).Header["X-Deliver-To"]; !slices.Equal(got, []string{"ben@b.test", "x@c.test", "start@a.test"}) {
		t.Errorf("X-Deliver-To: %q, want the stations of the message, last one first", got)
	}
}

// TestLoopsEndWithANotification makes mail go in circles in every way that tables can
// have it, and wants the sender to be told once.
func TestLoopsEndWithANotification(t *testing.T) {
	for _, c := range []struct {
		name         string
		to           string
		aTabs, bTabs map[string]string
		set          func(a, b *site)
	}{
		{name: "two accounts that redirect to each other", to: "one@a.test", set: func(a, b *site) {
			a.do("useradd", "a.test", "one", "x", "U")
			b.do("useradd", "b.test", "two", "x", "U")
			a.Write(a.m.t, "domains/a.test/one/mailproc.tab", row("redirect", "two@b.test"))
			b.Write(a.m.t, "domains/b.test/two/mailproc.tab", row("redirect", "one@a.test"))
		}},
		{name: "an account that redirects to itself", to: "one@a.test", set: func(a, _ *site) {
			a.do("useradd", "a.test", "one", "x", "U")
			a.do("aliasadd", "a.test", "uno", "one")
			a.Write(a.m.t, "domains/a.test/one/mailproc.tab", row("redirect", "uno@a.test"))
		}},
		{name: "aliases of commands", to: "one@a.test",
			aTabs: map[string]string{"cmdaliases/a.test/one.tab": row("redirect", "two@b.test")},
			bTabs: map[string]string{"cmdaliases/b.test/two.tab": row("redirect", "one@a.test")}},
		{name: "an alias of commands that sends to its own domain", to: "one@a.test",
			aTabs: map[string]string{"cmdaliases/a.test/one.tab": row("smtp")}},
		{name: "custom domains", to: "x@c.test",
			aTabs: map[string]string{"custdomains/c.test.tab": row("redirect", "d.test")},
			bTabs: map[string]string{"custdomains/d.test.tab": row("redirect", "c.test")},
			set: func(a, b *site) {
				a.m.mx("c.test", "mx.a.test", a.ip)
				a.m.mx("d.test", "mx.b.test", b.ip)
			}},
		{name: "gateways that name each other", to: "x@e.test",
			aTabs: map[string]string{"smtpfwd.tab": row("e.test", "mx.b.test"), "smtprelay.tab": row("127.0.0.1", "255.255.255.255")},
			bTabs: map[string]string{"smtpfwd.tab": row("e.test", "mx.a.test"), "smtprelay.tab": row("127.0.0.1", "255.255.255.255")}},
		{name: "a backup that is its own primary", to: "x@f.test",
			aTabs: map[string]string{"smtpfwd.tab": row("f.test", "mx.a.test"), "smtprelay.tab": row("127.0.0.1", "255.255.255.255")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMesh(t)
			a, b := m.site("a.test", []string{"ann"}, c.aTabs), m.site("b.test", []string{"ben"}, c.bTabs)
			if c.set != nil {
				c.set(a, b)
			}
			a.submit("ann@a.test", c.to, text("circle"))
			r := m.report(a.arrived("ann", 1)[0])
			m.settle()
			a.arrived("ann", 1)
			if status := r.recipients[0].Get("Status"); status != "5.4.6" {
				t.Errorf("status %q, want 5.4.6: %v", status, r.recipients)
			}
			// Nothing comes to others but the copy that ErrorsAdmin gets.
			if n := len(b.mails("ben")) + len(a.mails("root")) + len(b.mails("root")); n > 1 {
				t.Errorf("%d further messages, want at most the one to the administrator", n)
			}
		})
	}
}

// TestListsInsideListsEnd has two lists on two servers that are members of each other.
func TestListsInsideListsEnd(t *testing.T) {
	m := newMesh(t)
	a, b := m.site("a.test", []string{"ann"}, nil), m.site("b.test", []string{"ben"}, nil)
	for _, s := range m.sites {
		s.do("useradd", s.domain, "list", "x", "M")
		s.do("uservarsset", s.domain, "list", "ClosedML", "0")
	}
	for _, member := range []string{"ann@a.test", "list@b.test"} {
		a.do("mluseradd", "a.test", "list", member, "RW")
	}
	for _, member := range []string{"ben@b.test", "list@a.test"} {
		b.do("mluseradd", "b.test", "list", member, "RW")
	}
	a.submit("ann@a.test", "list@a.test", text("all"))
	b.arrived("ben", 1)
	m.waitFor("the copy and the notification", func() bool { return len(a.mails("ann")) >= 2 })
	m.settle()
	var kinds []string
	for _, content := range a.arrived("ann", 2) {
		if strings.Contains(content, "multipart/report") {
			kinds = append(kinds, "report "+m.report(content).recipients[0].Get("Status"))
		} else {
			kinds = append(kinds, m.parsed(content).Header.Get("Subject"))
		}
	}
	slices.Sort(kinds)
	if d := cmp.Diff([]string{"all", "report 5.4.6"}, kinds); d != "" {
		t.Errorf("ann has (-want +got):\n%s", d)
	}
	b.arrived("ben", 1)
}

// TestListsOfTwoServersWithinEachOtherSendOneCopyEach has three lists at each of two
// servers, and each is a member of all others.
func TestListsOfTwoServersWithinEachOtherSendOneCopyEach(t *testing.T) {
	m := newMesh(t)
	m.site("a.test", []string{"ann", "carl"}, nil)
	m.site("b.test", []string{"ben"}, nil)
	a, b := m.sites[0], m.sites[1]
	lists := []string{"l1@a.test", "l2@a.test", "l3@a.test", "l1@b.test", "l2@b.test", "l3@b.test"}
	for _, s := range m.sites {
		for _, name := range []string{"l1", "l2", "l3"} {
			s.do("useradd", s.domain, name, "x", "M")
			s.do("uservarsset", s.domain, name, "ClosedML", "0")
			for _, member := range append([]string{"carl@a.test", "ben@b.test"}, lists...) {
				if member != name+"@"+s.domain {
					s.do("mluseradd", s.domain, name, member, "RW")
				}
			}
		}
	}
	a.submit("ann@a.test", lists[0], "Message-ID: <one@a.test>\r\n"+text("all"))
	m.waitFor("the last copies", func() bool { return len(a.mails("carl")) >= len(lists) && len(b.mails("ben")) >= len(lists) })
	m.settle()
	a.arrived("carl", len(lists))
	b.arrived("ben", len(lists))
	if n := len(a.mails("ann")); n < 1 || n > len(lists) {
		t.Errorf("the sender was told %d times of circles, want once for a list at most", n)
	}
}
