package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/resolve"
	"github.com/xmaild/xmaild/pkg/server/resolve/resolvetest"
)

var zones = resolvetest.Zones{
	"mail.example.test.":      {A: []string{"192.0.2.1"}, AAAA: []string{"2001:db8::1"}},
	"example.test.":           {MX: []net.MX{{Host: "b.example.test.", Pref: 20}, {Host: "mail.example.test.", Pref: 10}}},
	"nomail.test.":            {MX: []net.MX{{Host: ".", Pref: 0}}},
	"empty.test.":             {},
	"broken.test.":            {Err: errors.New("broken")},
	"1.2.0.192.in-addr.arpa.": {PTR: []string{"mail.example.test."}},
	"9.2.0.192.in-addr.arpa.": {Err: errors.New("broken")},
	"xn--e1afmkfd.test.":      {A: []string{"192.0.2.7"}},
	"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.": {PTR: []string{"six.example.test."}},
}

func TestAnswers(t *testing.T) {
	ctx := t.Context()
	server := resolvetest.Start(t, zones)
	for _, transport := range []resolve.Server{server.UDP(), server.TCP()} {
		r := resolve.New(resolve.Options{Servers: func() []resolve.Server { return []resolve.Server{transport} }})
		ask := map[string]func() (string, error){
			"A and AAAA": func() (string, error) {
				ips, err := r.LookupIP(ctx, "mail.example.test")
				slices.SortFunc(ips, netip.Addr.Compare)
				return fmt.Sprint(ips), err
			},
			"A":       func() (string, error) { x, err := r.LookupIP4(ctx, "Mail.Example.Test."); return fmt.Sprint(x), err },
			"UTF-8":   func() (string, error) { x, err := r.LookupIP4(ctx, "пример.test"); return fmt.Sprint(x), err },
			"MX":      func() (string, error) { x, err := r.LookupMX(ctx, "example.test"); return fmt.Sprint(x), err },
			"null MX": func() (string, error) { x, err := r.LookupMX(ctx, "nomail.test"); return fmt.Sprint(x), err },
			"PTR": func() (string, error) {
				x, err := r.LookupPTR(ctx, netip.MustParseAddr("::ffff:192.0.2.1"))
				return fmt.Sprint(x), err
			},
			"PTR of IPv6": func() (string, error) {
				x, err := r.LookupPTR(ctx, netip.MustParseAddr("2001:db8::1"))
				return fmt.Sprint(x), err
			},
			"no name":   func() (string, error) { x, err := r.LookupIP(ctx, "none.test"); return fmt.Sprint(x), err },
			"no record": func() (string, error) { x, err := r.LookupIP(ctx, "empty.test"); return fmt.Sprint(x), err },
			"no PTR": func() (string, error) {
				x, err := r.LookupPTR(ctx, netip.MustParseAddr("192.0.2.2"))
				return fmt.Sprint(x), err
			},
			"no MX":         func() (string, error) { x, err := r.LookupMX(ctx, "mail.example.test"); return fmt.Sprint(x), err },
			"SERVFAIL":      func() (string, error) { x, err := r.LookupMX(ctx, "broken.test"); return fmt.Sprint(x), err },
			"SERVFAIL of A": func() (string, error) { x, err := r.LookupIP(ctx, "broken.test"); return fmt.Sprint(x), err },
			"SERVFAIL PTR": func() (string, error) {
				x, err := r.LookupPTR(ctx, netip.MustParseAddr("192.0.2.9"))
				return fmt.Sprint(x), err
			},
			"broken name":  func() (string, error) { x, err := r.LookupIP(ctx, "a b.test"); return fmt.Sprint(x), err },
			"broken UTF-8": func() (string, error) { x, err := r.LookupIP(ctx, "a\xff.test"); return fmt.Sprint(x), err },
			"nothing":      func() (string, error) { x, err := r.LookupIP(ctx, ""); return fmt.Sprint(x), err },
		}
		want := map[string]struct {
			answer string
			err    error
		}{
			"A and AAAA":    {"[192.0.2.1 2001:db8::1]", nil},
			"A":             {"[192.0.2.1]", nil},
			"UTF-8":         {"[192.0.2.7]", nil},
			"MX":            {"[{mail.example.test 10} {b.example.test 20}]", nil},
			"null MX":       {"[{ 0}]", nil},
			"PTR":           {"[mail.example.test]", nil},
			"PTR of IPv6":   {"[six.example.test]", nil},
			"no name":       {"[]", resolve.ErrNotFound},
			"no record":     {"[]", resolve.ErrNotFound},
			"no PTR":        {"[]", resolve.ErrNotFound},
			"no MX":         {"[]", resolve.ErrNotFound},
			"SERVFAIL":      {"[]", resolve.ErrTemporary},
			"SERVFAIL of A": {"[]", resolve.ErrTemporary},
			"SERVFAIL PTR":  {"[]", resolve.ErrTemporary},
			"broken name":   {"[]", resolve.ErrNotFound},
			"broken UTF-8":  {"[]", resolve.ErrNotFound},
			"nothing":       {"[]", resolve.ErrNotFound},
		}
		for name, f := range ask {
			got, err := f()
			if got != want[name].answer || !errors.Is(err, want[name].err) {
				t.Errorf("TCP %v, %s: %s, %v, want %s, %v", transport.TCP, name, got, err, want[name].answer, want[name].err)
			}
		}
	}
}

