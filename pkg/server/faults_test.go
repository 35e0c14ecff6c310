package server_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server"
	"github.com/xmaild/xmaild/pkg/server/deliver"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// The tests here break the disk under a whole server, and look at what it says to its
// clients: no success for what may be lost, and none at all where nobody can know.

// faultPatience is how long a test waits for what ought to happen at once.
const faultPatience = 20 * time.Second

// startFaulty starts a server on a disk that can be broken. Deliveries are tried again
// after a second.
func startFaulty(t *testing.T) (*servertest.Server, *faultFS) {
	t.Helper()
	disk := newFaultFS()
	s := servertest.Start(t, servertest.Config(func(c *server.Config) {
		c.FS = disk
		c.Retries = deliver.Schedule{Base: time.Second, Ratio: -1}
	}))
	return s, disk
}

// restartFailed starts a server again that has failed, and may say so at the end.
func restartFailed(t *testing.T, s *servertest.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), faultPatience)
	defer cancel()
	_ = s.Server.Shutdown(ctx)
	s.Server = nil
	s.Restart(t)
}

// wantLog wants a line in the log of a server.
func wantLog(t *testing.T, s *servertest.Server, part string) {
	t.Helper()
	if !strings.Contains(s.Log(), part) {
		t.Errorf("the log does not say %q:\n%s", part, s.Log())
	}
}

// refusedFor is the code of a command that must be refused.
func refusedFor(t *testing.T, c *ctrl.Client, args ...string) ctrl.Code {
	t.Helper()
	_, err := c.Do(t.Context(), args...)
	var refusal *ctrl.Error
	if !errors.As(err, &refusal) {
		t.Errorf("%q: %v, want a refusal", args, err)
		return ctrl.CodeOK
	}
	return refusal.Code
}

// TestFailedSyncStopsTheControlPort fails one sync of the journal, and that of its name.
func TestFailedSyncStopsTheControlPort(t *testing.T) {
	for name, changes := range map[string]int{"the record": 1, "the folder": 0} {
		t.Run(name, func(t *testing.T) {
			s, disk := startFaulty(t)
			c := s.Dial(t)
			for n := range changes {
				want(t, c, ctrl.CodeOK, "useradd", "xmailserver.test", fmt.Sprintf("before%d", n), "pw", "U")
			}
			disk.fail(syncFails, "journal", 1)
			if code := refusedFor(t, c, "useradd", "xmailserver.test", "doubtful", "pw", "U"); code != ctrl.CodeWriteFile {
				t.Errorf("the change whose sync failed: %v, want %v", code, ctrl.CodeWriteFile)
			}
			if n := disk.mend(); n != 1 {
				t.Fatalf("%d syncs have failed, want 1", n)
			}
			for _, args := range [][]string{{"useradd", "xmailserver.test", "after", "pw", "U"}, {"domainadd", "after.test"}, {"sync"}} {
				if code := refusedFor(t, c, args...); code == ctrl.CodeOK {
					t.Errorf("%q after a failed sync was done", args)
				}
			}
			wantLog(t, s, "tables take no more changes")
			// What needs no change goes on.
			want(t, s.Dial(t), ctrl.CodeOK, "userauth", "xmailserver.test", "xmailuser", "xmail")
			if err := sendMail(s.SMTP, "a@ext.test", "xmailuser@xmailserver.test", "Subject: x\r\n\r\nx\r\n"); err != nil {
				t.Errorf("mail while the tables are stopped: %v", err)
			}
			restartFailed(t, s)
			c = s.Dial(t)
			want(t, c, ctrl.CodeOK, "useradd", "xmailserver.test", "again", "pw", "U")
			lines, err := c.List(t.Context(), "userlist", "xmailserver.test")
			if text := strings.Join(lines, "\n"); err != nil || strings.Contains(text, `"after"`) || changes > 0 && !strings.Contains(text, `"before0"`) {
				t.Errorf("after a restart there are\n%s\n%v", text, err)
			}
		})
	}
}

