package outbound_test

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/outbound"
	"github.com/xmaild/xmaild/pkg/server/resolve/resolvetest"
)

// forward is a table that sends x.test to one host with options, at 192.0.2.50.
func forward(options string) string {
	return `"x.test"` + "\t" + `"host.x.test:26` + options + `;[192.0.2.51]:26"` + "\n"
}

var forwardZones = map[string]string{"host.x.test.": "192.0.2.50"}

// forwarded is a world where x.test goes to that host, and there is nothing at the
// second one.
func forwarded(t *testing.T, options, host string, files map[string]string) *world {
	t.Helper()
	if files == nil {
		files = map[string]string{}
	}
	files["smtpfwd.tab"] = forward(options)
	w := newWorld(t, zonesOf(forwardZones), files, nil)
	w.at("192.0.2.50:26", host)
	return w
}

// wantsOurs is a host that refuses the handshake after our part of it, as TLS 1.3 has it.
func wantsOurs(w *world) *tls.Config {
	c := w.ca.server("host.x.test")
	c.ClientAuth = tls.RequireAnyClientCert
	return c
}

func TestTLSIsUsedWhereItIsOfferedAndAllowed(t *testing.T) {
	for _, c := range []struct {
		name, options string
		host          func(w *world) *tls.Config // nil: no STARTTLS
		state         outbound.State
		tls, verified bool
		reply         string
	}{
		{"good certificate", "", func(w *world) *tls.Config { return w.ca.server("host.x.test") }, outbound.Delivered, true, true, ""},
		{"other name", "", func(w *world) *tls.Config { return w.ca.server("other.test") }, outbound.Delivered, true, false, ""},
		{"unknown authority", "", func(w *world) *tls.Config { return newAuthority(w.t).server("host.x.test") }, outbound.Delivered, true, false, ""},
		{"expired", "", func(w *world) *tls.Config { w.pass(48 * time.Hour); return w.ca.server("host.x.test") }, outbound.Delivered, true, false, ""},
		{"failing handshake", "", func(*world) *tls.Config { return &tls.Config{} }, outbound.Delivered, false, false, ""},
		{"failing handshake, level 1", ",NeedTLS=1", func(*world) *tls.Config { return &tls.Config{} }, outbound.Delivered, false, false, ""},
		{"too old", "", func(w *world) *tls.Config {
			c := w.ca.server("host.x.test")
			c.MaxVersion = tls.VersionTLS11
			return c
		}, outbound.Delivered, false, false, ""},
		{"wants a certificate of ours", "", wantsOurs, outbound.Delivered, false, false, ""},
		{"required, wants a certificate of ours", ",NeedTLS=2", wantsOurs, outbound.Temporary, false, false, "4.7.5"},
		{"none", "", nil, outbound.Delivered, false, false, ""},
		{"forbidden", ",NeedTLS=0", func(w *world) *tls.Config { return w.ca.server("host.x.test") }, outbound.Delivered, false, false, ""},
		{"required and good", ",NeedTLS=2", func(w *world) *tls.Config { return w.ca.server("host.x.test") }, outbound.Delivered, true, true, ""},
		{"required, other name", ",NeedTLS=2", func(w *world) *tls.Config { return w.ca.server("other.test") }, outbound.Temporary, false, false, "4.7.5"},
		{"required, unknown authority", ",NeedTLS=2", func(w *world) *tls.Config { return newAuthority(w.t).server("host.x.test") }, outbound.Temporary, false, false, "4.7.5"},
		{"required, failing handshake", ",NeedTLS=2", func(*world) *tls.Config { return &tls.Config{} }, outbound.Temporary, false, false, "4.7.5"},
		{"required, none", ",NeedTLS=2", nil, outbound.Temporary, false, false, "4.7.4 | host host.x.test (192.0.2.50:26): Remote server does not support TLS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := forwarded(t, c.options, "", nil)
			r := receive(t, func(r *receiver) {
				if c.host != nil {
					r.srv.TLSConfig = c.host(w)
				}
			})
			w.at("192.0.2.50:26", r.addr)
			res := w.one("x.test")
			want(t, res, c.state, c.reply)
			if (res.TLS != "") != c.tls || res.Verified != c.verified {
				t.Errorf("TLS is %q, verified %v; want %v, %v", res.TLS, res.Verified, c.tls, c.verified)
			}
			if c.tls && strings.Contains(res.TLS, "not verified: ") == c.verified {
				t.Errorf("TLS is %q, which does not say why it is verified or not", res.TLS)
			}
			mails := r.got()
			if (len(mails) == 1) != (c.state == outbound.Delivered) || len(mails) == 1 && mails[0].tls != c.tls {
				t.Errorf("messages are %+v, with the state %v and TLS %v", mails, c.state, c.tls)
			}
		})
	}
}

