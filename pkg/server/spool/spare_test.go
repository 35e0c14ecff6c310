package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/durable"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A reuseFS knows which names are durable, and which files are open.
type reuseFS struct {
	FS
	t *testing.T

	mu      sync.Mutex
	renamed map[string]bool // names that a power cut could take back
	open    map[string]int
	reused  int
}

func newReuseFS(t *testing.T) *reuseFS {
	return &reuseFS{FS: OS(), t: t, renamed: make(map[string]bool), open: make(map[string]int)}
}

func (r *reuseFS) Rename(from, to string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if strings.HasSuffix(to, spareSuffix) {
		if r.open[from] > 0 {
			r.t.Errorf("%s is kept for another message while it is open", filepath.Base(from))
		}
		r.renamed[to] = true
	}
	return r.FS.Rename(from, to)
}

func (r *reuseFS) Create(name, like string, mode fs.FileMode) (tabfile.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if strings.HasSuffix(name, spareSuffix) {
		r.reused++
		if r.renamed[name] {
			r.t.Errorf("%s is written over before its name is durable", filepath.Base(name))
		}
	}
	return r.FS.Create(name, like, mode)
}

func (r *reuseFS) Sync(names []string) error {
	r.mu.Lock()
	var before []string
	for name := range r.renamed {
		before = append(before, name)
	}
	r.mu.Unlock()
	if err := r.FS.Sync(names); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range before {
		delete(r.renamed, name)
	}
	return nil
}

func (r *reuseFS) Modify(name string) (File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, err := r.FS.Modify(name)
	if err == nil {
		r.open[name]++
		f = &countedFile{f, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.open[name]--
		}}
	}
	return f, err
}

type countedFile struct {
	File
	closing func()
}

func (f *countedFile) Close() error { f.closing(); return f.File.Close() }

func openReuse(t *testing.T) (*Queue, *reuseFS, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "spool")
	c := newReuseFS(t)
	q, err := Open(t.Context(), dir, Options{FS: c})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q, c, dir
}

