package deliver_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/admin"
	"github.com/xmaild/xmaild/pkg/server/deliver"
	"github.com/xmaild/xmaild/pkg/server/filter"
	"github.com/xmaild/xmaild/pkg/server/mailbox"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/outbound"
	"github.com/xmaild/xmaild/pkg/server/process"
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
	net   *network

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

// A network has a host for every domain.
type network struct {
	mu      sync.Mutex
	results map[string][]outbound.Result // by address: what comes of the next attempts
	sent    []string                     // addresses that got a message
	from    string                       // sender of the last one
	hold    map[string]chan struct{}     // domains whose host answers when the channel is closed
	calls   chan int                     // gets the number of recipients of each message that is sent; nil: nobody asks
}

func (n *network) Routed(string) bool { return false }

func (n *network) Relay(hosts, _ string) (outbound.Route, error) {
	return outbound.Route{Key: hosts}, nil
}

func (n *network) Plan(_ context.Context, domain string) (outbound.Route, error) {
	return outbound.Route{Key: domain}, nil
}

func (n *network) Send(ctx context.Context, r outbound.Route, m outbound.Message) []outbound.Result {
	n.mu.Lock()
	hold, calls := n.hold[r.Key], n.calls
	n.mu.Unlock()
	if calls != nil {
		calls <- len(m.Recipients)
	}
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.from = m.From
	var all []outbound.Result
	for _, to := range m.Recipients {
		result := outbound.Result{State: outbound.Delivered}
		if next := n.results[to.Address]; len(next) > 0 {
			result, n.results[to.Address] = next[0], next[1:]
		}
		if result.State == outbound.Delivered {
			n.sent = append(n.sent, to.Address)
		}
		all = append(all, result)
	}
	return all
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{net: &network{results: map[string][]outbound.Result{}}, t: t, dir: filepath.Join(t.TempDir(), "MailRoot"), now: time.Unix(1_800_000_000, 0), disk: &disk{FS: tabfile.OS(), room: -1}}
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
	f.take(e, text)
}

// take puts a message into the queue.
func (f *fixture) take(e spool.Envelope, text string) {
	f.t.Helper()
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
	d := deliver.New(f.parts(boxes), deliver.Options{Workers: 3, Host: "mx.test"})
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

// parts are what a deliverer works with.
func (f *fixture) parts(boxes deliver.Mailboxes) deliver.Parts {
	filters := filter.New(f.root, filter.Options{})
	return deliver.Parts{
		Root: f.root, Queue: f.queue, Boxes: boxes, Sender: f.net, Filters: filters, Commands: process.New(f.root, filters, process.Options{}),
	}
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
