package server_test

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// A report is a notification of RFC 3464.
type report struct {
	mail.Header
	text       string               // for people
	message    textproto.MIMEHeader // of the delivery status
	recipients []textproto.MIMEHeader
	original   string // type of the third part and what is in it
}

// report reads a notification.
func (m *mesh) report(content string) report {
	m.t.Helper()
	msg := m.parsed(content)
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		m.t.Fatalf("content type %q, %v, want a report of a delivery status: %q", msg.Header.Get("Content-Type"), err, content)
	}
	r := report{Header: msg.Header}
	parts := multipart.NewReader(msg.Body, params["boundary"])
	for n := 0; ; n++ {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			if n != 3 {
				m.t.Fatalf("a report of %d parts, want 3: %q", n, content)
			}
			return r
		}
		if err != nil {
			m.t.Fatal(err)
		}
		body, err := io.ReadAll(part)
		if err != nil {
			m.t.Fatal(err)
		}
		kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type"))
		switch n {
		case 0:
			r.text = string(body)
		case 1:
			if kind != "message/delivery-status" && kind != "message/global-delivery-status" {
				m.t.Errorf("second part is %q", kind)
			}
			r.status(m, body)
		case 2:
			r.original = kind + "\n" + string(body)
		}
	}
}

// status reads the blocks of fields of the second part.
func (r *report) status(m *mesh, body []byte) {
	m.t.Helper()
	for n, block := range bytes.Split(bytes.TrimSpace(body), []byte("\r\n\r\n")) {
		fields, err := textproto.NewReader(bufioReader(append(block, "\r\n\r\n"...))).ReadMIMEHeader()
		if err != nil {
			m.t.Fatalf("%v in %q", err, block)
		}
		if n == 0 {
			r.message = fields
		} else {
			r.recipients = append(r.recipients, fields)
		}
	}
}

func TestNotificationOfWhatTheOtherServerRefuses(t *testing.T) {
	m := newMesh(t)
	a, b := m.site("a.test", []string{"ann"}, nil), m.site("b.test", []string{"ben"}, nil)
	if err := a.trySubmit("ann@a.test", text("mixed"), "ben@b.test", "nobody@b.test"); err != nil {
		t.Fatal(err)
	}
	b.arrived("ben", 1)
	got := a.arrived("ann", 1)[0]
	m.settle()
	a.arrived("ann", 1)
	if !strings.HasPrefix(got, "Return-Path: <>\r\n") {
		t.Errorf("the notification begins %.80q, want a null sender", got)
	}
	r := m.report(got)
	if len(r.recipients) != 1 {
		t.Fatalf("%d recipients are told of, want the one that failed: %q", len(r.recipients), got)
	}
	for field, want := range map[string]string{
		"Final-Recipient": "rfc822;nobody@b.test", "Action": "failed", "Status": "5.1.1", "Remote-Mta": "dns;mx.b.test",
	} {
		if got := strings.ReplaceAll(r.recipients[0].Get(field), "; ", ";"); got != want {
			t.Errorf("%s: %q, want %q", field, got, want)
		}
	}
	if code := r.recipients[0].Get("Diagnostic-Code"); !strings.HasPrefix(strings.ReplaceAll(code, " ", ""), "smtp;550") {
		t.Errorf("Diagnostic-Code %q, want the reply of the other server", code)
	}
	if !strings.Contains(r.message.Get("Reporting-MTA"), "a.test") {
		t.Errorf("Reporting-MTA %q, want a.test", r.message.Get("Reporting-MTA"))
	}
	if !strings.Contains(r.original, "Subject: mixed") {
		t.Errorf("the third part is %q, want the header of the message", r.original)
	}
	if to := r.Get("To"); !strings.Contains(to, "ann@a.test") {
		t.Errorf("To: %q", to)
	}
	if r.Get("Auto-Submitted") != "auto-replied" {
		t.Errorf("Auto-Submitted: %q, want auto-replied", r.Get("Auto-Submitted"))
	}
}

// TestNobodyIsToldOfNotifications sends from an address that does not exist, to one
// that does not either: the notification fails, and that is the end.
func TestNobodyIsToldOfNotifications(t *testing.T) {
	m := newMesh(t)
	a, b := m.site("a.test", []string{"ann"}, nil), m.site("b.test", []string{"ben"}, nil)
	a.Write(t, "cmdaliases/a.test/away.tab", row("redirect", "gone@b.test"))
	a.receive("forged@b.test", "away@a.test", text("forged"))
	a.logged("delivery has failed")
	m.settle()
	a.arrived("root", 1) // ErrorsAdmin is told of the first failure
	for name, n := range map[string]int{"ann": len(a.mails("ann")), "ben": len(b.mails("ben")), "root of b": len(b.mails("root"))} {
		if n != 0 {
			t.Errorf("%s has %d messages, want none", name, n)
		}
	}
}

