package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

func osFS() tabfile.FS { return tabfile.OS() }

// A countingFS counts how often folders are read and files are looked at.
type countingFS struct {
	tabfile.FS
	mu            sync.Mutex
	reads, lstats int
}

func (c *countingFS) ReadDir(name string) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	return c.FS.ReadDir(name)
}

func (c *countingFS) Lstat(name string) (fs.FileInfo, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lstats++
	return c.FS.Lstat(name)
}

func TestAFullMailboxTakesNothing(t *testing.T) {
	root := newRoot(t, false)
	setVars(t, root, "\"MaxMBSize\"\t\"2\"")
	s := New(root, Options{})
	u := ann(t, root)
	full := func(extra int64, want bool) {
		t.Helper()
		if got, err := s.Full(t.Context(), u, extra); err != nil || got != want {
			t.Errorf("full for %d bytes: %v (err %v), want %v", extra, got, err, want)
		}
	}
	full(0, false)
	full(2048, false)
	full(2049, true)
	// The last one may go over, as in the reference: it was accepted when there was room.
	for i := range 2 {
		if err := s.Deliver(t.Context(), u, message(fmt.Sprint("m", i), strings.Repeat("x", 1500))); err != nil {
			t.Fatal(err)
		}
	}
	full(0, true)
	if err := s.Deliver(t.Context(), u, message("m3", "x")); !errors.Is(err, ErrFull) {
		t.Errorf("delivery: %v, want ErrFull", err)
	}
	// What another program removes is seen at once where mail would be refused.
	if err := os.Remove(filepath.Join(annDir(root), "Maildir", "new", "m0")); err != nil {
		t.Fatal(err)
	}
	full(0, false)
	full(600, true)
	if use, err := s.Usage(t.Context(), u); err != nil || use.Messages != 1 || use.Bytes != int64(len(stored(""))+1500) {
		t.Errorf("usage %+v (err %v), want one message", use, err)
	}
	for _, any := range []string{"", "0", "-1", "many"} {
		setVars(t, root, "\"MaxMBSize\"\t\""+any+"\"")
		full(1<<40, false)
	}
}

func TestRemovedMessagesMakeRoom(t *testing.T) {
	root := newRoot(t, false)
	setVars(t, root, "\"MaxMBSize\"\t\"1\"")
	s := New(root, Options{})
	u := ann(t, root)
	if err := s.Deliver(t.Context(), u, message("m", strings.Repeat("x", 2000))); err != nil {
		t.Fatal(err)
	}
	d := openDrop(t, s, u)
	if err := d.Delete(0); err != nil {
		t.Fatal(err)
	}
	if err := s.Deliver(t.Context(), u, message("n", "x")); err != nil {
		t.Errorf("delivery after the removal: %v", err)
	}
}

