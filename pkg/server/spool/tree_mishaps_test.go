package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/bounce"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A fullFS is a disk that may be full, or may refuse to remove.
type fullFS struct {
	FS
	full, keeps bool
}

func (f *fullFS) Create(name, like string, perm fs.FileMode) (tabfile.File, error) {
	if f.full {
		return nil, &fs.PathError{Op: "create", Path: name, Err: syscall.ENOSPC}
	}
	return f.FS.Create(name, like, perm)
}

func (f *fullFS) Remove(name string) error {
	if f.keeps && strings.Contains(name, queueDir) {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrPermission}
	}
	return f.FS.Remove(name)
}

func TestOldMessagesStayWhereTheyCannotBeTakenOver(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	for n := range 3 {
		write(t, filepath.Join(dir, "0/0/mess", fmt.Sprint(n)), good)
	}
	disk := &fullFS{FS: OS(), full: true}
	q, err := Open(t.Context(), dir, Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if taken, err := q.TakeOver(t.Context(), nil); !errors.Is(err, syscall.ENOSPC) || taken.Messages != 0 || len(taken.Left) != 1 {
		t.Errorf("on a full disk: %+v, %v, want none and %v at the first", taken, err, syscall.ENOSPC)
	}
	disk.full, disk.keeps = false, true
	if taken, err := q.TakeOver(t.Context(), nil); err != nil || taken.Messages != 0 || len(taken.Left) != 3 || q.Len() != 0 {
		t.Errorf("where nothing can be removed: %+v, %v, %d in the queue, want none: they would be delivered twice", taken, err, q.Len())
	}
	if names := files(t, filepath.Join(dir, liveDir)); len(names) > 0 {
		t.Errorf("copies are left: %q", names)
	}
	disk.keeps = false
	if taken, err := q.TakeOver(t.Context(), nil); err != nil || taken.Messages != 3 || q.Len() != 3 {
		t.Errorf("afterwards: %+v, %v, %d in the queue, want 3", taken, err, q.Len())
	}
}

func TestFrozenMessageIsSubmittedOnceByTwoAtATime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	write(t, filepath.Join(dir, "0/0/froz/x"), good)
	q, _ := openQueue(t, dir)
	var done atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			err := q.Submit(Name{File: "x"})
			switch {
			case err == nil:
				done.Add(1)
			case !errors.Is(err, ErrNotFound):
				t.Errorf("submit: %v, want %v", err, ErrNotFound)
			}
		})
	}
	all.Wait()
	if done.Load() != 1 || q.Len() != 1 {
		t.Errorf("submitted %d times, %d in the queue, want 1", done.Load(), q.Len())
	}
}

// TestFrozenMessageIsSubmittedWhenItsFileIsFree submits a message that was submitted and
// frozen once before, while whoever froze it has its file still open.
func TestFrozenMessageIsSubmittedWhenItsFileIsFree(t *testing.T) {
	q, _ := openQueue(t, filepath.Join(t.TempDir(), "spool"))
	put(t, q, letter("ann", "a@x.test"), "text\r\n")
	freeze := func() (Name, *Body) {
		l := lease(t, q)
		body, err := l.Open()
		if err != nil {
			t.Fatal(err)
		}
		n, err := l.Freeze(0, Attempt{})
		if err == nil {
			err = l.End(map[int]Outcome{0: {State: StateFrozen}})
		}
		if err != nil {
			t.Fatal(err)
		}
		return n, body
	}
	n, body := freeze()
	body.Close()
	if err := q.Submit(n); err != nil {
		t.Fatal(err)
	}
	n, body = freeze()
	if err := q.Submit(n); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Submit while the file is open: %v, want %v", err, fs.ErrExist)
	}
	body.Close()
	if err := q.Submit(n); err != nil {
		t.Errorf("Submit afterwards: %v", err)
	}
	want(t, "text", text(t, lease(t, q).Open), "text\r\n")
}

// A logHook has something done when a line is logged.
type logHook struct {
	slog.Handler
	at map[string]func() // by the message of the line, once
}

func (h logHook) Enabled(context.Context, slog.Level) bool { return true }

func (h logHook) Handle(_ context.Context, r slog.Record) error {
	if do := h.at[r.Message]; do != nil {
		delete(h.at, r.Message)
		do()
	}
	return nil
}