// TestFailedSyncOfACheckpointStopsTheControlPort fails the sync of a table.
func TestFailedSyncOfACheckpointStopsTheControlPort(t *testing.T) {
	s, disk := startFaulty(t)
	c := s.Dial(t)
	disk.fail(syncFails, "mailusers.tab", 1)
	want(t, c, ctrl.CodeOK, "useradd", "xmailserver.test", "kept", "pw", "U")
	refusedFor(t, c, "sync")
	disk.mend()
	refusedFor(t, c, "useradd", "xmailserver.test", "after", "pw", "U")
	wantLog(t, s, "tables take no more changes")
	restartFailed(t, s)
	want(t, s.Dial(t), ctrl.CodeOK, "userauth", "xmailserver.test", "kept", "pw")
}

// TestRefusedWritesChangeNothing has a disk that is full, or writes half, or may not be
// written, while a change is made.
func TestRefusedWritesChangeNothing(t *testing.T) {
	for name, broken := range map[string]struct {
		kind  fault
		below string
	}{
		"full journal":      {diskFull, "journal"},
		"half a record":     {shortWrite, "journal"},
		"full folder":       {diskFull, "MailRoot"},
		"half a file":       {shortWrite, "user.tab"},
		"no right to write": {notAllowed, "MailRoot"},
	} {
		t.Run(name, func(t *testing.T) {
			s, disk := startFaulty(t)
			c := s.Dial(t)
			want(t, c, ctrl.CodeOK, "useradd", "xmailserver.test", "before", "pw", "U")
			disk.fail(broken.kind, broken.below, -1)
			for range 3 {
				refusedFor(t, c, "useradd", "xmailserver.test", "refused", "pw", "U")
			}
			if disk.mend() == 0 {
				t.Fatal("the disk was never used")
			}
			if _, err := os.Stat(filepath.Join(s.Dir, "domains/xmailserver.test/refused")); !os.IsNotExist(err) {
				t.Errorf("folder of the refused account: %v, want none", err)
			}
			if lines, err := c.List(t.Context(), "userlist", "xmailserver.test", "refused"); err != nil || len(lines) != 0 {
				t.Errorf("the refused account: %q, %v; want none", lines, err)
			}
			want(t, c, ctrl.CodeOK, "useradd", "xmailserver.test", "refused", "pw2", "U")
			want(t, c, ctrl.CodeOK, "userauth", "xmailserver.test", "refused", "pw2")
			s.Restart(t)
			want(t, s.Dial(t), ctrl.CodeOK, "userauth", "xmailserver.test", "refused", "pw2")
		})
	}
}

// mails are the files in the mailbox of the account that the MailRoot has.
func mails(t *testing.T, s *servertest.Server) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(s.Dir, "domains/xmailserver.test/xmailuser/Maildir/new/*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// drained waits until the queue is empty, and wants so many messages delivered.
func drained(t *testing.T, s *servertest.Server, want int) {
	t.Helper()
	for deadline := time.Now().Add(faultPatience); ; {
		left, err := filepath.Glob(filepath.Join(s.Dir, "spool/live/*.msg"))
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d messages are still in the queue", len(left))
		}
		<-time.After(5 * time.Millisecond)
	}
	if got := mails(t, s); len(got) != want {
		t.Errorf("the mailbox has %d messages, want %d", len(got), want)
	}
}

// post sends a message that is too long to be delivered without the queue.
func post(s *servertest.Server) error {
	return sendMail(s.SMTP, "a@ext.test", "xmailuser@xmailserver.test", "Subject: x\r\n\r\n"+strings.Repeat("a line of text\r\n", 5000))
}

// wantLater wants mail to be refused for now.
func wantLater(t *testing.T, err error) {
	t.Helper()
	var reply *textproto.Error
	if !errors.As(err, &reply) || reply.Code != 451 && reply.Code != 452 {
		t.Errorf("mail on a broken disk: %v, want 451 or 452", err)
	}
}

// TestMailIsRefusedWhileTheQueueCannotKeepIt breaks the disk of the queue. What concerns
// one file concerns one message.
func TestMailIsRefusedWhileTheQueueCannotKeepIt(t *testing.T) {
	for name, broken := range map[string]struct {
		kind  fault
		below string
		times int
	}{
		"failed sync of a message": {syncFails, "spool/live/", 1},
		"full disk":                {diskFull, "spool/live/", -1},
		"half a message":           {shortWrite, "spool/live/", 1},
		"no right to write":        {notAllowed, "spool/live/", -1},
		"name cannot be changed":   {renameFails, "spool/live/", -1},
	} {
		t.Run(name, func(t *testing.T) {
			s, disk := startFaulty(t)
			disk.fail(broken.kind, broken.below, broken.times)
			wantLater(t, post(s))
			if disk.mend() == 0 {
				t.Fatal("the disk was never used")
			}
			wantLog(t, s, "a message could not be taken")
			drained(t, s, 0)
			if err := post(s); err != nil {
				t.Errorf("mail on a disk that works: %v", err)
			}
			drained(t, s, 1)
		})
	}
}

