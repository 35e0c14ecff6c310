package outbound_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/foxcpp/go-mockdns"

	"github.com/xmaild/xmaild/pkg/server/outbound"
	"github.com/xmaild/xmaild/pkg/server/resolve/resolvetest"
)

// zones have x.test with two hosts of two ranks, the first of which has two addresses.
var zones = resolvetest.Zones{
	"x.test.":      {MX: []net.MX{mx("mx1.x.test.", 10), mx("mx2.x.test.", 20)}},
	"mx1.x.test.":  {A: []string{"192.0.2.1", "192.0.2.2"}},
	"mx2.x.test.":  {A: []string{"192.0.2.3"}},
	"one.test.":    {MX: []net.MX{mx("mx.one.test.", 10)}},
	"mx.one.test.": {A: []string{"192.0.2.10"}},
}

func TestMessageArrivesAsItIs(t *testing.T) {
	r := receive(t, func(r *receiver) {
		r.answer = func(step, _ string) *smtp.SMTPError {
			if step == "DATA" {
				return &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: "Ok: queued as 4711"}
			}
			return nil
		}
	})
	w := newWorld(t, zones, map[string]string{"server.tab": `"HeloDomain"` + "\t" + `"mail.ours.test"` + "\n"}, nil)
	w.at("192.0.2.10", r.addr)
	const body = "Subject: dots\r\n\r\n.\r\n..two\r\n.one\r\nend\r\n"
	got := w.send("one.test", messageOf(body, "bob@one.test", `"a b"@one.test`))
	for _, res := range got {
		want(t, res, outbound.Delivered, "2.0.0", "250 ", "mx.one.test")
		if res.RemoteID != "2.0.0 Ok: queued as 4711" || res.Medium != "SMTP" || res.Parameter != "mx.one.test" || res.Addr != "192.0.2.10:25" || !res.DSN || res.TLS != "" {
			t.Errorf("result is %+v", res)
		}
	}
	mails := r.got()
	if len(mails) != 1 {
		t.Fatalf("%d messages came, want 1", len(mails))
	}
	m := mails[0]
	if m.text != body || m.from != "ann@ours.test" || m.helo != "mail.ours.test" || !slices.Equal(m.to, []string{"bob@one.test", `"a b"@one.test`}) && !slices.Equal(m.to, []string{"bob@one.test", `a b@one.test`}) {
		t.Errorf("message is %+v, want from ann@ours.test to both, by mail.ours.test, with the text %q", m, body)
	}
	if m.fromOpts.Size != int64(len(body)) {
		t.Errorf("SIZE=%d, want %d", m.fromOpts.Size, len(body))
	}
}

func TestRemoteIDIsWhatStandsInAngleBrackets(t *testing.T) {
	w := newWorld(t, zones, nil, nil)
	w.at("192.0.2.10", scripted(t, func(s script) { s.serve(nil, map[string]string{".": "250 taken as <S1A2B\x1b@there> by me"}) }))
	if id := w.one("one.test").RemoteID; id != "S1A2B?@there" {
		t.Errorf("remote id is %q, want S1A2B?@there", id)
	}
}