// A clock of the test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestAnswersAreKeptForAWhile(t *testing.T) {
	ctx := t.Context()
	server := resolvetest.Start(t, zones)
	time := &clock{now: time.Unix(1e9, 0)}
	r := server.Resolver(resolve.Options{Clock: time.Now})
	for _, test := range []struct {
		name string
		keep int // seconds
		ask  func() error
	}{
		{"mail.example.test.", 300, func() error { _, err := r.LookupIP4(ctx, "mail.example.test"); return err }},
		{"none.test.", 60, func() error { _, err := r.LookupIP4(ctx, "none.test"); return err }},
		{"broken.test.", 10, func() error { _, err := r.LookupIP4(ctx, "broken.test"); return err }},
	} {
		first := test.ask()
		asked := server.Asked(test.name)
		if asked == 0 {
			t.Errorf("%s: the server was not asked", test.name)
		}
		time.pass(seconds(test.keep) - 1)
		if err := test.ask(); fmt.Sprint(err) != fmt.Sprint(first) || server.Asked(test.name) != asked {
			t.Errorf("%s: asked again within %d seconds: %d questions instead of %d, %v instead of %v", test.name, test.keep, server.Asked(test.name), asked, err, first)
		}
		time.pass(1)
		if err := test.ask(); fmt.Sprint(err) != fmt.Sprint(first) || server.Asked(test.name) == asked {
			t.Errorf("%s: not asked again after %d seconds; %v, first %v", test.name, test.keep, err, first)
		}
	}
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

func TestTheCacheIsBounded(t *testing.T) {
	server := resolvetest.Start(t, zones)
	r := server.Resolver(resolve.Options{Size: 8})
	for i := range 100 {
		if _, err := r.LookupIP4(t.Context(), fmt.Sprintf("x%d.test", i)); !errors.Is(err, resolve.ErrNotFound) {
			t.Fatalf("x%d.test: %v, want that it is not found", i, err)
		}
	}
	before := server.Asked("")
	for i := range 100 {
		_, _ = r.LookupIP4(t.Context(), fmt.Sprintf("x%d.test", i))
	}
	if asked := server.Asked("") - before; asked < 92 {
		t.Errorf("of 100 answers %d were kept, want 8 at most", 100-asked)
	}
}

func TestManyWhoAskTheSameAreOneQuestion(t *testing.T) {
	server := resolvetest.Start(t, zones)
	r := server.Resolver(resolve.Options{})
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() {
			if ips, err := r.LookupIP4(t.Context(), "mail.example.test"); err != nil || len(ips) != 1 {
				t.Errorf("LookupIP4 = %v, %v, want one address", ips, err)
			}
		})
	}
	wait.Wait()
	if n := server.Asked("mail.example.test."); n != 1 {
		t.Errorf("the server was asked %d times, want 1", n)
	}
}

