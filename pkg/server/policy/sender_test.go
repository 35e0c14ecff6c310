package policy_test

import (
	"errors"
	"net"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/policy"
	"github.com/xmaild/xmaild/pkg/server/resolve/resolvetest"
)

func TestSendersInSpamAddress(t *testing.T) {
	f := files{"spam-address.tab": "*@rude.test\nsales@shop.test\n*.bad.test\nlocal*\n"}
	h := open(t, f, nil, policy.Options{})
	c := h.client(t, "192.0.2.1")
	in := policy.Session{Login: "ann@foo.test", Account: "ann@foo.test", Perms: "MRVZ"}
	for from, want := range map[string]int{
		"any@rude.test": 550, "Any@RUDE.test": 550, "SALES@shop.test": 550, "ok@shop.test": 250, "x@a.bad.test": 550, "x@bad.test": 250,
		"localhero@x.test": 550, `"sales"@shop.test`: 550, "": 250,
	} {
		for _, s := range []policy.Session{{}, in} {
			r := h.Sender(t.Context(), &c, s, path(t, from))
			if code(r) != want || want != 250 && r.Log != "SNDR=ESPAM" {
				t.Errorf("<%s>, login %q: %+v, want %d", from, s.Login, r, want)
			}
		}
	}
	f["server.tab"] = "SmtpMsgIPBanSpamAddress|553 No more\n"
	h = open(t, f, nil, policy.Options{})
	if r := h.Sender(t.Context(), &c, policy.Session{}, path(t, "x@rude.test")); r == nil || *r != (policy.Reply{Code: 553, Text: "No more", Log: "SNDR=ESPAM"}) {
		t.Errorf("with a message of the administrator: %+v", r)
	}
	f["spam-address.tab"] = "-"
	h = open(t, f, nil, policy.Options{})
	if r := h.Sender(t.Context(), &c, policy.Session{}, path(t, "x@rude.test")); r != nil {
		t.Errorf("without the table: %+v", r)
	}
}

func TestDomainsOfSenders(t *testing.T) {
	zones := resolvetest.Zones{
		"mx.test.":     {MX: []net.MX{{Host: "mail.mx.test.", Pref: 1}}},
		"host.test.":   {A: []string{"192.0.2.1"}},
		"six.test.":    {AAAA: []string{"2001:db8::1"}},
		"null.test.":   {MX: []net.MX{{Host: ".", Pref: 0}}, A: []string{"192.0.2.1"}},
		"broken.test.": {Err: errors.New("broken")},
		"empty.test.":  {TXT: []string{"nothing"}},
	}
	h := open(t, files{"server.tab": "CheckMailerDomain|1\n", "smtp.ipprop.tab": "192.0.2.7/32|SenderDomainCheck=0\n192.0.2.8/32|SenderDomainCheck=1\n"}, zones, policy.Options{})
	for from, want := range map[string]int{
		"": 250, "x@mx.test": 250, "x@host.test": 250, "x@six.test": 250, "x@null.test": 550, "x@none.test": 550, "x@empty.test": 550, "x@broken.test": 451,
		"x@[192.0.2.1]": 250, "x@foo.test": 250, "x@alias.test": 250, `"a b"@none.test`: 550, "x@é.test": 550,
	} {
		for ip, skips := range map[string]bool{"192.0.2.1": false, "192.0.2.7": true, "192.0.2.8": false} {
			c := h.client(t, ip)
			r := h.Sender(t.Context(), &c, policy.Session{}, path(t, from))
			want := want
			if skips {
				want = 250
			}
			if code(r) != want || want != 250 && r.Log != "SNDR=ENODNS" {
				t.Errorf("<%s> from %s: %+v, want %d", from, ip, r, want)
			}
		}
	}
	h = open(t, nil, zones, policy.Options{})
	c := h.client(t, "192.0.2.1")
	if r := h.Sender(t.Context(), &c, policy.Session{}, path(t, "x@none.test")); r != nil {
		t.Errorf("without CheckMailerDomain: %+v", r)
	}
	if n := h.dns.Asked(""); n != 0 {
		t.Errorf("without CheckMailerDomain the DNS was asked %d times", n)
	}
}