func TestHostsAreTriedInTheirOrder(t *testing.T) {
	const all = "192.0.2.1 192.0.2.2"
	sorted := func(calls string) string {
		words := strings.Fields(strings.ReplaceAll(calls, ":25", ""))
		slices.Sort(words)
		return strings.Join(words, " ")
	}
	t.Run("the best host", func(t *testing.T) {
		r, other := receive(t, nil), receive(t, nil)
		w := newWorld(t, zones, nil, nil)
		w.at("192.0.2.1", r.addr)
		w.at("192.0.2.2", r.addr)
		w.at("192.0.2.3", other.addr)
		want(t, w.one("x.test"), outbound.Delivered, "mx1.x.test")
		if len(r.got()) != 1 || len(other.got()) != 0 {
			t.Errorf("the hosts have %d and %d messages, want 1 and 0", len(r.got()), len(other.got()))
		}
	})
	t.Run("both addresses refuse connections", func(t *testing.T) {
		other := receive(t, nil)
		w := newWorld(t, zones, nil, nil)
		w.at("192.0.2.3", other.addr)
		want(t, w.one("x.test"), outbound.Delivered, "mx2.x.test")
		if got := sorted(w.called()); got != all+" 192.0.2.3" {
			t.Errorf("called were %s, want %s and then 192.0.2.3", got, all)
		}
	})
	t.Run("one address is a black hole and the other never greets", func(t *testing.T) {
		silent := scripted(t, func(s script) { s.hear() })
		other := receive(t, nil)
		w := newWorld(t, zones, nil, func(o *outbound.Options) {
			o.Timeouts.Connect, o.Timeouts.Greeting = time.Second, time.Second // for the last host too
		})
		w.at("192.0.2.1", "")
		w.at("192.0.2.2", silent)
		w.at("192.0.2.3", other.addr)
		want(t, w.one("x.test"), outbound.Delivered, "mx2.x.test")
	})
	t.Run("refusals that are not about the message", func(t *testing.T) {
		for _, first := range []func(script){
			func(s script) { s.say("554 no service") },
			func(s script) { s.say("421 too busy") },
			func(s script) { s.serve(nil, map[string]string{"EHLO": "550 bad name", "HELO": "550 bad name"}) },
			func(s script) { s.serve(nil, map[string]string{"MAIL": "451 later"}) },
			func(s script) { s.serve(nil, map[string]string{"MAIL": ""}) },
			func(s script) { s.serve(nil, map[string]string{"RCPT": "450 greylisted"}) },
			func(s script) { s.serve(nil, map[string]string{"RCPT": "421 bye"}) },
			func(s script) { s.serve(nil, map[string]string{"RCPT": ""}) },
			func(s script) { s.serve(nil, map[string]string{"DATA": "451 no"}) },
			func(s script) { s.serve(nil, map[string]string{"DATA": ""}) },
			func(s script) { s.serve(nil, map[string]string{".": "451 no"}) },
			func(s script) { s.say(strings.Repeat("220-x\r\n", 20000)) },
			func(s script) { s.say("no SMTP at all") },
		} {
			other := receive(t, nil)
			w := newWorld(t, zones, nil, nil)
			w.at("192.0.2.1", scripted(t, first))
			w.at("192.0.2.2", scripted(t, first))
			w.at("192.0.2.3", other.addr)
			want(t, w.one("x.test"), outbound.Delivered, "mx2.x.test")
			if n := len(other.got()); n != 1 {
				t.Errorf("the second host has %d messages, want 1", n)
			}
		}
	})
	t.Run("a refusal for good ends it", func(t *testing.T) {
		for step, replies := range map[string]map[string]string{
			"MAIL": {"MAIL": "550 5.7.1 not from\r\n550 5.7.1 you"}, "RCPT": {"RCPT": "550 5.7.1 not"}, "DATA": {"DATA": "550 5.7.1 not"}, "text": {".": "550 5.7.1 not"},
		} {
			other := receive(t, nil)
			w := newWorld(t, zones, nil, nil)
			host := scripted(t, func(s script) { s.serve(nil, replies) })
			w.at("192.0.2.1", host)
			w.at("192.0.2.2", host)
			w.at("192.0.2.3", other.addr)
			res := w.one("x.test")
			want(t, res, outbound.Permanent, "5.7.1 | 550 5.7.1 not", "mx1.x.test")
			if res.Code != 550 || len(other.got()) != 0 {
				t.Errorf("%s: code %d, and the second host has %d messages; want 550 and none", step, res.Code, len(other.got()))
			}
		}
	})
}

func TestReplyOfAHostCountsMoreThanTheSilenceOfAnother(t *testing.T) {
	w := newWorld(t, zones, nil, nil)
	w.at("192.0.2.1", receive(t, refuse("RCPT", "", 450, "greylisted, come back")).addr)
	w.at("192.0.2.2", receive(t, refuse("RCPT", "", 450, "greylisted, come back")).addr)
	res := w.one("x.test")
	want(t, res, outbound.Temporary, "4.1.1 | 450 4.1.1 greylisted, come back", "mx1.x.test")
	if res.Code != 450 {
		t.Errorf("code %d, want 450", res.Code)
	}
}

func TestEachRecipientHasAnAnswerOfItsOwn(t *testing.T) {
	r := receive(t, func(r *receiver) {
		r.answer = func(step, arg string) *smtp.SMTPError {
			switch {
			case step == "RCPT" && strings.HasPrefix(arg, "gone"):
				return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
			case step == "RCPT" && strings.HasPrefix(arg, "full"):
				return &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 2, 2}, Message: "mailbox full"}
			}
			return nil
		}
	})
	w := newWorld(t, zones, nil, nil)
	w.at("192.0.2.10", r.addr)
	got := w.send("one.test", message("full@one.test", "gone@one.test", "bob@one.test", "not an address", "eve@one.test"))
	want(t, got[0], outbound.Temporary, "4.2.2 | 452 4.2.2 mailbox full")
	want(t, got[1], outbound.Permanent, "5.1.1 | 550 5.1.1 no such user", "mx.one.test")
	want(t, got[2], outbound.Delivered)
	want(t, got[3], outbound.Permanent, "5.1.3 | the address cannot be sent")
	want(t, got[4], outbound.Delivered)
	if mails := r.got(); len(mails) != 1 || !slices.Equal(mails[0].to, []string{"bob@one.test", "eve@one.test"}) {
		t.Errorf("messages are %+v, want one to bob and eve", mails)
	}
}

