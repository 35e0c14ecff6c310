package address

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestParsePath(t *testing.T) {
	for _, test := range []struct {
		in    string
		route []string
		local string
		host  string
		rest  string
		out   string
	}{
		{"<>", nil, "", "", "", ""},
		{"<> SIZE=10", nil, "", "", "SIZE=10", ""},
		{"<a@b.test>", nil, "a", "b.test", "", "a@b.test"},
		{"  <a@b.test>   SIZE=10 BODY=8BITMIME", nil, "a", "b.test", "SIZE=10 BODY=8BITMIME", "a@b.test"},
		{"<a@b.test> <x@y>", nil, "a", "b.test", "<x@y>", "a@b.test"},
		{"<A.b+c%d!e/f@B.Test>", nil, "A.b+c%d!e/f", "B.Test", "", "A.b+c%d!e/f@B.Test"},
		{`<"a b"@b.test>`, nil, "a b", "b.test", "", `"a b"@b.test`},
		{`<"a>b"@b.test> X=1`, nil, "a>b", "b.test", "X=1", `"a>b"@b.test`},
		{`<"a\"\\b"@b.test>`, nil, `a"\b`, "b.test", "", `"a\"\\b"@b.test`},
		{`<"x@y.test"@b.test>`, nil, "x@y.test", "b.test", "", `"x@y.test"@b.test`},
		{`<"plain"@b.test>`, nil, "plain", "b.test", "", "plain@b.test"},
		{`<""@b.test>`, nil, "", "b.test", "", `""@b.test`},
		{"<a@[192.0.2.1]>", nil, "a", "[192.0.2.1]", "", "a@[192.0.2.1]"},
		{"<a@[IPv6:2001:db8::1]>", nil, "a", "[IPv6:2001:db8::1]", "", "a@[IPv6:2001:db8::1]"},
		{"<@r.test,@[192.0.2.1]:a@b.test>", []string{"r.test", "[192.0.2.1]"}, "a", "b.test", "", "a@b.test"},
		{"<@[IPv6:::1]:a@b.test>", []string{"[IPv6:::1]"}, "a", "b.test", "", "a@b.test"},
		{"<Postmaster>", nil, "Postmaster", "", "", "Postmaster"},
		{"<пример@пример.test>", nil, "пример", "пример.test", "", "пример@пример.test"},
		{"<a_b@c_d.test>", nil, "a_b", "c_d.test", "", "a_b@c_d.test"},
	} {
		p, rest, err := ParsePath(test.in)
		if err != nil {
			t.Errorf("ParsePath(%s): %v", test.in, err)
			continue
		}
		if !slices.Equal(p.Route, test.route) || p.Local != test.local || p.Domain != test.host || rest != test.rest {
			t.Errorf("ParsePath(%s) = %+v, %q, want route %q, local %q, domain %q, rest %q", test.in, p, rest, test.route, test.local, test.host, test.rest)
		}
		if p.String() != test.out {
			t.Errorf("ParsePath(%s).String() = %q, want %q", test.in, p.String(), test.out)
		}
		if p.IsNull() != (test.out == "") {
			t.Errorf("ParsePath(%s).IsNull() = %v", test.in, p.IsNull())
		}
	}
}