func finish(t *testing.T, q *Queue) *Lease {
	t.Helper()
	l, err := q.Lease(t.Context())
	if err == nil {
		err = l.End(map[int]Outcome{0: {State: StateDelivered}})
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestFilesOfFinishedMessagesServeNewOnes(t *testing.T) {
	q, c, dir := openReuse(t)
	var senders sync.WaitGroup
	for sender := range 4 {
		senders.Go(func() {
			for n := range 100 {
				body := fmt.Sprintf("%d.%d %s", sender, n, strings.Repeat("x", n%7*1000))
				put(t, q, Envelope{From: body[:4], Recipients: []Recipient{{Address: "a@foo.test"}}}, body)
			}
		})
	}
	for range 400 {
		l, err := q.Lease(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := text(t, l.Open); !strings.HasPrefix(got, l.From) || strings.Count(got, ".") != 1 || len(got)%1000 > 10 {
			t.Errorf("message of %q has the text %.30q of %d bytes", l.From, got, len(got))
		}
		if err := l.End(map[int]Outcome{0: {State: StateDelivered}}); err != nil {
			t.Fatal(err)
		}
	}
	senders.Wait()
	if c.reused < 50 {
		t.Errorf("%d of 400 messages used the file of one before, want most", c.reused)
	}
	if names := leftBehind(t, q, dir); len(names) > 0 {
		t.Errorf("left behind: %q", names)
	}
}

func TestFileIsNotUsedAgainWhileItIsOpen(t *testing.T) {
	q, c, _ := openReuse(t)
	put(t, q, sample, "first")
	l, err := q.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	body, err := l.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if err := l.End(map[int]Outcome{0: {State: StateDelivered}, 1: {State: StateDelivered}}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		put(t, q, Envelope{Recipients: []Recipient{{Address: "a@foo.test"}}}, "another")
	}
	if got := text(t, func() (*Body, error) { return body, nil }); got != "first" || c.reused > 0 {
		t.Errorf("the open message reads %q, want its own text; %d files were used again", got, c.reused)
	}
}

func TestFilesOfFinishedMessagesAreKeptForMinutesOnly(t *testing.T) {
	q, _, dir := openReuse(t)
	put(t, q, Envelope{Recipients: []Recipient{{Address: "a@foo.test"}}}, "text")
	finish(t, q)
	live := filepath.Join(dir, liveDir)
	if names := files(t, live); len(names) != 1 || !strings.HasSuffix(names[0], spareSuffix) {
		t.Fatalf("after the delivery: %q, want one spare file", names)
	}
	for range 2 {
		if err := q.Tidy(); err != nil {
			t.Fatal(err)
		}
	}
	if names := files(t, live); len(names) != 0 {
		t.Errorf("left behind where no other message came: %q", names)
	}
	put(t, q, Envelope{Recipients: []Recipient{{Address: "a@foo.test"}}}, strings.Repeat("x", maxSpareSize))
	finish(t, q)
	if names := files(t, live); len(names) != 0 {
		t.Errorf("left behind of a large message: %q", names)
	}
}

// TestFilesOfFinishedMessagesGoWhereTheFolderCouldNotBeSynced has no files for a while.
func TestFilesOfFinishedMessagesGoWhereTheFolderCouldNotBeSynced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	disk := &shortFS{FS: OS()}
	q, err := Open(t.Context(), dir, Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	put(t, q, letter("ann", "a"), "text")
	finish(t, q)
	disk.short.Store(true)
	if err := q.Tidy(); !errors.Is(err, syscall.EMFILE) {
		t.Errorf("Tidy without files: %v, want EMFILE", err)
	}
	disk.short.Store(false)
	if err := q.Tidy(); err != nil {
		t.Error(err)
	}
	if names := files(t, filepath.Join(dir, liveDir)); len(names) != 0 {
		t.Errorf("left behind where no other message came: %q", names)
	}
}

func TestFolderIsSyncedAfterRemovalsOnly(t *testing.T) {
	disk := &shortFS{FS: OS()}
	q, err := Open(t.Context(), filepath.Join(t.TempDir(), "spool"), Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	for _, step := range []struct {
		what string
		do   func()
		want int32
	}{
		{"new message", func() { put(t, q, letter("ann", "a"), "text") }, 0},
		{"end", func() { finish(t, q) }, 1},
		{"nothing", func() {}, 0},
		{"end, and a new message", func() {
			put(t, q, letter("ann", "a"), "text")
			finish(t, q)
			put(t, q, letter("ann", "a"), "text")
		}, 0},
	} {
		step.do()
		before := disk.syncs.Load()
		if err := q.Sync(); err != nil {
			t.Error(err)
		}
		if n := disk.syncs.Load() - before; n != step.want {
			t.Errorf("%s: %d syncs, want %d", step.what, n, step.want)
		}
	}
}

// A stuckFS has syncs that fail when they are told to.
type stuckFS struct {
	FS
	begun chan bool
	fail  chan bool
}

func (f *stuckFS) Sync([]string) error {
	f.begun <- true
	<-f.fail
	return syscall.EMFILE
}

// TestRemovalIsNotDurableByASyncThatRuns asks for two syncs of one removal, of which the
// first fails.
func TestRemovalIsNotDurableByASyncThatRuns(t *testing.T) {
	q, err := Open(t.Context(), filepath.Join(t.TempDir(), "spool"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	disk := &stuckFS{OS(), make(chan bool, 2), make(chan bool)}
	put(t, q, letter("ann", "a"), "text")
	finish(t, q)
	q.folders = durable.New(disk.Sync)
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- q.Sync() }()
	<-disk.begun
	go func() { second <- q.Sync() }()
	close(disk.fail)
	for n, result := range []chan error{first, second} {
		if err := <-result; err == nil {
			t.Errorf("sync %d says that the removal is durable", n+1)
		}
	}
}

func TestSpareFilesOfBeforeAreRemovedAtTheStart(t *testing.T) {
	q, _, dir := openReuse(t)
	put(t, q, Envelope{Recipients: []Recipient{{Address: "a@foo.test"}}}, "text")
	finish(t, q) // and the process dies
	q, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if names := leftBehind(t, q, dir); len(names) != 0 || q.Len() != 0 {
		t.Errorf("left behind: %q, %d in the queue", names, q.Len())
	}
}