func TestHostThatTakesFewRecipientsGetsTheOthersAfterwards(t *testing.T) {
	for _, c := range []struct{ all, most, transactions int }{{7, 3, 3}, {250, 1000, 3}} {
		n := 0
		r := receive(t, func(r *receiver) {
			r.answer = func(step, _ string) *smtp.SMTPError {
				switch step {
				case "MAIL":
					n = 0
				case "RCPT":
					if n++; n > c.most {
						return &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 5, 3}, Message: "too many recipients"}
					}
				}
				return nil
			}
		})
		w := newWorld(t, zones, nil, nil)
		w.at("192.0.2.10", r.addr)
		var to []string
		for i := range c.all {
			to = append(to, fmt.Sprintf("u%d@one.test", i))
		}
		for _, res := range w.send("one.test", message(to...)) {
			want(t, res, outbound.Delivered)
		}
		var came []string
		for _, m := range r.got() {
			came = append(came, m.to...)
		}
		slices.Sort(came)
		slices.Sort(to)
		if len(r.got()) != c.transactions || !slices.Equal(came, to) || r.connections() != 1 {
			t.Errorf("%d recipients came by %d messages on %d connections, want %d by %d on 1", len(came), len(r.got()), r.connections(), c.all, c.transactions)
		}
	}
}

func TestEveryReplyOf2SaysThatItIsTaken(t *testing.T) {
	other := receive(t, nil)
	w := newWorld(t, zones, nil, nil)
	host := scripted(t, func(s script) {
		s.serve(nil, map[string]string{"MAIL": "200 go on", "RCPT": "220 he too", ".": "251 2.1.5 forwarded as <7>"})
	})
	w.at("192.0.2.1", host)
	w.at("192.0.2.2", host)
	w.at("192.0.2.3", other.addr)
	for range 2 {
		res := w.one("x.test")
		want(t, res, outbound.Delivered, "251 forwarded as <7>", "mx1.x.test")
		if res.RemoteID != "7" || res.Code != 251 {
			t.Errorf("code %d, remote id %q; want 251 and 7", res.Code, res.RemoteID)
		}
	}
	if n := len(other.got()); n != 0 {
		t.Errorf("the second host has %d messages, want none", n)
	}
}

func TestConnectionThatIsLostAfterTheTextIsUncertain(t *testing.T) {
	other := receive(t, nil)
	w := newWorld(t, zones, nil, nil)
	host := scripted(t, func(s script) { s.serve(nil, map[string]string{".": ""}) })
	w.at("192.0.2.1", host)
	w.at("192.0.2.2", host)
	w.at("192.0.2.3", other.addr)
	res := w.one("x.test")
	want(t, res, outbound.Temporary, "4.4.2", "no reply came")
	if !res.Uncertain || len(other.got()) != 0 {
		t.Errorf("uncertain is %v, and the next host has %d messages; want true and none", res.Uncertain, len(other.got()))
	}
}

func TestConnectionThatIsLostInTheTextIsNot(t *testing.T) {
	w := newWorld(t, zones, nil, nil)
	w.at("192.0.2.10", scripted(t, func(s script) {
		s.say("220 x")
		for _, reply := range []string{"250 x", "250 x", "250 x", "354 x"} {
			s.hear()
			s.say(reply)
		}
		for range 3 {
			s.hear()
		}
	}))
	res := w.send("one.test", messageOf(strings.Repeat(strings.Repeat("x", 62)+"\r\n", 1<<17), "bob@one.test"))[0]
	want(t, res, outbound.Temporary, "4.4.2")
	if res.Uncertain {
		t.Error("the result is uncertain, though the message has no end")
	}
}

// A broken text cannot be read to its end.
type broken struct{ io.ReadSeeker }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.ReadSeeker.Read(p)
	if err == io.EOF {
		err = errors.New("disk on fire")
	}
	return n, err
}

