package smtpd

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/login"
	"github.com/xmaild/xmaild/pkg/server/policy"
	accept "github.com/xmaild/xmaild/pkg/server/session"
)

func TestAMessageIsTaken(t *testing.T) {
	r := newRig(t)
	c := r.dial(t)
	if got := c.want("220 mx.foo.test <"); !strings.Contains(got, "@mx.foo.test> [xmaild ESMTP Server] service ready; ") {
		t.Errorf("greeting %q", got)
	}
	c.ask("EHLO client.test", "250-foo.test|")
	c.begin()
	c.ask("DATA", "354 ")
	c.send("From: x@ext.test\r\n\r\n..dot\r\nlast\r\n.\r\n")
	c.want("250 2.0.0 OK <S")
	c.ask("QUIT", "221 2.0.0 ")
	c.gone()
	got := r.messages(t)
	if len(got) != 1 || !strings.HasSuffix(got[0], "From: x@ext.test\r\n\r\n.dot\r\nlast\r\n") || !strings.HasPrefix(got[0], "Received: from client.test (") {
		t.Errorf("messages %q", got)
	}
}

// steps plays commands and the beginnings of their replies.
func steps(c *client, lines ...string) {
	c.t.Helper()
	for _, line := range lines {
		command, want, _ := strings.Cut(line, " -> ")
		c.ask(command, want)
	}
}

func TestOrderOfCommands(t *testing.T) {
	r := newRig(t)
	c := r.dial(t)
	c.want("220")
	steps(c,
		"MAIL FROM:<a@b.test> -> 503 5.5.1", "RCPT TO:<alice@foo.test> -> 503", "DATA -> 503", "BDAT 2 LAST\r\n -> 503", "AUTH PLAIN -> 503",
		"RSET -> 250", "NOOP x -> 250 2.0.0", "HELP -> 214-", "QUITT -> 500 5.5.1", "expn x -> 502", " NOOP -> 500", " -> 500",
		"HELO -> 501", "HELO a b -> 501", "EHLO a;b -> 501", "EHLO a\"b -> 501", "HELO client.test -> 250 foo.test",
		"EHLO [192.0.2.1] -> 250-foo.test", "ehlo [IPv6:2001:db8::1] -> 250-", "EHLO host_name -> 250-",
		"RCPT TO:<alice@foo.test> -> 503", "MAIL -> 501", "MAIL FROM -> 501", "MAIL FROM:a@b.test -> 501", "MAIL FROM:<a b@c.test> -> 501", "MAIL FROM:<a@b.test.> -> 501",
		"MAIL FROM: <a@b.test> -> 250 2.1.0", "MAIL FROM:<again@b.test> -> 503", "AUTH PLAIN AGEAYgBj -> 503",
		"RCPT TO:<> -> 501", "RCPT TO:<x> -> 501", "RCPT TO:<nobody@foo.test> -> 550 5.1.1", "RCPT TO:<a@far.test> -> 550 5.7.1", "DATA -> 503",
		"RCPT TO:<postmaster> -> 250", "UNKNOWN -> 500", "RCPT TO:<bob@foo.test> -> 250 2.1.5", "RSET -> 250 2.0.0", "RCPT TO:<bob@foo.test> -> 503",
		"MAIL FROM:<> -> 250", "EHLO client.test -> 250-", "RCPT TO:<bob@foo.test> -> 503",
		"MAIL FROM:<a@b.test> -> 250", "HELO client.test -> 250", "DATA -> 503", "QUIT -> 221",
	)
	c.gone()
}

