package deliver_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/admin"
	"github.com/xmaild/xmaild/pkg/server/deliver"
	"github.com/xmaild/xmaild/pkg/server/mailbox"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/spool"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A fixture is a MailRoot with users u0 to u9, and a queue.
type fixture struct {
	t     *testing.T
	dir   string
	root  *mailroot.Root
	admin *admin.Service
	queue *spool.Queue
	disk  *disk

	mu  sync.Mutex
	now time.Time
}

// A disk gets full.
type disk struct {
	tabfile.FS
	mu   sync.Mutex
	room int // files that can still be made in mailboxes; below 0: any number
}

func (d *disk) Create(name, like string, perm fs.FileMode) (tabfile.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.room == 0 {
		return nil, &fs.PathError{Op: "create", Path: name, Err: syscall.ENOSPC}
	}
	d.room--
	return d.FS.Create(name, like, perm)
}

func (d *disk) setRoom(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room = n
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{t: t, dir: filepath.Join(t.TempDir(), "MailRoot"), now: time.Unix(1_800_000_000, 0), disk: &disk{FS: tabfile.OS(), room: -1}}
	err := mailroot.Create(f.dir, mailroot.NewRoot{
		Domains: []string{"foo.test"}, Account: "u0", AccountPassword: "x", Admin: "admin", AdminPassword: "x",
	})
	if err != nil {
		t.Fatal(err)
	}
	if f.root, err = mailroot.Open(t.Context(), f.dir, mailroot.Options{Clock: f.clock, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.root.Close() })
	f.admin = admin.New(f.root, admin.Options{})
	for n := 1; n < 10; n++ {
		if err := f.admin.UserAdd(t.Context(), "foo.test", fmt.Sprint("u", n), "x", "U"); err != nil {
			t.Fatal(err)
		}
	}
	f.open()
	return f
}

func (f *fixture) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// open opens the queue, again.
func (f *fixture) open() {
	f.t.Helper()
	if f.queue != nil {
		f.queue.Close()
	}
	var err error
	f.queue, err = spool.Open(f.t.Context(), filepath.Join(f.dir, "spool"), spool.Options{Clock: f.clock})
	if err != nil {
		f.t.Fatal(err)
	}
	queue := f.queue
	f.t.Cleanup(func() { queue.Close() })
}