func TestDeliveriesDoNotCountTheMailboxEachTime(t *testing.T) {
	root := newRoot(t, false)
	setVars(t, root, "\"MaxMBSize\"\t\"10000\"")
	fresh := filepath.Join(annDir(root), "Maildir", "new")
	for i := range 100 {
		write(t, filepath.Join(fresh, fmt.Sprint("old", i)), "x")
	}
	fsys := &countingFS{FS: osFS()}
	now := time.Now()
	s := New(root, Options{FS: fsys, Clock: func() time.Time { return now }})
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			if err := s.Deliver(t.Context(), ann(t, root), message(fmt.Sprint("m", i), "x")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	// One count of the mailbox looks at each file in it, and at the folders.
	if fsys.lstats > 200 {
		t.Errorf("50 deliveries looked at %d files, want one count of 100 files and what came meanwhile", fsys.lstats)
	}
	// What others put there counts when some time has passed.
	write(t, filepath.Join(fresh, "large"), strings.Repeat("x", 11_000_000))
	now = now.Add(trustMost)
	if full, err := s.Full(t.Context(), ann(t, root), 0); err != nil || !full {
		t.Errorf("full: %v (err %v), want true", full, err)
	}
}

func TestTheFilesBeingWrittenAreForgottenWithTheirRooms(t *testing.T) {
	var r rooms
	r.init()
	now := time.Now()
	clock := func() time.Time { return now }
	for i := range maxRooms + 1 {
		if _, err := r.count(t.Context(), fmt.Sprint(i), clock, nil, func() (int64, error) { return 1, nil }); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.boxes) > maxRooms {
		t.Errorf("%d mailboxes are remembered, want %d at most", len(r.boxes), maxRooms)
	}
	broken := errors.New("input/output error")
	if _, err := r.count(t.Context(), "x", clock, nil, func() (int64, error) { return 0, broken }); !errors.Is(err, broken) {
		t.Errorf("count: %v, want %v", err, broken)
	}
	if _, known := r.used("x", now); known {
		t.Error("a mailbox that could not be counted is taken for known")
	}
}

// A gate lets pass whoever comes after it was opened, and says that somebody has come.
type gate struct {
	come, open chan struct{}
	once       sync.Once
}

func newGate() *gate { return &gate{come: make(chan struct{}), open: make(chan struct{})} }

func (g *gate) pass() {
	g.once.Do(func() { close(g.come) })
	<-g.open
}

// A gatedFS holds those who read a folder.
type gatedFS struct {
	tabfile.FS
	dir string
	*gate
}

func (f *gatedFS) ReadDir(name string) ([]string, error) {
	if name == f.dir {
		f.pass()
	}
	return f.FS.ReadDir(name)
}

// A gatedReader holds its reader.
type gatedReader struct {
	io.Reader
	*gate
}

func (r gatedReader) Read(p []byte) (int, error) {
	r.pass()
	return r.Reader.Read(p)
}

// A waitedFor context says that somebody waits for something and its end.
type waitedFor struct {
	context.Context
	waits func()
}

func (c waitedFor) Done() <-chan struct{} {
	c.waits()
	return c.Context.Done()
}

func TestWhatComesDuringACountCountsOnce(t *testing.T) {
	root := newRoot(t, false)
	setVars(t, root, "\"MaxMBSize\"\t\"2\"")
	fsys := &gatedFS{FS: osFS(), dir: filepath.Join(annDir(root), "Maildir", "new"), gate: newGate()}
	var mu sync.Mutex
	now := time.Now()
	s := New(root, Options{FS: fsys, Clock: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}})
	u := ann(t, root)
	var all sync.WaitGroup
	defer all.Wait()

	// A message of more than half the quota is begun: there is room.
	var opened sync.Once
	open := func() { opened.Do(func() { close(fsys.open) }) }
	defer open()
	m := message("m", strings.Repeat("x", 1200))
	text := gatedReader{m.Body, newGate()}
	m.Body = text
	delivered := make(chan error, 1)
	s.rooms.boxes[filepath.Join(annDir(root), "Maildir")] = &room{until: now.Add(time.Second)}
	all.Go(func() { delivered <- s.Deliver(t.Context(), u, m) })
	<-text.come
	// It comes while the mailbox is counted, and the count sees it.
	mu.Lock()
	now = now.Add(time.Second)
	mu.Unlock()
	all.Go(func() {
		if full, err := s.Full(t.Context(), u, 0); err != nil || full {
			t.Errorf("full for who counts: %v (err %v), want false", full, err)
		}
	})
	<-fsys.come
	close(text.open)
	if err := <-delivered; err != nil {
		t.Fatal(err)
	}
	waits := make(chan struct{})
	ctx := waitedFor{t.Context(), sync.OnceFunc(func() { close(waits) })}
	all.Go(func() {
		if full, err := s.Full(ctx, u, 0); err != nil || full {
			t.Errorf("full for who waits for the count: %v (err %v), want false", full, err)
		}
	})
	<-waits
	open()
}
