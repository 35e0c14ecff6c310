package outbound_test

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/foxcpp/go-mockdns"

	"github.com/xmaild/xmaild/pkg/server/outbound"
	"github.com/xmaild/xmaild/pkg/server/resolve/resolvetest"
)

func mx(host string, pref uint16) net.MX { return net.MX{Host: host, Pref: pref} }

var planZones = resolvetest.Zones{
	"mx.test.":       {MX: []net.MX{mx("b.mx.test.", 20), mx("a.mx.test.", 10)}},
	"null.test.":     {MX: []net.MX{mx(".", 0)}},
	"host.test.":     {A: []string{"192.0.2.9"}},
	"six.test.":      {AAAA: []string{"2001:db8::9"}},
	"empty.test.":    {},
	"servfail.test.": {Err: errors.New("broken")},
	"backup.test.":   {MX: []net.MX{mx("a.mx.test.", 10), mx("Mail.Ours.Test.", 20), mx("c.mx.test.", 20), mx("d.mx.test.", 30)}},
	"loop.test.":     {MX: []net.MX{mx("mail.ours.test.", 10), mx("d.mx.test.", 30)}},
}

// describe returns a route in a line: branch, then each host with what it has besides
// the port 25 and TLS where it is offered.
func describe(r outbound.Route, err error) string {
	if err != nil {
		var e *outbound.Error
		if !errors.As(err, &e) {
			return "an error that is no *outbound.Error: " + err.Error()
		}
		return fmt.Sprintf("%s permanent=%v", e.Enhanced, e.Permanent)
	}
	words := []string{string(r.Branch)}
	if r.Discard {
		words = append(words, "discard")
	}
	for _, h := range r.Hosts {
		word := h.Name
		if h.Port != 25 {
			word += fmt.Sprint(" port ", h.Port)
		}
		if h.TLS != outbound.TLSOffered {
			word += fmt.Sprint(" tls ", int(h.TLS))
		}
		if h.Bind.IsValid() {
			word += fmt.Sprint(" from ", h.Bind)
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

func TestTheTablesAndTheDNSSayByWhichHostsMailGoes(t *testing.T) {
	const forwards = `"fwd.test"` + "\t" + `"in1.test:2525;in2.test,NeedTLS=0;[192.0.2.5]:26"` + "\t" + `"NeedTLS=2,OutBind=192.0.2.200"` + "\n" +
		`"*.fwd.test"` + "\t" + `"in3.test|587;2001:db8::5;[2001:db8::6]:26;[IPv6:2001:db8::7]"` + "\n" +
		`"hole.test"` + "\t" + `""` + "\n" + `"half.test"` + "\t" + `"a b.test;good.test;x.test:0"` + "\n" +
		`"bad.test"` + "\t" + `"x.test:port"` + "\n" + `"badoption.test"` + "\t" + `"x.test"` + "\t" + `"NeedTLS=yes"` + "\n" +
		`"gw.test"` + "\t" + `"never.test"` + "\n"
	const gateways = `"gw.test"` + "\t" + `"@relay.test,@second.test"` + "\n" + `"ours.test"` + "\t" + `"@[192.0.2.7]"` + "\n" +
		`"badgw.test"` + "\t" + `"@a b"` + "\n"
	worlds := map[string]*world{}
	for _, c := range []struct {
		server, domain, want string
	}{
		{"", "gw.test", "CMX, relay.test"},
		{"", "GW.Test", "CMX, relay.test"},
		{"", "ours.test", "CMX, 192.0.2.7"},
		{"", "badgw.test", "4.3.5 permanent=false"},
		{"", "fwd.test", "FWD, in1.test port 2525 tls 2 from 192.0.2.200, in2.test tls 0 from 192.0.2.200, 192.0.2.5 port 26 tls 2 from 192.0.2.200"},
		{"", "a.fwd.test", "FWD, in3.test port 587, 2001:db8::5, 2001:db8::6 port 26, 2001:db8::7"},
		{`"SmtpGwConfig"` + "\t" + `"NeedTLS=2,OutBind=192.0.2.99"` + "\n", "fwd.test",
			"FWD, in1.test port 2525 tls 2 from 192.0.2.200, in2.test tls 0 from 192.0.2.200, 192.0.2.5 port 26 tls 2 from 192.0.2.200"},
		{`"SmtpGwConfig"` + "\t" + `"NeedTLS=2,OutBind=192.0.2.99"` + "\n", "a.mx.fwd.test",
			"FWD, in3.test port 587 tls 2 from 192.0.2.99, 2001:db8::5 tls 2 from 192.0.2.99, 2001:db8::6 port 26 tls 2 from 192.0.2.99, 2001:db8::7 tls 2 from 192.0.2.99"},
		{`"SmtpGwConfig"` + "\t" + `"NeedTLS=x"` + "\n", "mx.test", "4.3.5 permanent=false"},
		{"", "hole.test", "FWD, discard"},
		{"", "half.test", "FWD, good.test"},
		{"", "bad.test", "4.3.5 permanent=false"},
		{"", "badoption.test", "4.3.5 permanent=false"},
		{`"DefaultSMTPGateways"` + "\t" + `"smart.test:587,NeedTLS=1;other.test"` + "\n" + `"SmtpGwConfig"` + "\t" + `"NeedTLS=2"` + "\n", "mx.test",
			"DFL, smart.test port 587, other.test tls 2"},
		{`"DefaultSMTPGateways"` + "\t" + `"smart.test"` + "\n", "hole.test", "FWD, discard"},
		{`"DefaultSMTPGateways"` + "\t" + `" "` + "\n", "mx.test", "MX, a.mx.test, b.mx.test"},
		{"", "mx.test", "MX, a.mx.test, b.mx.test"},
		{`"SmtpGwConfig"` + "\t" + `"NeedTLS=0"` + "\n", "mx.test", "MX, a.mx.test tls 0, b.mx.test tls 0"},
		{"", "[192.0.2.1]", "IP, 192.0.2.1"},
		{"", "[IPv6:2001:db8::1]", "IP, 2001:db8::1"},
		{"", "192.0.2.1", "IP, 192.0.2.1"},
		{"", "host.test", "FF, host.test"},
		{"", "null.test", "5.1.10 permanent=true"},
		{"", "empty.test", "5.1.2 permanent=true"},
		{"", "none.test", "5.1.2 permanent=true"},
		{"", "a b", "5.1.2 permanent=true"},
		{"", "six.test", "5.1.2 permanent=true"}, // this server has IPv4 only
		{"", "servfail.test", "4.4.3 permanent=false"},
		{`"HeloDomain"` + "\t" + `"mail.ours.test"` + "\n", "backup.test", "MX, a.mx.test"},
		{`"SmtpServerDomain"` + "\t" + `"mail.ours.test"` + "\n", "backup.test", "MX, a.mx.test"},
		{`"HeloDomain"` + "\t" + `"mail.ours.test"` + "\n", "loop.test", "5.4.6 permanent=true"},
	} {
		w := worlds[c.server]
		if w == nil {
			w = newWorld(t, planZones, map[string]string{"smtpfwd.tab": forwards, "smtpgw.tab": gateways, "server.tab": c.server}, nil)
			worlds[c.server] = w
		}
		if got := describe(w.sender.Plan(t.Context(), c.domain)); got != c.want {
			t.Errorf("with %q the route to %s is %q, want %q", c.server, c.domain, got, c.want)
		}
	}
}

func TestRoutesBySameHostsHaveTheSameKey(t *testing.T) {
	w := newWorld(t, planZones, map[string]string{"smtpfwd.tab": `"*.in.test"` + "\t" + `"inner.test"` + "\n"}, nil)
	key := func(domain string) string {
		r, err := w.sender.Plan(t.Context(), domain)
		if err != nil {
			t.Fatal(err)
		}
		return r.Key
	}
	if a, b := key("a.in.test"), key("b.in.test"); a != b {
		t.Errorf("keys are %q and %q, want the same", a, b)
	}
	if a, b := key("mx.test"), key("host.test"); a == b {
		t.Errorf("two domains share the key %q", a)
	}
}

func TestListWithANumberSignIsInRandomOrder(t *testing.T) {
	w := newWorld(t, nil, map[string]string{"smtpfwd.tab": `"r.test"` + "\t" + `"#a.test;b.test,NeedTLS=2;c.test"` + "\n"}, nil)
	orders := map[string]bool{}
	for range 200 {
		r, err := w.sender.Plan(t.Context(), "r.test")
		if err != nil {
			t.Fatal(err)
		}
		orders[describe(r, nil)] = true
	}
	if len(orders) != 6 || !orders["FWD, c.test, b.test tls 2, a.test"] {
		t.Errorf("%d orders of three hosts in 200 attempts, want 6: %v", len(orders), orders)
	}
}

func TestEqualMXAreInRandomOrder(t *testing.T) {
	w := newWorld(t, resolvetest.Zones{"m.test.": {MX: []net.MX{mx("a.test.", 10), mx("b.test.", 10), mx("c.test.", 20)}}}, nil, nil)
	orders := map[string]bool{}
	for range 100 {
		r, err := w.sender.Plan(t.Context(), "m.test")
		if err != nil {
			t.Fatal(err)
		}
		orders[describe(r, nil)] = true
	}
	if len(orders) != 2 || !orders["MX, a.test, b.test, c.test"] || !orders["MX, b.test, a.test, c.test"] {
		t.Errorf("orders are %v, want the first two in any order and then the third", orders)
	}
}

func TestRelayReadsTheListOfACommand(t *testing.T) {
	w := newWorld(t, nil, nil, nil)
	for list, want := range map[string]string{
		"a.test:2525;b.test": "RLYS, a.test port 2525 tls 2, b.test tls 2",
		"":                   "RLYS, discard",
		"#;":                 "RLYS, discard",
		"!":                  "4.3.5 permanent=false",
	} {
		if got := describe(w.sender.Relay(list, "NeedTLS=2")); got != want {
			t.Errorf("Relay(%q) = %q, want %q", list, got, want)
		}
	}
}

func TestRoutedDomainsAreKnownWhetherHandledOrNot(t *testing.T) {
	w := newWorld(t, nil, map[string]string{"smtpgw.tab": `"*.gw.test"` + "\t" + `"@relay.test"` + "\n" + `"ours.test"` + "\t" + `"@relay.test"` + "\n"}, nil)
	var routed []string
	for _, domain := range []string{"a.gw.test", "gw.test", "OURS.test", "other.test"} {
		if w.sender.Routed(domain) {
			routed = append(routed, domain)
		}
	}
	if want := []string{"a.gw.test", "OURS.test"}; !slices.Equal(routed, want) {
		t.Errorf("routed are %q, want %q", routed, want)
	}
}

// zonesOf returns zones of hosts with one address each.
func zonesOf(hosts map[string]string) resolvetest.Zones {
	zones := resolvetest.Zones{}
	for host, ip := range hosts {
		zone := zones[host]
		zone.A = []string{ip}
		zones[host] = zone
	}
	return zones
}

func zoneOf(ip string) mockdns.Zone { return mockdns.Zone{A: []string{ip}} }