func (f *fixture) put(text string, from string, to ...string) {
	f.t.Helper()
	e := spool.Envelope{ID: f.queue.NextID('S'), Time: f.clock(), From: from}
	for _, address := range to {
		e.Recipients = append(e.Recipients, spool.Recipient{Address: address})
	}
	d, err := f.queue.Begin(e)
	if err == nil {
		_, err = io.WriteString(d, text)
	}
	if err == nil {
		err = d.Commit()
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// run works on the queue until every recipient that is due has had its attempt.
func (f *fixture) run(boxes deliver.Mailboxes) {
	f.t.Helper()
	d := deliver.New(f.root, f.queue, boxes, deliver.Options{Workers: 3, Host: "mx.test"})
	ctx, cancel := context.WithCancel(f.t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() { d.Run(ctx); close(done) }()
	for f.queue.Due() > 0 {
		select {
		case <-f.t.Context().Done():
			f.t.Fatal("the queue does not come to rest")
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	<-done
}

func (f *fixture) boxes() *mailbox.Store {
	return mailbox.New(f.root, mailbox.Options{FS: f.disk, Clock: f.clock})
}

// mail returns the messages in the mailbox of a user.
func (f *fixture) mail(user string) []string {
	f.t.Helper()
	var all []string
	for _, sub := range []string{"new", "cur"} {
		names, err := filepath.Glob(filepath.Join(f.dir, "domains", "foo.test", user, "Maildir", sub, "*"))
		if err != nil {
			f.t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				f.t.Fatal(err)
			}
			all = append(all, string(text))
		}
	}
	return all
}

func TestMailGoesToTheAccountsThatTheTablesNameNow(t *testing.T) {
	f := newFixture(t)
	if err := f.admin.AliasAdd(t.Context(), "foo.test", "sales", "u2"); err != nil {
		t.Fatal(err)
	}
	f.put("Subject: x\r\n\r\n.dot\r\n", "s@ext.test", "u1@foo.test", "Sales@FOO.test")
	f.run(f.boxes())
	for user, want := range map[string]string{
		"u1": "Return-Path: <s@ext.test>\r\nDelivered-To: u1@foo.test\r\nSubject: x\r\n\r\n.dot\r\n",
		"u2": "Return-Path: <s@ext.test>\r\nDelivered-To: u2@foo.test\r\nSubject: x\r\n\r\n.dot\r\n",
	} {
		if got := f.mail(user); !slices.Equal(got, []string{want}) {
			t.Errorf("mailbox of %s holds %q, want %q", user, got, want)
		}
	}
	if n := f.queue.Len(); n != 0 {
		t.Errorf("%d messages are still queued", n)
	}
}

// TestDiskThatFillsAtTheSixthRecipient restarts the server in between, since what
// was delivered must not be forgotten by it.
func TestDiskThatFillsAtTheSixthRecipient(t *testing.T) {
	f := newFixture(t)
	f.disk.setRoom(5)
	var to []string
	for n := range 10 {
		to = append(to, fmt.Sprintf("u%d@foo.test", n))
	}
	f.put("Subject: x\r\n\r\n", "", to...)
	f.run(f.boxes())
	count := func() (n int, most int) {
		for i := range 10 {
			got := len(f.mail(fmt.Sprint("u", i)))
			n, most = n+got, max(most, got)
		}
		return n, most
	}
	if n, most := count(); n != 5 || most != 1 {
		t.Errorf("%d messages were delivered, %d to one user; want 5 and 1", n, most)
	}
	// Users read and remove their mail: only the queue knows who had it.
	for i := range 5 {
		for _, name := range must(filepath.Glob(filepath.Join(f.dir, "domains", "foo.test", fmt.Sprint("u", i), "Maildir", "new", "*"))) {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	f.disk.setRoom(-1)
	f.mu.Lock()
	f.now = f.now.Add(time.Hour)
	f.mu.Unlock()
	f.open()
	f.run(f.boxes())
	if n, most := count(); n != 5 || most != 1 || f.queue.Len() != 0 {
		t.Errorf("the other five: %d messages, %d to one user, %d queued; want 5, 1 and 0", n, most, f.queue.Len())
	}
}

func must(names []string, err error) []string {
	if err != nil {
		panic(err)
	}
	return names
}

// dies delivers, and the server dies before it can tell the queue.
type dies struct {
	deliver.Mailboxes
	cancel context.CancelFunc
}

func (d dies) Deliver(ctx context.Context, u mailroot.User, m mailbox.Message) error {
	err := d.Mailboxes.Deliver(ctx, u, m)
	d.cancel()
	<-ctx.Done()
	if err == nil {
		err = ctx.Err()
	}
	return err
}

func TestMessageDeliveredBeforeTheServerDiedIsNotDeliveredTwice(t *testing.T) {
	f := newFixture(t)
	f.put("Subject: x\r\n\r\n", "s@ext.test", "u1@foo.test")
	ctx, cancel := context.WithCancel(t.Context())
	deliver.New(f.root, f.queue, dies{f.boxes(), cancel}, deliver.Options{Workers: 1, Host: "mx.test"}).Run(ctx)
	if got := f.mail("u1"); len(got) != 1 || f.queue.Len() != 1 {
		t.Fatalf("before the restart: %d messages in the mailbox, %d in the queue; want 1 and 1", len(got), f.queue.Len())
	}
	// Meanwhile another program has marked it as read.
	for _, name := range must(filepath.Glob(filepath.Join(f.dir, "domains", "foo.test", "u1", "Maildir", "new", "*"))) {
		to := strings.Replace(name, "/new/", "/cur/", 1) + ":2,S"
		if err := os.Rename(name, to); err != nil {
			t.Fatal(err)
		}
	}
	f.open()
	f.run(f.boxes())
	if got := f.mail("u1"); len(got) != 1 || f.queue.Len() != 0 {
		t.Errorf("after it: %d messages in the mailbox, %d in the queue; want 1 and 0", len(got), f.queue.Len())
	}
}

func TestMailThatCannotBeDeliveredStaysInTheQueue(t *testing.T) {
	f := newFixture(t)
	f.put("Subject: x\r\n\r\n", "s@ext.test", "gone@foo.test", "x@elsewhere.test", "u3@foo.test")
	if err := f.admin.SetUserVars(t.Context(), "foo.test", "u3", admin.Setting{Name: "MaxMBSize", Value: "1"}); err != nil {
		t.Fatal(err)
	}
	full := filepath.Join(f.dir, "domains", "foo.test", "u3", "Maildir", "cur", "1.x.y:2,S")
	if err := os.WriteFile(full, make([]byte, 2048), 0o600); err != nil {
		t.Fatal(err)
	}
	f.run(f.boxes())
	if n := f.queue.Len(); n != 1 {
		t.Fatalf("%d messages are queued, want 1", n)
	}
	logs := must(filepath.Glob(filepath.Join(f.dir, "spool", "live", "*.log")))
	if len(logs) != 1 {
		t.Fatalf("logs of messages: %q, want one", logs)
	}
	log, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<gone@foo.test> there is nobody", "<x@elsewhere.test> delivery to a remote", "<u3@foo.test> "} {
		if !strings.Contains(string(log), want) {
			t.Errorf("log of the message lacks %q:\n%s", want, log)
		}
	}
}

// TestScheduleIsThatOfTheReference has the worked cases of docs/reference/delivery.md 1.5.
func TestScheduleIsThatOfTheReference(t *testing.T) {
	for _, c := range []struct {
		s    deliver.Schedule
		want []int // seconds of the first attempts
	}{
		{deliver.Schedule{}, []int{0, 480, 990, 1531, 2105, 2714, 3361}},
		{deliver.Schedule{Base: time.Minute, Ratio: 4}, []int{0, 60, 135, 228, 344, 489, 670, 896}},
		{deliver.Schedule{Ratio: -1}, []int{0, 480, 960, 1440}},
	} {
		got := []int{0}
		at := time.Duration(0)
		for n := 1; n < len(c.want); n++ {
			at += c.s.Wait(n)
			got = append(got, int(at/time.Second))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v: attempts at %v, want %v", c.s, got, c.want)
		}
	}
}