func TestSilentServersCostTheTimeoutAndNoMore(t *testing.T) {
	server := resolvetest.Start(t, zones)
	server.Silence(true)
	r := server.Resolver(resolve.Options{Timeout: 100 * time.Millisecond})
	start := time.Now()
	if _, err := r.LookupIP4(t.Context(), "mail.example.test"); !errors.Is(err, resolve.ErrTemporary) {
		t.Errorf("a silent server: %v, want %v", err, resolve.ErrTemporary)
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("it took %v, want some 100 milliseconds", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	slow := server.Resolver(resolve.Options{Timeout: time.Hour})
	if _, err := slow.LookupMX(ctx, "example.test"); !errors.Is(err, resolve.ErrTemporary) {
		t.Errorf("a context that ends: %v, want %v", err, resolve.ErrTemporary)
	}
}

func TestTheNextServerIsAskedWhereOneIsSilent(t *testing.T) {
	silent, good := resolvetest.Start(t, zones), resolvetest.Start(t, zones)
	silent.Silence(true)
	broken := resolvetest.Start(t, resolvetest.Zones{"mail.example.test.": {Err: errors.New("broken")}})
	r := resolve.New(resolve.Options{
		Timeout: 3 * time.Second, // a third of it for each
		Servers: func() []resolve.Server { return []resolve.Server{silent.UDP(), broken.UDP(), good.TCP()} },
	})
	if ips, err := r.LookupIP4(t.Context(), "mail.example.test"); err != nil || len(ips) != 1 {
		t.Errorf("LookupIP4 = %v, %v, want the answer of the third server", ips, err)
	}
	if silent.Asked("") == 0 || broken.Asked("") == 0 {
		t.Errorf("the first two were asked %d and %d times", silent.Asked(""), broken.Asked(""))
	}
}

func TestErrorNamesTheServerThatWasAsked(t *testing.T) {
	server := resolvetest.Start(t, zones)
	if _, err := server.Resolver(resolve.Options{}).LookupMX(t.Context(), "broken.test"); err == nil || !strings.Contains(err.Error(), "on "+server.UDP().Addr) {
		t.Errorf("%v, want the address %s in it", err, server.UDP().Addr)
	}
}

func TestOneWhoGoesAwayTakesNothingFromTheOthers(t *testing.T) {
	server := resolvetest.Start(t, zones)
	server.Silence(true)
	r := server.Resolver(resolve.Options{Timeout: time.Hour})
	gone, leave := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := r.LookupIP4(gone, "mail.example.test")
		first <- err
	}()
	waitFor(t, func() bool { return server.Asked("mail.example.test.") > 0 })
	second := make(chan error, 1)
	go func() {
		_, err := r.LookupIP4(t.Context(), "mail.example.test")
		second <- err
	}()
	server.Silence(false)
	leave()
	if err := <-first; !errors.Is(err, resolve.ErrTemporary) {
		t.Errorf("who went away got %v", err)
	}
	if err := <-second; err != nil {
		t.Errorf("who stayed got %v, want an answer", err)
	}
}

// waitFor asks until something is so, for ten seconds.
func waitFor(t *testing.T, so func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.After(10 * time.Second); !so(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("it did not come about in ten seconds")
		}
	}
}

func TestParseServers(t *testing.T) {
	got := resolve.ParseServers("192.0.2.1:udp, ns.example.test:tcp,192.0.2.2,127.0.0.1:5353:tcp,[2001:db8::1]:udp,,:udp")
	want := []resolve.Server{
		{Addr: "192.0.2.1:53"}, {Addr: "ns.example.test:53", TCP: true}, {Addr: "192.0.2.2:53"}, {Addr: "127.0.0.1:5353", TCP: true}, {Addr: "[2001:db8::1]:53"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("ParseServers = %+v, want %+v", got, want)
	}
}

// TestHostsFileCounts looks for a host of one label, as amavis at localhost is named in
// tables.
func TestHostsFileCounts(t *testing.T) {
	server := resolvetest.Start(t, zones)
	for name, servers := range map[string][]resolve.Server{"name servers of the variable": {server.UDP()}, "those of the system": nil} {
		r := resolve.New(resolve.Options{Servers: func() []resolve.Server { return servers }})
		if ips, err := r.LookupIP4(t.Context(), "localhost"); len(ips) == 0 || !ips[0].IsLoopback() {
			t.Errorf("%s: localhost is %v, %v", name, ips, err)
		}
	}
	r := resolve.New(resolve.Options{Servers: func() []resolve.Server { return []resolve.Server{server.UDP()} }})
	if ips, err := r.LookupIP4(t.Context(), "nosuchhost"); !errors.Is(err, resolve.ErrNotFound) {
		t.Errorf("a host of one label that nobody knows: %v, %v", ips, err)
	}
}
