package server_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// TestMailIsFetchedFromAnotherServer takes mail from one server to the mailbox of
// another by a link that a control command makes.
func TestMailIsFetchedFromAnotherServer(t *testing.T) {
	there := servertest.Start(t)
	here := servertest.Start(t, servertest.Config(func(c *server.Config) { c.LinkLog, c.LinkInterval = true, -1 }))
	if err := sendMail(there.SMTP, "eve@out.test", "xmailuser@xmailserver.test", "Subject: far\r\n\r\n.\r\n"); err != nil {
		t.Fatal(err)
	}
	inbox := func(s *servertest.Server) []string {
		names, err := filepath.Glob(filepath.Join(s.Dir, "domains/xmailserver.test/xmailuser/Maildir/new/*"))
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	wait(t, "the mail is there", func() bool { return len(inbox(there)) == 1 })
	c := here.Dial(t)
	want(t, c, ctrl.CodeOK, "poplnkadd", "xmailserver.test", "xmailuser", there.POP3S, "xmailuser@xmailserver.test", "xmail", "POP3S")
	here.Write(t, ".psync-trigger", "")
	wait(t, "the mail is here", func() bool { return len(inbox(here)) == 1 })
	wait(t, "the mail is no more there", func() bool { return len(inbox(there)) == 0 })
	text, err := os.ReadFile(inbox(here)[0])
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(text), "Return-Path: <eve@out.test>\r\nDelivered-To: xmailuser@xmailserver.test\r\nReceived: ") ||
		!strings.Contains(string(text), "with POP3\r\n\tid <P") || !strings.HasSuffix(string(text), "Subject: far\r\n\r\n.\r\n") ||
		strings.Count(string(text), "Delivered-To:") != 1 {
		t.Errorf("the message is\n%s", text)
	}
	wait(t, "the session is in the log", func() bool {
		names, _ := filepath.Glob(filepath.Join(here.Dir, "logs/psync-*"))
		if len(names) != 1 {
			return false
		}
		line, _ := os.ReadFile(names[0])
		return strings.Contains(string(line), "\t\"SYNC=OK\"\t\"1\"\t")
	})
	if _, err := os.Stat(filepath.Join(here.Dir, ".psync-trigger")); err == nil {
		t.Error("the trigger is still there")
	}
}

// TestLinksTrustTheAuthoritiesOfTheMailRoot fetches from a server whose certificate is
// good by certs.pem alone.
func TestLinksTrustTheAuthoritiesOfTheMailRoot(t *testing.T) {
	there := servertest.Start(t)
	here := servertest.Start(t, servertest.Config(func(c *server.Config) { c.LinkLog, c.LinkInterval = true, -1 }))
	if err := sendMail(there.SMTP, "eve@out.test", "xmailuser@xmailserver.test", "Subject: far\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	cert, err := os.ReadFile(filepath.Join(there.Dir, "server.cert"))
	if err != nil {
		t.Fatal(err)
	}
	here.Write(t, "certs.pem", string(cert))
	c := here.Dial(t)
	want(t, c, ctrl.CodeOK, "poplnkadd", "xmailserver.test", "xmailuser", there.POP3S, "xmailuser@xmailserver.test", "xmail", "POP3S,Verify=1")
	sessions := func(status string) func() bool {
		return func() bool {
			names, _ := filepath.Glob(filepath.Join(here.Dir, "logs/psync-*"))
			if len(names) != 1 {
				return false
			}
			text, _ := os.ReadFile(names[0])
			return strings.Contains(string(text), status)
		}
	}
	here.Write(t, ".psync-trigger", "")
	wait(t, "the certificate is refused", sessions("SYNC=EFAIL"))
	want(t, c, ctrl.CodeOK, "svarset", "SSLUseCertsFile", "1")
	fetched := sessions("\"SYNC=OK\"\t\"1\"")
	wait(t, "the mail is fetched", func() bool {
		here.Write(t, ".psync-trigger", "") // again and again: the session before may not have ended yet
		return fetched()
	})
}

// wait waits until something has come true.
func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	timeout := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-timeout:
			t.Fatalf("it does not come true that %s", what)
		case <-tick.C:
		}
	}
}
