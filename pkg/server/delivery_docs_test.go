package server_test

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/foxcpp/go-mockdns"

	"github.com/xmaild/xmaild/pkg/server/program/programtest"
	"github.com/xmaild/xmaild/pkg/server/servertest"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

func TestPageOfProcessing(t *testing.T) {
	p := readPage(t, "processing.md")
	p.run("Keep a copy and send it on", func(p page, m *mesh) {
		org, other := m.site("example.org", []string{"ann"}, nil), m.site("example.net", []string{"ann"}, nil)
		org.Write(t, "domains/example.org/ann/mailproc.tab", p.file("domains/example.org/ann/mailproc.tab"))
		org.receive("x@ext.test", "ann@example.org", text("both"))
		m.wantBody(org.arrived("ann", 1)[0], "both")
		m.wantBody(other.arrived("ann", 1)[0], "both")
		m.settle()
	})
	p.run("An address without an account", func(p page, m *mesh) {
		org := m.site("example.org", []string{"ann"}, p.files("cmdaliases/example.org/info.tab"))
		other := m.site("example.net", []string{"ben"}, nil)
		org.receive("x@ext.test", "info@example.org", text("info"))
		m.wantBody(org.arrived("ann", 1)[0], "info")
		m.wantBody(other.arrived("ben", 1)[0], "info")
		m.settle()
	})
	p.run("A program for all mail of a domain", func(p page, m *mesh) {
		table := p.file("domains/example.org/mailproc.tab")
		org := m.site("example.org", []string{"ann"}, map[string]string{"domains/example.org/mailproc.tab": table}, servertest.Var("FilterFailure", "accept"))
		// The folder is not there yet: the message waits, also where failures are forgiven.
		org.receive("x@ext.test", "ann@example.org", text("keep"))
		org.logged("delivery is deferred")
		folder := p.folder("/var/spool/xmaild/archive")
		org.deferredOnce()
		m.wantBody(org.arrived("ann", 1)[0], "keep")
		m.settle()
		kept, err := filepath.Glob(filepath.Join(folder, "*"))
		if err != nil || len(kept) != 1 || !strings.HasSuffix(kept[0], ".ann@example.org") {
			t.Fatalf("the archive holds %q, %v; want one message to ann@example.org", kept, err)
		}
		got := programtest.Read(t, kept[0])
		m.wantBody(got, "keep")
		if !strings.HasPrefix(got, "Received:") {
			t.Errorf("the archive holds %q, want the message without the envelope", got)
		}
	})
	p.run("A filter of one account", func(p page, m *mesh) {
		table := p.standIn(p.file("domains/example.org/ben/mailproc.tab"), "bogofilter", `
[ "$1" = -d ] && [ "$2" = "`+p.place("/var/spool/xmaild/bogofilter/ben")+`" ] && [ $# = 2 ] || exit 3
grep -q lottery && exit 0
exit 1`)
		org := m.site("example.org", []string{"ann", "ben"}, nil)
		org.Write(t, "domains/example.org/ben/mailproc.tab", table)
		for _, subject := range []string{"lottery", "hello"} {
			for _, to := range []string{"ann@example.org", "ben@example.org"} {
				org.receive("x@ext.test", to, text(subject))
			}
		}
		m.settle()
		org.arrived("ann", 2)
		m.wantBody(org.arrived("ben", 1)[0], "hello")
		if got := org.frozen(); len(got) != 1 {
			t.Errorf("frozen: %q, want the spam", got)
		}
	})
	p.run("All hosts of a domain", func(p page, m *mesh) {
		org := m.site("example.org", []string{"ann"}, p.files("custdomains/.example.org.tab"))
		org.receive("x@ext.test", "any@a.b.example.org", text("host"))
		m.wantBody(org.arrived("ann", 1)[0], "host")
		m.settle()
	})
	p.run("Backup MX", func(p page, m *mesh) {
		row := tabfile.Split(p.block("HeloDomain"))
		backup := m.site("example.org", nil, p.files("custdomains/example.net.tab"), servertest.Var(row[0], row[1]))
		primary := m.site("example.net", []string{"ben"}, nil)
		zones := map[string]mockdns.Zone{}
		for line := range strings.Lines(p.block("MX")) {
			f := strings.Fields(line)
			pref, err := strconv.Atoi(f[2])
			if err != nil || f[1] != "MX" {
				t.Fatalf("%q is no record of the DNS that the test knows", line)
			}
			domain := strings.TrimSuffix(f[0], ".")
			zones[domain] = mockdns.Zone{MX: append(zones[domain].MX, net.MX{Host: f[3], Pref: uint16(pref)})}
		}
		for domain, zone := range zones {
			m.zone(domain, zone)
		}
		m.host(primary.ip, "")
		sender := m.site("a.test", []string{"ann"}, nil)
		sender.submit("ann@a.test", "ben@example.net", text("meanwhile"))
		backup.logged("command waits")
		backup.deferredOnce()
		m.host(primary.ip, primary.SMTP)
		m.pass(30 * time.Minute)
		m.wantBody(primary.arrived("ben", 1)[0], "meanwhile")
		m.settle()
	})
	p.run("Gateway to an inner server", func(p page, m *mesh) {
		gateway := m.site("example.org", nil, p.files("custdomains/example.com.tab"))
		inner := m.site("example.com", []string{"eve"}, nil)
		m.zone("inner1.example.com", mockdns.Zone{A: []string{"192.0.2.77"}}) // dead
		m.zone("inner2.example.com", mockdns.Zone{A: []string{inner.ip.String()}})
		m.zone("example.com", mockdns.Zone{MX: []net.MX{{Host: "mx.example.org.", Pref: 10}}})
		gateway.receive("x@ext.test", "eve@example.com", text("inside"))
		m.wantBody(inner.arrived("eve", 1)[0], "inside")
		m.settle()
		if !strings.Contains(gateway.Log(), "192.0.2.77") {
			t.Error("the first host of the row was not tried")
		}
	})
}

