package pop3d

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xmaild/xmaild/pkg/server/mailbox"
)

// three puts three messages into ann's mailbox.
func three(s *site) {
	s.t.Helper()
	s.put("new/one", "Subject: one\r\n\r\nfirst\r\n", 1)
	s.put("new/two", "Subject: two\r\n\r\n.\r\n..dots\r\nno end", 2)
	s.put("cur/three:2,S", "Subject: three\n\nlf\n", 3)
}

func TestAMailboxIsShown(t *testing.T) {
	s := newSite(t)
	three(s)
	c := s.login()
	for _, step := range []struct {
		command string
		want    []string // the reply and, where it has lines, those with their dot
	}{
		{"STAT", []string{"+OK 3 75"}},
		{"NOOP", []string{"+OK Maildrop has 3 messages (75 bytes)"}},
		{"LAST", []string{"+OK 0"}},
		{"LIST", []string{"+OK 3 75", "1 23", "2 33", "3 19", "."}},
		{"LIST 2", []string{"+OK 2 33"}},
		{"LIST 4", []string{"-ERR No such message"}},
		{"LIST x", []string{"-ERR No such message"}},
		{"UIDL", []string{"+OK 3", "1 one", "2 two", "3 three", "."}},
		{"uidl 3 more", []string{"+OK 3 three"}},
		{"UIDL 0", []string{"-ERR No such message"}},
		{"RETR 1", []string{"+OK 23 bytes", "Subject: one", "", "first", "."}},
		{"RETR 2", []string{"+OK 33 bytes", "Subject: two", "", "..", "...dots", "no end", "."}},
		{"RETR 3", []string{"+OK 19 bytes", "Subject: three", "", "lf", "."}},
		{"LAST", []string{"+OK 3"}},
		{"TOP 2 0", []string{"+OK message is 33 bytes", "Subject: two", "", "."}},
		{"TOP 2 2", []string{"+OK message is 33 bytes", "Subject: two", "", "..", "...dots", "."}},
		{"TOP 2 99999999999999999999", []string{"+OK message is 33 bytes", "Subject: two", "", "..", "...dots", "no end", "."}},
		{"TOP 3 -1", []string{"+OK message is 19 bytes", "Subject: three", "", "."}},
		{"TOP 2", []string{"-ERR Invalid syntax"}},
		{"TOP 9 1", []string{"-ERR Message out of range"}},
		{"RETR", []string{"-ERR Invalid syntax"}},
		{"RETR x", []string{"-ERR Invalid syntax"}},
		{"RETR 99999999999999999999", []string{"-ERR Message out of range"}},
		{"RETR -1", []string{"-ERR Invalid syntax"}},
		{"DELE 2", []string{"+OK Message deleted"}},
		{"LAST", []string{"+OK 2"}},
		{"DELE 2", []string{"-ERR Message deleted"}},
		{"RETR 2", []string{"-ERR Message deleted"}},
		{"LIST 2", []string{"-ERR No such message"}},
		{"STAT", []string{"+OK 2 42"}},
		{"LIST", []string{"+OK 2 42", "1 23", "3 19", "."}},
		{"UIDL", []string{"+OK 2", "1 one", "3 three", "."}},
		{"RSET", []string{"+OK Maildrop has 3 messages (75 bytes)"}},
		{"LAST", []string{"+OK 0"}},
		{"XTND", []string{"-ERR Invalid command"}},
		{"", []string{"-ERR Invalid command"}},
		{"USER ann", []string{"-ERR Command not valid here"}},
		{"STLS", []string{"-ERR Command not valid here"}},
		{"UTF8", []string{"-ERR Command not valid here"}},
	} {
		c.send(step.command)
		var got []string
		for range step.want {
			got = append(got, c.line())
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", step.command, diff)
		}
	}
}

