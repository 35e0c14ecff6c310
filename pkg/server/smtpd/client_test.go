package smtpd

import (
	"crypto/tls"
	"io"
	"net/smtp"
	"strings"
	"testing"
)

// TestTheStandardLibrarysClient sends mail as programs do, over TLS and with a login.
func TestTheStandardLibrarysClient(t *testing.T) {
	r := newRig(t)
	for name, auth := range map[string]smtp.Auth{
		"PLAIN": smtp.PlainAuth("", "alice@foo.test", "secret", "127.0.0.1"), "CRAM-MD5": smtp.CRAMMD5Auth("alice@foo.test", "secret"),
	} {
		before := len(r.messages(t))
		c, err := smtp.Dial(r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for what, step := range []func() error{
			func() error { return c.StartTLS(&tls.Config{InsecureSkipVerify: true}) },
			func() error { return c.Auth(auth) },
			func() error { return c.Mail("alice@foo.test") },
			func() error { return c.Rcpt("someone@far.test") },
			func() error {
				w, err := c.Data()
				if err == nil {
					_, err = io.WriteString(w, "Subject: a\n\n.dot\n")
				}
				if err == nil {
					err = w.Close()
				}
				return err
			},
			c.Quit,
		} {
			if err := step(); err != nil {
				t.Fatalf("%s, step %d: %v", name, what, err)
			}
		}
		got := r.messages(t)
		if len(got) != before+1 || !strings.HasSuffix(got[before], "\r\n\r\n.dot\r\n") || !strings.Contains(got[before], "SMTPSA (") {
			t.Errorf("%s: messages %q", name, got)
		}
	}
}
