//go:build unix

package lmail_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server"
	"github.com/xmaild/xmaild/pkg/server/lmail"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/servertest"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

const patience = 30 * time.Second

// until waits for something that ought to happen at once.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}

// mailbox returns the messages of the account of the tests.
func mailbox(t *testing.T, root string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, "domains/xmailserver.test/xmailuser/Maildir/new/*"))
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

func write(t *testing.T, path, text string) {
	t.Helper()
	temp := filepath.Join(filepath.Dir(filepath.Dir(path)), "building")
	if err := os.WriteFile(temp, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temp, path); err != nil {
		t.Fatal(err)
	}
}

func missing(path string) bool {
	_, err := os.Lstat(path)
	return os.IsNotExist(err)
}

func TestFilesOfTheReferenceAreTaken(t *testing.T) {
	s := servertest.Start(t, servertest.Config(func(c *server.Config) { c.LocalLog, c.LocalInterval = true, 10*time.Millisecond }))
	dir := filepath.Join(s.Dir, "spool/local")
	write(t, filepath.Join(dir, ".1795299965000.812.mx"), "Mail From:<ann@ext.test>\r\nRCPT TO:<xmailuser@xmailserver.test>\r\nrcpt to:<xmailuser>\r\n\r\n"+
		"Subject: one\r\nTo: xmailuser, bob@ext.test\r\n\r\n..two dots\r\n.\r\nafter the dot\n")
	until(t, "the file is delivered", func() bool { return len(mailbox(t, s.Dir)) > 0 && missing(filepath.Join(dir, ".1795299965000.812.mx")) })
	if n := len(mailbox(t, s.Dir)); n != 1 {
		t.Errorf("the one recipient, who was named twice, got %d messages", n)
	}
	text := mailbox(t, s.Dir)[0]
	for _, want := range []string{
		"Return-Path: <ann@ext.test>\r\n", "Received: from /spool/local (user ", "\r\nSubject: one\r\n",
		"\r\nTo: xmailuser@xmailserver.test, bob@ext.test\r\n", "\r\nFrom: <ann@ext.test>\r\n", "\r\nDate: ", "\r\nMessage-ID: <",
		"\r\n\r\n..two dots\r\n.\r\nafter the dot\r\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the message lacks %q:\n%s", want, text)
		}
	}
	// The line is written after the message is in the queue.
	lines := func() string {
		names, err := filepath.Glob(filepath.Join(s.Dir, "logs/lmail-*"))
		if err != nil || len(names) == 0 {
			return ""
		}
		content, err := os.ReadFile(names[0])
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	until(t, "the log has the file", func() bool { return lines() != "" })
	if got := lines(); !regexp.MustCompile(`^"xmailserver\.test"\t"\.1795299965000\.812\.mx"\t"L[0-9A-F]+"\t"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"\n$`).MatchString(got) {
		t.Errorf("log of the local mailer: %q", got)
	}
}