func TestDeletionsAreDoneAtTheEndOnly(t *testing.T) {
	s := newSite(t)
	three(s)
	c := s.login()
	c.want("DELE 1", "+OK")
	c.want("DELE 3", "+OK")
	if _, err := os.Stat(s.path("new/one")); err != nil {
		t.Errorf("before QUIT: %v", err)
	}
	c.conn.Close() // nothing is deleted
	for deadline := time.Now().Add(20 * time.Second); len(s.front.Registry.List()) > 0; {
		if time.Now().After(deadline) {
			t.Fatal("the session does not end")
		}
	}
	c = s.login()
	c.want("STAT", "+OK 3 ")
	c.want("DELE 1", "+OK")
	c.want("DELE 3", "+OK")
	c.want("QUIT", "+OK")
	// Gone when +OK has come.
	for _, name := range []string{"new/one", "cur/three:2,S"} {
		if _, err := os.Stat(s.path(name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s after QUIT: %v, want none", name, err)
		}
	}
	c.closed()
	c = s.login()
	if diff := cmp.Diff([]string{"1 two"}, c.lines("UIDL")); diff != "" {
		t.Errorf("UIDL (-want +got):\n%s", diff)
	}
}

func TestFailedDeletionsAreToldOf(t *testing.T) {
	s := newSite(t)
	three(s)
	c := s.login()
	c.want("DELE 1", "+OK")
	c.want("DELE 2", "+OK")
	// A folder that is not empty, of the same name, cannot be removed as a file.
	if err := os.Remove(s.path("new/one")); err != nil {
		t.Fatal(err)
	}
	write(t, s.path("new/one/file"), "x")
	c.want("QUIT", "-ERR [SYS/TEMP]")
	if _, err := os.Stat(s.path("new/two")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the message that could be deleted: %v, want none", err)
	}
}

func TestAClientMayComeBackAtOnce(t *testing.T) {
	s := newSite(t)
	for range 50 {
		s.login().want("QUIT", "+OK")
	}
}

func TestMessagesThatVanishAreRefused(t *testing.T) {
	s := newSite(t)
	three(s)
	c := s.login()
	if err := os.Rename(s.path("new/one"), s.path("cur/one:2,S")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.path("new/two")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Subject: one", "", "first"}, c.lines("RETR 1")); diff != "" {
		t.Errorf("moved message (-want +got):\n%s", diff)
	}
	c.want("RETR 2", "-ERR")
	c.want("TOP 2 1", "-ERR")
	c.want("DELE 2", "+OK")
	c.want("QUIT", "+OK")
}

func TestOldMessagesOfTheReferenceAreSentAsTheyWere(t *testing.T) {
	s := newSite(t)
	s.put("new/1700000000123.7f01.3e8.1a.host", "Subject: old\nX: y\n\r\n..\r\n..dots\r\n", 1)
	c := s.login()
	if diff := cmp.Diff([]string{"Subject: old", "X: y", "", "..", "..dots"}, c.lines("RETR 1")); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
}

func TestCommandsMayBeSentTogether(t *testing.T) {
	s := newSite(t)
	three(s)
	c := s.dial()
	c.send("CAPA", "USER ann", "PASS pass word", "LIST", "RETR 1", "DELE 1", "QUIT", "NOOP")
	c.reply("CAPA", "+OK")
	want := []string{"TOP", "UIDL", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", "USER", "SASL PLAIN", "UTF8 USER", "STLS", "IMPLEMENTATION [xmaild POP3 Server]"}
	if diff := cmp.Diff(want, c.rest()); diff != "" {
		t.Errorf("CAPA (-want +got):\n%s", diff)
	}
	c.reply("USER", "+OK")
	c.reply("PASS", "+OK")
	c.reply("LIST", "+OK 3")
	c.rest()
	c.reply("RETR", "+OK")
	c.rest()
	c.reply("DELE", "+OK")
	c.reply("QUIT", "+OK")
	c.closed()
}

func TestSTLS(t *testing.T) {
	s := newSite(t)
	c := s.dial()
	c.want("STLS", "+OK")
	inner := tlsClient(t, c.conn, s.roots)
	over := &client{t: t, conn: inner, r: newReader(inner)}
	for _, line := range over.lines("CAPA") {
		if line == "STLS" {
			t.Error("STLS is offered inside TLS")
		}
	}
	over.want("STLS", "-ERR Command not permitted when TLS active")
	over.want("APOP ann "+digest(c.hello, "pass word"), "+OK")
	over.want("QUIT", "+OK")

	c = s.dial()
	c.send("STLS", "USER ann")
	c.reply("STLS", "-ERR")
	c.closed()

	c = s.dial()
	c.want("USER ann", "+OK")
	c.want("STLS", "-ERR Command not valid here")

	c = newSite(t, vars(1, "EnablePOP3-TLS", "0")).dial()
	c.want("STLS", "-ERR Command disabled")
	for _, line := range c.lines("CAPA") {
		if line == "STLS" {
			t.Error("STLS is offered where it is disabled")
		}
	}
	c = newSite(t, setting(func(p *Server) { p.TLS = nil })).dial()
	c.want("STLS", "-ERR [SYS/TEMP] ")
}

func TestWithoutACertificateNothingIsSaidInClearTextOnPOP3S(t *testing.T) {
	s := newSite(t, setting(func(p *Server) { p.TLS = nil }))
	conn, err := net.Dial("tcp", s.tls)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	(&client{t: t, conn: conn, r: newReader(conn)}).closed()
}

func TestOddLines(t *testing.T) {
	s := newSite(t)
	c := s.dial()
	if _, err := c.conn.Write([]byte("CAPA\nUSER\tann\r\r\nPASS pass word\n")); err != nil {
		t.Fatal(err)
	}
	c.reply("CAPA and a bare LF", "+OK")
	c.rest()
	c.reply("USER after a TAB", "+OK")
	c.reply("PASS", "+OK")
	c.want("STAT\x00", "-ERR Invalid characters")
	c.want("STAT \x1b[2J", "-ERR Invalid characters")
	c.want("ÜSER", "-ERR Invalid command")
	c.want("\xff\xfe", "-ERR Invalid command")
	c.want("NOOP "+strings.Repeat("x", maxLine-10), "+OK")
	c.want("NOOP", "+OK")
	c.send(strings.Repeat("x", maxLine+1))
	c.reply("a long line", "-ERR Line too long")
}

func TestTooManyErrorsBeforeTheLogin(t *testing.T) {
	s := newSite(t)
	c := s.dial()
	for range maxErrors {
		c.want("BOGUS", "-ERR")
	}
	c.want("BOGUS", "-ERR")
	c.closed()
}

func TestAnIdleSessionEnds(t *testing.T) {
	s := newSite(t, setting(func(p *Server) { p.Timeout = 50 * time.Millisecond }))
	s.put("new/m", "x\r\n", 1)
	// The commands are there when the session begins: however slow the machine is, it is
	// after them that nothing comes.
	server, conn := tcpPair(t)
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	c := &client{t: t, conn: conn, r: newReader(conn)}
	c.send("USER ann", "PASS pass word", "DELE 1")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer server.Close()
		s.pop.ServeConn(t.Context(), newConn(server, false))
	}()
	defer func() { <-ended }()
	c.reply("the connection", "+OK")
	c.reply("USER", "+OK")
	c.reply("PASS", "+OK")
	c.reply("DELE", "+OK")
	if got := c.line(); !strings.HasPrefix(got, "-ERR") {
		t.Errorf("an idle session ends with %q, want -ERR", got)
	}
	c.closed()
	if _, err := os.Stat(s.path("new/m")); err != nil {
		t.Errorf("the deleted message after a time-out: %v, want it there", err)
	}
}

func TestRefusedConnectionsAreTold(t *testing.T) {
	s := newSite(t)
	s.front.Limits = nil // it is read for each connection
	server, conn := tcpPair(t)
	s.pop.RefuseConn(newConn(server, false), nil)
	server.Close()
	c := &client{t: t, conn: conn, r: newReader(conn)}
	c.reply("the connection", "-ERR [SYS/TEMP] ")
	c.closed()
	server, conn = tcpPair(t)
	s.pop.RefuseConn(newConn(server, true), nil)
	server.Close()
	(&client{t: t, conn: conn, r: newReader(conn)}).closed()
}

func TestUTF8(t *testing.T) {
	s := newSite(t)
	c := s.dial()
	c.want("UTF8", "+OK")
	c.want("UTF8 x", "-ERR")
	c.want("USER änn", "+OK")
	c.want("PASS ä", "-ERR [AUTH]")
}

func TestALargeMailboxOpensWithoutReadingIt(t *testing.T) {
	s := newSite(t)
	const n = 3000
	for i := range n {
		// Nobody may read them.
		name := s.path(fmt.Sprintf("new/%d", i))
		write(t, name, "x\r\n")
		if err := os.Chmod(name, 0); err != nil {
			t.Fatal(err)
		}
	}
	c := s.login()
	c.want("STAT", fmt.Sprintf("+OK %d %d", n, 3*n))
	if got := len(c.lines("UIDL")); got != n {
		t.Errorf("UIDL lists %d messages, want %d", got, n)
	}
}

func TestDeliveryDuringASession(t *testing.T) {
	s := newSite(t)
	c := s.login()
	m := mailbox.Message{Name: "m", DeliveredTo: "ann@example.test", Body: strings.NewReader("x\r\n"), Size: 3}
	if err := s.boxes.Deliver(t.Context(), s.ann(), m); err != nil {
		t.Fatal(err)
	}
	c.want("STAT", "+OK 0 0")
	c.want("QUIT", "+OK")
	c.closed()
	c = s.login()
	if diff := cmp.Diff([]string{"Return-Path: <>", "Delivered-To: ann@example.test", "x"}, c.lines("RETR 1")); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
}
