package tabfile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A hookFS is the real file system, and tells before a checkpoint writes a large table.
type hookFS struct {
	FS
	large func() error // its error is that of the file; nil: no hook
	sync  func()       // before names are synced; nil: no hook
	carry atomic.Bool  // the next segment has room for its first line, and for no more
}

func (h *hookFS) Create(name, like string, perm fs.FileMode) (File, error) {
	if large := h.large; large != nil && strings.HasSuffix(name, largeExt) {
		if err := large(); err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
	}
	f, err := h.FS.Create(name, like, perm)
	if err != nil || !strings.Contains(name, journalDir) || !h.carry.CompareAndSwap(true, false) {
		return f, err
	}
	return &shortFile{File: f}, nil
}

func (h *hookFS) Sync(names []string) error {
	if h.sync != nil {
		h.sync()
	}
	return h.FS.Sync(names)
}

// A shortFile can be written to once.
type shortFile struct {
	File
	written bool
}

func (f *shortFile) WriteAt(b []byte, off int64) (int, error) {
	if f.written {
		f.written = false // somebody has made room
		return 0, syscall.ENOSPC
	}
	f.written = true
	return f.File.WriteAt(b, off)
}

// openIdle opens a store that makes no checkpoint unless it is asked to.
func openIdle(t *testing.T, root string, fsys FS) *Store {
	t.Helper()
	o := testOptions(root, fsys)
	o.times.idle, o.times.longest = time.Hour, time.Hour
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // a second Close says so
	return s
}

// largeRows are more than a table shows at once.
var largeRows = strings.Repeat("\"10.0.0.1\"\n", directMax/10)

func addRow(name, value string) func(*Tx) error {
	return func(tx *Tx) error {
		table, err := tx.File(name, plainSchema)
		if err != nil {
			return err
		}
		return table.Append(value)
	}
}

// TestCheckpointIsTriedAgain has no room for a large table at first, and changes nothing
// from then on.
func TestCheckpointIsTriedAgain(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	writeTestFile(t, root, "relay.tab", largeRows)
	disk := &hookFS{FS: OS()}
	var tries atomic.Int32
	disk.large = func() error {
		if tries.Add(1) == 1 {
			return syscall.ENOSPC
		}
		return nil
	}
	o := testOptions(root, disk)
	o.times.longest = o.times.idle
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mustUpdate(t, s, addRow("relay.tab", "10.0.0.2"))
	waitFor(t, "the table to be written", func() bool {
		text, err := os.ReadFile(filepath.Join(root, "relay.tab"))
		return err == nil && strings.HasSuffix(string(text), "\"10.0.0.2\"\n")
	})
}

// TestSegmentIsNotForgotten fails to begin a segment where the journal has to go on with
// changes of a table that somebody has in hand. What the one before says must not be done
// again at a later start.
func TestSegmentIsNotForgotten(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	writeTestFile(t, root, "domains/a.org/user.tab", "old\n")
	disk := &hookFS{FS: OS()}
	s := openIdle(t, root, disk)
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\tbroken\n")
	mustUpdate(t, s, addUser("a.org", "bob", 2))
	mustUpdate(t, s, func(tx *Tx) error { return tx.RemoveTree("domains/a.org") })

	disk.carry.Store(true)
	if err := s.Sync(context.Background()); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("Sync on a full disk: %v, want ENOSPC", err)
	}
	mustUpdate(t, s, func(tx *Tx) error {
		return tx.MakeTree("domains/a.org", nil, map[string][]byte{"user.tab": []byte("new\n")})
	})
	crashed := copyTree(t, root)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, journalDir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("journal after a clean stop: %v, want none", err)
	}
	for _, root := range []string{root, crashed} {
		openStore(t, root)
		wantFile(t, root, "domains/a.org/user.tab", "new\n")
	}
}

// TestEditBetweenCheckpointsWins takes an edit while the journal still has what a
// checkpoint could not finish with, and then crashes.
func TestEditBetweenCheckpointsWins(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	writeTestFile(t, root, "relay.tab", largeRows)
	disk := &hookFS{FS: OS(), large: func() error { return syscall.ENOSPC }}
	s := openIdle(t, root, disk)
	mustUpdate(t, s, addRow("relay.tab", "10.0.0.2"))
	mustUpdate(t, s, addUser("a.org", "bob", 2))
	if err := s.Sync(context.Background()); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("Sync on a full disk: %v, want ENOSPC", err)
	}
	const edited = "# without bob\n\"a.org\"\t\"ann\"\t1\n"
	writeTestFile(t, root, "users.tab", edited)
	waitFor(t, "the edit", func() bool { return s.Table("users.tab").Len() == 1 })
	crashed := copyTree(t, root)
	openStore(t, crashed)
	wantFile(t, crashed, "users.tab", edited)
}