func TestExtensions(t *testing.T) {
	for level, want := range map[string]string{
		"0": "250-foo.test|250-VRFY|250-ETRN|250-8BITMIME|250-PIPELINING|250-AUTH LOGIN PLAIN CRAM-MD5|250-SIZE 1024000|250-ENHANCEDSTATUSCODES|250-CHUNKING|250-SMTPUTF8|250-DSN|250 STARTTLS",
		"1": "250-foo.test|250-8BITMIME|250-PIPELINING|250-AUTH LOGIN PLAIN CRAM-MD5|250-SIZE 1024000|250-ENHANCEDSTATUSCODES|250-CHUNKING|250-SMTPUTF8|250-DSN|250 STARTTLS",
	} {
		r := newRig(t, "CompatLevel="+level, "MaxMessageSize=1000")
		c := r.dial(t)
		c.want("220")
		if got := c.ask("EHLO client.test", "250-"); got != want {
			t.Errorf("level %s: %s, want %s", level, got, want)
		}
		c.ask("STARTTLS", "220")
		c.startTLS()
		if got := c.ask("EHLO client.test", "250-"); got != strings.TrimSuffix(strings.Replace(want, "250-DSN", "250 DSN", 1), "|250 STARTTLS") {
			t.Errorf("level %s inside TLS: %s", level, got)
		}
	}
}

func TestParameters(t *testing.T) {
	r := newRig(t, "MaxMessageSize=10")
	c := r.greet(t)
	for param, want := range map[string]string{
		"SIZE=10240": "250", "SIZE=10241": "552 5.3.4", "size=99999999999999999999": "552", "SIZE=x": "501", "SIZE=": "501", "SIZE": "501", "SIZE=1 SIZE=1": "501",
		"BODY=8BITMIME": "250", "body=7bit": "250", "BODY=BINARYMIME": "504", "BODY=x": "501", "SMTPUTF8": "250",
		"RET=HDRS ENVID=QQ314159": "250", "RET=x": "501", "ENVID=a+b": "501", "AUTH=<>": "250", "AUTH=a@b.test": "250", "AUTH=+": "500",
		"X=1": "555 5.5.4", "NOTIFY=NEVER": "555", "REQUIRETLS": "555", "BY=1;R": "555", "  SIZE=99999999": "552", "BODY=8BITMIME SIZE=99999999": "552",
	} {
		c.ask("MAIL FROM:<a@b.test> "+param, want)
		c.ask("RSET", "250")
		c.ask("MAIL FROM:<>  "+param, want)
		c.ask("RSET", "250")
	}
	c.ask("MAIL FROM:<a@b.test>SIZE=1", "501")
	c.ask("MAIL FROM:<a@b.test>", "250")
	for param, want := range map[string]string{
		"NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+2Bb@c.test": "250", "NOTIFY=NEVER": "250", "NOTIFY=NEVER,SUCCESS": "501", "ORCPT=x": "501",
		"SIZE=1": "555", "X=1": "555", "MT-PRIORITY=1": "555",
	} {
		c.ask("RCPT TO:<alice@foo.test> "+param, want)
	}
	c.ask("DATA", "354")
	c.send(strings.Repeat("x", 100) + "\r\n.\r\n")
	c.want("250")
}

func TestAnEnvelopeIsKept(t *testing.T) {
	r := newRig(t)
	c := r.greet(t)
	steps(c, "MAIL FROM:<x@ext.test> BODY=8BITMIME RET=FULL ENVID=a+3Db -> 250", "RCPT TO:<ALICE@Foo.Test> NOTIFY=delay,failure ORCPT=rfc822;a+2Bb@c.test -> 250", "RCPT TO:<bob@foo.test> -> 250", "DATA -> 354")
	c.send("Subject: x\r\n\r\n\xe4\r\n.\r\n")
	c.want("250")
	lease, err := r.queue.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Return()
	e := lease.Envelope
	if e.From != "x@ext.test" || e.Body != "8BITMIME" || e.Ret != "FULL" || e.EnvID != "a=b" || e.Helo != "client.test" || e.Domain != "mx.foo.test" ||
		e.Proto != "ESMTP" || e.TLS || e.Mail != "MAIL FROM:<x@ext.test> BODY=8BITMIME RET=FULL ENVID=a+3Db" || !e.Client.Addr().IsLoopback() || e.Server.String() != r.addr {
		t.Errorf("envelope %+v", e)
	}
	if to := e.Recipients; len(to) != 2 || to[0].Address != "ALICE@foo.test" || to[0].Real != "alice@foo.test" || to[0].Notify != "DELAY,FAILURE" || to[0].ORcpt != "RFC822;a+b@c.test" || to[1].Real != "bob@foo.test" {
		t.Errorf("recipients %+v", to)
	}
}