// TestDeletionLeavesAloneWhatHasTheNameByNow has a message that is frozen and put back
// while it is being deleted: what is in the queue then is another one.
func TestDeletionLeavesAloneWhatHasTheNameByNow(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	hook := logHook{slog.DiscardHandler, make(map[string]func())}
	q, err := Open(t.Context(), dir, Options{Log: slog.New(hook)})
	if err != nil {
		t.Fatal(err)
	}
	put(t, q, letter("ann", "a@x.test"), "text\r\n")
	freeze := func(l *Lease) Name {
		n, err := l.Freeze(0, Attempt{})
		if err == nil {
			err = l.End(map[int]Outcome{0: {State: StateFrozen}})
		}
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if err := q.Submit(freeze(lease(t, q))); err != nil {
		t.Fatal(err)
	}
	l := lease(t, q)
	hook.at["recipients are deleted by an administrator"] = func() {
		if err := q.Submit(freeze(l)); err != nil {
			t.Error(err)
		}
	}
	if _, err := q.Delete(t.Context(), anything); err != nil {
		t.Error(err)
	}
	for range 2 {
		want(t, "in the queue", inQueue(q), "ann>a@x.test due")
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		q, _ = openQueue(t, dir)
	}
}

func TestMessageWhoseFileIsRemovedByHandIsLogged(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	told := 0
	hook := logHook{slog.DiscardHandler, map[string]func(){"message is gone: somebody has removed its file": func() { told++ }}}
	q, err := Open(t.Context(), dir, Options{Log: slog.New(hook)})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	put(t, q, letter("ann", "gone"), "text")
	for _, name := range files(t, filepath.Join(dir, liveDir)) {
		if err := os.Remove(filepath.Join(dir, liveDir, name)); err != nil {
			t.Fatal(err)
		}
	}
	put(t, q, letter("ann", "there"), "text")
	if l := lease(t, q); l.Recipients[0].Address != "there" || told != 1 {
		t.Errorf("leased to %s, told %d times; want the message that is there, and the other one in the log", l.Recipients[0].Address, told)
	}
}

// A removalFS has something done before a file is removed.
type removalFS struct {
	FS
	before func()
}

func (f *removalFS) Remove(name string) error {
	if before := f.before; before != nil {
		f.before = nil
		before()
	}
	return f.FS.Remove(name)
}

// TestFrozenMessageIsSubmittedWhenItsNameIsFree submits a message that was submitted and
// frozen once before, while the files of the one before are being removed.
func TestFrozenMessageIsSubmittedWhenItsNameIsFree(t *testing.T) {
	disk := &removalFS{FS: OS()}
	q, err := Open(t.Context(), filepath.Join(t.TempDir(), "spool"), Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	put(t, q, letter("ann", "a@x.test"), "text\r\n")
	freeze := func(meanwhile func(Name)) Name {
		l := lease(t, q)
		n, err := l.Freeze(0, Attempt{})
		disk.before = func() { meanwhile(n) }
		if err == nil {
			err = l.End(map[int]Outcome{0: {State: StateFrozen}})
		}
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	n := freeze(func(Name) {})
	if err := q.Submit(n); err != nil {
		t.Fatal(err)
	}
	n = freeze(func(n Name) {
		if err := q.Submit(n); !errors.Is(err, fs.ErrExist) {
			t.Errorf("Submit while files are removed: %v, want %v", err, fs.ErrExist)
		}
	})
	if err := q.Submit(n); err != nil {
		t.Errorf("Submit afterwards: %v", err)
	}
	want(t, "text", text(t, lease(t, q).Open), "text\r\n")
}

func TestFrozenFileThatIsNoMessageStays(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	path := filepath.Join(dir, "0/0/froz/x")
	write(t, path, "no message")
	q, _ := openQueue(t, dir)
	if err := q.Submit(Name{File: "x"}); !errors.Is(err, errUnloadable) {
		t.Errorf("submit: %v, want %v", err, errUnloadable)
	}
	if _, err := os.Stat(path); err != nil || q.Len() != 0 {
		t.Errorf("%v, %d in the queue, want the file where it was", err, q.Len())
	}
}

// TestNoticeShowsWhatTheQueueKnows puts both together as a delivery does.
func TestNoticeShowsWhatTheQueueKnows(t *testing.T) {
	q, c := openQueue(t, filepath.Join(t.TempDir(), "spool"))
	put(t, q, sample, "Subject: hello\r\n\r\n.dot\r\n")
	l := lease(t, q)
	if err := l.End(map[int]Outcome{0: {State: StateQueued, Until: c.now, Note: "451 later"}, 1: {State: StateQueued, Until: c.now, Note: "452 other"}}); err != nil {
		t.Fatal(err)
	}
	l = lease(t, q)
	body, err := l.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	log, err := l.History(0)
	if err != nil {
		t.Fatal(err)
	}
	to := l.Recipients[0]
	var text strings.Builder
	err = bounce.Write(&text, bounce.Notice{
		ID: q.NextID('X'), Time: time.Unix(0, 0), To: l.From, Domain: "x.test", Postmaster: "p@x.test", Name: l.Key(), MessageID: l.ID,
		From: l.From, EnvID: l.EnvID, Ret: l.Ret, Arrived: l.Time, Message: body, ExtraLines: 5, Log: log,
		Recipients: []bounce.Recipient{{Address: to.Address, ORcpt: to.ORcpt, Notify: to.Notify, Action: bounce.Failed, Reply: "550 5.1.1 no"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"451 later\r\n>>", "Subject: hello\r\n\r\n.dot\r\n", "Final-Recipient: rfc822; ann@foo.test\r\n", "<" + l.Key() + ">"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in\n%s", want, text.String())
		}
	}
	if strings.Contains(text.String(), "452 other") {
		t.Errorf("it tells of another recipient:\n%s", text.String())
	}
}