// TestFolderIsMadeAgainBesideAnEdit edits a large table while the checkpoint writes it
// that making a folder again has to wait for.
func TestFolderIsMadeAgainBesideAnEdit(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	writeTestFile(t, root, "relay.tab", largeRows)
	writeTestFile(t, root, "domains/a.org/user.tab", "old\n")
	disk := &hookFS{FS: OS()}
	s := openIdle(t, root, disk)
	mustUpdate(t, s, addRow("relay.tab", "10.0.0.2"))
	mustUpdate(t, s, func(tx *Tx) error { return tx.RemoveTree("domains/a.org") })
	edits := 0
	disk.large = func() error {
		if edits++; edits == 1 {
			writeTestFile(t, root, "relay.tab", "# by hand\n"+largeRows)
		}
		return nil
	}
	mustUpdate(t, s, func(tx *Tx) error { return tx.MakeTree("domains/a.org", nil, nil) })
	if edits == 0 {
		t.Error("no checkpoint wrote the table, so that this tests nothing")
	}
}

// TestCheckpointBesideTheRemovalOfAFolder removes the folder of a large table while a
// checkpoint is about to write it.
func TestCheckpointBesideTheRemovalOfAFolder(t *testing.T) {
	for _, by := range []string{"transaction", "hand"} {
		t.Run(by, func(t *testing.T) {
			root := t.TempDir()
			writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
			writeTestFile(t, root, "domains/a.org/user.tab", largeRows)
			disk := &hookFS{FS: OS()}
			s := openIdle(t, root, disk)
			mustUpdate(t, s, addRow("domains/a.org/user.tab", "x"))
			removed := false
			disk.large = func() error {
				if removed {
					return nil
				}
				removed = true
				if by == "hand" {
					return os.RemoveAll(filepath.Join(root, "domains/a.org"))
				}
				return s.Update(context.Background(), func(tx *Tx) error { return tx.RemoveTree("domains/a.org") })
			}
			if err := s.Sync(context.Background()); err != nil {
				t.Errorf("Sync: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			openStore(t, root)
		})
	}
}

// TestVanishedFolderOfATableHoldsUpNothing removes the folder of a large table by hand
// before it is written.
func TestVanishedFolderOfATableHoldsUpNothing(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	writeTestFile(t, root, "domains/a.org/user.tab", largeRows)
	s := openIdle(t, root, OS())
	mustUpdate(t, s, addRow("domains/a.org/user.tab", "x"))
	if err := os.RemoveAll(filepath.Join(root, "domains/a.org")); err != nil {
		t.Fatal(err)
	}
	mustUpdate(t, s, addUser("a.org", "bob", 2))
	if err := s.Sync(context.Background()); err != nil {
		t.Errorf("Sync: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	openStore(t, root)
}

// TestRemovedTableIsNotMissed looks at a table whose folder a transaction has removed
// meanwhile.
func TestRemovedTableIsNotMissed(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	writeTestFile(t, root, "domains/a.org/user.tab", "x\n")
	s := openIdle(t, root, OS())
	table, err := s.demand("domains/a.org/user.tab", plainSchema)
	if err != nil {
		t.Fatal(err)
	}
	mustUpdate(t, s, func(tx *Tx) error { return tx.RemoveTree("domains/a.org") })
	s.watch(table)
	if problems := s.Problems(); len(problems) > 0 {
		t.Errorf("problems %v, want none: the table was removed", problems)
	}
}

// TestChangeThatComesTooLateIsRefused has a change come into the queue when Close has
// begun, which was asked for before.
func TestChangeThatComesTooLateIsRefused(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	disk := &hookFS{FS: OS()}
	s := openIdle(t, root, disk)
	mustUpdate(t, s, addUser("a.org", "bob", 2))
	late := &request{f: addUser("a.org", "eve", 3), done: make(chan struct{})}
	disk.sync = func() {
		disk.sync = nil
		s.queue <- late
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	<-late.done
	if !errors.Is(late.err, ErrClosed) {
		t.Errorf("the late change: %v, want ErrClosed", late.err)
	}
	if _, err := os.Stat(filepath.Join(root, journalDir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("journal after a clean stop: %v, want none", err)
	}
	wantFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n\"a.org\"\t\"bob\"\t2\n")
}

// TestTwoNamesOfOneTable changes a table by both its names in one transaction.
func TestTwoNamesOfOneTable(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("symbolic links are for administrators on Windows")
	}
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	writeTestFile(t, root, "domains/a.org/user.tab", "\"old\"\n")
	writeTestFile(t, root, "domains/b.org/readme", "")
	if err := os.Symlink("../a.org/user.tab", filepath.Join(root, "domains/b.org/user.tab")); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, root)
	mustUpdate(t, s, func(tx *Tx) error {
		return errors.Join(addRow("domains/a.org/user.tab", "x")(tx), addRow("domains/b.org/user.tab", "y")(tx))
	})
	mustUpdate(t, s, addUser("a.org", "bob", 2))
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(root, "domains/a.org/user.tab"))
	if got := string(text); err != nil || got != "\"old\"\n\"x\"\n\"y\"\n" && got != "\"old\"\n\"y\"\n\"x\"\n" {
		t.Errorf("the table holds %q (%v), want both new rows", got, err)
	}
}

func TestCloseSaysWhyTheJournalStays(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	writeTestFile(t, root, "relay.tab", largeRows)
	s := openIdle(t, root, &hookFS{FS: OS(), large: func() error { return syscall.ENOSPC }})
	mustUpdate(t, s, addRow("relay.tab", "10.0.0.2"))
	if err := s.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Close on a full disk: %v, want it to say ENOSPC", err)
	}
}
