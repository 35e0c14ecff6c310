package policy_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/server/policy"
)

// rcpt says in a line what becomes of a recipient.
func rcpt(t *testing.T, h *house, ip string, s policy.Session, to string) string {
	t.Helper()
	c := h.client(t, ip)
	got, r := h.Recipient(t.Context(), &c, s, path(t, to))
	if r != nil {
		return fmt.Sprintf("%d %s", r.Code, r.Log)
	}
	if got.Local {
		return fmt.Sprintf("local %s -> %s", got.Address, got.Real)
	}
	return "relay " + got.Address
}

func TestRecipients(t *testing.T) {
	h := open(t, nil, nil, policy.Options{})
	const stranger, friend = "192.0.2.1", "10.1.2.3"
	may := policy.Session{Login: "ann@foo.test", Account: "ann@foo.test", Perms: "MR"}
	mayNot := policy.Session{Login: "ann@foo.test", Account: "ann@foo.test", Perms: "MVTZS"}
	for _, test := range []struct {
		ip   string
		s    policy.Session
		to   string
		want string
	}{
		{stranger, policy.Session{}, "ann@foo.test", "local ann@foo.test -> ann@foo.test"},
		{stranger, policy.Session{}, "BOB@FOO.test", "local BOB@foo.test -> bob@foo.test"},
		{stranger, policy.Session{}, `"ann"@foo.test`, "local ann@foo.test -> ann@foo.test"},
		{stranger, policy.Session{}, "helpdesk@foo.test", "local helpdesk@foo.test -> ann@foo.test"},
		{stranger, policy.Session{}, "exact@foo.test", "local exact@foo.test -> bob@foo.test"},
		{stranger, policy.Session{}, "ann@Alias.test", "local ann@alias.test -> ann@foo.test"},
		{stranger, policy.Session{}, "helpme@x.wild.test", "local helpme@x.wild.test -> ann@foo.test"},
		{stranger, policy.Session{}, "robot@foo.test", "local robot@foo.test -> "},
		{stranger, policy.Session{}, "ROBOT@alias.test", "local ROBOT@alias.test -> "},
		{stranger, policy.Session{}, "nobody@foo.test", "550 RCPT=EAVAIL"},
		{stranger, policy.Session{}, "nobody@alias.test", "550 RCPT=EAVAIL"},
		{stranger, policy.Session{}, "off@foo.test", "550 RCPT=EDSBL"},
		{stranger, policy.Session{}, "gone@foo.test", "550 RCPT=EDSBL"},
		{stranger, policy.Session{}, "mute@foo.test", "550 RCPT=EDSBL"},
		{stranger, policy.Session{}, "full@foo.test", "552 RCPT=EFULL"},
		{friend, may, "full@foo.test", "552 RCPT=EFULL"},
		{stranger, policy.Session{}, "open@foo.test", "local open@foo.test -> open@foo.test"},
		{stranger, policy.Session{}, "x@ext.test", "550 RCPT=ERELAY"},
		{stranger, mayNot, "x@ext.test", "550 RCPT=ERELAY"},
		{stranger, policy.Session{Perms: "R"}, "x@ext.test", "550 RCPT=ERELAY"}, // letters of no login
		{stranger, may, "x@Ext.test", "relay x@ext.test"},
		{friend, policy.Session{}, "x@ext.test", "relay x@ext.test"},
		{"::ffff:10.1.2.3", policy.Session{}, "x@ext.test", "relay x@ext.test"},
		{stranger, may, `"a b"@ext.test`, `relay "a b"@ext.test`},
		{stranger, may, "x@[192.0.2.99]", "relay x@[192.0.2.99]"},
		{stranger, may, "é@é.test", "relay é@é.test"},
		{stranger, policy.Session{}, "x@backup.test", "relay x@backup.test"},
		{stranger, policy.Session{}, "x@sub.part.test", "relay x@sub.part.test"},
		{stranger, policy.Session{}, "x@part.test", "550 RCPT=ERELAY"},
		{stranger, policy.Session{}, "x%ext.test@backup.test", "550 RCPT=ERELAY"},
		{stranger, may, "x%ext.test@backup.test", "relay x%ext.test@backup.test"},
		{stranger, may, "@backup.test:x@ext.test", "501 RCPT=ESYNTAX"},
		{friend, policy.Session{}, "@r.test:ann@foo.test", "501 RCPT=ESYNTAX"},
		{stranger, policy.Session{}, "@r.test:ann@foo.test", "550 RCPT=ERELAY"},
		{stranger, policy.Session{}, "", "501 RCPT=ESYNTAX"},
	} {
		if got := rcpt(t, h, test.ip, test.s, test.to); got != test.want {
			t.Errorf("%s, login %q, letters %q, <%s>: %s, want %s", test.ip, test.s.Login, test.s.Perms, test.to, got, test.want)
		}
	}
}