func TestRefusedSTARTTLSIsNoReasonNotToSend(t *testing.T) {
	for options, state := range map[string]outbound.State{"": outbound.Delivered, ",NeedTLS=1": outbound.Delivered, ",NeedTLS=2": outbound.Temporary} {
		w := forwarded(t, options, scripted(t, func(s script) {
			s.serve([]string{"STARTTLS"}, map[string]string{"STARTTLS": "502 not now"})
		}), nil)
		if got := w.one("x.test"); got.State != state {
			t.Errorf("%q: %v (%s), want %v", options, got.State, got.Reply, state)
		}
	}
}

// TestNothingThatCameBeforeTLSCountsInsideIt is about CVE-2011-0411.
func TestNothingThatCameBeforeTLSCountsInsideIt(t *testing.T) {
	w := forwarded(t, ",NeedTLS=2", scripted(t, func(s script) {
		s.serve([]string{"starttls"}, map[string]string{"STARTTLS": "220 go on\r\n250-forged\r\n250 AUTH PLAIN"})
	}), nil)
	want(t, w.one("x.test"), outbound.Temporary, "more than the reply to STARTTLS")
}

func loginTable(method, password string) map[string]string {
	return map[string]string{"userauth/smtp/x.test.tab": fmt.Sprintf("%q\t%q\t%q\n", method, "relay", password)}
}

const secret = "s3cr3t-w0rd"

func TestLoginsAreFoundByTheEndOfTheHost(t *testing.T) {
	for _, method := range []string{"PLAIN", "login", "Cram-MD5"} {
		w := forwarded(t, "", "", loginTable(method, secret))
		r := receive(t, func(r *receiver) {
			r.secret = secret
			r.srv.TLSConfig = w.ca.server("host.x.test")
		})
		w.at("192.0.2.50:26", r.addr)
		want(t, w.one("x.test"), outbound.Delivered)
		if m := r.got(); len(m) != 1 || !strings.EqualFold(m[0].user, method) {
			t.Errorf("%s: messages are %+v, want one with that login", method, m)
		}
		checkSecrets(t, w)
	}
}

func TestTheLongestEndOfAHostCounts(t *testing.T) {
	files := loginTable("PLAIN", "wrong")
	files["userauth/smtp/host.x.test.tab"] = `"PLAIN"` + "\t" + `"relay"` + "\t" + `"` + secret + `"` + "\n" + `"external"` + "\t" + `"x"` + "\t" + `"y"` + "\n"
	files["userauth/smtp/test.tab"] = `"external"` + "\t" + `"x"` + "\t" + `"y"` + "\n"
	w := forwarded(t, "", "", files)
	r := receive(t, func(r *receiver) {
		r.secret = secret
		r.srv.TLSConfig = w.ca.server("host.x.test")
	})
	w.at("192.0.2.50:26", r.addr)
	want(t, w.one("x.test"), outbound.Delivered)
}

// checkSecrets looks for passwords in the log and in results.
func checkSecrets(t *testing.T, w *world, results ...outbound.Result) {
	t.Helper()
	all := w.log.String() + fmt.Sprintf("%+v", results)
	for _, s := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte("\x00relay\x00" + secret))} {
		if strings.Contains(all, s) {
			t.Errorf("%q is in what is logged and told:\n%s", s, all)
		}
	}
}