func TestMessageThatCannotBeReadIsNotEnded(t *testing.T) {
	r := receive(t, nil)
	w := newWorld(t, zones, nil, nil)
	w.at("192.0.2.10", r.addr)
	m := message("bob@one.test")
	m.Body = broken{strings.NewReader(text)}
	want(t, w.send("one.test", m)[0], outbound.Temporary, "4.3.0", "disk on fire")
	if n := len(r.got()); n != 0 {
		t.Errorf("%d messages were taken, want none", n)
	}
	want(t, w.one("one.test"), outbound.Delivered) // the next message is not part of it
}

func TestContextEndsAnAttempt(t *testing.T) {
	heard := make(chan bool, 1)
	w := newWorld(t, zones, nil, nil)
	w.at("192.0.2.10", scripted(t, func(s script) {
		s.say("220 x")
		s.hear()
		heard <- true
		s.hear()
	}))
	r, err := w.sender.Plan(t.Context(), "one.test")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-heard
		cancel(errors.New("closing time"))
	}()
	want(t, w.sender.Send(ctx, r, message("bob@one.test"))[0], outbound.Temporary, "4.3.2", "closing time")
}

func TestFamiliesOfAddresses(t *testing.T) {
	zones := resolvetest.Zones{
		"both.test.": {A: []string{"192.0.2.1"}, AAAA: []string{"2001:db8::1"}},
		"four.test.": {A: []string{"192.0.2.4"}}, "six.test.": {AAAA: []string{"2001:db8::6"}},
		"mx.test.": {MX: []net.MX{mx("six.test.", 10), mx("four.test.", 20)}},
	}
	for _, c := range []struct {
		family          outbound.Family
		both, four, six string
	}{
		{outbound.IPv4, "192.0.2.1:25", "192.0.2.4:25", ""},
		{outbound.IPv6, "[2001:db8::1]:25", "", "[2001:db8::6]:25"},
		{outbound.IPv4First, "192.0.2.1:25 [2001:db8::1]:25", "192.0.2.4:25", "[2001:db8::6]:25"},
		{outbound.IPv6First, "[2001:db8::1]:25 192.0.2.1:25", "192.0.2.4:25", "[2001:db8::6]:25"},
	} {
		w := newWorld(t, zones, nil, func(o *outbound.Options) { o.Family = c.family })
		for domain, calls := range map[string]string{"both.test": c.both, "four.test": c.four, "six.test": c.six,
			"mx.test": strings.TrimSpace(c.six + " " + c.four)} {
			w.sender.Forget()
			w.one(domain)
			if got := w.called(); got != calls {
				t.Errorf("family %d: called for %s were %q, want %q", c.family, domain, got, calls)
			}
		}
	}
}

func TestServerThatIsItsOwnMXByAddressDoesNotCallItself(t *testing.T) {
	zones := resolvetest.Zones{
		"backup.test.": {MX: []net.MX{mx("good.test.", 10), mx("us.test.", 20), mx("worse.test.", 30)}},
		"loop.test.":   {MX: []net.MX{mx("us.test.", 20), mx("worse.test.", 30)}},
		"good.test.":   {A: []string{"192.0.2.1"}}, "us.test.": {A: []string{"127.0.0.1"}}, "worse.test.": {A: []string{"192.0.2.3"}},
	}
	w := newWorld(t, zones, nil, nil)
	want(t, w.one("backup.test"), outbound.Temporary, "good.test")
	if got := w.called(); got != "192.0.2.1:25" {
		t.Errorf("called were %q, want the better host alone", got)
	}
	want(t, w.one("loop.test"), outbound.Permanent, "5.4.6")
	want(t, w.one("us.test"), outbound.Permanent, "5.4.6") // an address without MX
	want(t, w.one("[127.0.0.1]"), outbound.Permanent, "5.4.6")
	if got := w.called(); got != "" {
		t.Errorf("called were %q, want none", got)
	}
}

func TestGatewayGetsAPlainEnvelope(t *testing.T) {
	r := receive(t, nil)
	w := newWorld(t, resolvetest.Zones{"relay.test.": {A: []string{"192.0.2.1"}, MX: []net.MX{mx("wrong.test.", 10)}}},
		map[string]string{"smtpgw.tab": `"far.test"` + "\t" + `"@relay.test,@second.test"` + "\n"}, nil)
	w.at("192.0.2.1", r.addr)
	res := w.one("far.test")
	want(t, res, outbound.Delivered, "relay.test")
	if m := r.got(); len(m) != 1 || m[0].from != "ann@ours.test" || m[0].to[0] != "bob@far.test" || res.Medium != "SMTP" || res.Parameter != "relay.test" {
		t.Errorf("messages are %+v by %+v, want one from ann@ours.test to bob@far.test", m, res)
	}
	m := message("bob@far.test")
	m.From = ""
	want(t, w.send("far.test", m)[0], outbound.Delivered)
	if got := r.got()[1].from; got != "" {
		t.Errorf("the null sender became %q", got)
	}
}