// TestAdministratorsOfTwoServersDoNotTellEachOtherForEver has two servers whose
// ErrorsAdmin is at the other one, and redirects to nobody.
func TestAdministratorsOfTwoServersDoNotTellEachOtherForEver(t *testing.T) {
	for _, command := range []string{"redirect", "lredirect"} {
		t.Run(command, func(t *testing.T) {
			m := newMesh(t)
			a := m.site("a.test", []string{"ann"}, nil, servertest.Var("ErrorsAdmin", "away@b.test"), servertest.Var("NoSenderBounce", "0"))
			b := m.site("b.test", []string{"ben"}, nil, servertest.Var("ErrorsAdmin", "away@a.test"), servertest.Var("NoSenderBounce", "0"))
			a.Write(t, "cmdaliases/a.test/away.tab", row(command, "gone@b.test"))
			b.Write(t, "cmdaliases/b.test/away.tab", row(command, "gone@a.test"))
			a.submit("ann@a.test", "gone@b.test", text("lost"))
			a.arrived("ann", 1)
			b.logged("nobody is told")
			m.settle()
			if n := strings.Count(a.Log()+b.Log(), "delivery has failed"); n != 2 {
				t.Errorf("%d deliveries have failed, want that of the message and that of the notification", n)
			}
		})
	}
}

func TestParametersOfNotificationsGoToTheOtherServer(t *testing.T) {
	m := newMesh(t)
	a, b := m.site("a.test", []string{"ann"}, nil), m.site("b.test", []string{"ben"}, nil)
	for _, mail := range []struct{ from, rcpt string }{
		{"RET=HDRS ENVID=success", "ben@b.test> NOTIFY=SUCCESS ORCPT=rfc822;other+2Bname@b.test"},
		{"RET=FULL ENVID=never", "nobody@b.test> NOTIFY=NEVER"},
		{"RET=FULL ENVID=full", "nobody@b.test> NOTIFY=FAILURE,DELAY"},
	} {
		c, err := smtp.Dial(a.SMTP)
		if err != nil {
			t.Fatal(err)
		}
		host, _, _ := strings.Cut(a.SMTP, ":")
		if err := c.Auth(smtp.PlainAuth("", "ann@a.test", sitePassword, host)); err != nil {
			t.Fatal(err)
		}
		lines := []string{"MAIL FROM:<ann@a.test> " + mail.from, "RCPT TO:<" + mail.rcpt}
		for _, line := range lines {
			id, err := c.Text.Cmd("%s", line)
			if err != nil {
				t.Fatal(err)
			}
			c.Text.StartResponse(id)
			_, _, err = c.Text.ReadResponse(250)
			c.Text.EndResponse(id)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
		}
		w, err := c.Data()
		if err == nil {
			_, err = w.Write([]byte(text(mail.from)))
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	b.arrived("ben", 1)
	m.settle()
	reports := map[string]report{}
	for _, content := range a.arrived("ann", 2) {
		r := m.report(content)
		reports[r.message.Get("Original-Envelope-Id")] = r
	}
	success, ok := reports["success"]
	if !ok {
		t.Fatalf("nobody tells of the delivery: %v", reports)
	}
	if got := success.recipients[0]; got.Get("Action") != "delivered" || !strings.Contains(got.Get("Original-Recipient"), "other+name@b.test") && !strings.Contains(got.Get("Original-Recipient"), "other+2Bname@b.test") {
		t.Errorf("delivery: %v, want action delivered for the recipient as it was", got)
	}
	full, ok := reports["full"]
	if !ok {
		t.Fatalf("nobody tells of the failure: %v", reports)
	}
	if !strings.HasPrefix(full.original, "message/rfc822\n") || !strings.Contains(full.original, "text of RET=FULL ENVID=full") {
		t.Errorf("RET=FULL gives %q, want the whole message", full.original)
	}
}

func TestNamesInOtherScriptsGoToTheOtherServer(t *testing.T) {
	m := newMesh(t)
	a, b := m.site("a.test", []string{"ann"}, nil), m.site("b.test", []string{"jörg"}, nil)
	a.submit("ann@a.test", "jörg@b.test", strings.Replace(text("grüße"), "\r\n\r\n", "\r\nTo: jörg@b.test\r\n\r\n", 1))
	got := b.arrived("jörg", 1)[0]
	m.wantBody(got, "grüße")
	if !strings.Contains(got, "UTF8SMTP") {
		t.Errorf("the header does not tell of SMTPUTF8: %q", got)
	}
	a.submit("ann@a.test", "jürgen@b.test", text("nobody"))
	r := m.report(a.arrived("ann", 1)[0])
	if to := r.recipients[0].Get("Final-Recipient"); !strings.Contains(to, "jürgen@b.test") && !strings.Contains(to, `j\x{FC}rgen@b.test`) {
		t.Errorf("Final-Recipient: %q", to)
	}
	m.settle()
}

// TestNamesInOtherScriptsBounceWhereNobodyReadsThem has a host that does not know
// SMTPUTF8.
func TestNamesInOtherScriptsBounceWhereNobodyReadsThem(t *testing.T) {
	m := newMesh(t)
	a := m.site("a.test", []string{"ann"}, nil)
	old := startSink(t, "250-old.test\r\n250 8BITMIME\r\n")
	m.mx("old.test", "mx.old.test", siteIP(50))
	m.host(siteIP(50), old.addr)
	a.submit("ann@a.test", "jörg@old.test", text("no way"))
	r := m.report(a.arrived("ann", 1)[0])
	if status := r.recipients[0].Get("Status"); status != "5.6.7" && status != "5.6.9" {
		t.Errorf("status %q, want 5.6.7 for the address, or 5.6.9 for the header that names it", status)
	}
	a.submit("ann@a.test", "joerg@old.test", text("plain"))
	m.settle()
	if n := old.count("joerg@old.test"); n != 1 {
		t.Errorf("%d messages with a plain address, want 1", n)
	}
}
