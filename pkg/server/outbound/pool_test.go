package outbound_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/xmaild/xmaild/pkg/server/outbound"
	"github.com/xmaild/xmaild/pkg/server/resolve/resolvetest"
)

func TestConnectionTakesOneMessageAfterAnother(t *testing.T) {
	r := receive(t, func(r *receiver) {
		r.answer = func(step, arg string) *smtp.SMTPError {
			if step == "RCPT" && strings.HasPrefix(arg, "gone") || step == "MAIL" && arg == "bad@ours.test" {
				return &smtp.SMTPError{Code: 550, Message: "no"}
			}
			return nil
		}
	})
	w := newWorld(t, zones, nil, nil)
	w.at("192.0.2.10", r.addr)
	for range 3 {
		want(t, w.one("one.test"), outbound.Delivered)
		want(t, w.send("one.test", message("gone@one.test"))[0], outbound.Permanent)
		m := message("bob@one.test")
		m.From = "bad@ours.test"
		want(t, w.send("one.test", m)[0], outbound.Permanent)
	}
	if n := r.connections(); n != 1 || len(r.got()) != 3 {
		t.Errorf("%d messages came on %d connections, want 3 on 1", len(r.got()), n)
	}
}

func TestConnectionIsKeptInsideTLSAndTellsOfIt(t *testing.T) {
	w := forwarded(t, "", "", loginTable("PLAIN", secret))
	r := receive(t, func(r *receiver) {
		r.secret = secret
		r.srv.TLSConfig = w.ca.server("host.x.test")
	})
	w.at("192.0.2.50:26", r.addr)
	for range 2 {
		if res := w.one("x.test"); res.State != outbound.Delivered || !res.Verified {
			t.Errorf("result is %+v, want a delivery by verified TLS", res)
		}
	}
	// go-smtp counts a session before TLS and one inside.
	if n := r.connections(); n != 2 {
		t.Errorf("%d sessions, want 2", n)
	}
}

func TestConnectionHasAnEnd(t *testing.T) {
	r := receive(t, nil)
	w := newWorld(t, zones, nil, func(o *outbound.Options) { o.PerConnection = 2 })
	w.at("192.0.2.10", r.addr)
	for range 4 {
		want(t, w.one("one.test"), outbound.Delivered)
	}
	if n := r.connections(); n != 2 {
		t.Errorf("4 messages came on %d connections, want 2 on each of 2", n)
	}
}

func TestConnectionThatNobodyUsesIsClosed(t *testing.T) {
	quit := make(chan bool, 1)
	w := newWorld(t, zones, nil, func(o *outbound.Options) { o.Timeouts.Idle = time.Millisecond })
	w.at("192.0.2.10", scripted(t, func(s script) {
		s.serve(nil, map[string]string{"QUIT": ""})
		quit <- true
	}))
	want(t, w.one("one.test"), outbound.Delivered)
	select {
	case <-quit:
	case <-time.After(20 * time.Second):
		t.Error("the connection is open after 20 seconds, want it closed after a millisecond")
	}
}

func TestConnectionThatTheHostClosedMeanwhileCostsNothing(t *testing.T) {
	for _, last := range []string{"", "421 idle for too long"} {
		var mu sync.Mutex
		conns := 0
		w := newWorld(t, zones, nil, nil)
		w.at("192.0.2.10", scripted(t, func(s script) {
			mu.Lock()
			conns++
			mu.Unlock()
			s.say("220 x")
			for mails := 0; ; {
				line := s.hear()
				switch {
				case line == "":
					return
				case line == "DATA":
					s.say("354 x")
					s.skipText()
				case strings.HasPrefix(line, "MAIL"):
					if mails++; mails == 2 {
						if last != "" {
							s.say(last)
						}
						return
					}
				}
				s.say("250 x")
			}
		}))
		for range 3 {
			want(t, w.one("one.test"), outbound.Delivered)
		}
		if mu.Lock(); conns != 3 {
			t.Errorf("%d connections, want 3", conns)
		}
		mu.Unlock()
	}
}

