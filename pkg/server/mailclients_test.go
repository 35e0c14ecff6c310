package server_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/xmaild/xmaild/pkg/server/program/programtest"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// The account of the default MailRoot.
const (
	mailUser     = "xmailuser@xmailserver.test"
	mailPassword = "xmail"
)

// trickyText is a message, but for its subject, that is easily spoilt on the way.
var trickyText = strings.ReplaceAll(`From: Sender <sender@ext.test>
To: xmailuser@xmailserver.test
Date: Sun, 22 Nov 2026 05:06:02 +0000
Message-ID: <1@ext.test>
Content-Type: text/plain; charset=utf-8

.a dot
..two dots
.

  blanks before and after  
Grüße	tab
`+strings.Repeat("x", 990)+`
last line
`, "\n", "\r\n")

// A mailClients is a server that programs send mail to and read it from.
type mailClients struct {
	*servertest.Server
	t    *testing.T
	ctx  context.Context
	home string
	ca   string
}

// newMailClients starts a server for the programs named, of which each must be
// installed, or the test is left out.
func newMailClients(t *testing.T, programs ...string) *mailClients {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed here; the exchanges test the same in Go", name)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	t.Cleanup(cancel)
	s := servertest.Start(t, servertest.Var("LOGIN-FailureDelay", "0"))
	return &mailClients{Server: s, t: t, ctx: ctx, home: programtest.Dir(t), ca: filepath.Join(s.Dir, "server.cert")}
}

// port is that of an address of the server.
func (c *mailClients) port(addr string) string {
	c.t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		c.t.Fatal(err)
	}
	return port
}

// local is an address of the server by the name that its certificate has.
func (c *mailClients) local(addr string) string { return "localhost:" + c.port(addr) }