func TestNamesThatNeedQuotesAreNobodys(t *testing.T) {
	h := open(t, files{"aliases.tab": "foo.test|*|bob\n", "cmdaliases/foo.test/a b.tab": "external\n", "cmdaliases/ext.test/a b.tab": "external\n"}, nil, policy.Options{})
	for to, want := range map[string]string{
		"a_b@foo.test":            "local a_b@foo.test -> bob@foo.test",
		`"a b"@foo.test`:          "550 RCPT=EAVAIL",
		`"x y"@foo.test`:          "550 RCPT=EAVAIL",
		`"x@ext.test"@alias.test`: "550 RCPT=EAVAIL",
		`""@foo.test`:             "550 RCPT=EAVAIL",
		`"a b"@ext.test`:          "550 RCPT=EAVAIL",
	} {
		if got := rcpt(t, h, "192.0.2.1", policy.Session{}, to); got != want {
			t.Errorf("<%s>: %s, want %s", to, got, want)
		}
	}
}

// TestNoRelayForStrangers tries every form of address that has ever made a server
// pass mail on. Neither is a path, or it is refused, or it is mail for an account.
func TestNoRelayForStrangers(t *testing.T) {
	h := open(t, files{"aliases.tab": "foo.test|help*|ann\nfoo.test|*|bob\n", "smtp.ipprop.tab": "192.0.2.8/32|WhiteList=1|NoAuth=1|EnableETRN=1\n"}, nil, policy.Options{})
	targets := []string{
		"victim@ext.test", "victim@EXT.test", "victim@ext.test.", "victim@.ext.test", "victim@ext..test", "victim@foo.test.ext.test", "victim@foo.test.", "victim@xfoo.test",
		"victim@foo.testx", "victim@sub.foo.test", "victim@foo", "victim@localhost", "victim@", "victim", "@ext.test", "@",
		"victim%ext.test@foo.test", "victim%ext.test%foo.test@backup.test", "victim%ext.test@backup.test", "victim%ext.test@sub.part.test", "victim%ext.test@localhost", "victim%ext.test@[127.0.0.1]", "victim%ext.test",
		"ext.test!victim@backup.test", "ext.test!victim", "ext.test!victim@foo.test", "foo.test!ext.test!victim@sub.part.test", "victim@ext.test@foo.test", "victim@ext.test@backup.test",
		"victim@foo.test@ext.test", "victim@ext.test%foo.test", `"victim@ext.test"@foo.test`, `"victim@ext.test"@backup.test`, `"victim%ext.test"@backup.test`, `"ext.test!victim"@backup.test`,
		`"@ext.test:victim"@backup.test`, `"victim@ext.test"`, `"victim"@ext.test`, `"vic\@tim"@backup.test`, `"victim@ext.test>"@backup.test`, `victim"@ext.test`, `""@ext.test`,
		"@foo.test:victim@ext.test", "@ext.test:victim@foo.test", "@backup.test:victim@ext.test", "@foo.test,@ext.test:victim@backup.test", "@foo.test:victim%ext.test@backup.test",
		"@[127.0.0.1]:victim@ext.test", "@foo.test:victim@ext.test@foo.test", "@foo.test,victim@ext.test", "@ext.test:ann@foo.test",
		"victim@[192.0.2.200]", "victim@[127.0.0.1]", "victim@[IPv6:::1]", "victim@[IPv6:::ffff:127.0.0.1]", "victim@192.0.2.200", "victim@2130706433", "victim@[foo.test]", "victim@[ext.test]", "victim@foo.test]",
		"victim@éxt.test", "vıctim@ext.test", "victim@foo.test\u3002ext.test", "victim@ext\uff0etest", "victim\uff20ext.test@foo.test", "victim\uff05ext.test@backup.test\u3002ext.test", "victim@ｆｏｏ.test",
		"victim@foo.test\x00.ext.test", "victim@ext.test\x00@foo.test", "victim\x00@ext.test", "victim@ext.test\r", "victim@ext.test\nRCPT TO:<x@ext.test", "victim@ext.test,ann@foo.test", "ann@foo.test,victim@ext.test",
		"ann@foo.test victim@ext.test", "victim@ext.test ", " victim@ext.test", "<victim@ext.test>", "victim@foo.test/../ext.test", "../../victim@ext.test", "victim@../backup.test", "victim@backup.test/../ext",
		"victim@custdomains", "victim@.", "victim@..", "victim@.test", "victim@.part.test", "victim@part.test", "victim@test", "victim@*", "victim@*.test", "victim@?oo.test", "victim@[a-z]oo.test", `victim@foo\.test`,
	}
	for _, ip := range []string{"192.0.2.1", "192.0.2.8", "::ffff:192.0.2.1", "2001:db8::1", "127.0.0.1"} {
		for _, s := range []policy.Session{{}, {TLS: true}, {Perms: "MRVTZS"}, {Login: "x", Perms: "MVTZS"}, {From: path(t, "ann@foo.test")}, {From: path(t, "")}} {
			c := h.client(t, ip)
			for _, to := range targets {
				p, rest, err := address.ParsePath("<" + to + ">")
				if err != nil || rest != "" {
					continue // 501
				}
				got, r := h.Recipient(t.Context(), &c, s, p)
				if r != nil {
					if r.Code < 500 {
						t.Errorf("<%s> from %s: %+v, want a refusal for good", to, ip, r)
					}
					continue
				}
				if !got.Local || got.Real != "bob@foo.test" {
					t.Errorf("<%s> from %s, letters %q: taken as %+v", to, ip, s.Perms, got)
				}
			}
		}
	}
}

