package smtpd

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/login"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/policy"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// plain is AUTH PLAIN with its initial response.
func plain(name, password string) string { return "AUTH PLAIN " + b64("\x00"+name+"\x00"+password) }

func TestFormsOfAUTH(t *testing.T) {
	cram := func(password string) func(string) string {
		return func(challenge string) string { return b64("alice@foo.test " + auth.CRAM(challenge, password)) }
	}
	text := func(s string) func(string) string { return func(string) string { return s } }
	for name, test := range map[string]struct {
		answers []func(string) string // to each 334
		command string
		want    string
	}{
		"PLAIN":                        {nil, plain("alice@foo.test", "secret"), "235 2.7.0"},
		"PLAIN in lower case":          {nil, strings.Replace(plain("alice@foo.test", "secret"), "AUTH PLAIN", "auth plain", 1), "235"},
		"PLAIN wrong":                  {nil, plain("alice@foo.test", "wrong"), "535 5.7.8"},
		"PLAIN nobody":                 {nil, plain("nobody@foo.test", "secret"), "535 5.7.8"},
		"PLAIN empty":                  {nil, plain("alice@foo.test", ""), "535 5.7.8"},
		"PLAIN colon":                  {nil, plain("alice:foo.test", "secret"), "235"},
		"PLAIN as oneself":             {nil, "AUTH PLAIN " + b64("alice@foo.test\x00alice@foo.test\x00secret"), "235"},
		"PLAIN for another":            {nil, "AUTH PLAIN " + b64("bob@foo.test\x00alice@foo.test\x00secret"), "535"},
		"PLAIN later":                  {[]func(string) string{text(b64("\x00alice@foo.test\x00secret"))}, "AUTH PLAIN", "235"},
		"PLAIN cancelled":              {[]func(string) string{text("*")}, "AUTH PLAIN", "501 5.7.0"},
		"PLAIN no base64":              {nil, "AUTH PLAIN !!!!", "501 5.5.4"},
		"PLAIN later no base64":        {[]func(string) string{text("not base64")}, "AUTH PLAIN", "501 5.5.4"},
		"PLAIN loose base64":           {nil, "AUTH PLAIN " + strings.TrimRight(b64("\x00alice@foo.test\x00secret1"), "="), "501 5.5.4"},
		"PLAIN two parts":              {nil, "AUTH PLAIN " + b64("alice@foo.test\x00secret"), "501 5.5.4"},
		"PLAIN empty response":         {nil, "AUTH PLAIN =", "501 5.5.4"},
		"PLAIN too much":               {nil, "AUTH PLAIN AAAA AAAA", "501"},
		"LOGIN":                        {[]func(string) string{text(b64("alice@foo.test")), text(b64("secret"))}, "AUTH LOGIN", "235"},
		"LOGIN with name":              {[]func(string) string{text(b64("secret"))}, "AUTH LOGIN " + b64("alice@foo.test"), "235"},
		"LOGIN with =":                 {[]func(string) string{text(b64("alice@foo.test")), text(b64("secret"))}, "AUTH LOGIN =", "235"},
		"LOGIN wrong":                  {[]func(string) string{text(b64("alice@foo.test")), text(b64("no"))}, "AUTH LOGIN", "535"},
		"LOGIN cancelled":              {[]func(string) string{text(b64("alice@foo.test")), text("*")}, "AUTH LOGIN", "501 5.7.0"},
		"LOGIN no base64":              {[]func(string) string{text(b64("alice@foo.test")), text("?")}, "AUTH LOGIN", "501 5.5.4"},
		"LOGIN commands as answers":    {[]func(string) string{text("QUIT"), text(b64("x"))}, "AUTH LOGIN", "535"},
		"CRAM-MD5":                     {[]func(string) string{cram("secret")}, "AUTH CRAM-MD5", "235"},
		"CRAM-MD5 wrong":               {[]func(string) string{cram("no")}, "AUTH CRAM-MD5", "535"},
		"CRAM-MD5 cancelled":           {[]func(string) string{text("*")}, "AUTH CRAM-MD5", "501 5.7.0"},
		"CRAM-MD5 one word":            {[]func(string) string{text(b64("alice"))}, "AUTH CRAM-MD5", "501"},
		"unknown":                      {nil, "AUTH NOSUCH", "504 5.5.4"},
		"nothing":                      {nil, "AUTH", "501 5.5.4"},
		"EXTERNAL, which go-sasl has":  {nil, "AUTH EXTERNAL =", "504"},
		"ANONYMOUS, which go-sasl has": {nil, "AUTH ANONYMOUS", "504"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			c := r.greet(t)
			c.send(test.command + "\r\n")
			for _, answer := range test.answers {
				challenge, err := base64.StdEncoding.DecodeString(c.want("334 ")[4:])
				if err != nil {
					t.Fatal(err)
				}
				c.send(answer(string(challenge)) + "\r\n")
			}
			c.want(test.want)
			if test.want[:3] == "235" {
				steps(c, plain("alice@foo.test", "secret")+" -> 503", "EHLO client.test -> 250", "MAIL FROM:<alice@foo.test> -> 250", "RCPT TO:<a@far.test> -> 250")
			} else {
				steps(c, "MAIL FROM:<alice@foo.test> -> 250", "RCPT TO:<a@far.test> -> 550", "RSET -> 250", plain("alice@foo.test", "secret")+" -> 235")
			}
		})
	}
}