// TestFailedSyncOfTheQueueStopsIt fails the sync of the folder once: no 250 is said any
// more, since nobody knows what would come back after a power cut.
func TestFailedSyncOfTheQueueStopsIt(t *testing.T) {
	s, disk := startFaulty(t)
	if err := post(s); err != nil {
		t.Fatal(err)
	}
	drained(t, s, 1)
	disk.fail(syncFails, "spool/live$", 1)
	for range 4 {
		wantLater(t, post(s))
	}
	disk.mend()
	wantLater(t, post(s))
	wantLog(t, s, "takes no more changes")
	drained(t, s, 1)
	restartFailed(t, s)
	if err := post(s); err != nil {
		t.Errorf("mail after a restart: %v", err)
	}
	drained(t, s, 2)
}

// TestMailWaitsWhileTheMailboxCannotKeepIt breaks the disk of a mailbox. The message
// stays in the queue, and gets there once.
func TestMailWaitsWhileTheMailboxCannotKeepIt(t *testing.T) {
	for name, broken := range map[string]struct {
		kind    fault
		below   string
		restart bool // only then it takes mail again
	}{
		"failed sync of the folder":  {syncFails, "Maildir/new", true},
		"failed sync of the message": {syncFails, "Maildir/tmp", false},
		"full disk":                  {diskFull, "Maildir/tmp", false},
		"half a message":             {shortWrite, "Maildir/tmp", false},
		"no right to write":          {notAllowed, "Maildir/tmp", false},
		"name cannot be changed":     {renameFails, "Maildir/new", false},
	} {
		t.Run(name, func(t *testing.T) {
			s, disk := startFaulty(t)
			disk.fail(broken.kind, broken.below, 1)
			if err := post(s); err != nil {
				t.Fatalf("mail for a mailbox that is broken: %v, want it in the queue", err)
			}
			if !broken.restart {
				drained(t, s, 1)
				return
			}
			// It is tried again and again, and the disk would now say that all is well.
			deadline := time.Now().Add(faultPatience)
			for strings.Count(s.Log(), "takes no more changes") < 2 {
				if time.Now().After(deadline) {
					t.Fatalf("no second attempt:\n%s", s.Log())
				}
				<-time.After(5 * time.Millisecond)
			}
			if got := mails(t, s); len(got) != 0 {
				t.Errorf("the mailbox has %v, want nothing that may be lost", got)
			}
			restartFailed(t, s)
			drained(t, s, 1)
		})
	}
}

// TestRemovalIsNotAcknowledgedAfterAFailedSync removes two messages by POP3, one after
// the other.
func TestRemovalIsNotAcknowledgedAfterAFailedSync(t *testing.T) {
	s, disk := startFaulty(t)
	for n := range 2 {
		if err := post(s); err != nil {
			t.Fatal(err)
		}
		drained(t, s, n+1)
	}
	disk.fail(syncFails, "Maildir/new", 1)
	for n := range 2 {
		conn, err := net.Dial("tcp", s.POP3)
		if err != nil {
			t.Fatal(err)
		}
		c := textproto.NewConn(conn)
		for _, exchange := range [][2]string{
			{"", "+OK"}, {"USER xmailuser@xmailserver.test", "+OK"}, {"PASS xmail", "+OK"}, {"DELE 1", "+OK"}, {"QUIT", "-ERR"},
		} {
			if exchange[0] != "" {
				if err := c.PrintfLine("%s", exchange[0]); err != nil {
					t.Fatal(err)
				}
			}
			if line, err := c.ReadLine(); err != nil || !strings.HasPrefix(line, exchange[1]) {
				t.Errorf("session %d, %.4s: %q, %v; want %s", n, exchange[0], line, err, exchange[1])
			}
		}
		conn.Close()
	}
}