func TestMalformedFilesArePutAsideAndNamed(t *testing.T) {
	s := servertest.Start(t, servertest.Config(func(c *server.Config) { c.LocalInterval = 10 * time.Millisecond }))
	dir := filepath.Join(s.Dir, "spool/local")
	bad := map[string]string{
		"empty":     "",
		"no-sender": "rcpt to:<xmailuser@xmailserver.test>\r\n\r\ntext\r\n",
		"no-rcpt":   "mail from:<ann@ext.test>\r\n\r\ntext\r\n",
		"cut-off":   "mail from:<ann@ext.test>\r\nrcpt to:<xmailuser@xmailserver.test>\r\n",
		"address":   "mail from:<ann@ext.test>\r\nrcpt to:<a b@ext.test>\r\n\r\ntext\r\n",
		"null-rcpt": "mail from:<>\r\nrcpt to:<>\r\n\r\ntext\r\n",
		"long-line": "mail from:<" + strings.Repeat("a", 10000) + "@ext.test>\r\nrcpt to:<xmailuser@xmailserver.test>\r\n\r\n",
	}
	for name, text := range bad {
		write(t, filepath.Join(dir, name), text)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	bad["link"] = ""
	write(t, filepath.Join(dir, strings.Repeat("n", 255)), "no message")
	write(t, filepath.Join(dir, "zz-good"), "mail from:<>\nrcpt to:<xmailuser@xmailserver.test>\n\nSubject: good\n")
	until(t, "the good one is delivered", func() bool { return len(mailbox(t, s.Dir)) == 1 })
	for name, text := range bad {
		aside := filepath.Join(s.Dir, "spool/bad/local-"+name)
		until(t, name+" is put aside", func() bool { return !missing(aside) && strings.Contains(s.Log(), "spool/bad/local-"+name) })
		if name == "link" {
			continue
		}
		if got, err := os.ReadFile(aside); err != nil || string(got) != text {
			t.Errorf("%s: %q, %v; want what it was", aside, got, err)
		}
	}
	until(t, "a file with the longest name is put aside", func() bool {
		names, err := filepath.Glob(filepath.Join(s.Dir, "spool/bad/local-"+strings.Repeat("n", 100)+"*"))
		return err == nil && len(names) == 1
	})
	if text := mailbox(t, s.Dir)[0]; !strings.Contains(text, "\r\nSubject: good\r\nFrom: <MAILER-DAEMON@xmailserver.test>\r\n") {
		t.Errorf("a message without a text, of the null sender:\n%s", text)
	}
}

// dropFolder makes one.
func dropFolder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "drop")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Chmod(dir, lmail.DropMode); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestWhatStrangersPutIntoTheDropFolderIsHarmless(t *testing.T) {
	drop := dropFolder(t)
	secret := filepath.Join(filepath.Dir(drop), "secret")
	message := "mail from:<root@xmailserver.test>\r\nrcpt to:<xmailuser@xmailserver.test>\r\n\r\nX-AuthUser: root\r\nSubject: %s\r\n\r\n"
	if err := os.WriteFile(secret, fmt.Appendf(nil, message, "stolen"), 0o644); err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(drop, name) }
	for _, err := range []error{
		os.Symlink(secret, in("SYMLINK1.msg")),
		os.Link(secret, in("HARDLINK.msg")),
		syscall.Mkfifo(in("FIFOFIFO.msg"), 0o666),
		os.MkdirAll(in("FOLDERFO.msg/with/more"), 0o777),
		os.WriteFile(in("SPARSE00.msg"), fmt.Appendf(nil, message, "huge"), 0o644),
		os.Truncate(in("SPARSE00.msg"), 1<<40),
		os.WriteFile(in("garbage0.msg"), []byte("\x00\xff\n\n\n"), 0o644),
		os.WriteFile(in("new.UNFINISHED"), fmt.Appendf(nil, message, "unfinished"), 0o644),
		os.WriteFile(in("new.FORGOTTEN"), fmt.Appendf(nil, message, "forgotten"), 0o644),
		os.Chtimes(in("new.FORGOTTEN"), time.Time{}, time.Now().Add(-48*time.Hour)),
		os.WriteFile(in("other name.msg"), fmt.Appendf(nil, message, "other"), 0o644),
		os.WriteFile(in("GOODGOOD.msg"), fmt.Appendf(nil, message, "good"), 0o644),
		os.Chtimes(in("GOODGOOD.msg"), time.Time{}, time.Unix(-1<<40, 5)),
		os.WriteFile(in(".wake"), []byte("no pipe"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s := servertest.Start(t, servertest.Config(func(c *server.Config) { c.Drop, c.LocalInterval = drop, 10*time.Millisecond }))
	until(t, "the good one is delivered", func() bool { return len(mailbox(t, s.Dir)) == 1 })
	for _, name := range []string{"SYMLINK1.msg", "HARDLINK.msg", "FIFOFIFO.msg", "SPARSE00.msg", "garbage0.msg", "new.FORGOTTEN", "GOODGOOD.msg"} {
		until(t, name+" is gone", func() bool { return missing(in(name)) })
	}
	for _, name := range []string{"bad.HARDLINK.msg", "bad.SPARSE00.msg", "bad.garbage0.msg", "new.UNFINISHED", "other name.msg", "FOLDERFO.msg"} {
		if missing(in(name)) {
			t.Errorf("%s is not there any more", name)
		}
	}
	if got := mailbox(t, s.Dir); len(got) != 1 || !strings.Contains(got[0], "Subject: good") {
		t.Errorf("%d messages, want the good one only", len(got))
	}
	if text := mailbox(t, s.Dir)[0]; !strings.Contains(text, fmt.Sprintf(", uid %d)", os.Getuid())) {
		t.Errorf("the message does not say whose it was:\n%s", text)
	}
	if info, err := os.Lstat(in(".wake")); err != nil || info.Mode() != fs.ModeNamedPipe|0o622 {
		t.Errorf("the bell: %v, %v; want a pipe that all can write to", info, err)
	}
	if content, err := os.ReadFile(secret); err != nil || len(content) == 0 {
		t.Errorf("what a link led to: %v", err)
	}
}

func TestADropFolderThatIsNotSafeIsNotUsed(t *testing.T) {
	drop := dropFolder(t)
	if err := os.Chmod(drop, 0o777); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(drop, "GOODGOOD.msg")
	if err := os.WriteFile(file, []byte("mail from:<>\nrcpt to:<xmailuser@xmailserver.test>\n\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := servertest.Start(t, servertest.Config(func(c *server.Config) { c.Drop, c.LocalInterval = drop, 10*time.Millisecond }))
	until(t, "the log tells of it", func() bool { return strings.Contains(s.Log(), "its mode should be 3733") })
	if missing(file) {
		t.Error("mail in it was taken")
	}
	if err := syscall.Chmod(drop, lmail.DropMode); err != nil {
		t.Fatal(err)
	}
	until(t, "it is used once it is right", func() bool { return len(mailbox(t, s.Dir)) == 1 })
}

// crashing is a queue whose process ends when a message is durable, before its source
// is removed.
type crashing struct{ *spool.Queue }

func (c crashing) BeginOnce(s spool.Source, e spool.Envelope) (*spool.Draft, error) {
	s.Remove = nil
	return c.Queue.BeginOnce(s, e)
}

func TestAFileIsTakenOnceThoughTheProcessEndsInTheMiddle(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "MailRoot")
	if err := servertest.NewMailRoot(dir); err != nil {
		t.Fatal(err)
	}
	root, err := mailroot.Open(t.Context(), dir, mailroot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	place, err := lmail.Local(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer place.Close()
	const count = 20
	for range count {
		letter, err := place.Begin()
		if err != nil {
			t.Fatal(err)
		}
		head := lmail.Head{From: "ann", Recipients: []lmail.Recipient{{Address: "bob@ext.test"}}}
		if _, err := head.WriteTo(letter); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(letter, "Subject: once\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if err := letter.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	sources := func() int {
		names, err := os.ReadDir(place.Dir())
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, name := range names {
			if name.Type().IsRegular() {
				n++
			}
		}
		return n
	}
	queue := func() *spool.Queue {
		q, err := spool.Open(t.Context(), filepath.Join(dir, "spool"), spool.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	q := queue()
	run(t, lmail.New(root, crashing{q}, lmail.Options{Interval: time.Millisecond}), func() bool { return q.Len() == count })
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q = queue()
	defer q.Close()
	m := lmail.New(root, q, lmail.Options{Interval: time.Millisecond})
	if err := m.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := sources(); n != 0 || q.Len() != count {
		t.Errorf("%d files and %d messages, want 0 and %d", n, q.Len(), count)
	}
}

// run runs a mailer until something is done.
func run(t *testing.T, m *lmail.Mailer, done func() bool) {
	t.Helper()
	stop := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(stop)
		m.Run(ctx)
	}()
	defer func() { cancel(); <-stop }()
	until(t, "the mailer has done its work", done)
}
