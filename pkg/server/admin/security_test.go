package admin

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
)

func at(text string) Address {
	ip, mask, _ := strings.Cut(text, " ")
	return Address{ip, mask}
}

func TestShadowsOfNewRows(t *testing.T) {
	f := start(t, map[string]string{"spammers.tab": "10.0.0.0/8 expires=1000\n192.0.2.0/24 code=0\n# x\n2001:db8::/32\n10.0.0.7 255.0.0.255\n"})
	for _, test := range []struct {
		address string
		before  int
		want    Shadow
	}{
		{"10.1.0.0/16", AtEnd, Shadow{}}, // the wider one has expired
		{"192.0.2.128/25", AtEnd, Shadow{2, "192.0.2.0/24 code=0"}},
		{"192.0.2.64/26", 3, Shadow{2, "192.0.2.0/24 code=0"}},
		{"192.0.2.1/32", 2, Shadow{}},
		{"192.0.0.0/16", AtEnd, Shadow{}},
		{"2001:db8:1::/48", 1, Shadow{}},
		{"10.9.9.7", AtEnd, Shadow{4, "10.0.0.7 255.0.0.255"}},
		{"10.9.9.8", AtEnd, Shadow{}},
	} {
		got, err := f.Try().SpammerAdd(t.Context(), at(test.address), "", test.before)
		f.ok(err)
		if got != test.want {
			t.Errorf("%s before %d: shadow %+v, want %+v", test.address, test.before, got, test.want)
		}
	}
}