// TestConnectionThatIsDoneForCostsNothing has a host that takes one message of each
// connection, and says so in one of several ways: before the next message comes, where
// there is a word early, or to MAIL.
func TestConnectionThatIsDoneForCostsNothing(t *testing.T) {
	for _, test := range []struct{ early, mail string }{
		{early: "451 timeout (#4.4.2)", mail: "250 x"},
		{mail: "452 4.7.1 too many messages on this connection"},
		{mail: "503 5.5.1 sender already given"},
	} {
		w := newWorld(t, zones, nil, nil)
		w.at("192.0.2.10", scripted(t, func(s script) {
			s.say("220 x")
			for mails := 0; ; {
				line := s.hear()
				switch {
				case line == "":
					return
				case line == "DATA":
					s.say("354 x")
					s.skipText()
					s.say("250 x")
					if test.early != "" {
						s.say(test.early)
					}
					continue
				case strings.HasPrefix(line, "MAIL"):
					if mails++; mails == 2 {
						s.say(test.mail)
						continue
					}
				}
				s.say("250 x")
			}
		}))
		for range 3 {
			want(t, w.one("one.test"), outbound.Delivered)
		}
	}
}

func TestConnectionIsNotSharedByDifferentOptions(t *testing.T) {
	// Two names of one address: with TLS for the one and without for the other.
	zones := resolvetest.Zones{"a.host.test.": {A: []string{"192.0.2.1"}}}
	w := newWorld(t, zones, map[string]string{"smtpfwd.tab": `"a.test"` + "\t" + `"a.host.test,NeedTLS=2"` + "\n" + `"b.test"` + "\t" + `"a.host.test,NeedTLS=0"` + "\n"}, nil)
	r := receive(t, func(r *receiver) { r.srv.TLSConfig = w.ca.server("a.host.test") })
	w.at("192.0.2.1", r.addr)
	for range 2 {
		if res := w.one("a.test"); res.State != outbound.Delivered || !res.Verified {
			t.Errorf("with NeedTLS=2: %+v", res)
		}
		if res := w.one("b.test"); res.State != outbound.Delivered || res.TLS != "" {
			t.Errorf("with NeedTLS=0: %+v", res)
		}
	}
}

// A gate holds messages at the end of their texts.
type gate struct {
	came chan bool
	open chan bool
}

func newGate(t *testing.T, w *world, public string) *gate {
	g := &gate{came: make(chan bool, 100), open: make(chan bool)}
	r := receive(t, func(r *receiver) {
		r.answer = func(step, _ string) *smtp.SMTPError {
			if step == "DATA" {
				g.came <- true
				<-g.open
			}
			return nil
		}
	})
	w.at(public, r.addr)
	return g
}

func TestHostHasSoManyConnectionsAndNoMore(t *testing.T) {
	w := newWorld(t, zones, nil, func(o *outbound.Options) { o.PerHost = 3 })
	g := newGate(t, w, "192.0.2.10")
	var sending sync.WaitGroup
	for range 3 {
		sending.Go(func() { want(t, w.one("one.test"), outbound.Delivered) })
		<-g.came
	}
	if res := w.one("one.test"); res.State != outbound.Busy || res.Enhanced != "" {
		t.Errorf("with three messages on their way a fourth is %+v, want busy", res)
	}
	close(g.open)
	sending.Wait()
	want(t, w.one("one.test"), outbound.Delivered)
}

func TestBusyHostDoesNotSendMailToAWorseOne(t *testing.T) {
	w := newWorld(t, zones, nil, func(o *outbound.Options) { o.PerHost = 1 })
	g := newGate(t, w, "192.0.2.1")
	other := receive(t, nil)
	w.at("192.0.2.3", other.addr)
	var sending sync.WaitGroup
	sending.Go(func() { want(t, w.one("x.test"), outbound.Delivered) })
	<-g.came
	if res := w.one("x.test"); res.State != outbound.Busy {
		t.Errorf("the result is %+v, want busy", res)
	}
	close(g.open)
	sending.Wait()
	if n := len(other.got()); n != 0 {
		t.Errorf("the second host has %d messages, want none", n)
	}
}