func TestCatchAllCustomDomain(t *testing.T) {
	for _, test := range []struct {
		vars string
		want string
	}{
		{"CompatLevel|0\n", "relay x@ext.test"},
		{"CompatLevel|1\n", "550 RCPT=ERELAY"},
		{"CompatLevel|0\nCatchAllRelay|0\n", "550 RCPT=ERELAY"},
		{"CompatLevel|1\nCatchAllRelay|1\n", "relay x@ext.test"},
	} {
		h := open(t, files{"custdomains/.tab": "smtp\n", "server.tab": test.vars}, nil, policy.Options{})
		if got := rcpt(t, h, "192.0.2.1", policy.Session{}, "x@ext.test"); got != test.want {
			t.Errorf("%q: %s, want %s", test.vars, got, test.want)
		}
		if got := rcpt(t, h, "192.0.2.1", policy.Session{}, "x%y.test@ext.test"); got != "550 RCPT=ERELAY" {
			t.Errorf("%q, routed: %s", test.vars, got)
		}
		if got := rcpt(t, h, "192.0.2.1", policy.Session{}, "x@backup.test"); got != "relay x@backup.test" {
			t.Errorf("%q, a domain of its own: %s", test.vars, got)
		}
		if got := rcpt(t, h, "10.0.0.1", policy.Session{}, "x@ext.test"); got != "relay x@ext.test" {
			t.Errorf("%q, for those who may relay: %s", test.vars, got)
		}
	}
}

func TestBarePostmaster(t *testing.T) {
	for variable, want := range map[string]string{
		"PostMaster|bob@foo.test\n":    "local bob@foo.test -> bob@foo.test",
		"PostMaster|help@alias.test\n": "local help@alias.test -> ann@foo.test",
		"PostMaster|root@ext.test\n":   "relay root@ext.test",
		"PostMaster|off@foo.test\n":    "550 RCPT=EDSBL",
		"PostMaster|\n":                "local postmaster@foo.test -> ann@foo.test",
		"PostMaster|nonsense\n":        "local postmaster@foo.test -> ann@foo.test",
	} {
		h := open(t, files{"server.tab": variable, "aliases.tab": "foo.test|postmaster|ann\nfoo.test|help|ann\n"}, nil, policy.Options{})
		for _, to := range []string{"postmaster", "PostMaster"} {
			if got := rcpt(t, h, "192.0.2.1", policy.Session{}, to); got != want {
				t.Errorf("%s<%s>: %s, want %s", variable, to, got, want)
			}
		}
		if got := rcpt(t, h, "192.0.2.1", policy.Session{}, "postmaster@ext.test"); got != "550 RCPT=ERELAY" {
			t.Errorf("%s<postmaster@ext.test>: %s", variable, got)
		}
	}
}