func TestSendersThatAreNone(t *testing.T) {
	h := open(t, nil, nil, policy.Options{})
	c := h.client(t, "192.0.2.1")
	for from, want := range map[string]int{"": 250, "a@b.test": 250, "@r.test:a@b.test": 501, "postmaster": 501, `"a b"@c.test`: 250, "é@é.test": 250} {
		if r := h.Sender(t.Context(), &c, policy.Session{}, path(t, from)); code(r) != want {
			t.Errorf("<%s>: %+v, want %d", from, r, want)
		}
	}
	h = open(t, files{"server.tab": "AllowNullSender|0\n"}, nil, policy.Options{})
	if r := h.Sender(t.Context(), &c, policy.Session{}, path(t, "")); code(r) != 501 || status(r) != "SNDR=EEMPTY" {
		t.Errorf("<> with AllowNullSender 0: %+v, want 501", r)
	}
}

func TestBlockedClientsMustLogIn(t *testing.T) {
	in := policy.Session{Login: "relay"} // no account, and not a letter
	for _, test := range []struct {
		name string
		f    files
		want policy.Reply
	}{
		{"spammers", files{"spammers.tab": "192.0.2.1/32|code=0\n"},
			policy.Reply{Code: 550, Enhanced: "5.7.1", Text: "Mail from your address is taken after a login only", Log: "SNDRIP=EIPSPAM"}},
		{"spammers, message", files{"spammers.tab": "192.0.2.1/32|code=0\n", "server.tab": "SmtpMsgIPBanSpammers|551 log in\nSmtpMsgIPBan|no\n"},
			policy.Reply{Code: 551, Text: "log in", Log: "SNDRIP=EIPSPAM"}},
		{"spammers, message that would close", files{"spammers.tab": "192.0.2.1/32|code=0\n", "server.tab": "SmtpMsgIPBanSpammers|421 log in\n"},
			policy.Reply{Code: 550, Text: "log in", Log: "SNDRIP=EIPSPAM"}},
		{"map", files{"smtp.ipmap.tab": "0.0.0.0|0.0.0.0|DENY|1\n", "server.tab": "SMTP-IpMapDropCode|0\nSmtpMsgIPBan|no\n"},
			policy.Reply{Code: 550, Text: "no", Log: "SNDRIP=EIPBAN"}},
		{"all of it", files{"smtp.ipmap.tab": "0.0.0.0|0.0.0.0|DENY|1\n", "spammers.tab": "192.0.2.1/32|code=0\n", "server.tab": "SMTP-IpMapDropCode|0\nSMTP-RDNSCheck|1\nCustMapsList|one.test.:0\n"},
			policy.Reply{Code: 550, Enhanced: "5.7.1", Text: "Mail from your address is taken after a login only", Log: "SNDRIP=EIPMAP (one.test.)"}},
	} {
		h := open(t, test.f, listZones(), policy.Options{})
		c := h.client(t, "192.0.2.1")
		for _, from := range []string{"x@ext.test", "", "ann@foo.test"} {
			if r := h.Sender(t.Context(), &c, policy.Session{}, path(t, from)); r == nil || *r != test.want {
				t.Errorf("%s, <%s>: %+v, want %+v", test.name, from, r, test.want)
			}
			if r := h.Sender(t.Context(), &c, in, path(t, from)); r != nil {
				t.Errorf("%s, <%s> after a login: %+v", test.name, from, r)
			}
		}
	}
}