func TestSMTPUTF8(t *testing.T) {
	r := newRig(t)
	write(t, r.dir, "aliases.tab", "\"foo.test\"\t\"почта\"\t\"alice\"\n")
	r.stop()
	r = &rig{dir: r.dir}
	r.serve(t)
	c := r.greet(t)
	steps(c, "MAIL FROM:<ж@ext.test> -> 553 5.6.7", "MAIL FROM:<x@ext.test> -> 250", "RCPT TO:<почта@foo.test> -> 553 5.6.7", "RSET -> 250",
		"MAIL FROM:<ж@ext.test> SMTPUTF8 -> 250", "RCPT TO:<почта@foo.test> -> 250", "NOOP \xff -> 500 5.5.2", "DATA -> 354")
	c.send("Subject: ж\r\n\r\n.\r\n")
	c.want("250")
	if got := r.messages(t); len(got) != 1 || !strings.Contains(got[0], " with UTF8SMTP (") || strings.Contains(got[0], "почта") || !strings.Contains(got[0], " from <ж@ext.test>") {
		t.Errorf("messages %q", got)
	}
}

func TestMessageSize(t *testing.T) {
	r := newRig(t, "MaxMessageSize=1")
	for size, want := range map[int]string{1024: "250", 1025: "552 5.3.4", 100000: "552 5.3.4"} {
		c := r.greet(t)
		c.begin()
		c.ask("DATA", "354")
		c.send(strings.Repeat("x", size-2) + "\r\n.\r\nNOOP\r\n")
		c.want(want)
		c.want("250 2.0.0 OK")
		c.begin()
		c.send("BDAT 3000\r\n" + strings.Repeat("y", 3000) + "BDAT 2 LAST\r\n\r\n")
		c.want("250")
		c.want("552")
	}
	if got := r.messages(t); len(got) != 1 {
		t.Errorf("%d messages, want one", len(got))
	}
}

func TestTooManyRecipients(t *testing.T) {
	r := newRigSet(t, func(r *rig) { r.MaxRecipients = 2 })
	c := r.greet(t)
	c.begin()
	steps(c, "RCPT TO:<bob@foo.test> -> 250", "RCPT TO:<bob@foo.test> -> 452 4.5.3", "DATA -> 354")
	c.send(".\r\n")
	c.want("250")
}

func TestTooManyErrors(t *testing.T) {
	for variables, most := range map[string]int{"SMTP-MaxErrors=3": 3, "CompatLevel=1": 10, "CompatLevel=0": 0} {
		r := newRig(t, variables, "CustomSMTPMessage=see http://foo.test/")
		c := r.greet(t)
		for range 20 {
			if most--; most == -1 {
				break
			}
			if got := c.ask("BOGUS", "500 "); !strings.HasSuffix(got, " - see http://foo.test/") {
				t.Errorf("%s: refused with %q", variables, got)
			}
			c.send("") // the good ones do not count
		}
		if variables == "CompatLevel=0" {
			c.ask("NOOP", "250")
			continue
		}
		c.gone()
		if rows := r.records(t); len(rows) == 0 || rows[len(rows)-1][9] != "SMTP=EERRS" {
			t.Errorf("%s: log %q", variables, rows)
		}
	}
}