func TestHostThatDoesNotAnswerHoldsUpOneMessage(t *testing.T) {
	w := newWorld(t, zones, nil, nil)
	w.at("192.0.2.10", scripted(t, func(s script) { s.hear() }))
	var sending sync.WaitGroup
	first := make(chan outbound.Result, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := w.sender.Plan(ctx, "one.test")
	if err != nil {
		t.Fatal(err)
	}
	sending.Go(func() { first <- w.sender.Send(ctx, r, message("bob@one.test"))[0] })
	for w.called() == "" {
		select {
		case res := <-first:
			t.Fatalf("the first attempt is over: %+v", res)
		case <-time.After(time.Millisecond):
		}
	}
	if res := w.sender.Send(ctx, r, message("bob@one.test"))[0]; res.State != outbound.Busy {
		t.Errorf("a second message is %+v, want busy", res)
	}
	cancel()
	sending.Wait()
	want(t, <-first, outbound.Temporary)
}

func TestDeadHostIsLeftAloneForAWhile(t *testing.T) {
	w := newWorld(t, zones, nil, nil)
	at := func(step string, state outbound.State, calls int, untried bool) {
		t.Helper()
		res := w.one("one.test")
		if n := len(strings.Fields(w.called())); res.State != state || n != calls || res.Untried != untried {
			t.Errorf("%s: %v after %d calls, untried %v; want %v, %d, %v (%s)", step, res.State, n, res.Untried, state, calls, untried, res.Reply)
		}
	}
	at("at first", outbound.Temporary, 1, false)
	at("at once", outbound.Temporary, 0, true)
	w.pass(29 * time.Second)
	at("before half a minute is over", outbound.Temporary, 0, true)
	w.pass(time.Second)
	at("after half a minute", outbound.Temporary, 1, false)
	w.pass(59 * time.Second)
	at("before a minute is over", outbound.Temporary, 0, true)
	w.sender.Forget()
	at("when asked to try again", outbound.Temporary, 1, false)
	for range 10 {
		w.pass(time.Hour)
		at("hours later", outbound.Temporary, 1, false)
	}
	w.pass(5*time.Minute - 1)
	at("five minutes are the most", outbound.Temporary, 0, true)
	w.at("192.0.2.10", receive(t, nil).addr)
	w.pass(1)
	at("when it is back", outbound.Delivered, 1, false)
	at("and then", outbound.Delivered, 0, false)
}

func TestHostThatRefusesALoginIsNotDeadForOthers(t *testing.T) {
	zones := resolvetest.Zones{"a.host.test.": {A: []string{"192.0.2.1"}}, "b.host.test.": {A: []string{"192.0.2.1"}}}
	w := newWorld(t, zones, map[string]string{
		"smtpfwd.tab":                   `"a.test"` + "\t" + `"a.host.test"` + "\n" + `"b.test"` + "\t" + `"b.host.test"` + "\n",
		"userauth/smtp/a.host.test.tab": `"CRAM-MD5"` + "\t" + `"relay"` + "\t" + `"wrong"` + "\n",
	}, nil)
	w.at("192.0.2.1", receive(t, func(r *receiver) { r.secret = secret }).addr)
	want(t, w.one("a.test"), outbound.Temporary, "535")
	if res := w.one("a.test"); !res.Untried {
		t.Errorf("the wrong password was tried again at once: %+v", res)
	}
	want(t, w.one("b.test"), outbound.Delivered)
}

func TestHostThatTakesFewConnectionsIsNotDead(t *testing.T) {
	var mu sync.Mutex
	open := 0
	came, release := make(chan bool, 10), make(chan bool)
	w := newWorld(t, zones, nil, nil)
	w.at("192.0.2.10", scripted(t, func(s script) {
		mu.Lock()
		open++
		n := open
		mu.Unlock()
		if n > 2 {
			s.say("421 too many connections from you")
			return
		}
		s.say("220 x")
		for line := s.hear(); line != ""; line = s.hear() {
			if line == "DATA" {
				s.say("354 x")
				s.skipText()
				came <- true
				<-release
			}
			s.say("250 x")
		}
	}))
	var sending sync.WaitGroup
	for range 2 {
		sending.Go(func() { want(t, w.one("one.test"), outbound.Delivered) })
		<-came
	}
	want(t, w.one("one.test"), outbound.Temporary, "421 too many connections")
	if res := w.one("one.test"); res.State != outbound.Busy {
		t.Errorf("after a refusal with two connections open: %+v, want busy", res)
	}
	close(release)
	sending.Wait()
	want(t, w.one("one.test"), outbound.Delivered)
}

// TestHostOfWhichEHLOMakesNoSenseIsNotBusyForEver has replies that are too long, or are
// so when they are written in capitals.
func TestHostOfWhichEHLOMakesNoSenseIsNotBusyForEver(t *testing.T) {
	for _, keyword := range []string{strings.Repeat("\xff", 900), strings.Repeat("x", 3000), "X " + strings.Repeat("\xff", 900)} {
		w := newWorld(t, zones, nil, func(o *outbound.Options) { o.PerHost = 1 })
		w.at("192.0.2.10", scripted(t, func(s script) { s.serve([]string{keyword}, nil) }))
		for range 2 {
			want(t, w.one("one.test"), outbound.Delivered)
		}
	}
}

func TestClosedSenderHasNoConnections(t *testing.T) {
	quit := make(chan bool, 1)
	w := newWorld(t, zones, nil, nil)
	w.at("192.0.2.10", scripted(t, func(s script) {
		s.serve(nil, map[string]string{"QUIT": "221 bye"})
		quit <- true
	}))
	want(t, w.one("one.test"), outbound.Delivered)
	w.sender.Close()
	select {
	case <-quit:
	case <-time.After(20 * time.Second):
		t.Error("the connection is still open")
	}
	want(t, w.one("one.test"), outbound.Temporary, "4.3.2")
}

// TestManyMessagesToManyHosts has some that are dead, and one that is slow.
func TestManyMessagesToManyHosts(t *testing.T) {
	zones := resolvetest.Zones{}
	for i := range 20 {
		zones[fmt.Sprintf("d%d.test.", i)] = zoneOf(fmt.Sprintf("198.51.100.%d", i+1))
	}
	w := newWorld(t, zones, nil, func(o *outbound.Options) {
		o.Timeouts.Connect = time.Second // for those that answer too
		o.MaxIdle, o.PerHost, o.Timeouts.Idle = 5, 2, 20*time.Millisecond
	})
	r := receive(t, nil)
	for i := range 17 {
		w.at(fmt.Sprintf("198.51.100.%d", i+1), r.addr)
	}
	for i := 17; i < 20; i++ {
		w.at(fmt.Sprintf("198.51.100.%d", i+1), "")
	}
	jobs := make(chan int, 1000)
	for i := range 400 {
		jobs <- i % 20
	}
	var left sync.WaitGroup
	left.Add(340)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for d := range jobs {
				switch res := w.one(fmt.Sprintf("d%d.test", d)); {
				case d >= 17 && res.State == outbound.Delivered, d < 17 && res.State != outbound.Delivered && res.State != outbound.Busy:
					t.Errorf("d%d.test: %+v", d, res)
					if d < 17 {
						left.Done()
					}
				case res.State == outbound.Busy && d < 17:
					jobs <- d
				case d < 17:
					left.Done()
				}
			}
		})
	}
	left.Wait()
	close(jobs)
	workers.Wait()
	if n := len(r.got()); n != 340 {
		t.Errorf("%d messages came, want 340", n)
	}
}
