package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A clock is set by the test, which fires tick when it has set it.
type clock struct {
	now  time.Time
	tick chan time.Time
}

func openQueue(t *testing.T, dir string) (*Queue, *clock) {
	t.Helper()
	c := &clock{time.Unix(1_800_000_000, 0), make(chan time.Time)}
	q, err := Open(t.Context(), dir, Options{
		Clock: func() time.Time { return c.now }, Tick: func() <-chan time.Time { return c.tick },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q, c
}

func put(t *testing.T, q *Queue, e Envelope, text string) {
	t.Helper()
	d, err := q.Begin(e)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(d, text); err != nil {
		t.Fatal(err)
	}
	if err := d.Commit(); err != nil {
		t.Fatal(err)
	}
}

func text(t *testing.T, open func() (*Body, error)) string {
	t.Helper()
	body, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// leftBehind closes the queue of a spool folder and returns the files that are left
// of its messages.
func leftBehind(t *testing.T, q *Queue, dir string) []string {
	t.Helper()
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	return files(t, filepath.Join(dir, liveDir))
}

var sample = Envelope{
	ID: "S2", Time: time.Unix(1_800_000_000, 123000).UTC(), Client: netip.MustParseAddrPort("192.0.2.7:5123"), From: "a@x.test",
	Mail: "MAIL FROM:<a@x.test> SIZE=5", Body: "8BITMIME", Recipients: []Recipient{
		{Address: "ann@foo.test", Real: "ann@foo.test"}, {Address: "täg@foo.test", Notify: "NEVER", ORcpt: "rfc822;x@y"},
	},
}

func TestMessageComesOutOfTheQueueAsItWentIn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	q, _ := openQueue(t, dir)
	put(t, q, sample, "Subject: x\r\n\r\n.dot\r\n")
	for restart := range 2 {
		l, err := q.Lease(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sample, l.Envelope, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Errorf("envelope (-went in +came out):\n%s", diff)
		}
		if got := text(t, l.Open); got != "Subject: x\r\n\r\n.dot\r\n" {
			t.Errorf("message %q came out", got)
		}
		if want := restart > 0; l.Again != want {
			t.Errorf("after %d restarts Again is %v, want %v", restart, l.Again, want)
		}
		if restart == 0 {
			// The lease is out when the server ends: another one begins anew.
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
			q, _ = openQueue(t, dir)
			continue
		}
		if err := l.End(map[int]Outcome{0: {State: StateDelivered}, 1: {State: StateDelivered}}); err != nil {
			t.Fatal(err)
		}
	}
	if names := leftBehind(t, q, dir); len(names) > 0 {
		t.Errorf("left behind: %q", names)
	}
}

func TestDeferredRecipientIsDueWhenItsTimeHasCome(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	q, c := openQueue(t, dir)
	put(t, q, sample, "x\r\n")
	l, err := q.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	later := c.now.Add(8 * time.Minute)
	if err := l.End(map[int]Outcome{0: {State: StateDelivered}, 1: {State: StateQueued, Until: later, Note: "451 busy\r\nSecret: x"}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if l, err := q.Lease(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("before its time the message was leased: %v, %v", l, err)
	}
	got := make(chan *Lease, 1)
	go func() {
		l, err := q.Lease(t.Context())
		if err != nil {
			t.Error(err)
		}
		got <- l
	}()
	c.tick <- c.now // the waiter looks, and waits on
	q.mu.Lock()
	c.now = later
	q.mu.Unlock()
	select {
	case c.tick <- later:
		l = <-got
	case l = <-got: // it looked at the first tick when the time had come already
	}
	if len(l.Recipients) != 1 || l.Recipients[0].Address != "täg@foo.test" || l.Tries(0) != 1 || !l.Again {
		t.Errorf("leased %+v, tries %d, again %v; want the second recipient after one attempt", l.Recipients, l.Tries(0), l.Again)
	}
	log, err := os.ReadFile(filepath.Join(dir, liveDir, l.Key()+logSuffix))
	if err != nil {
		t.Fatal(err)
	}
	if want := "<täg@foo.test> 451 busy??Secret: x\n"; !strings.HasSuffix(string(log), want) {
		t.Errorf("log of the message is %q, want it to end in %q", log, want)
	}
	if err := l.End(map[int]Outcome{0: {State: StateDelivered}}); err != nil {
		t.Fatal(err)
	}
	if names := leftBehind(t, q, dir); len(names) > 0 {
		t.Errorf("left behind: %q", names)
	}
}

func TestReturnedLeaseIsDueAtOnce(t *testing.T) {
	q, _ := openQueue(t, filepath.Join(t.TempDir(), "spool"))
	put(t, q, sample, "x\r\n")
	for range 2 {
		l, err := q.Lease(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(l.Recipients) != 2 || l.Tries(0) != 0 {
			t.Errorf("leased %d recipients after %d attempts, want 2 after none", len(l.Recipients), l.Tries(0))
		}
		l.Return()
	}
}

func TestAbortedDraftLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	q, _ := openQueue(t, dir)
	d, err := q.Begin(sample)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(d, strings.Repeat("x", 100_000))
	d.Abort()
	if names := files(t, filepath.Join(dir, liveDir)); len(names) > 0 || q.Len() > 0 {
		t.Errorf("left behind: %q, %d in the queue", names, q.Len())
	}
	if err := d.Commit(); err == nil {
		t.Error("a draft was committed after it was aborted")
	}
}

func TestDraftIsReadAndReplacedBeforeItIsTaken(t *testing.T) {
	q, _ := openQueue(t, filepath.Join(t.TempDir(), "spool"))
	d, err := q.Begin(sample)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(d, "Subject: long enough to leave something\r\n\r\n")
	if got := text(t, d.Open); got != "Subject: long enough to leave something\r\n\r\n" {
		t.Errorf("draft reads %q", got)
	}
	if err := d.Replace(strings.NewReader("X: y\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := d.Commit(); err != nil {
		t.Fatal(err)
	}
	l, err := q.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := text(t, l.Open); got != "X: y\r\n\r\n" || l.Size() != 8 {
		t.Errorf("message reads %q, size %d; want the new text", got, l.Size())
	}
}

func TestUnreadableFileIsPutAsideAndTheRestGoesOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	q, _ := openQueue(t, dir)
	put(t, q, sample, "x\r\n")
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	live := filepath.Join(dir, liveDir)
	good := files(t, live)[0]
	for name, content := range map[string]string{
		"1-a.msg": "", "1-b.msg": "xmaild-message 1\n{}\nQ 000", "1-c.msg": "xmaild-message 1\n{}\n\n", "1-d.msg": "xmaild-message 2\n",
		"1-e.new": "draft", "1-f.log": "no message", "1-g.msg": "xmaild-message 1\n{}\nX 000 000000000000 00000000 00000000 {\"to\":\"a@b\"}\n\n",
	} {
		if err := os.WriteFile(filepath.Join(live, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	q, _ = openQueue(t, dir)
	if diff := cmp.Diff([]string{good}, files(t, live)); diff != "" {
		t.Errorf("live queue (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"1-a.msg", "1-b.msg", "1-c.msg", "1-d.msg", "1-g.msg"}, files(t, filepath.Join(dir, badDir))); diff != "" {
		t.Errorf("put aside (-want +got):\n%s", diff)
	}
	if _, err := q.Lease(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestMessageThatVanishesIsDropped(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	q, _ := openQueue(t, dir)
	put(t, q, sample, "x\r\n")
	if err := os.Remove(filepath.Join(dir, liveDir, files(t, filepath.Join(dir, liveDir))[0])); err != nil {
		t.Fatal(err)
	}
	put(t, q, sample, "y\r\n")
	l, err := q.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := text(t, l.Open); got != "y\r\n" || q.Len() != 1 {
		t.Errorf("leased %q of %d messages, want the one that is there", got, q.Len())
	}
}

func TestNumbersOfMessagesGoOnAfterARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	counter := filepath.Join(filepath.Dir(dir), "message.id")
	if err := os.WriteFile(counter, []byte("26\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	q, _ := openQueue(t, dir)
	if got := q.NextID('S') + q.NextID('X'); got != "S1BX1C" {
		t.Errorf("ids %s, want S1B and X1C", got)
	}
	during, err := os.ReadFile(counter)
	if err != nil || string(during) == "26\r\n" {
		t.Errorf("while it runs the file says %q (%v): a crash would use numbers twice", during, err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(counter)
	if err != nil || string(after) != "28\r\n" {
		t.Errorf("the file says %q (%v), want 28", after, err)
	}
}

func TestLeaseEndsWhenTheQueueIsClosed(t *testing.T) {
	q, _ := openQueue(t, filepath.Join(t.TempDir(), "spool"))
	done := make(chan error, 1)
	go func() { _, err := q.Lease(context.Background()); done <- err }()
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("Lease returned %v, want %v", err, ErrClosed)
	}
}

func TestProgressOfADeliveryIsKnownToTheNextAttempt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	q, _ := openQueue(t, dir)
	put(t, q, sample, "x\r\n")
	l, err := q.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Progress{Sum: 0xdeadbeef}.With(3).With(31)
	if err := l.SetProgress(1, want); err != nil {
		t.Fatal(err)
	}
	if got := l.Progress(1); got != want {
		t.Errorf("at once the progress is %v, want %v", got, want)
	}
	q.Close()
	q, _ = openQueue(t, dir)
	if l, err = q.Lease(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := l.Progress(1); got != want || l.Progress(0) != (Progress{}) {
		t.Errorf("after a restart the progress is %v and %v, want none and %v", l.Progress(0), got, want)
	}
}

func TestParkedRecipientsWaitForTheirDestination(t *testing.T) {
	q, _ := openQueue(t, filepath.Join(t.TempDir(), "spool"))
	put(t, q, sample, "x\r\n")
	l, err := q.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	part := l.Split([]int{1})
	part.Park("foo.test")
	if err := l.End(map[int]Outcome{0: {State: StateDelivered}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if l, err := q.Lease(ctx); err == nil {
		t.Fatalf("the parked recipient was leased: %+v", l.Recipients)
	}
	if l := q.Unpark("bar.test"); l != nil {
		t.Errorf("another destination got %+v", l.Recipients)
	}
	l = q.Unpark("foo.test")
	if l == nil || len(l.Recipients) != 1 || l.Recipients[0].Address != "täg@foo.test" {
		t.Fatalf("its destination got %+v, want the second recipient", l)
	}
	if q.Unpark("foo.test") != nil {
		t.Error("the recipient was parked twice")
	}
	if err := l.End(map[int]Outcome{0: {State: StateDelivered}}); err != nil {
		t.Fatal(err)
	}
	if q.Len() != 0 {
		t.Errorf("%d messages are queued, want none", q.Len())
	}
}

// TestRecipientIsDueThoughOthersOfItsMessageAreInHand is for a message to two domains,
// where the attempt at one takes until long after the time of the other has come.
func TestRecipientIsDueThoughOthersOfItsMessageAreInHand(t *testing.T) {
	q, c := openQueue(t, filepath.Join(t.TempDir(), "spool"))
	put(t, q, letter("ann", "a@slow.test", "b@quick.test"), "x\r\n")
	soon, later := c.now.Add(time.Minute), c.now.Add(2*time.Minute)
	if err := lease(t, q).End(map[int]Outcome{0: {State: StateQueued, Until: soon}, 1: {State: StateQueued, Until: later}}); err != nil {
		t.Fatal(err)
	}
	c.now = soon
	slow := lease(t, q)
	want(t, "at the time of the first", inQueue(q), "ann>a@slow.test active, ann>b@quick.test waiting")
	c.now = later
	quick := lease(t, q)
	want(t, "leased", quick.Recipients[0].Address, "b@quick.test")
	for _, l := range []*Lease{quick, slow} {
		if err := l.End(map[int]Outcome{0: {State: StateDelivered}}); err != nil {
			t.Fatal(err)
		}
	}
	want(t, "left", inQueue(q), "")
}

// TestLogHasEveryAttempt ends attempts at one message at the same time.
func TestLogHasEveryAttempt(t *testing.T) {
	q, c := openQueue(t, filepath.Join(t.TempDir(), "spool"))
	var all []string
	for n := range 50 {
		all = append(all, fmt.Sprintf("r%d@x.test", n))
	}
	put(t, q, letter("ann", all...), "x\r\n")
	l := lease(t, q)
	var attempts sync.WaitGroup
	for n := range all {
		part := l.Split([]int{n})
		attempts.Go(func() {
			if err := part.End(map[int]Outcome{0: {State: StateQueued, Until: c.now.Add(time.Hour), Note: "451 later"}}); err != nil {
				t.Error(err)
			}
		})
	}
	attempts.Wait()
	_, log, err := q.Look(l.Key())
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range all {
		if !strings.Contains(log, " <"+to+"> 451 later\n") {
			t.Errorf("the log does not tell of %s", to)
		}
	}
}

// A shortFS has no file to give for a while.
type shortFS struct {
	FS
	short atomic.Bool
	syncs atomic.Int32
}

func (f *shortFS) Open(name string) (tabfile.File, error) {
	if f.short.Load() && strings.HasSuffix(name, messageSuffix) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EMFILE}
	}
	return f.FS.Open(name)
}

func (f *shortFS) Modify(name string) (File, error) {
	if f.short.Load() && strings.HasSuffix(name, messageSuffix) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EMFILE}
	}
	return f.FS.Modify(name)
}

func (f *shortFS) Sync(names []string) error {
	if f.short.Load() && filepath.Base(names[0]) == liveDir {
		return &fs.PathError{Op: "open", Path: names[0], Err: syscall.EMFILE}
	}
	f.syncs.Add(1)
	return f.FS.Sync(names)
}

// TestWhatCouldNotBeWrittenIsWrittenLater ends a recipient when there is no file to note
// it in: what the queue remembers is in the file when there is one again.
func TestWhatCouldNotBeWrittenIsWrittenLater(t *testing.T) {
	for name, later := range map[string]func(*Queue, *Lease) error{
		"with the next state": func(_ *Queue, rest *Lease) error {
			return rest.End(map[int]Outcome{0: {State: StateQueued, Until: time.Unix(1_900_000_000, 0)}})
		},
		"in a while": func(q *Queue, _ *Lease) error { return q.Tidy() },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "spool")
			disk := &shortFS{FS: OS()}
			q, err := Open(t.Context(), dir, Options{FS: disk})
			if err != nil {
				t.Fatal(err)
			}
			put(t, q, letter("ann", "a", "b"), "x\r\n")
			l := lease(t, q)
			rest := l.Split([]int{1})
			disk.short.Store(true)
			if err := l.End(map[int]Outcome{0: {State: StateDelivered}}); !errors.Is(err, syscall.EMFILE) {
				t.Errorf("End without files: %v, want EMFILE", err)
			}
			disk.short.Store(false)
			if err := later(q, rest); err != nil {
				t.Error(err)
			}
			// The process dies.
			q, _ = openQueue(t, dir)
			for item := range q.Items(anything) {
				want(t, "left", item.Recipient, "b")
			}
		})
	}
}

// TestDerivedMessageIsMadeOnceForWantOfFiles derives a message when there is no file to
// note that in.
func TestDerivedMessageIsMadeOnceForWantOfFiles(t *testing.T) {
	disk := &shortFS{FS: OS()}
	q, err := Open(t.Context(), filepath.Join(t.TempDir(), "spool"), Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	put(t, q, letter("ann", "list"), "x\r\n")
	list := lease(t, q)
	d, err := list.Derive(0, 3, letter("ann", "member"))
	if err != nil {
		t.Fatal(err)
	}
	note := d.committed
	d.committed = func() error {
		disk.short.Store(true)
		defer disk.short.Store(false)
		return note()
	}
	if err := d.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := lease(t, q).End(map[int]Outcome{0: {State: StateDelivered}}); err != nil {
		t.Fatal(err)
	}
	list.Return()
	if _, err := lease(t, q).Derive(0, 3, letter("ann", "member")); !errors.Is(err, ErrDerived) {
		t.Errorf("the next attempt may derive it again: %v", err)
	}
}

// A keepingFS lets no name of a folder go.
type keepingFS struct{ FS }

func (keepingFS) Remove(name string) error {
	return &fs.PathError{Op: "remove", Path: name, Err: syscall.EACCES}
}

func (f keepingFS) Rename(from, to string) error {
	if strings.HasSuffix(to, spareSuffix) {
		return &fs.PathError{Op: "rename", Path: from, Err: syscall.EACCES}
	}
	return f.FS.Rename(from, to)
}

func TestFinishedMessageThatCannotBeRemovedIsNotDeliveredAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	q, err := Open(t.Context(), dir, Options{FS: keepingFS{OS()}})
	if err != nil {
		t.Fatal(err)
	}
	put(t, q, letter("ann", "a", "b"), "x\r\n")
	if err := lease(t, q).End(map[int]Outcome{0: {State: StateDelivered}, 1: {State: StateDelivered}}); err != nil {
		t.Error(err)
	}
	q.Close()
	q, _ = openQueue(t, dir)
	want(t, "after a restart", inQueue(q), "")
	if names := leftBehind(t, q, dir); len(names) > 0 {
		t.Errorf("left behind: %q", names)
	}
}

// TestRemovalIsMadeDurableWhenThereAreFilesAgain removes a message when there is no file
// to sync the folder by.
func TestRemovalIsMadeDurableWhenThereAreFilesAgain(t *testing.T) {
	disk := &shortFS{FS: OS()}
	q, err := Open(t.Context(), filepath.Join(t.TempDir(), "spool"), Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	put(t, q, letter("ann", "a"), "x\r\n")
	disk.short.Store(true)
	if _, err := q.Delete(t.Context(), anything); !errors.Is(err, syscall.EMFILE) {
		t.Errorf("Delete without files: %v, want EMFILE", err)
	}
	disk.short.Store(false)
	before := disk.syncs.Load()
	if err := q.Tidy(); err != nil || disk.syncs.Load() == before {
		t.Errorf("Tidy afterwards: %v after %d syncs, want one", err, disk.syncs.Load()-before)
	}
}

func TestMessageThatCannotBeReadAtAStartIsThereAtTheNext(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	q, c := openQueue(t, dir)
	put(t, q, letter("ann", "a"), "x\r\n")
	if err := lease(t, q).End(map[int]Outcome{0: {State: StateQueued, Until: c.now, Note: "451 later"}}); err != nil {
		t.Fatal(err)
	}
	disk := &shortFS{FS: OS()}
	disk.short.Store(true)
	for _, want := range []int{0, 1} {
		q, err := Open(t.Context(), dir, Options{FS: disk, Clock: func() time.Time { return c.now }})
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		if q.Len() != want {
			t.Errorf("%d messages in the queue, want %d", q.Len(), want)
		}
		disk.short.Store(false)
		if want == 1 {
			if history, err := lease(t, q).History(0); err != nil || !strings.Contains(history, "451 later") {
				t.Errorf("its attempts are %q, %v; want the one before", history, err)
			}
		}
	}
}

func TestMessageIsNotPutAsideForWantOfFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	disk := &shortFS{FS: OS()}
	now := time.Unix(1_800_000_000, 0)
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	tick := make(chan time.Time)
	q, err := Open(t.Context(), dir, Options{FS: disk, Clock: clock, Tick: func() <-chan time.Time { return tick }})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	put(t, q, sample, "x\r\n")
	disk.short.Store(true)
	got := make(chan *Lease, 1)
	go func() {
		l, err := q.Lease(t.Context())
		if err != nil {
			t.Error(err)
		}
		got <- l
	}()
	tick <- now // it has failed to read the message, and waits
	disk.short.Store(false)
	mu.Lock()
	now = now.Add(unreadTime)
	mu.Unlock()
	select {
	case tick <- now:
	case l := <-got:
		got <- l
	}
	if l := <-got; l == nil || len(l.Recipients) != 2 {
		t.Errorf("when there are files again, the lease is %+v, want the message", l)
	}
	if names, err := os.ReadDir(filepath.Join(dir, badDir)); err == nil {
		t.Errorf("put aside: %v", names)
	}
}