func TestVRFYAndETRN(t *testing.T) {
	var flushed []string
	r := newRigSet(t, func(r *rig) {
		r.Flush = func(_ context.Context, arg string) error {
			flushed = append(flushed, arg)
			return nil
		}
	})
	c := r.greet(t)
	steps(c, "VRFY alice@foo.test -> 252", "ETRN foo.test -> 501")
	r.policy.set(func(c *policy.Client) { c.VRFY, c.ETRN = true, true })
	c = r.greet(t)
	steps(c, "VRFY alice@foo.test -> 250 2.1.5 alice <alice@foo.test>", "VRFY <bob@foo.test> -> 250", "VRFY x@foo.test -> 550", "VRFY alice -> 501",
		"ETRN -> 501", "ETRN a b -> 501", "ETRN *.foo.test -> 250 2.0.0 Queueing for '*.foo.test' has been started", "STARTTLS -> 220")
	if len(flushed) != 1 || flushed[0] != "*.foo.test" {
		t.Errorf("flushed %q", flushed)
	}
	c.startTLS()
	c.ask("VRFY bob@foo.test", "250") // what the address may do survives TLS
}

func TestRefusedBeforeTheGreeting(t *testing.T) {
	r := newRig(t)
	r.policy.set(func(c *policy.Client) {
		c.Refuse = &policy.Reply{Code: 421, Text: "go\r\n220 away", Log: "SNDRIP=EIPBAN"}
	})
	c := r.dial(t)
	c.want("421 go??220 away")
	c.gone()
	if rows := r.records(t); len(rows) != 1 || rows[0][9] != "SNDRIP=EIPBAN" || len(rows[0]) != 13 {
		t.Errorf("log %q", rows)
	}
}

func TestDelayUntilLogin(t *testing.T) {
	r := newRig(t)
	const delay = 60 * time.Millisecond
	r.policy.set(func(c *policy.Client) { c.Delay = delay })
	c := r.dial(t)
	c.want("220")
	began := time.Now()
	c.ask("EHLO client.test", "250")
	c.ask("NOOP", "250")
	if took := time.Since(began); took < 2*delay {
		t.Errorf("two commands took %v, want %v at least", took, 2*delay)
	}
	r.policy.set(func(c *policy.Client) { c.Delay = time.Hour })
	c = r.dial(t)
	c.want("220")
	c.send("EHLO client.test\r\n")
	c.Close()
}

// A countedConn tells when a client has sent so much.
type countedConn struct {
	*accept.Conn
	left int
	came func()
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.left -= n; c.left <= 0 {
		c.came()
	}
	return n, err
}

func TestAShutdownDoesNotWaitForADelay(t *testing.T) {
	const command = "NOOP\r\n"
	came := make(chan struct{})
	r := newRigSet(t, func(r *rig) {
		r.conns.Handle = func(ctx context.Context, c *accept.Conn) {
			r.ServeConn(ctx, &countedConn{c, maxCommand + len(command), sync.OnceFunc(func() { close(came) })})
		}
	})
	r.policy.set(func(c *policy.Client) { c.Delay = time.Hour })
	c := r.dial(t)
	c.want("220")
	c.send(strings.Repeat(command, maxCommand/len(command)+2)) // more than is kept while it waits
	<-came
	r.stop()
	c.want("421 4.3.2 ")
}

func TestAShutdownDoesNotWaitForTheDelayOfAFailedLogin(t *testing.T) {
	failed := make(chan struct{})
	tell := told{sync.OnceFunc(func() { close(failed) })}
	r := newRigSet(t, func(r *rig) {
		r.Login = login.New(r.Root, login.Options{Log: slog.New(slog.NewTextHandler(tell, nil))})
	}, "LOGIN-FailureDelay=3600")
	c := r.greet(t)
	c.send(plain("alice@foo.test", "wrong") + "\r\n")
	<-failed
	r.stop()
	c.want("535 5.7.8")
	c.want("421 4.3.2 ")
}

// A told log tells when something is logged.
type told struct{ came func() }

func (l told) Write(p []byte) (int, error) {
	l.came()
	return len(p), nil
}