func TestChallengesAreFresh(t *testing.T) {
	r := newRig(t)
	c := r.greet(t)
	first := c.ask("AUTH CRAM-MD5", "334 ")
	c.ask("*", "501")
	if second := c.ask("AUTH CRAM-MD5", "334 "); first == second {
		t.Errorf("twice the challenge %s", first)
	}
}

// Programs that choose CRAM-MD5 wherever they see it could not log in to an account whose
// password is hashed.
func TestCRAMMD5IsNotAnnouncedBesideHashedPasswords(t *testing.T) {
	r := newRig(t)
	r.stop()
	stored, err := auth.Hash(auth.Bcrypt, "hidden")
	if err != nil {
		t.Fatal(err)
	}
	users, err := os.ReadFile(filepath.Join(r.dir, "mailusers.tab"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, r.dir, "mailusers.tab", string(users)+fmt.Sprintf("%q\t%q\t%q\t9\t%q\t\"U\"\n", "foo.test", "carol", stored, "carol"))
	write(t, r.dir, "domains/foo.test/carol/user.tab", "")
	r.serve(t)
	c := r.dial(t)
	c.want("220")
	if got := c.ask("EHLO client.test", "250"); !strings.Contains(got, "|250-AUTH LOGIN PLAIN|") {
		t.Errorf("EHLO %s", got)
	}
	c.ask(plain("carol@foo.test", "hidden"), "235")
	c = r.greet(t)
	challenge, err := base64.StdEncoding.DecodeString(c.ask("AUTH CRAM-MD5", "334 ")[4:])
	if err != nil {
		t.Fatal(err)
	}
	c.ask(b64("alice@foo.test "+auth.CRAM(string(challenge), "secret")), "235") // who asks for it has it
}

func TestClearTextPasswordsCanBeForbidden(t *testing.T) {
	r := newRig(t, "SmtpNoTLSAuths=CRAM-MD5")
	c := r.dial(t)
	c.want("220")
	if got := c.ask("EHLO client.test", "250"); !strings.Contains(got, "|250-AUTH CRAM-MD5|") {
		t.Errorf("EHLO %s", got)
	}
	steps(c, plain("alice@foo.test", "secret")+" -> 538 5.7.11", "AUTH LOGIN -> 538", "AUTH NOSUCH -> 504", "STARTTLS -> 220")
	c.startTLS()
	steps(c, plain("alice@foo.test", "secret")+" -> 503", "EHLO client.test -> 250", plain("alice@foo.test", "secret")+" -> 235")
}

func TestABlockedAddressIsSentAway(t *testing.T) {
	r := newRig(t, "LOGIN-MaxFailures=3")
	c := r.greet(t)
	for range 3 {
		c.ask(plain("alice@foo.test", "no"), "535")
	}
	c.ask(plain("alice@foo.test", "secret"), "421 4.7.0")
	c.gone()
}

func TestALoginLiftsWhatStandsAgainstTheAddress(t *testing.T) {
	r := newRig(t)
	r.policy.set(func(c *policy.Client) {
		c.LoginOnly = &policy.Reply{Code: 550, Text: "log in", Log: "SNDRIP=EIPSPAM"}
		c.Delay = time.Millisecond
	})
	c := r.greet(t)
	steps(c, "MAIL FROM:<x@ext.test> -> 550 log in", "RCPT TO:<alice@foo.test> -> 503", "STARTTLS -> 220")
	c.startTLS()
	// It is still the same address.
	steps(c, "EHLO client.test -> 250", "MAIL FROM:<x@ext.test> -> 550 log in", plain("alice@foo.test", "secret")+" -> 235", "MAIL FROM:<x@ext.test> -> 250")
}

func TestWhatFollowsSTARTTLSInClearTextIsNotRun(t *testing.T) {
	r := newRig(t)
	c := r.greet(t)
	c.send("STARTTLS\r\nMAIL FROM:<evil@ext.test>\r\n")
	c.want("554 5.5.1 ")
	c.gone()

	c = r.greet(t)
	steps(c, "STARTTLS now -> 501", "STARTTLSNOW -> 500", "MAIL FROM:<x@ext.test> -> 250", plain("alice@foo.test", "secret")+" -> 503", "STARTTLS -> 220")
	c.startTLS()
	// Nothing that was said before counts.
	steps(c, "RCPT TO:<alice@foo.test> -> 503", "MAIL FROM:<x@ext.test> -> 503", "STARTTLS -> 503", "EHLO client.test -> 250", "MAIL FROM:<x@ext.test> -> 250")

	c = r.greet(t)
	steps(c, plain("alice@foo.test", "secret")+" -> 235", "STARTTLS -> 220")
	c.startTLS()
	steps(c, "EHLO client.test -> 250", "MAIL FROM:<x@ext.test> -> 250", "RCPT TO:<a@far.test> -> 550", "RSET -> 250", plain("alice@foo.test", "secret")+" -> 235")

	c = r.greet(t)
	c.ask("STARTTLS", "220")
	c.send("MAIL FROM:<evil@ext.test>\r\n") // no TLS
	if got := c.reply(); strings.HasPrefix(got, "2") || strings.HasPrefix(got, "5") {
		t.Errorf("a command in place of the handshake was answered %q", got)
	}
}

func TestSMTPS(t *testing.T) {
	r := newRig(t)
	tc, err := tls.Dial("tcp", r.tls, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer tc.Close()
	tc.SetDeadline(time.Now().Add(patience))
	c := newClient(t, tc)
	c.want("220 ")
	steps(c, "EHLO client.test -> 250", "STARTTLS -> 503", plain("alice@foo.test", "secret")+" -> 235")
	c.begin()
	c.ask("DATA", "354")
	c.send("Date: x\r\n\r\n.\r\n")
	c.want("250")
	if got := r.messages(t); len(got) != 1 || !strings.Contains(got[0], " with ESMTPSA (") {
		t.Errorf("messages %q", got)
	}
}

func TestTLSCanBeOff(t *testing.T) {
	r := newRig(t, "EnableSMTP-TLS=0")
	c := r.dial(t)
	c.want("220")
	if got := c.ask("EHLO client.test", "250"); strings.Contains(got, "STARTTLS") {
		t.Errorf("EHLO %s", got)
	}
	c.ask("STARTTLS", "454 4.7.0")
}

// A changing Login lets somebody in whose account is changed right then, before the
// session is known as one of the account.
type changing struct {
	Login
	root   *mailroot.Root
	change func(tx *mailroot.Tx, u mailroot.User) error
}

func (l changing) SMTP(ctx context.Context, cr login.Credentials) (login.Identity, error) {
	who, err := l.Login.SMTP(ctx, cr)
	return who, errors.Join(err, l.root.Update(ctx, func(tx *mailroot.Tx) error { return l.change(tx, who.User) }))
}

func TestAccountChangedDuringTheLogin(t *testing.T) {
	for name, change := range map[string]func(*mailroot.Tx, mailroot.User) error{
		"disabled": func(tx *mailroot.Tx, u mailroot.User) error {
			vars, err := tx.ChangeUserVars(u)
			if err != nil {
				return err
			}
			return vars.Append(mailroot.VarDisabled, "why")
		},
		"another password": func(tx *mailroot.Tx, u mailroot.User) error {
			fields := u.Row.Fields()
			fields[2] = auth.Scramble("other")
			return tx.Table(mailroot.UsersTab).Replace(u.Row, fields...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRigSet(t, func(r *rig) { r.Login = changing{r.Login, r.Root, change} })
			c := r.greet(t)
			c.ask(plain("alice@foo.test", "secret"), "535 5.7.8")
			c.ask("MAIL FROM:<alice@foo.test>", "250")
			c.ask("RCPT TO:<someone@relay.test>", "550 5.7.1")
			if list := r.conns.Registry.List(); len(list) != 1 || list[0].User != "" {
				t.Errorf("sessions %+v, want one of nobody", list)
			}
		})
	}
}

// A readBefore disables an account as soon as it is seen that its owner has read mail.
type readBefore struct {
	Login
	disable func(mailroot.User)
}

func (l readBefore) PopBeforeSMTP(u mailroot.User, ip netip.Addr, life time.Duration) bool {
	ok := l.Login.PopBeforeSMTP(u, ip, life)
	l.disable(u)
	return ok
}

func TestAccountDisabledDuringPopBeforeSMTP(t *testing.T) {
	r := newRigSet(t, func(r *rig) {
		write(t, r.dir, "domains/foo.test/alice/.ipconn", "127.0.0.1\n")
		r.Login = readBefore{r.Login, func(u mailroot.User) {
			err := r.Root.Update(t.Context(), func(tx *mailroot.Tx) error {
				vars, err := tx.ChangeUserVars(u)
				if err != nil {
					return err
				}
				return vars.Append(mailroot.VarDisabled, "why")
			})
			if err != nil {
				t.Error(err)
			}
		}}
	})
	c := r.greet(t)
	c.ask("MAIL FROM:<alice@foo.test>", "250")
	c.ask("RCPT TO:<someone@relay.test>", "550 5.7.1")
	if list := r.conns.Registry.List(); len(list) != 1 || list[0].User != "" {
		t.Errorf("sessions %+v, want one of nobody", list)
	}
}