// TestHostOfWhichTheNameIsTooLongForAFileHasNoLogin has the longest name that a host may
// have.
func TestHostOfWhichTheNameIsTooLongForAFileHasNoLogin(t *testing.T) {
	label := strings.Repeat("x", 63)
	domain := label + "." + label + "." + label + "." + label[:56] + ".test"
	w := newWorld(t, resolvetest.Zones{domain + ".": zoneOf("192.0.2.1")}, nil, nil)
	w.at("192.0.2.1", receive(t, nil).addr)
	want(t, w.one(domain), outbound.Delivered)
}

func TestLoginThatFailsWaits(t *testing.T) {
	for name, c := range map[string]struct {
		table  string
		host   func(*receiver)
		reply  string
		called int
	}{
		"wrong password": {"PLAIN\trelay\t" + secret, func(r *receiver) { r.secret = "other" }, "4.7.8 | host host.x.test refuses the login of userauth/smtp/x.test.tab: 535 5.7.8 no, not with *", 1},
		"no AUTH":        {"PLAIN\trelay\t" + secret, nil, "does not offer AUTH, which userauth/smtp/x.test.tab asks for", 1},
		"external":       {"EXTERNAL\t/bin/login\t" + secret, func(r *receiver) { r.secret = secret }, `userauth/smtp/x.test.tab: the method "EXTERNAL" is none of PLAIN, LOGIN and CRAM-MD5`, 0},
		"unknown":        {"DIGEST-MD5\trelay\t" + secret, func(r *receiver) { r.secret = secret }, `the method "DIGEST-MD5" is none of`, 0},
		"short":          {"PLAIN\trelay", func(r *receiver) { r.secret = secret }, "userauth/smtp/x.test.tab has no login", 0},
	} {
		t.Run(name, func(t *testing.T) {
			table := `"` + strings.ReplaceAll(c.table, "\t", "\"\t\"") + "\"\n"
			w := forwarded(t, "", "", map[string]string{"userauth/smtp/x.test.tab": table})
			r := receive(t, func(r *receiver) {
				if c.host != nil {
					c.host(r)
				}
				r.srv.TLSConfig = w.ca.server("host.x.test")
			})
			w.at("192.0.2.50:26", r.addr)
			res := w.one("x.test")
			want(t, res, outbound.Temporary, c.reply)
			if n := len(r.got()); n != 0 {
				t.Errorf("%d messages were sent without the login", n)
			}
			if n := strings.Count(w.called(), "192.0.2.50:26"); n != c.called {
				t.Errorf("the host was called %d times, want %d", n, c.called)
			}
			checkSecrets(t, w, res)
		})
	}
}

func TestMethodThatIsNotOfferedIsNotTried(t *testing.T) {
	w := forwarded(t, "", scripted(t, func(s script) { s.serve([]string{"AUTH=LOGIN CRAM-MD5"}, nil) }), loginTable("PLAIN", secret))
	want(t, w.one("x.test"), outbound.Temporary, "does not offer AUTH PLAIN, which userauth/smtp/x.test.tab asks for, but LOGIN CRAM-MD5")
}

func TestPasswordsAreNotSentInClear(t *testing.T) {
	const level0 = `"CompatLevel"` + "\t" + `"0"` + "\n"
	for _, c := range []struct {
		name, server, options, method string
		tls                           bool // it is offered, and fails
		sent                          bool
	}{
		{"level 1", "", "", "PLAIN", false, false},
		{"level 0", level0, "", "PLAIN", false, true},
		{"level 0, LOGIN", level0, "", "LOGIN", false, true},
		{"level 0 where TLS was broken", level0, "", "PLAIN", true, false},
		{"level 1 where it is asked for", "", ",NeedTLS=0", "PLAIN", false, true},
		{"level 1, CRAM-MD5", "", "", "CRAM-MD5", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := loginTable(c.method, secret)
			files["server.tab"] = c.server
			w := forwarded(t, c.options, "", files)
			r := receive(t, func(r *receiver) {
				r.secret = secret
				if c.tls {
					r.srv.TLSConfig = &tls.Config{}
				}
			})
			w.at("192.0.2.50:26", r.addr)
			res := w.one("x.test")
			if c.sent {
				want(t, res, outbound.Delivered)
			} else {
				want(t, res, outbound.Temporary, "4.7.11", "is not sent to host host.x.test without TLS")
			}
			checkSecrets(t, w, res)
		})
	}
}