func TestBrokenPaths(t *testing.T) {
	for in, want := range map[string]error{
		"":                        ErrNoPath,
		"a@b.test":                ErrNoPath,
		"x <a@b.test>":            ErrNoPath,
		"<a@b.test":               ErrOpen,
		`<"a@b.test>`:             ErrOpen,
		"<a@b.test>SIZE=1":        ErrTrailer,
		"<a@b.test>\tSIZE=1":      ErrTrailer,
		"<<a@b.test>>":            ErrTrailer,
		"< a@b.test>":             ErrLocal,
		"<a b@c.test>":            ErrLocal,
		"<a..b@c.test>":           ErrLocal,
		"<.a@c.test>":             ErrLocal,
		"<a.@c.test>":             ErrLocal,
		"<@>":                     ErrRoute,
		"<@c.test>":               ErrRoute,
		"<a@>":                    ErrDomain,
		"<a>":                     ErrNoAt,
		`<"postmaster">`:          ErrNoAt,
		"<a@b@c.test>":            ErrDomain,
		`<"a"b@c.test>`:           ErrLocal,
		`<a"b"@c.test>`:           ErrLocal,
		"<a@c.test.>":             ErrDomain,
		"<a@.c.test>":             ErrDomain,
		"<a@c..test>":             ErrDomain,
		"<a@-c.test>":             ErrDomain,
		"<a@c-.test>":             ErrDomain,
		"<a@c%d.test>":            ErrDomain,
		"<a@c/d.test>":            ErrDomain,
		"<a@c test>":              ErrDomain,
		"<a@[not.an.ip.test]>":    ErrDomain,
		"<a@[192.0.2.1>":          ErrDomain,
		"<a@[IPv6:192.0.2.1]>":    ErrDomain,
		"<a@[2001:db8::1]>":       ErrDomain,
		"<a@[IPv6:fe80::1%eth0]>": ErrDomain,
		"<a@b.test\x00>":          ErrDomain,
		"<a\x00@b.test>":          ErrLocal,
		"<\"a\rb\"@b.test>":       ErrLocal,
		"<\"a\\\x01b\"@b.test>":   ErrLocal,
		"<a\xff@b.test>":          ErrLocal,
		"<a@b\xff.test>":          ErrDomain,
		"<a\u0085b@b.test>":       ErrLocal,
		"<a@b\u2028.test>":        ErrDomain,
		"<a@b\u3000.test>":        ErrDomain,
		"<@r.test a@b.test>":      ErrRoute,
		"<@r.test,a@b.test>":      ErrRoute,
		"<@r.test,@s.test>":       ErrRoute,
		"<@:a@b.test>":            ErrRoute,
		"<@[x]:a@b.test>":         ErrRoute,
		"<@[192.0.2.1:a@b.test>":  ErrRoute,
		"<@r.test.:a@b.test>":     ErrRoute,
		"<@r.test:>":              ErrLocal,
		"<@r.test:postmaster>":    ErrNoAt,
		"<" + strings.Repeat("a", 256) + "@b.test>":                 ErrLong,
		"<a@" + strings.Repeat("a.", 130) + "test>":                 ErrLong,
		"<a@" + strings.Repeat("a", 64) + ".test>":                  ErrDomain,
		"<" + strings.Repeat("@r.test,", 200) + "@r.test:a@b.test>": ErrLong,
	} {
		if p, _, err := ParsePath(in); !errors.Is(err, want) {
			t.Errorf("ParsePath(%q) = %+v, %v, want the error %v", in, p, err, want)
		}
	}
}

func TestParseTakesBareAddressesOnly(t *testing.T) {
	if p, err := Parse(`"a b"@c.test`); err != nil || p.Local != "a b" || p.Domain != "c.test" {
		t.Errorf(`Parse("a b"@c.test) = %+v, %v`, p, err)
	}
	for _, in := range []string{"", "a", "postmaster", "<a@c.test>", "@r.test:a@c.test", "a@c.test ", " a@c.test", "a@c.test>"} {
		if p, err := Parse(in); err == nil {
			t.Errorf("Parse(%q) = %+v, want an error", in, p)
		}
	}
}

// FuzzWrittenPathsReadBack writes what was read, and reads it again.
func FuzzWrittenPathsReadBack(f *testing.F) {
	for _, s := range []string{"<>", "<a@b.test> X=1", `<"a \"b"@c.test>`, "<@r.test:a@[IPv6:::1]>", "<postmaster>", "<é@é.test>", `<""@a>`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, _, err := ParsePath(s)
		if err != nil {
			if !p.IsNull() {
				t.Fatalf("ParsePath(%q) = %+v with the error %v", s, p, err)
			}
			return
		}
		q, rest, err := ParsePath("<" + p.String() + ">")
		if err != nil || rest != "" || q.Local != p.Local || q.Domain != p.Domain {
			t.Fatalf("ParsePath(%q) = %+v, written %q, which reads as %+v, %q, %v", s, p, p.String(), q, rest, err)
		}
		if strings.ContainsFunc(p.String(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("ParsePath(%q) has a control character: %q", s, p.String())
		}
	})
}

func TestWhatAPathIs(t *testing.T) {
	for in, want := range map[string][3]bool{ // plain, literal, UTF-8
		"<a@b.test>":          {true, false, false},
		`<"a b"@b.test>`:      {false, false, false},
		"<a@[192.0.2.1]>":     {true, true, false},
		"<é@b.test>":          {true, false, true},
		"<a@é.test>":          {true, false, true},
		"<@é.test:a@b.test>":  {true, false, true},
		`<"a@x.test"@b.test>`: {false, false, false},
		"<a%x.test@b.test>":   {true, false, false},
	} {
		p, _, err := ParsePath(in)
		if got := [3]bool{p.Plain(), p.Literal(), p.UTF8()}; err != nil || got != want {
			t.Errorf("%s: plain, literal, UTF-8 are %v (%v), want %v", in, got, err, want)
		}
	}
}

func TestIsHost(t *testing.T) {
	for in, want := range map[string]bool{
		"a": true, "mail.example.test": true, "a_b.test": true, "[192.0.2.1]": true, "[IPv6:::1]": true, "пример.test": true,
		"": false, ".": false, "a.": false, "a b": false, "a;b": false, "a\tb": false, "[1.2.3]": false, "[": false, "[]": false, "a\"b": false, "-a": false,
	} {
		if got := IsHost(in); got != want {
			t.Errorf("IsHost(%q) = %v, want %v", in, got, want)
		}
	}
}
