package main

import (
	"errors"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// trapped is a server whose syncs can be made to fail.
type trapped struct {
	t    *testing.T
	root string
	d    *daemon
	trap *syncTrap
	life life
}

func startTrappedServer(t *testing.T, root string) *trapped {
	t.Helper()
	d, trap := startTrapped(t, xmaild(t.TempDir(), "-Ms", root, "-CI", "127.0.0.1", "-Cp", "0", "-W-", "--pid-dir", "",
		"-SI", "127.0.0.1", "-Sp", "0", "-PI", "127.0.0.1", "-Pp", "0", "-Qt", "1", "-Qi", "0"))
	addr, _, err := d.serving()
	if err != nil {
		t.Fatal(err)
	}
	m, err := d.logged(mailServing)
	if err != nil {
		t.Fatal(err)
	}
	return &trapped{t, root, d, trap, life{ctrl: addr, smtp: m[1], pop3: m[2]}}
}

// do runs a control command, and returns what became of it.
func (s *trapped) do(args ...string) error {
	s.t.Helper()
	client, err := ctrl.Dial(s.t.Context(), s.life.ctrl, servertest.User, servertest.Password)
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	_, err = client.Do(s.t.Context(), args...)
	return err
}

// send sends a message that is too long to be delivered without the queue.
func (s *trapped) send(number int) error {
	return s.sendTo(number, longMessage, "xmailuser@"+mailDomain)
}

func (s *trapped) sendTo(number, size int, to string) error {
	client, err := smtp.Dial(s.life.smtp)
	if err != nil {
		return err
	}
	defer client.Close()
	return sendTo(client, number, []string{to}, size)
}

// wantFailed wants one sync to have failed.
func (s *trapped) wantFailed() {
	s.t.Helper()
	if n := s.trap.failed(); n != 1 {
		s.t.Fatalf("%d syncs have failed, want 1", n)
	}
}

func (s *trapped) wantLogged(pattern string) {
	s.t.Helper()
	if _, err := s.d.logged(regexp.MustCompile(pattern)); err != nil {
		s.t.Error(err)
	}
}

// again kills the server and starts it anew.
func (s *trapped) again() *trapped {
	s.t.Helper()
	if err := s.d.kill(); err != nil {
		s.t.Fatal(err)
	}
	return startTrappedServer(s.t, s.root)
}

// boxed waits until the queue is empty, and returns how often the mailbox has each message.
func (s *trapped) boxed() map[int]int {
	s.t.Helper()
	f := &findings{}
	waitForQueue(rootFiles(s.root), f)
	there := mailbox(rootFiles(s.root), "xmailuser@"+mailDomain, f, nil)
	report(s.t, f.all)
	return there
}

// wantLater451 wants mail to be refused for now.
func wantLater451(t *testing.T, err error) {
	t.Helper()
	var reply *textproto.Error
	if !errors.As(err, &reply) || reply.Code != 451 {
		t.Errorf("mail that cannot be made durable: %v, want 451", err)
	}
}

func TestTheProgramStopsAfterAFailedSyncOfItsJournal(t *testing.T) {
	s := startTrappedServer(t, mailRoot(t))
	if err := s.do("useradd", mailDomain, "before", "pw", "U"); err != nil {
		t.Fatal(err)
	}
	s.trap.fail("/journal/")
	if err := s.do("useradd", mailDomain, "doubtful", "pw", "U"); !refused(err, ctrl.CodeWriteFile) {
		t.Errorf("the change whose sync failed: %v, want it refused", err)
	}
	s.wantFailed()
	s.wantLogged("tables take no more changes")
	if err := s.do("useradd", mailDomain, "after", "pw", "U"); !refused(err, ctrl.CodeWriteFile) {
		t.Errorf("the change after it: %v, want it refused", err)
	}
	if err := s.do("userauth", mailDomain, "before", "pw"); err != nil {
		t.Errorf("a look-up: %v", err)
	}
	s = s.again()
	for name, there := range map[string]bool{"before": true, "after": false} {
		if err := s.do("userauth", mailDomain, name, "pw"); (err == nil) != there {
			t.Errorf("after a restart, %s: %v", name, err)
		}
	}
	if err := s.do("useradd", mailDomain, "after", "pw", "U"); err != nil {
		t.Errorf("a change after a restart: %v", err)
	}
}

func TestTheProgramTakesNoMailAfterAFailedSyncOfItsQueue(t *testing.T) {
	s := startTrappedServer(t, mailRoot(t))
	s.trap.fail("/spool/live/")
	wantLater451(t, s.send(1)) // the message itself
	s.wantFailed()
	if err := s.send(2); err != nil {
		t.Errorf("the next message: %v, want it taken", err)
	}
	s.trap.fail("/spool/live$")
	wantLater451(t, s.send(3))
	s.wantFailed()
	s.wantLogged("takes no more changes")
	wantLater451(t, s.send(4))
	s = s.again()
	if err := s.send(5); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	if there := s.boxed(); len(there) != 2 || there[2] != 1 || there[5] != 1 {
		t.Errorf("the mailbox has %v, want messages 2 and 5 once", there)
	}
}

func TestTheProgramKeepsMailAfterAFailedSyncOfAMailbox(t *testing.T) {
	s := startTrappedServer(t, mailRoot(t))
	s.trap.fail("/Maildir/new$")
	if err := s.sendTo(1, 5000, "xmailuser@"+mailDomain); err != nil {
		t.Fatal(err)
	}
	s.wantLogged("takes no more changes")
	s.wantFailed()
	for deadline := time.Now().Add(patience); ; {
		// The mailbox is left as it was, and the message stays in the queue.
		left, err := filepath.Glob(filepath.Join(s.root, "spool/live/*.msg"))
		if err != nil || len(left) != 1 {
			t.Fatalf("the queue has %v, %v; want the message", left, err)
		}
		entries, err := os.ReadDir(filepath.Join(s.root, "domains", mailDomain, "xmailuser/Maildir/new"))
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the mailbox has %v, want nothing that may be lost", entries)
		}
		<-time.After(5 * time.Millisecond)
	}
	s = s.again()
	if there := s.boxed(); len(there) != 1 || there[1] != 1 {
		t.Errorf("the mailbox has %v, want message 1 once", there)
	}
}

