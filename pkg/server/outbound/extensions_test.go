package outbound_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/xmaild/xmaild/pkg/server/outbound"
)

// A witness is a host that offers some keywords, and notes MAIL and RCPT.
type witness struct {
	addr string
	mu   sync.Mutex
	said []string
}

func newWitness(t *testing.T, ehlo ...string) *witness {
	w := &witness{}
	w.addr = scripted(t, func(s script) {
		s.say("220 x")
		for {
			line := s.hear()
			switch verb, _, _ := strings.Cut(line, " "); verb {
			case "":
				return
			case "EHLO":
				s.say("250-x")
				for _, keyword := range ehlo {
					s.say("250-" + keyword)
				}
				s.say("250 HELP")
				continue
			case "DATA":
				s.say("354 x")
				if !s.skipText() {
					return
				}
			case "MAIL", "RCPT":
				w.mu.Lock()
				w.said = append(w.said, line)
				w.mu.Unlock()
			}
			s.say("250 x")
		}
	})
	return w
}

func (w *witness) heard() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.said, "\n")
}

func TestSizeIsCheckedBeforeItIsSent(t *testing.T) {
	for keyword, state := range map[string]outbound.State{
		"SIZE 20": outbound.Delivered, "SIZE 19": outbound.Permanent, "size 19": outbound.Permanent, "SIZE 0": outbound.Delivered, "SIZE": outbound.Delivered,
		"SIZE -5": outbound.Delivered, "SIZE 99999999999999999999": outbound.Delivered, "HELP": outbound.Delivered,
	} {
		host := newWitness(t, keyword)
		w := newWorld(t, zones, nil, nil)
		w.at("192.0.2.10", host.addr)
		res := w.send("one.test", messageOf("Subject: x\r\n\r\nhello!", "bob@one.test"))[0]
		if res.State != state {
			t.Errorf("%s: %v (%s), want %v", keyword, res.State, res.Reply, state)
		}
		if state == outbound.Permanent {
			want(t, res, state, "5.3.4 | Message too big for the remote SMTP server", "mx.one.test")
		}
		if said := strings.Contains(host.heard(), " SIZE=20"); said != (state == outbound.Delivered && strings.HasPrefix(keyword, "SIZE")) {
			t.Errorf("%s: the host heard %q", keyword, host.heard())
		}
	}
}

func TestTextOf8BitsIsForHostsThatTakeIt(t *testing.T) {
	const level0 = `"CompatLevel"` + "\t" + `"0"` + "\n"
	for _, c := range []struct {
		server, keyword, text string
		state                 outbound.State
		mail                  string
	}{
		{"", "8BITMIME", "a\r\n\r\né", outbound.Delivered, "MAIL FROM:<ann@ours.test> BODY=8BITMIME"},
		{"", "HELP", "a\r\n\r\né", outbound.Permanent, ""},
		{"", "HELP", "a\r\n\r\ne", outbound.Delivered, "MAIL FROM:<ann@ours.test>"},
		{level0, "HELP", "a\r\n\r\né", outbound.Delivered, "MAIL FROM:<ann@ours.test>"},
	} {
		host := newWitness(t, c.keyword)
		w := newWorld(t, zones, map[string]string{"server.tab": c.server}, nil)
		w.at("192.0.2.10", host.addr)
		res := w.send("one.test", messageOf(c.text, "bob@one.test"))[0]
		mail, _, _ := strings.Cut(host.heard(), "\n")
		if res.State != c.state || mail != c.mail {
			t.Errorf("%+v: %v (%s), the host heard %q", c, res.State, res.Reply, mail)
		}
		if c.state == outbound.Permanent {
			want(t, res, c.state, "5.6.3")
		}
	}
}