// try runs a program with input and returns what it printed.
func (c *mailClients) try(input, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(c.ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	cmd.Env = append(os.Environ(), "HOME="+c.home, "LC_ALL=C")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %q: %w\n%s%s", name, args, err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

func (c *mailClients) run(input, name string, args ...string) string {
	c.t.Helper()
	out, err := c.try(input, name, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// file writes a file for a program, which nobody else may read.
func (c *mailClients) file(name, content string) string {
	c.t.Helper()
	path := filepath.Join(c.home, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// arrived waits until so many messages are in the mailbox, and returns them.
func (c *mailClients) arrived(count int) []string {
	c.t.Helper()
	dir := filepath.Join(c.Dir, "domains", "xmailserver.test", "xmailuser", "Maildir", "new")
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		entries, err := os.ReadDir(dir)
		if err != nil {
			c.t.Fatal(err)
		}
		if len(entries) >= count {
			var all []string
			for _, e := range entries {
				content, err := os.ReadFile(filepath.Join(dir, e.Name()))
				if err != nil {
					c.t.Fatal(err)
				}
				all = append(all, string(content))
			}
			if len(all) > count {
				c.t.Errorf("%d messages, want %d", len(all), count)
			}
			return all
		}
		select {
		case <-tick.C:
		case <-c.ctx.Done():
			c.t.Fatalf("%d messages have arrived, want %d", len(entries), count)
		}
	}
}

// wantMessage wants the tricky message after its subject, line ends aside.
func wantMessage(t *testing.T, what, subject, got string) {
	t.Helper()
	lines := func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }
	_, got, found := strings.Cut(lines(got), "\nSubject: "+subject+"\n")
	if d := cmp.Diff(lines(trickyText), got); !found || d != "" {
		t.Errorf("%s: message %q arrived otherwise (found %v, -sent +got):\n%s", what, subject, found, d)
	}
}

func TestCurlSendsAndReads(t *testing.T) {
	c := newMailClients(t, "curl")
	netrc := c.file("netrc", "machine localhost login "+mailUser+" password "+mailPassword+"\n")
	message := func(subject string) string { return "Subject: " + subject + "\r\n" + trickyText }
	sent := 0
	send := func(subject string, args ...string) {
		t.Helper()
		c.run(message(subject), "curl", append([]string{"-sS", "--netrc-file", netrc, "--cacert", c.ca,
			"--mail-from", mailUser, "--mail-rcpt", mailUser, "-T", "-"}, args...)...)
		sent++
		c.arrived(sent) // so that it is the next one in the mailbox
	}
	send("smtp", "smtp://"+c.local(c.SMTP)+"/client.test")
	send("starttls", "--ssl-reqd", "smtp://"+c.local(c.SMTP))
	send("smtps", "smtps://"+c.local(c.SMTPS))
	send("login", "--ssl-reqd", "--login-options", "AUTH=LOGIN", "smtp://"+c.local(c.SMTP))
	send("cram", "--ssl-reqd", "--login-options", "AUTH=CRAM-MD5", "smtp://"+c.local(c.SMTP))

	read := func(args ...string) string {
		t.Helper()
		return c.run("", "curl", append([]string{"-sS", "--netrc-file", netrc, "--cacert", c.ca}, args...)...)
	}
	want := []string{"smtp", "starttls", "smtps", "login", "cram"}
	for i, subject := range want {
		wantMessage(t, "pop3s", subject, read(fmt.Sprintf("pop3s://%s/%d", c.local(c.POP3S), i+1)))
	}
	wantMessage(t, "pop3 with STLS", "smtp", read("--ssl-reqd", "pop3://"+c.local(c.POP3)+"/1"))
	wantMessage(t, "pop3", "smtp", read("pop3://"+c.local(c.POP3)+"/1"))
	if got := strings.Count(read("pop3s://"+c.local(c.POP3S)+"/"), "\n"); got != len(want) {
		t.Errorf("LIST has %d lines, want %d", got, len(want))
	}
	read("-X", "DELE 1", "--list-only", "pop3s://"+c.local(c.POP3S)+"/1")
	wantMessage(t, "after DELE", "starttls", read("pop3s://"+c.local(c.POP3S)+"/1"))
	if out, err := c.try(message("no"), "curl", "-sS", "--mail-from", "x@ext.test", "--mail-rcpt", "someone@relay.test", "-T", "-", "smtp://"+c.local(c.SMTP)); err == nil || !strings.Contains(err.Error(), "55") {
		t.Errorf("relaying for a stranger: %q, %v, want it refused", out, err)
	}
}

func TestSwaksSends(t *testing.T) {
	c := newMailClients(t, "swaks")
	const data = "Subject: %s\n\ntext\n.\n..\nend\n"
	send := func(subject string, args ...string) {
		t.Helper()
		c.run("", "swaks", append([]string{"--from", mailUser, "--to", mailUser, "--server", "localhost",
			"--data", fmt.Sprintf(data, subject)}, args...)...)
	}
	login := func(mechanism string, args ...string) []string {
		return append(args, "--auth", mechanism, "--auth-user", mailUser, "--auth-password", mailPassword)
	}
	subjects := []string{"stranger"}
	send("stranger", "--port", c.port(c.SMTP))
	for _, mechanism := range []string{"PLAIN", "LOGIN", "CRAM-MD5"} {
		for name, args := range map[string][]string{
			"clear": {"--port", c.port(c.SMTP)}, "tls": {"--tls", "--port", c.port(c.SMTP)}, "tlsc": {"--tlsc", "--port", c.port(c.SMTPS)},
		} {
			send(mechanism+"-"+name, login(mechanism, args...)...)
			subjects = append(subjects, mechanism+"-"+name)
		}
	}
	send("pipelined", "--pipeline", "--port", c.port(c.SMTP))
	subjects = append(subjects, "pipelined")
	all := strings.Join(c.arrived(len(subjects)), "\n")
	for _, subject := range subjects {
		if n := strings.Count(all, "\nSubject: "+subject+"\r\n"); n != 1 {
			t.Errorf("%s arrived %d times, want once", subject, n)
		}
	}
	if out, err := c.try("", "swaks", append(login("PLAIN"), "--auth-password", "wrong", "--to", mailUser, "--server", "localhost", "--port", c.port(c.SMTP))...); err == nil {
		t.Errorf("a wrong password was taken:\n%s", out)
	}
	if out, err := c.try("", "swaks", "--to", "someone@relay.test", "--server", "localhost", "--port", c.port(c.SMTP)); err == nil {
		t.Errorf("a stranger could relay:\n%s", out)
	}
}

func TestPythonSendsAndReads(t *testing.T) {
	c := newMailClients(t, "python3")
	got := c.run(trickyText, "python3", "../../testdata/clients/mail.py", c.port(c.SMTP), c.port(c.SMTPS), c.port(c.POP3), c.port(c.POP3S), c.ca)
	want := `clear {} 221
starttls {} 221
smtps {} 221
PLAIN 235
LOGIN 235
CRAM-MD5 235
utf8 {}
relay 550
wrong 535
pop3 4 4 ['AUTH-RESP-CODE', 'IMPLEMENTATION']
Subject: clear True
Subject: smtps True
Subject: starttls True
top True b'+OK'
quit b'+OK'
pop3s 3
locked True
apop b'+OK' b'+OK' 3
quit b'+OK'
`
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("output (-want +got):\n%s", d)
	}
	if left := c.arrived(0); len(left) != 0 {
		t.Errorf("%d messages are left after they were deleted", len(left))
	}
}

func TestPerlSendsAndReads(t *testing.T) {
	c := newMailClients(t, "perl")
	if _, err := c.try("", "perl", "-MNet::SMTP", "-MNet::POP3", "-MIO::Socket::SSL", "-MAuthen::SASL", "-e", "1"); err != nil {
		t.Skipf("a module of Perl is not installed here: %v", err)
	}
	got := c.run(trickyText, "perl", "../../testdata/clients/mail.pl", c.port(c.SMTP), c.port(c.SMTPS), c.port(c.POP3), c.port(c.POP3S), c.ca)
	want := `clear 250
smtps 250
starttls 250
apop 3 clear smtps starttls 3
pop3s 3 clear smtps starttls 3
stls 3 clear smtps starttls 3
wrong refused
`
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("output (-want +got):\n%s", d)
	}
}

func TestMsmtpSends(t *testing.T) {
	c := newMailClients(t, "msmtp")
	config := c.file("msmtprc", fmt.Sprintf(`defaults
host localhost
from %[1]s
user %[1]s
password %[2]s
tls_trust_file %[3]s

account starttls
port %[4]s
tls on
auth plain

account smtps
port %[5]s
tls on
tls_starttls off
auth login

account cram
port %[4]s
tls off
auth cram-md5

account wrong
port %[4]s
tls on
auth plain
password other
`, mailUser, mailPassword, c.ca, c.port(c.SMTP), c.port(c.SMTPS)))
	// It reads lines that end as those of files do.
	text := strings.ReplaceAll(trickyText, "\r\n", "\n")
	for i, account := range []string{"starttls", "smtps", "cram"} {
		c.run("Subject: "+account+"\n"+text, "msmtp", "-C", config, "-a", account, mailUser)
		for _, m := range c.arrived(i + 1) {
			if strings.Contains(m, "\nSubject: "+account+"\r\n") {
				wantMessage(t, "msmtp", account, m)
			}
		}
	}
	if out, err := c.try(text, "msmtp", "-C", config, "-a", "wrong", mailUser); err == nil {
		t.Errorf("a wrong password was taken: %s", out)
	}
	if got := c.run("", "msmtp", "-C", config, "-a", "starttls", "--serverinfo"); !strings.Contains(got, "PIPELINING") || !strings.Contains(got, "DSN") {
		t.Errorf("msmtp sees other capabilities:\n%s", got)
	}
}

// deliver puts the tricky message into the empty mailbox, by SMTP. Each is there before
// the next one is sent: of two that are on their way at once either may come first.
func (c *mailClients) deliver(subjects ...string) {
	c.t.Helper()
	for i, subject := range subjects {
		if err := sendMail(c.SMTP, "sender@ext.test", mailUser, "Subject: "+subject+"\r\n"+trickyText); err != nil {
			c.t.Fatal(err)
		}
		c.arrived(i + 1)
	}
}

func TestMpopFetches(t *testing.T) {
	c := newMailClients(t, "mpop")
	c.deliver("one", "two")
	box := filepath.Join(c.home, "Maildir")
	for _, dir := range []string{"new", "cur", "tmp"} {
		if err := os.MkdirAll(filepath.Join(box, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	config := c.file("mpoprc", fmt.Sprintf(`defaults
host localhost
user %[1]s
password %[2]s
tls_trust_file %[3]s
delivery maildir %[6]s
uidls_file %[7]s

account stls
port %[4]s
tls on
tls_starttls on
auth user
keep on

account pop3s
port %[5]s
tls on
tls_starttls off
auth plain
keep off
uidls_file %[7]s.other

account apop
port %[4]s
tls off
auth apop
`, mailUser, mailPassword, c.ca, c.port(c.POP3), c.port(c.POP3S), box, filepath.Join(c.home, "uidls")))
	for _, test := range []struct {
		account string
		want    int // in all
	}{{"stls", 2}, {"stls", 2}, {"pop3s", 4}, {"apop", 4}} {
		c.run("", "mpop", "-q", "-C", config, test.account)
		entries, err := os.ReadDir(filepath.Join(box, "new"))
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) != test.want {
			t.Errorf("after %s %d messages have been fetched, want %d", test.account, len(entries), test.want)
		}
		for _, e := range entries {
			content, err := os.ReadFile(filepath.Join(box, "new", e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			subject := "one"
			if strings.Contains(string(content), "\nSubject: two\n") {
				subject = "two"
			}
			wantMessage(t, "mpop", subject, string(content))
		}
	}
	c.arrived(0)
}

func TestFetchmailFetches(t *testing.T) {
	c := newMailClients(t, "fetchmail")
	c.deliver("one", "two")
	into := filepath.Join(c.home, "mbox")
	mda := programtest.Script(t, "cat >>"+into+"\necho @@end >>"+into+"\n")
	config := func(name, rest string) string {
		return c.file(name, fmt.Sprintf("poll localhost protocol pop3 %s mda %q\n", rest, mda))
	}
	user := fmt.Sprintf("user %q password %q", mailUser, mailPassword)
	ssl := fmt.Sprintf("sslcertck sslcertfile %q", c.ca)
	stls := config("stls", fmt.Sprintf("port %s uidl %s sslproto tls1+ %s keep", c.port(c.POP3), user, ssl))
	ssls := config("ssl", fmt.Sprintf("port %s %s ssl %s fetchall no keep", c.port(c.POP3S), user, ssl))
	for _, name := range []string{stls, ssls} {
		c.run("", "fetchmail", "--nosyslog", "--nodetach", "--pidfile", filepath.Join(c.home, "pid"), "-f", name)
	}
	content, err := os.ReadFile(into)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.SplitAfter(string(content), "@@end\n")
	if len(got) != 5 {
		t.Fatalf("%d messages were fetched, want two and two again:\n%s", len(got)-1, content)
	}
	for i, subject := range []string{"one", "two", "one", "two"} {
		wantMessage(t, "fetchmail", subject, strings.TrimSuffix(got[i], "@@end\n"))
	}
	c.arrived(0)
}
