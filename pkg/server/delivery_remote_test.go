package server_test

import (
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/foxcpp/go-mockdns"

	"github.com/xmaild/xmaild/pkg/server/program/programtest"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

func TestTwoServersExchangeMailInsideTLS(t *testing.T) {
	m := newMesh(t)
	a := m.site("a.test", []string{"ann"}, map[string]string{"smtpfwd.tab": "\"*\"\t\"mx.b.test\"\t\"NeedTLS=2\"\n"})
	b := m.site("b.test", []string{"ben"}, nil, servertest.Var("SmtpGwConfig", "NeedTLS=2"))
	a.submit("ann@a.test", "ben@b.test", text("there"))
	got := b.arrived("ben", 1)[0]
	m.wantBody(got, "there")
	b.submit("ben@b.test", "ann@a.test", text("back"))
	m.wantBody(a.arrived("ann", 1)[0], "back")
	if !strings.Contains(got, "SMTPS ") {
		t.Errorf("the header does not tell of TLS: %q", got)
	}
	for _, s := range m.sites {
		s.logged("certificate verified")
	}
	m.settle()
}

func TestMailWaitsForACertificateThatIsGood(t *testing.T) {
	m := newMesh(t)
	a := m.site("a.test", []string{"ann"}, nil, servertest.Var("SmtpGwConfig", "NeedTLS=2"))
	b := m.site("b.test", []string{"ben"}, nil)
	// The certificate is for mx.b.test.
	m.mx("b.test", "other.b.test", b.ip)
	a.submit("ann@a.test", "ben@b.test", text("careful"))
	a.logged("delivery is deferred")
	if n := len(b.mails("ben")); n != 0 {
		t.Errorf("%d messages went to a host that nobody vouches for", n)
	}
	m.mx("b.test", "mx.b.test", b.ip)
	m.pass(2 * time.Hour) // what the DNS said is forgotten
	m.wantBody(b.arrived("ben", 1)[0], "careful")
	m.settle()
}

func TestDeadMXIsPassedOver(t *testing.T) {
	m := newMesh(t)
	a, b := m.site("a.test", []string{"ann"}, nil), m.site("b.test", []string{"ben"}, nil)
	m.zone("dead.b.test", mockdns.Zone{A: []string{"192.0.2.99"}})
	m.zone("b.test", mockdns.Zone{MX: []net.MX{{Host: "dead.b.test.", Pref: 5}, {Host: "mx.b.test.", Pref: 10}}})
	for n, subject := range []string{"one", "two"} {
		a.submit("ann@a.test", "ben@b.test", text(subject))
		b.arrived("ben", n+1)
	}
	m.settle()
	if strings.Contains(a.Log(), "delivery is deferred") {
		t.Error("mail has waited for a dead host though there is another")
	}
}

func TestAllMXDeadAndBackAgain(t *testing.T) {
	m := newMesh(t)
	a, b := m.site("a.test", []string{"ann"}, nil), m.site("b.test", []string{"ben"}, nil)
	m.host(b.ip, "")
	a.submit("ann@a.test", "ben@b.test", text("patience"))
	a.deferredOnce()
	a.restart()
	m.host(b.ip, b.SMTP)
	m.pass(30 * time.Minute)
	m.wantBody(b.arrived("ben", 1)[0], "patience")
	m.settle()
}

// greylist is a filter of the session that does not know a recipient the first time.
const greylist = `
seen="$1/$(printf '%s' "$2" | tr -c 'a-z0-9@.' _)"
[ -e "$seen" ] && exit 0
: > "$seen"
echo "451 4.7.1 Greylisted, come again" > "$3.rej"
exit 3
`

// TestHostThatIsBackIsTriedWhenSomebodyWantsIt asks for the queue to be worked on when
// a host is there again that was dead a moment ago.
func TestHostThatIsBackIsTriedWhenSomebodyWantsIt(t *testing.T) {
	for _, command := range [][]string{{"etrn", "b.test"}, {"queueretry", "domain=b.test"}} {
		t.Run(command[0], func(t *testing.T) {
			m := newMesh(t)
			a, b := m.site("a.test", []string{"ann"}, nil), m.site("b.test", []string{"ben"}, nil)
			m.host(b.ip, "")
			a.submit("ann@a.test", "ben@b.test", text("wait"))
			a.logged("delivery is deferred")
			m.host(b.ip, b.SMTP)
			a.do(command...)
			m.wantBody(b.arrived("ben", 1)[0], "wait")
			m.settle()
		})
	}
}

func TestGreylistOnTheOtherSide(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the filter is a shell script")
	}
	m := newMesh(t)
	a := m.site("a.test", []string{"ann"}, nil)
	b := m.site("b.test", []string{"ben"}, map[string]string{
		"filters.post-rcpt.tab": row(programtest.Script(t, greylist), programtest.Dir(t), "@@CRCPT", "@@FILE"),
	})
	a.submit("ann@a.test", "ben@b.test", text("grey"))
	a.logged("Greylisted, come again")
	a.deferredOnce()
	m.wantBody(b.arrived("ben", 1)[0], "grey")
	m.settle()
}

func TestLittleSpaceOnTheOtherSide(t *testing.T) {
	m := newMesh(t)
	a := m.site("a.test", []string{"ann"}, nil)
	b := m.site("b.test", []string{"ben"}, nil, servertest.Var("SmtpMinDiskSpace", "999999999999"))
	a.submit("ann@a.test", "ben@b.test", text("room"))
	a.deferredOnce()
	b.Write(t, "server.tab", strings.Replace(b.Read(t, "server.tab"), "SmtpMinDiskSpace", "#", 1))
	b.restart()
	m.pass(30 * time.Minute)
	m.wantBody(b.arrived("ben", 1)[0], "room")
	m.settle()
}

func TestDestinationsThatTakeNoMail(t *testing.T) {
	m := newMesh(t)
	a := m.site("a.test", []string{"ann"}, nil)
	m.zone("null.test", mockdns.Zone{MX: []net.MX{{Host: ".", Pref: 0}}})
	m.zone("self.test", mockdns.Zone{MX: []net.MX{{Host: "a.test.", Pref: 0}}})
	for domain, reason := range map[string]string{"null.test": "null MX", "nowhere.test": "does not exist", "self.test": "come back here"} {
		a.submit("ann@a.test", "x@"+domain, text(domain))
		m.waitFor("bounce of "+domain, func() bool {
			for _, content := range a.mails("ann") {
				if strings.Contains(content, "x@"+domain) && strings.Contains(content, reason) {
					return true
				}
			}
			return false
		})
	}
	a.arrived("ann", 3)
	m.settle()
}

// row is a row of a table.
func row(fields ...string) string { return "\"" + strings.Join(fields, "\"\t\"") + "\"\n" }