func TestSmtpConfig(t *testing.T) {
	r := newRig(t, "SmtpConfig=MailAuth,WantTLS", "SmtpConfig-127.0.0.1,1=WantTLS=0", "SmtpConfig-192.0.2.1=")
	c := r.greet(t)
	steps(c, "MAIL FROM:<x@ext.test> -> 530", "STARTTLS -> 220")
	c.startTLS()
	steps(c, "MAIL FROM:<x@ext.test> -> 503", "EHLO client.test -> 250", "MAIL FROM:<x@ext.test> -> 530", plain("alice@foo.test", "secret")+" -> 235", "MAIL FROM:<x@ext.test> -> 250")
	r.policy.set(func(c *policy.Client) { c.NoAuth, c.EaseTLS = true, true })
	c = r.greet(t)
	c.ask("MAIL FROM:<x@ext.test>", "250")
}

func TestShutdownTellsIdleClients(t *testing.T) {
	r := newRig(t)
	c := r.greet(t)
	idle := make(chan string, 1)
	go func() { idle <- c.reply() }()
	r.stop()
	if got := <-idle; !strings.HasPrefix(got, "421 4.3.2 ") {
		t.Errorf("an idle client was told %q", got)
	}
}

func TestLongLines(t *testing.T) {
	r := newRig(t)
	c := r.greet(t)
	c.ask("NOOP "+strings.Repeat("x", 4000), "250")
	c.ask("NOOP "+strings.Repeat("x", 5000), "500 5.5.2")
	c.ask("NOOP "+strings.Repeat("x", 100000), "500 5.5.2")
	c.ask("MAIL FROM:<"+strings.Repeat("x", 300)+"@ext.test>", "501")
	c.ask("NOOP", "250")
	c.ask("AUTH LOGIN", "334")
	c.ask(strings.Repeat("x", 20000), "501")
	c.ask("NOOP\x00", "500")
	c.ask("NO\rOP", "500")
	c.send("NOOP\nNOOP\r\r\n") // in commands these ends do no harm
	c.want("250")
	c.want("250")
}

func TestTooBusy(t *testing.T) {
	r := newRigSet(t, func(r *rig) { r.conns.Limits = func() (int, int) { return 1, 0 } })
	c := r.greet(t)
	d := r.dial(t)
	d.want("421 4.3.2 ")
	d.gone()
	c.ask("NOOP", "250")
}

func TestTheLogHasTheReferencesColumns(t *testing.T) {
	r := newRig(t)
	c := r.greet(t)
	steps(c, plain("alice@foo.test", "no")+" -> 535", plain("alice:foo.test", "secret")+" -> 235",
		"MAIL FROM:<x@ext.test> -> 250", "RCPT TO:<nobody@foo.test> -> 550", "RCPT TO:<alice@foo.test> -> 250", "DATA -> 354")
	c.send("Date: x\r\nMessage-ID: x\r\n\r\nx\r\n.\r\n")
	c.want("250")
	rows := r.records(t)
	var got []string
	for _, row := range rows {
		if len(row) != 13 || row[0] != "mx.foo.test" || row[2] != "127.0.0.1" || row[4] != "client.test" {
			t.Errorf("row %q", row)
		}
		got = append(got, strings.Join(append(row[5:8:8], row[9:12]...), ","))
	}
	want := []string{
		",,,AUTH=EFAIL:TYPE=PLAIN,,0",
		"foo.test,x@ext.test,nobody@foo.test,RCPT=EAVAIL,alice:foo.test,0",
		"foo.test,x@ext.test,alice@foo.test,RCPT=OK,alice:foo.test,0",
		"foo.test,x@ext.test,alice@foo.test,RECV=OK,alice:foo.test,29",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("log\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAPanicEndsOneSession(t *testing.T) {
	r := newRigSet(t, func(r *rig) { r.Flush = func(context.Context, string) error { panic("on purpose") } })
	r.policy.set(func(c *policy.Client) { c.ETRN = true })
	c, other := r.greet(t), r.greet(t)
	c.ask("ETRN foo.test", "421")
	c.gone()
	other.ask("NOOP", "250")
	if _, err := io.WriteString(other, "QUIT\r\n"); err != nil {
		t.Error(err)
	}
}