// TestRowsGoWhereTheyAreSent puts rows above the same one until there is no
// room between lines, in one transaction and in many.
func TestRowsGoWhereTheyAreSent(t *testing.T) {
	for _, together := range []bool{false, true} {
		f := start(t, map[string]string{"smtpgw.tab": "#ours\na.test @x\n\nb.test @x\n"})
		const n = 300
		want := []string{"a.test"}
		step := func(s *Service, i int) error {
			// The number of the row of b.test, which goes down by one each time.
			_, err := s.GatewayAdd(t.Context(), fmt.Sprintf("g%d.test", i), "@y.test", 2+i)
			return err
		}
		if together {
			_, err := f.Batch(t.Context(), n, step)
			f.ok(err)
		}
		for i := range n {
			if !together {
				f.ok(step(f.Service, i))
			}
			want = append(want, fmt.Sprintf("g%d.test", i))
		}
		want = append(want, "b.test")
		var got []string
		for g := range f.Gateways("*", "*") {
			got = append(got, g.Domain)
			if g.Number != len(got) {
				t.Errorf("%s has the number %d, want %d", g.Domain, g.Number, len(got))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("in one transaction %v: rows %q, want %q", together, got, want)
		}
		if text := f.read("smtpgw.tab"); !strings.HasPrefix(text, "#ours\na.test\t@x\n\n\"g0.test\"\t\"@y.test\"\n") {
			t.Errorf("in one transaction %v: comments and blank lines are gone: %.100q", together, text)
		}
	}
}

func TestSecurityTablesInOneTransaction(t *testing.T) {
	f := start(t, nil)
	f.ok(os.Remove(f.path("smtprelay.tab")))
	f.ok(os.Remove(f.path("ctrl.ipmap.tab")))
	f.stop()
	f.open(Options{})
	ctx := t.Context()
	asker := netip.MustParseAddr("127.0.0.1")
	steps := []func(s *Service) error{
		func(s *Service) error { return s.RelayAdd(ctx, at("10.0.0.0/8"), false) },
		func(s *Service) error { return s.RelayAdd(ctx, at("192.0.2.0 255.255.255.0"), false) },
		func(s *Service) error { return s.RelayDel(ctx, at("10.0.0.0/8")) },
		func(s *Service) error { return s.UserAdd(ctx, "xmailserver.test", "ann", "pw", "U") },
		func(s *Service) error {
			return s.IPMapAdd(ctx, MapChange{Service: "pop3:ann@xmailserver.test", Address: at("10.0.0.0/8")}, IPMapEntry{Permission: "DENY", Precedence: "1"})
		},
		func(s *Service) error {
			return s.IPMapAdd(ctx, MapChange{Service: "pop3:ann@xmailserver.test", Address: at("192.0.2.1")}, IPMapEntry{Permission: "DENY", Precedence: "2"})
		},
		func(s *Service) error {
			return s.IPMapDel(ctx, MapChange{Service: "pop3:ann@xmailserver.test", Address: at("10.0.0.0/8")})
		},
		func(s *Service) error {
			return s.IPMapAdd(ctx, MapChange{Service: "ctrl", Address: at("127.0.0.1"), Asker: asker}, IPMapEntry{Permission: "ALLOW", Precedence: "2"})
		},
		func(s *Service) error {
			return s.IPMapAdd(ctx, MapChange{Service: "ctrl", Address: at("0.0.0.0/0"), Asker: asker}, IPMapEntry{Permission: "DENY", Precedence: "1"})
		},
	}
	run := func(s *Service, i int) error { return steps[i](s) }
	failed, err := f.CheckBatch(ctx, len(steps), run)
	f.ok(err)
	for i, err := range failed {
		if err != nil {
			t.Errorf("check of step %d: %v", i, err)
		}
	}
	if _, err := os.Stat(f.path("smtprelay.tab")); err == nil {
		t.Error("a check made a table")
	}
	_, err = f.Batch(ctx, len(steps), run)
	f.ok(err)
	for name, want := range map[string]string{
		"smtprelay.tab":  "\"192.0.2.0\"\t\"255.255.255.0\"\n",
		"ctrl.ipmap.tab": "\"127.0.0.1\"\t\"\"\t\"ALLOW\"\t2\n\"0.0.0.0/0\"\t\"\"\t\"DENY\"\t1\n",
		"domains/xmailserver.test/ann/pop3.ipmap.tab": "\"192.0.2.1\"\t\"\"\t\"DENY\"\t2\n",
	} {
		if got := f.read(name); got != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	// One that fails takes the others with it.
	steps = append(steps[:0], steps[2], func(s *Service) error {
		return s.IPMapDel(ctx, MapChange{Service: "ctrl", Address: at("127.0.0.1"), Asker: asker})
	})
	steps[0] = func(s *Service) error { return s.RelayDel(ctx, at("192.0.2.0/24")) }
	n, err := f.Batch(ctx, len(steps), run)
	if n != 1 || kindOf(err) != Invalid || !strings.Contains(err.Error(), "force") {
		t.Errorf("batch failed at %d with %v, want at 1 with the word force", n, err)
	}
	if got := f.read("smtprelay.tab"); !strings.Contains(got, "192.0.2.0") {
		t.Errorf("smtprelay.tab holds %q after a transaction that failed", got)
	}
}

func TestGuardKnowsBothFamilies(t *testing.T) {
	f := start(t, nil)
	ctx := t.Context()
	for _, asker := range []string{"127.0.0.1", "::ffff:127.0.0.1", "2001:db8::5", "::1"} {
		ip := netip.MustParseAddr(asker)
		err := f.Try().IPMapAdd(ctx, MapChange{Service: "ctrl", Address: at("::/0"), Asker: ip}, IPMapEntry{Permission: "DENY", Precedence: "2"})
		f.wantKind(err, Invalid)
		f.ok(f.Try().IPMapAdd(ctx, MapChange{Service: "ctrl", Address: at("::/0"), Asker: ip}, IPMapEntry{Permission: "DENY", Precedence: "0"}))
		f.ok(f.Try().IPMapAdd(ctx, MapChange{Service: "ctrl", Address: at("::/0"), Asker: ip, Force: true}, IPMapEntry{Permission: "DENY", Precedence: "2"}))
		f.ok(f.Try().IPMapAdd(ctx, MapChange{Service: "smtp", Address: at("::/0"), Asker: ip}, IPMapEntry{Permission: "DENY", Precedence: "2"}))
		f.ok(f.Try().IPMapAdd(ctx, MapChange{Service: "ctrl", Address: at("192.0.2.0/24"), Asker: ip}, IPMapEntry{Permission: "DENY", Precedence: "2"}))
	}
}

func TestTableThatVanishedTakesNoRows(t *testing.T) {
	f := start(t, nil)
	f.ok(os.Remove(f.path("smtprelay.tab")))
	if _, err := f.Root().Store.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.wantKind(f.RelayAdd(t.Context(), at("192.0.2.1"), false), CannotRead)
	f.wantKind(f.RelayDel(t.Context(), at("10.0.0.0/8")), CannotRead)
	f.ok(f.SetFile(t.Context(), "smtprelay.tab", []byte("\"192.0.2.0/24\"\n")))
	f.ok(f.RelayAdd(t.Context(), at("192.0.2.1"), false))
	if got, want := f.read("smtprelay.tab"), "\"192.0.2.0/24\"\n\"192.0.2.1\"\n"; got != want {
		t.Errorf("smtprelay.tab holds %q, want %q", got, want)
	}
}

func TestRowsThatCannotBeWrittenAreInvalid(t *testing.T) {
	f := start(t, nil)
	// A field that begins with a quote and ends in a backslash cannot be expressed.
	err := f.SpamAddrAdd(t.Context(), `"x\\`)
	var e *Error
	if !errors.As(err, &e) || e.Kind != Invalid {
		t.Errorf("refusal %v, want one of kind %d", err, Invalid)
	}
}

// BenchmarkSpammerAdd bans networks where there are so many already, at the end and
// at the top.
func BenchmarkSpammerAdd(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		for _, before := range []int{AtEnd, 1} {
			b.Run(fmt.Sprintf("%d/before=%d", n, before), func(b *testing.B) {
				f := benchmarkService(b, 1)
				var rows strings.Builder
				for i := range n {
					fmt.Fprintf(&rows, "\"2001:db8:%x:%x::/64\"\n", i>>16, i&0xffff)
				}
				if err := f.SetFile(b.Context(), "spammers.tab", []byte(rows.String())); err != nil {
					b.Fatal(err)
				}
				i := 0
				for b.Loop() {
					i++
					a := Address{IP: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&0xff, i&0xff)}
					if _, err := f.SpammerAdd(b.Context(), a, "code=0", before); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
