//go:build unix

package deliver_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/deliver"
	"github.com/xmaild/xmaild/pkg/server/mailbox"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/program/programtest"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// Watched mailboxes note where mail comes from.
type watched struct {
	*mailbox.Store
	queue *spool.Queue

	mu     sync.Mutex
	direct map[string]bool // accounts whose last message came without the queue
}

func (w *watched) Deliver(ctx context.Context, u mailroot.User, m mailbox.Message) error {
	direct := w.queue.Len() == 0
	w.mu.Lock()
	w.direct[u.Name] = direct
	w.mu.Unlock()
	return w.Store.Deliver(ctx, u, m)
}

func (w *watched) came(name string) (direct, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	direct, ok = w.direct[name]
	return direct, ok
}

// runWatched starts a deliverer that is asked first from here on.
func (f *fixture) runWatched() *watched {
	f.t.Helper()
	w := &watched{Store: f.boxes(), queue: f.queue, direct: make(map[string]bool)}
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan struct{})
	go func() { deliver.New(f.parts(w), deliver.Options{Host: "mx.test"}).Run(ctx); close(done) }()
	f.t.Cleanup(func() { cancel(); <-done })
	f.waitFor("a start", func() bool {
		f.put("Subject: begin\r\n\r\n", "s@ext.test", "u9@foo.test")
		direct, ok := w.came("u9")
		return ok && direct
	})
	f.waitFor("an empty queue", func() bool { return f.queue.Len() == 0 })
	return w
}

func TestMailForAMailboxNeedsNoQueue(t *testing.T) {
	f := newFixture(t)
	w := f.runWatched()
	f.put("Subject: x\r\n\r\ntext\r\n", "s@ext.test", "U1@FOO.test")
	// At once: whoever waits for the reply can read it.
	want := "Return-Path: <s@ext.test>\r\nDelivered-To: u1@foo.test\r\nSubject: x\r\n\r\ntext\r\n"
	if got := f.mail("u1"); len(got) != 1 || got[0] != want {
		t.Errorf("the mailbox has %q, want %q", got, want)
	}
	if direct, _ := w.came("u1"); !direct {
		t.Error("the message was in the queue")
	}
}

func TestMailThatIsMoreThanForAMailboxTakesTheQueue(t *testing.T) {
	script := "\"" + programtest.Script(t, "exit 0\n") + "\"\n"
	for name, c := range map[string]struct {
		set func(f *fixture)
		to  []spool.Recipient
		box string
	}{
		"two recipients": {to: []spool.Recipient{{Address: "u1@foo.test"}, {Address: "u2@foo.test"}}, box: "u1"},
		"NOTIFY":         {to: []spool.Recipient{{Address: "u1@foo.test", Notify: "FAILURE,SUCCESS"}}, box: "u1"},
		"commands": {set: func(f *fixture) {
			f.write("domains/foo.test/u1/mailproc.tab", "\"external\"\t\"0\"\t\"9\"\t"+script+"\"mailbox\"\n")
		}, box: "u1"},
		"commands of all": {set: func(f *fixture) {
			f.write("domains/foo.test/mailproc.tab", "\"external\"\t\"0\"\t\"9\"\t"+script+"\"mailbox\"\n")
		}, box: "u1"},
		"a redirection": {set: func(f *fixture) { f.write("domains/foo.test/u1/mailproc.tab", "\"redirect\"\t\"u2@foo.test\"\n") }, box: "u2"},
		"a bad command": {set: func(f *fixture) { f.write("domains/foo.test/u1/mailproc.tab", "\"mailbox\"\n\"mailbix\"\n") }, box: "u1"},
		"a filter": {set: func(f *fixture) {
			f.write("filters.in.tab", "\"*\"\t\"u1@foo.test\"\t\"0.0.0.0/0\"\t\"0.0.0.0/0\"\t\"in.tab\"\n")
			f.write("filters/in.tab", script)
		}, box: "u1"},
		"a list": {set: func(f *fixture) {
			if err := f.admin.UserAdd(f.t.Context(), "foo.test", "list", "x", "M"); err != nil {
				f.t.Fatal(err)
			}
			if err := f.admin.MemberAdd(f.t.Context(), "foo.test", "list", "u1@foo.test", "RW"); err != nil {
				f.t.Fatal(err)
			}
		}, to: []spool.Recipient{{Address: "list@foo.test"}}, box: "u1"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			w := f.runWatched()
			if c.set != nil {
				c.set(f)
			}
			if c.to == nil {
				c.to = []spool.Recipient{{Address: "u1@foo.test"}}
			}
			f.take(spool.Envelope{ID: f.queue.NextID('S'), Time: f.clock(), From: "u3@foo.test", Account: "u3@foo.test", Recipients: c.to}, "Subject: x\r\n\r\n")
			f.waitFor("delivery", func() bool { _, ok := w.came(c.box); return ok && f.queue.Len() == 0 })
			if direct, _ := w.came(c.box); direct {
				t.Error("the message was delivered before it was in the queue")
			}
			if n := len(f.mail(c.box)); n != 1 {
				t.Errorf("%d messages, want 1", n)
			}
		})
	}
}

func TestMailThatAMailboxDoesNotTakeTakesTheQueue(t *testing.T) {
	f := newFixture(t)
	w := f.runWatched()
	f.disk.setRoom(0)
	f.put("Subject: x\r\n\r\n", "s@ext.test", "u1@foo.test")
	f.waitFor("an attempt of the queue", func() bool { direct, ok := w.came("u1"); return ok && !direct && f.queue.Due() == 0 })
	f.disk.setRoom(-1)
	f.pass(time.Hour)
	f.waitFor("delivery", func() bool { return f.queue.Len() == 0 })
	if got := f.mail("u1"); len(got) != 1 || !strings.Contains(got[0], "Subject: x") {
		t.Errorf("the mailbox has %q, want the message once", got)
	}
}