func TestPageOfFilters(t *testing.T) {
	p := readPage(t, "filters.md")
	p.run("Stamp, and refuse", func(p page, m *mesh) {
		b := m.site("b.test", []string{"ben", "bea", "boss"}, p.files("filters.in.tab", "filters/house.tab"), servertest.Var("ErrorsAdmin", "boss@b.test"))
		a := m.site("a.test", []string{"ann"}, nil)
		const tool = "Subject: tool\r\nContent-Type: application/octet-stream;\r\n\tname=\"tool.exe\"\r\n\r\nx\r\n"
		a.submit("ann@a.test", "ben@b.test", text("lottery"))
		b.logged("state=Z")
		a.submit("ann@a.test", "ben@b.test", tool)
		// Who is of this server is told as well, and so is the administrator.
		b.submit("bea@b.test", "ben@b.test", tool)
		for _, got := range []string{a.arrived("ann", 1)[0], b.arrived("bea", 1)[0], b.arrived("boss", 2)[0]} {
			if r := m.report(got); !strings.Contains(r.text, "No programs, please") {
				t.Errorf("told is %q, want the reason of the filter", r.text)
			}
		}
		a.submit("ann@a.test", "ben@b.test", text("fine"))
		got := b.arrived("ben", 1)[0]
		m.wantBody(got, "fine")
		if m.parsed(got).Header.Get("X-House") != "looked at" {
			t.Errorf("the message is not stamped: %q", got)
		}
		m.settle()
		if frozen := b.frozen(); len(frozen) != 3 {
			t.Errorf("frozen: %q, want the lottery, and the programs of which the senders were told", frozen)
		}
	})
	p.run("SpamAssassin", func(p page, m *mesh) {
		files := p.files("filters.in.tab")
		files["filters/spam.tab"] = p.standIn(p.file("filters/spam.tab"), "spamc", `
[ "$*" = -x ] || exit 64
printf 'X-Spam-Checker: stand-in\r\n'; cat
`)
		s := m.site("a.test", []string{"ann"}, files)
		s.receive("x@ext.test", "ann@a.test", text("offer"))
		got := s.arrived("ann", 1)[0]
		m.wantBody(got, "offer")
		if m.parsed(got).Header.Get("X-Spam-Checker") == "" {
			t.Errorf("the scanner has not rewritten the message: %q", got)
		}
		s.submit("ann@a.test", "ann@a.test", text("own"))
		for _, content := range s.arrived("ann", 2) {
			if h := m.parsed(content).Header; h.Get("Subject") == "own" && h.Get("X-Spam-Checker") != "" {
				t.Error("mail of those who have logged in was scanned in spite of !aex")
			}
		}
		m.settle()
	})
	p.run("ClamAV", func(p page, m *mesh) {
		down := filepath.Join(programtest.Dir(t), "down")
		if err := os.WriteFile(down, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		files := p.files("filters.out.tab")
		files["filters/virus.tab"] = p.standIn(p.file("filters/virus.tab"), "clamdscan", `
[ "$*" = "--no-summary -" ] || exit 3
[ ! -e `+down+` ] || exit 2
grep -q 'text of virus' && exit 1
exit 0
`)
		a, b := m.site("a.test", []string{"ann"}, files), m.site("b.test", []string{"ben"}, nil)
		a.submit("ann@a.test", "ben@b.test", text("clean"))
		a.logged("delivery is deferred")
		if err := os.Remove(down); err != nil {
			t.Fatal(err)
		}
		m.pass(30 * time.Minute)
		m.wantBody(b.arrived("ben", 1)[0], "clean")
		a.submit("ann@a.test", "ben@b.test", text("virus"))
		if r := m.report(a.arrived("ann", 1)[0]); !strings.Contains(r.text, "A virus was found") {
			t.Errorf("the sender is told %q, want the reason of the row", r.text)
		}
		m.settle()
		b.arrived("ben", 1)
	})
	p.run("A greylist", func(p page, m *mesh) {
		p.shell(p.block("install -d"))
		folder := p.place("/var/spool/xmaild/greylist")
		a, b := m.site("a.test", []string{"ann"}, nil), m.site("b.test", []string{"ben", "bea"}, p.files("filters.post-rcpt.tab"))
		a.submit("ann@a.test", "ben@b.test", text("first"))
		a.logged("Not seen before, please come again")
		a.deferredOnce()
		m.wantBody(b.arrived("ben", 1)[0], "first")
		a.submit("ann@a.test", "ben@b.test", text("second"))
		b.arrived("ben", 2)
		b.submit("ben@b.test", "ben@b.test", text("own"))
		b.arrived("ben", 3)
		m.settle()
		if n := strings.Count(a.Log(), "delivery is deferred"); n != 1 {
			t.Errorf("mail was put off %d times, want once", n)
		}
		for _, path := range [][2]string{{"x@ext.test", "ben@b.test"}, {"y@ext.test", "ben@b.test"}, {"x@ext.test", "bea@b.test"}} {
			if err := sendMail(b.SMTP, path[0], path[1], text("new")); err == nil || !strings.Contains(err.Error(), "Not seen before") {
				t.Errorf("%s sends to %s for the first time: %v, want it put off", path[0], path[1], err)
			}
			b.receive(path[0], path[1], text("again"))
		}
		old := filepath.Join(folder, "old")
		if err := os.WriteFile(old, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(old, time.Time{}, time.Now().Add(-40*24*time.Hour)); err != nil {
			t.Fatal(err)
		}
		p.shell(p.block("find "))
		if left, err := os.ReadDir(folder); err != nil || len(left) != 4 || slices.ContainsFunc(left, func(e os.DirEntry) bool { return e.Name() == "old" }) {
			t.Errorf("left in the folder are %v, %v; want what is not old", left, err)
		}
	})
}

func TestPageOfLists(t *testing.T) {
	p := readPage(t, "lists.md")
	p.run("", func(p page, m *mesh) {
		org, other := m.site("example.org", []string{"ann"}, nil), m.site("example.net", []string{"ben", "reader"}, nil)
		commands := func(block string) {
			for line := range strings.Lines(block) {
				words := strings.Fields(line)
				if words[0] != "ctrlclnt" {
					t.Fatalf("%q is no command that the test knows", line)
				}
				org.do(words[1:]...)
			}
		}
		commands(p.block("useradd"))
		if err := sendMail(org.SMTP, "reader@example.net", "team@example.org", text("no")); err == nil {
			t.Error("a member without W may write")
		}
		other.submit("ben@example.net", "team@example.org", text("all of us"))
		for _, got := range []string{org.arrived("ann", 1)[0], other.arrived("ben", 1)[0], other.arrived("reader", 1)[0]} {
			m.wantBody(got, "all of us")
			if !strings.HasPrefix(got, "Return-Path: <ann@example.org>\r\n") {
				t.Errorf("the sender of a copy is not ListSender: %.80q", got)
			}
			header, _, _ := strings.Cut(got, "\r\n\r\n")
			var want strings.Builder
			for line := range strings.Lines(p.block("List-Id:")) {
				want.WriteString(strings.TrimSpace(line) + "\r\n")
			}
			if !strings.Contains(header, want.String()+"Received:") {
				t.Errorf("on top of the copy does not stand\n%s: %q", want.String(), header)
			}
		}
		commands(p.block("mluserdel"))
		org.submit("ann@example.org", "team@example.org", text("without ben"))
		org.arrived("ann", 2)
		other.arrived("reader", 2)
		m.settle()
		other.arrived("ben", 1)
	})
}