func TestClosedLists(t *testing.T) {
	h := open(t, nil, nil, policy.Options{})
	for _, test := range []struct {
		name string
		s    policy.Session
		ok   bool
	}{
		{"member", policy.Session{From: path(t, "writer@ext.test")}, true},
		{"member, other case", policy.Session{From: path(t, "Writer@EXT.test")}, true},
		{"reader", policy.Session{From: path(t, "reader@ext.test")}, false},
		{"member without permissions", policy.Session{From: path(t, "noperms@ext.test")}, true},
		{"stranger", policy.Session{From: path(t, "x@ext.test")}, false},
		{"null sender", policy.Session{}, false},
		{"says to be ann", policy.Session{From: path(t, "ann@foo.test")}, false},
		{"is ann", policy.Session{From: path(t, "x@ext.test"), Login: "ann:foo.test", Account: "ann@foo.test"}, true},
		{"a name without an account", policy.Session{From: path(t, "x@ext.test"), Login: "robot"}, true},
		{"is bob", policy.Session{From: path(t, "x@ext.test"), Login: "bob@foo.test", Account: "bob@foo.test"}, false},
		{"a login like a writer", policy.Session{From: path(t, "x@ext.test"), Login: "writer@ext.test"}, false},
	} {
		got := rcpt(t, h, "192.0.2.1", test.s, "closed@foo.test")
		if want := map[bool]string{true: "local closed@foo.test -> closed@foo.test", false: "550 RCPT=EACCESS"}[test.ok]; got != want {
			t.Errorf("%s: %s, want %s", test.name, got, want)
		}
	}
	h = open(t, files{"domains/foo.test/open/user.tab": "ClosedML|1\n"}, nil, policy.Options{})
	if got := rcpt(t, h, "192.0.2.1", policy.Session{From: path(t, "x@ext.test")}, "open@foo.test"); got != "550 RCPT=EACCESS" {
		t.Errorf("a closed list without members: %s", got)
	}
}

func TestQuotaIsAskedWithTheSizeDeclared(t *testing.T) {
	h := open(t, nil, nil, policy.Options{})
	h.boxes.largest = 1000
	for size, want := range map[int64]string{0: "local ann@foo.test -> ann@foo.test", 1000: "local ann@foo.test -> ann@foo.test", 1001: "552 RCPT=EFULL"} {
		if got := rcpt(t, h, "192.0.2.1", policy.Session{Size: size}, "ann@foo.test"); got != want {
			t.Errorf("SIZE=%d: %s, want %s", size, got, want)
		}
	}
	h.boxes.err = errors.New("the disk is on fire")
	if got := rcpt(t, h, "192.0.2.1", policy.Session{}, "ann@foo.test"); got != "451 " {
		t.Errorf("a mailbox that cannot be read: %s, want 451", got)
	}
	if h.log.count("on fire") != 1 {
		t.Error("that a mailbox cannot be read was not logged")
	}
}

func TestNothingTellsDisabledFromUnknown(t *testing.T) {
	h := open(t, nil, nil, policy.Options{})
	c := h.client(t, "192.0.2.1")
	_, unknown := h.Recipient(t.Context(), &c, policy.Session{}, path(t, "nil@foo.test"))
	_, disabled := h.Recipient(t.Context(), &c, policy.Session{}, path(t, "off@foo.test"))
	if unknown == nil || disabled == nil {
		t.Fatalf("unknown: %+v, disabled: %+v, want both refused", unknown, disabled)
	}
	if disabled.Code != unknown.Code || disabled.Enhanced != unknown.Enhanced || disabled.Text != "Mailbox unavailable <off@foo.test>" || unknown.Text != "Mailbox unavailable <nil@foo.test>" {
		t.Errorf("unknown: %+v, disabled: %+v, want the same words", unknown, disabled)
	}
}