func TestForwardsHavePortsAndAddressesToSendFrom(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8")
	}
	r := receive(t, nil)
	w := newWorld(t, nil, map[string]string{"smtpfwd.tab": `"in.test"` + "\t" + `"[192.0.2.1]:25;[2001:db8::1];[192.0.2.2]:2525,OutBind=127.0.0.9"` + "\t" + `"OutBind=127.0.0.8"` + "\n"}, nil)
	w.at("192.0.2.2:2525", r.addr)
	res := w.one("in.test")
	want(t, res, outbound.Delivered, "[192.0.2.2]:2525")
	if res.Medium != "FWD" || res.Parameter != "[192.0.2.2]:2525" {
		t.Errorf("logged is %s %s, want FWD [192.0.2.2]:2525", res.Medium, res.Parameter)
	}
	if peer := r.got()[0].peer; !strings.HasPrefix(peer, "127.0.0.9:") {
		t.Errorf("the message came from %s, want 127.0.0.9", peer)
	}
	if w.binds[0] != netip.MustParseAddr("127.0.0.8") {
		t.Errorf("the first host was called from %v, want 127.0.0.8", w.binds[0])
	}
}

func TestEmptyListDiscardsAndSaysSo(t *testing.T) {
	w := newWorld(t, nil, map[string]string{"smtpfwd.tab": `"hole.test"` + "\t" + `""` + "\n"}, nil)
	res := w.one("hole.test")
	want(t, res, outbound.Delivered, "discarded")
	if !strings.Contains(w.log.String(), "message is discarded") || res.Medium != "FWD" {
		t.Errorf("medium %s; the log does not tell of the message: %s", res.Medium, w.log)
	}
}

func TestAddressLiteralIsCalledAsItIs(t *testing.T) {
	r := receive(t, nil)
	w := newWorld(t, nil, nil, nil)
	w.at("192.0.2.77", r.addr)
	want(t, w.one("[192.0.2.77]"), outbound.Delivered, "192.0.2.77")
	if to := r.got()[0].to[0]; to != "bob@[192.0.2.77]" {
		t.Errorf("recipient is %s", to)
	}
}

func TestHostsAreGreetedByAName(t *testing.T) {
	const none = `"HeloDomain"` + "\t" + `""` + "\n"
	public := "127.0.0.1"
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && p.Addr().IsGlobalUnicast() {
			public = p.Addr().String()
		}
	}
	byDNS := "root.test" // nobody asks the DNS for the name of the loopback
	if public != "127.0.0.1" {
		byDNS = "dns.ours.test"
	}
	for _, c := range []struct{ server, helo, ip, want string }{
		{`"HeloDomain"` + "\t" + `"mail.ours.test"` + "\n", "", public, "mail.ours.test"},
		{`"HeloDomain"` + "\t" + `"mail.ours.test"` + "\n", "other.test", public, "other.test"},
		{`"HeloDomain"` + "\t" + `"no host"` + "\n" + `"RootDomain"` + "\t" + `"root.test"` + "\n", "", "127.0.0.1", "root.test"},
		{none + `"RootDomain"` + "\t" + `"root.test"` + "\n", "", public, byDNS},
		{none + `"RootDomain"` + "\t" + `""` + "\n", "", "127.0.0.1", "[127.0.0.1]"},
	} {
		r := receive(t, func(r *receiver) { r.listen = c.ip + ":0" })
		dns := maps.Clone(zones)
		words := strings.Split(public, ".")
		slices.Reverse(words)
		dns[strings.Join(words, ".")+".in-addr.arpa."] = mockdns.Zone{PTR: []string{"Dns.Ours.Test."}}
		w := newWorld(t, dns, map[string]string{"server.tab": c.server}, nil)
		w.at("192.0.2.10", r.addr)
		m := message("bob@one.test")
		m.Helo = c.helo
		want(t, w.send("one.test", m)[0], outbound.Delivered)
		if helo := r.got()[0].helo; helo != c.want {
			t.Errorf("with %q the host at %s was greeted by %q, want %q", c.server, c.ip, helo, c.want)
		}
	}
}

func TestHELOIsForHostsThatDoNotKnowEHLO(t *testing.T) {
	w := newWorld(t, zones, nil, nil)
	w.at("192.0.2.10", scripted(t, func(s script) { s.serve(nil, map[string]string{"EHLO": "502 what"}) }))
	want(t, w.one("one.test"), outbound.Delivered)
}