func TestWhatTheAddressOfTheServerWants(t *testing.T) {
	h := open(t, files{"smtp.ipprop.tab": "192.0.2.5/32|NoAuth=1\n192.0.2.6/32|EaseTLS=1\n"}, nil, policy.Options{})
	for _, test := range []struct {
		name, ip string
		s        policy.Session
		want     int
	}{
		{"MailAuth, stranger", "192.0.2.1", policy.Session{MailAuth: true}, 530},
		{"MailAuth, letter M", "192.0.2.1", policy.Session{MailAuth: true, Login: "x", Perms: "RM"}, 250},
		{"MailAuth, other letters", "192.0.2.1", policy.Session{MailAuth: true, Login: "x", Perms: "RVZ"}, 550},
		{"MailAuth, NoAuth", "192.0.2.5", policy.Session{MailAuth: true}, 250},
		{"MailAuth, letters without a login", "192.0.2.1", policy.Session{MailAuth: true, Perms: "M"}, 530},
		{"WantTLS, in clear", "192.0.2.1", policy.Session{WantTLS: true}, 530},
		{"WantTLS, TLS", "192.0.2.1", policy.Session{WantTLS: true, TLS: true}, 250},
		{"WantTLS, letter S", "192.0.2.1", policy.Session{WantTLS: true, Login: "x", Perms: "S"}, 250},
		{"WantTLS, EaseTLS", "192.0.2.6", policy.Session{WantTLS: true}, 250},
		{"both", "192.0.2.1", policy.Session{MailAuth: true, WantTLS: true, TLS: true, Login: "x", Perms: "M"}, 250},
	} {
		c := h.client(t, test.ip)
		for _, from := range []string{"x@ext.test", ""} {
			if r := h.Sender(t.Context(), &c, test.s, path(t, from)); code(r) != test.want {
				t.Errorf("%s, <%s>: %+v, want %d", test.name, from, r, test.want)
			}
		}
	}
}

func TestSenderPolicy(t *testing.T) {
	ann := policy.Session{Login: "ann", Account: "ann@foo.test", Perms: "MR"}
	others := []string{"bob@foo.test", "x@ext.test", "exact@foo.test", "ann@ext.test", "nobody@foo.test", `"a nn"@foo.test`, "ann123@foo.test", "open@foo.test"}
	for word, refused := range map[string]bool{"off": false, "warn": false, "refuse": true, "nonsense": false, "": false} {
		h := open(t, files{"server.tab": "SenderPolicy|" + word + "\n"}, nil, policy.Options{})
		c := h.client(t, "192.0.2.1")
		for _, own := range []string{"ann@foo.test", "ANN@Foo.test", "ann@alias.test", "ann@a.wild.test", "helpdesk@foo.test", "help@alias.test", "ann123@isp.test", "Ann123@ISP.test", ""} {
			if r := h.Sender(t.Context(), &c, ann, path(t, own)); r != nil {
				t.Errorf("SenderPolicy %s: ann as <%s>: %+v", word, own, r)
			}
		}
		if n := h.log.count("sender is not the account's"); n != 0 {
			t.Errorf("SenderPolicy %s: %d warnings of own addresses", word, n)
		}
		for _, other := range others {
			r := h.Sender(t.Context(), &c, ann, path(t, other))
			if (r != nil) != refused || refused && (r.Code != 550 || r.Log != "SNDR=EOWNER") {
				t.Errorf("SenderPolicy %s: ann as <%s>: %+v, want refused %v", word, other, r, refused)
			}
			for _, s := range []policy.Session{{}, {Login: "relay", Perms: "MR"}} {
				if r := h.Sender(t.Context(), &c, s, path(t, other)); r != nil {
					t.Errorf("SenderPolicy %s: <%s> of no account (login %q): %+v", word, other, s.Login, r)
				}
			}
		}
		warnings := 0
		if word == "warn" || word == "refuse" {
			warnings = len(others)
		}
		if n := h.log.count("sender is not the account's"); n != warnings {
			t.Errorf("SenderPolicy %s: %d warnings, want %d", word, n, warnings)
		}
	}
}