func TestUTF8IsForHostsThatTakeIt(t *testing.T) {
	for _, c := range []struct {
		name, keyword, from, text string
		utf8                      bool
		to                        []string
		want                      []string // enhanced codes
		heard                     string
	}{
		{"all of it", "SMTPUTF8", "änn@ours.test", "Subject: é\r\n\r\n", true, []string{"böb@one.test", "bob@пример.test"}, []string{"2.0.0", "2.0.0"},
			"MAIL FROM:<änn@ours.test> SMTPUTF8\nRCPT TO:<böb@one.test>\nRCPT TO:<bob@пример.test>"},
		{"nothing", "SMTPUTF8", "ann@ours.test", text, false, []string{"bob@one.test"}, []string{"2.0.0"}, "MAIL FROM:<ann@ours.test>\nRCPT TO:<bob@one.test>"},
		{"header", "SMTPUTF8", "ann@ours.test", "Subject: é\r\n\r\n", true, []string{"bob@one.test"}, []string{"2.0.0"}, "MAIL FROM:<ann@ours.test> SMTPUTF8\nRCPT TO:<bob@one.test>"},
		{"one of three addresses", "HELP", "ann@ours.test", text, false, []string{"bob@one.test", "böb@one.test", "bob@пример.test"}, []string{"2.0.0", "5.6.7", "2.0.0"},
			"MAIL FROM:<ann@ours.test>\nRCPT TO:<bob@one.test>\nRCPT TO:<bob@xn--e1afmkfd.test>"},
		{"asked for and not needed", "HELP", "ann@ours.test", "Subject: x\r\n\r\né", true, []string{"bob@one.test"}, []string{"2.0.0"}, "MAIL FROM:<ann@ours.test>\nRCPT TO:<bob@one.test>"},
		{"sender", "HELP", "änn@ours.test", text, true, []string{"bob@one.test", "eve@one.test"}, []string{"5.6.7", "5.6.7"}, ""},
		{"sender's domain", "HELP", "ann@пример.test", text, true, []string{"bob@one.test"}, []string{"2.0.0"}, "MAIL FROM:<ann@xn--e1afmkfd.test>\nRCPT TO:<bob@one.test>"},
		{"needed by the header", "HELP", "ann@ours.test", "Subject: é\r\n\r\n", true, []string{"bob@one.test"}, []string{"5.6.9"}, ""},
		{"old 8-bit header", "HELP", "ann@ours.test", "Subject: \xe9\r\n\r\n", false, []string{"bob@one.test"}, []string{"2.0.0"}, "MAIL FROM:<ann@ours.test>\nRCPT TO:<bob@one.test>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			host := newWitness(t, c.keyword)
			w := newWorld(t, zones, map[string]string{"server.tab": `"CompatLevel"` + "\t" + `"0"` + "\n"}, nil)
			w.at("192.0.2.10", host.addr)
			m := messageOf(c.text, c.to...)
			m.From, m.UTF8 = c.from, c.utf8
			var got []string
			for _, r := range w.send("one.test", m) {
				got = append(got, r.Enhanced)
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) || host.heard() != c.heard {
				t.Errorf("results are %v, want %v; the host heard %q, want %q", got, c.want, host.heard(), c.heard)
			}
		})
	}
}

func TestParametersOfNotificationsArePassedOn(t *testing.T) {
	r := receive(t, nil)
	w := newWorld(t, zones, nil, nil)
	w.at("192.0.2.10", r.addr)
	m := message("bob@one.test", "eve@one.test", "joe@one.test")
	m.Ret, m.EnvID = "HDRS", "id+1=x y"
	m.Recipients[0].Notify, m.Recipients[0].ORcpt = "SUCCESS,failure,SUCCESS", "rfc822;Bob+1@old.test"
	m.Recipients[1].Notify, m.Recipients[1].ORcpt = "NEVER", "x400;what"
	m.Recipients[2].Notify, m.Recipients[2].ORcpt = "NONSENSE", "rfc822;a\r\nb"
	for _, res := range w.send("one.test", m) {
		want(t, res, outbound.Delivered)
		if !res.DSN {
			t.Error("the host is said not to know DSN")
		}
	}
	got := r.got()[0]
	if got.fromOpts.Return != smtp.DSNReturnHeaders || got.fromOpts.EnvelopeID != m.EnvID {
		t.Errorf("MAIL has RET=%s ENVID=%q, want HDRS and %q", got.fromOpts.Return, got.fromOpts.EnvelopeID, m.EnvID)
	}
	for i, want := range []string{"[SUCCESS FAILURE] Bob+1@old.test", "[NEVER] ", "[] "} {
		if o := got.toOpts[i]; fmt.Sprint(o.Notify, " ", o.OriginalRecipient) != want {
			t.Errorf("RCPT %d has %v, %q; want %q", i, o.Notify, o.OriginalRecipient, want)
		}
	}
	host := newWitness(t, "HELP")
	w.at("192.0.2.10", host.addr)
	w.sender.Close()
	w = newWorld(t, zones, nil, nil)
	w.at("192.0.2.10", host.addr)
	if res := w.send("one.test", m)[0]; res.State != outbound.Delivered || res.DSN || strings.ContainsAny(host.heard(), "=") {
		t.Errorf("a host without DSN: %+v, and it heard %q", res, host.heard())
	}
}

func TestNothingOfAnAddressBecomesACommand(t *testing.T) {
	host := newWitness(t, "SMTPUTF8")
	w := newWorld(t, zones, nil, nil)
	w.at("192.0.2.10", host.addr)
	for _, to := range []string{"bob@one.test>\r\nRCPT TO:<eve@one.test", "bob@one.test\nDATA", "bob@one.test> NOTIFY=NEVER", "@a,@b:bob@one.test", "", "bob\x00@one.test"} {
		want(t, w.send("one.test", message(to))[0], outbound.Permanent, "5.1.3")
		m := message("bob@one.test")
		m.From = to
		if to != "" {
			want(t, w.send("one.test", m)[0], outbound.Permanent, "5.1.7")
		}
	}
	if host.heard() != "" {
		t.Errorf("the host heard %q", host.heard())
	}
}