func TestVerify(t *testing.T) {
	for _, test := range []struct {
		name string
		f    files
		ip   string
		s    policy.Session
		arg  string
		want string
	}{
		{"off", nil, "192.0.2.1", policy.Session{}, "ann@foo.test", "252 Argument not checked"},
		{"other letters", nil, "192.0.2.1", policy.Session{Login: "x", Perms: "MR"}, "ann@foo.test", "252 Argument not checked"},
		{"letter V", nil, "192.0.2.1", policy.Session{Login: "x", Perms: "V"}, "ann@foo.test", "250 Ann Other <ann@foo.test>"},
		{"property", files{"smtp.ipprop.tab": "192.0.2.1/32|EnableVRFY=1\n"}, "192.0.2.1", policy.Session{}, "<Help@alias.test>", "250 Ann Other <ann@foo.test>"},
		{"variable", files{"server.tab": "AllowSmtpVRFY|1\n"}, "192.0.2.1", policy.Session{}, "bob@foo.test", "250 Unknown <bob@foo.test>"},
		{"list", files{"server.tab": "AllowSmtpVRFY|1\n"}, "192.0.2.1", policy.Session{}, "open@foo.test", "250 Unknown <open@foo.test>"},
		{"command alias", files{"server.tab": "AllowSmtpVRFY|1\n"}, "192.0.2.1", policy.Session{}, "robot@Foo.test", "250 Local account <robot@foo.test>"},
		{"nobody", files{"server.tab": "AllowSmtpVRFY|1\n"}, "192.0.2.1", policy.Session{}, "x@foo.test", "550 String does not match anything"},
		{"remote", files{"server.tab": "AllowSmtpVRFY|1\n"}, "192.0.2.1", policy.Session{}, "x@ext.test", "550 String does not match anything"},
		{"custom", files{"server.tab": "AllowSmtpVRFY|1\n"}, "192.0.2.1", policy.Session{}, "x@backup.test", "550 String does not match anything"},
		{"no domain", files{"server.tab": "AllowSmtpVRFY|1\n"}, "192.0.2.1", policy.Session{}, "ann", "501 Syntax error in parameters or arguments"},
		{"nothing", files{"server.tab": "AllowSmtpVRFY|1\n"}, "192.0.2.1", policy.Session{}, "", "501 Syntax error in parameters or arguments"},
		{"null", files{"server.tab": "AllowSmtpVRFY|1\n"}, "192.0.2.1", policy.Session{}, "<>", "501 Syntax error in parameters or arguments"},
		{"more", files{"server.tab": "AllowSmtpVRFY|1\n"}, "192.0.2.1", policy.Session{}, "<ann@foo.test> NOTIFY=NEVER", "501 Syntax error in parameters or arguments"},
		{"UTF-8", files{"server.tab": "AllowSmtpVRFY|1\n"}, "192.0.2.1", policy.Session{}, "<ann@foo.test> SMTPUTF8", "250 Ann Other <ann@foo.test>"},
		{"postmaster", files{"server.tab": "AllowSmtpVRFY|1\nPostMaster|ann@foo.test\n"}, "192.0.2.1", policy.Session{}, "<postmaster>", "250 Ann Other <ann@foo.test>"},
	} {
		h := open(t, test.f, nil, policy.Options{})
		c := h.client(t, test.ip)
		r := h.Verify(&c, test.s, test.arg)
		if got := fmt.Sprint(r.Code, " ", r.Text); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
		if (r.Code == 252) != (r.Log == "VRFY=EACCESS") {
			t.Errorf("%s: status %q with %d", test.name, r.Log, r.Code)
		}
	}
}

func TestETRN(t *testing.T) {
	h := open(t, nil, nil, policy.Options{})
	c := h.client(t, "192.0.2.1")
	for letters, want := range map[string]bool{"": false, "MRVZS": false, "T": true} {
		if got := h.MayETRN(&c, policy.Session{Login: "x", Perms: letters}); got != want {
			t.Errorf("letters %q: ETRN %v, want %v", letters, got, want)
		}
	}
	h = open(t, files{"server.tab": "AllowSmtpETRN|1\n"}, nil, policy.Options{})
	if !h.MayETRN(&c, policy.Session{}) {
		t.Error("AllowSmtpETRN 1: not taken")
	}
}