// TestTheProgramSyncsAllThatItPromises watches the program at work. Whether the order is
// right is for the tests that cut the power.
func TestTheProgramSyncsAllThatItPromises(t *testing.T) {
	s := startTrappedServer(t, mailRoot(t))
	for _, command := range [][]string{
		{"useradd", mailDomain, "ben", "pw", "U"},
		{"poplnkadd", mailDomain, "ben", s.life.pop3, "xmailuser@" + mailDomain, "xmail", "CLR,Leave"},
	} {
		if err := s.do(command...); err != nil {
			t.Fatalf("%q: %v", command, err)
		}
	}
	want := func(when string, patterns ...string) {
		t.Helper()
		for _, pattern := range patterns {
			if !s.trap.synced(regexp.MustCompile(pattern)) {
				t.Errorf("%s nothing like %s was synced", when, pattern)
			}
		}
	}
	want("after a change", `/journal/\d+$`, `/journal$`, `/MailRoot$`)
	if err := s.send(1); err != nil {
		t.Fatal(err)
	}
	want("after 250", `/spool/live/[^/]+$`, `/spool/live$`)
	s.boxed()
	delivered := []string{`/xmailuser/Maildir/tmp/[^/]+$`, `/xmailuser/Maildir/new$`, `/xmailuser/Maildir$`, `/xmailuser$`, `/domains/` + mailDomain + `$`, `/domains$`}
	want("after a delivery", delivered...)
	if err := s.do("useradd", mailDomain, "ann", "pw", "U"); err != nil {
		t.Fatal(err)
	}
	if err := s.sendTo(2, 5000, "ann@"+mailDomain); err != nil {
		t.Fatal(err)
	}
	for i, pattern := range delivered {
		delivered[i] = strings.ReplaceAll(pattern, "xmailuser", "ann")
	}
	want("after 250 for a short message", delivered...)
	if err := os.WriteFile(filepath.Join(s.root, ".psync-trigger"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; {
		names, err := filepath.Glob(filepath.Join(s.root, "domains", mailDomain, "ben/Maildir/new/*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(names) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no mail by the link:\n%s", s.d.log())
		}
		<-time.After(5 * time.Millisecond)
	}
	want("after mail was fetched", `/msgsync/.*\.uidb$`, `/msgsync/[^/]+$`, `/msgsync$`)
	if err := s.do("useradd", mailDomain, "cat", "pw", "U"); err != nil {
		t.Fatal(err)
	}
	if err := s.do("sync"); err != nil {
		t.Fatal(err)
	}
	want("after a checkpoint", `/cat$`, `/cat/user\.tab$`, `/cat/Maildir$`, `/cat/Maildir/new$`, `/mailusers\.tab$`)
}
