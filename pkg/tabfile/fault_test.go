package tabfile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// A faultFS is the real file system with a disk that fails in one way.
type faultFS struct {
	FS
	full    atomic.Bool // nothing can be written
	noSync  atomic.Bool // syncing a journal fails
	noNames atomic.Bool // syncing folders, and other files by their names, fails
	journal atomic.Bool // only the journal is full
	locked  string      // a folder in which nothing can be made; root may write in every real one
}

func (f *faultFS) Writable(dir string) error {
	if dir == f.locked {
		return &fs.PathError{Op: "write", Path: dir, Err: fs.ErrPermission}
	}
	return f.FS.Writable(dir)
}

func (f *faultFS) Sync(names []string) error {
	if f.noNames.Load() {
		return syscall.EIO
	}
	return f.FS.Sync(names)
}

type faultFile struct {
	File
	fs   *faultFS
	name string
}

func (f *faultFS) Create(name, like string, perm fs.FileMode) (File, error) {
	file, err := f.FS.Create(name, like, perm)
	if err != nil {
		return nil, err
	}
	return &faultFile{file, f, name}, nil
}

func (f *faultFile) inJournal() bool { return strings.Contains(f.name, journalDir) }

func (f *faultFile) Write(b []byte) (int, error) {
	if f.fs.full.Load() {
		return 0, syscall.ENOSPC
	}
	return f.File.Write(b)
}

// WriteAt writes half of it when the disk is full, as a disk does.
func (f *faultFile) WriteAt(b []byte, off int64) (int, error) {
	if f.fs.full.Load() || f.fs.journal.Load() {
		n, _ := f.File.WriteAt(b[:len(b)/2], off)
		return n, syscall.ENOSPC
	}
	return f.File.WriteAt(b, off)
}

func (f *faultFile) Sync() error {
	if f.fs.noSync.Load() && f.inJournal() {
		return syscall.EIO
	}
	return f.File.Sync()
}

func openFaulty(t *testing.T) (*Store, *faultFS, string) {
	t.Helper()
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	writeTestFile(t, root, "domains/readme", "")
	disk := &faultFS{FS: OS()}
	s, err := Open(context.Background(), testOptions(root, disk))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // a store that has failed says so
	return s, disk, root
}

func addTree(name string) func(*Tx) error {
	return func(tx *Tx) error {
		if err := tx.MakeTree("domains/"+name, []string{"Maildir"}, map[string][]byte{"user.tab": []byte("x")}); err != nil {
			return err
		}
		return tx.Table("users.tab").Append("a.org", name, "2")
	}
}

func TestFullDiskRefusesChangesAndRecovers(t *testing.T) {
	for _, where := range []string{"tables", "journal"} {
		t.Run(where, func(t *testing.T) {
			s, disk, root := openFaulty(t)
			full := &disk.full
			if where == "journal" {
				full = &disk.journal
			}
			full.Store(true)
			var refused *WriteError
			if err := s.Update(context.Background(), addTree("eve")); !errors.As(err, &refused) || !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("change on a full disk: %v, want a WriteError for ENOSPC", err)
			}
			if n := s.Table("users.tab").Len(); n != 1 {
				t.Errorf("table has %d rows, want ann alone", n)
			}
			wantFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
			if _, err := os.Stat(filepath.Join(root, "domains/eve")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("folder of a refused change: %v, want none", err)
			}
			full.Store(false)
			mustUpdate(t, s, addTree("eve"))
			mustUpdate(t, s, addTree("bob"))
			// What a crash now leaves behind must hold all of it.
			again, err := Open(context.Background(), testOptions(copyTree(t, root), OS()))
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			if _, ok := again.Table("users.tab").First("user", "a.org\teve"); !ok || again.Table("users.tab").Len() != 3 {
				t.Errorf("after a crash there are %d rows, want ann, bob and eve", again.Table("users.tab").Len())
			}
			if left, _ := filepath.Glob(filepath.Join(root, ".*.new")); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

func TestFailedSyncStopsChanges(t *testing.T) {
	s, disk, _ := openFaulty(t)
	mustUpdate(t, s, addTree("bob"))
	disk.noSync.Store(true)
	if err := s.Update(context.Background(), addTree("eve")); !errors.Is(err, ErrFailed) {
		t.Fatalf("change whose sync failed: %v, want ErrFailed", err)
	}
	disk.noSync.Store(false)
	if err := s.Update(context.Background(), addTree("joe")); !errors.Is(err, ErrFailed) {
		t.Errorf("change after a failed sync: %v, want ErrFailed", err)
	}
	if _, ok := s.Table("users.tab").First("user", "a.org\tbob"); !ok || s.Table("users.tab").Len() != 2 {
		t.Errorf("look-ups show %d rows, want ann and bob", s.Table("users.tab").Len())
	}
	if err := s.Close(); !errors.Is(err, ErrFailed) {
		t.Errorf("Close returned %v, want ErrFailed", err)
	}
}

// TestFailedSyncOfNamesStopsChanges fails the syncs of folders: of that of the journal
// at the first change, and of all that a checkpoint makes durable.
func TestFailedSyncOfNamesStopsChanges(t *testing.T) {
	for _, checkpoint := range []bool{false, true} {
		s, disk, _ := openFaulty(t)
		if checkpoint {
			mustUpdate(t, s, addTree("bob"))
		}
		disk.noNames.Store(true)
		err := s.Update(context.Background(), addTree("eve"))
		if checkpoint {
			if err != nil {
				t.Errorf("a change that needs the journal alone: %v", err)
			}
			err = s.Sync(context.Background())
		}
		if !errors.Is(err, ErrFailed) {
			t.Errorf("checkpoint %v: failed sync: %v, want ErrFailed", checkpoint, err)
		}
		disk.noNames.Store(false)
		if err := s.Update(context.Background(), addTree("joe")); !errors.Is(err, ErrFailed) {
			t.Errorf("checkpoint %v: change after a failed sync: %v, want ErrFailed", checkpoint, err)
		}
	}
}

// TestJournalBegunOnAFullDiskIsDurableLater fails the first change where the folder of
// the journal is there and its file is not, and lets the power fail after the second.
func TestJournalBegunOnAFullDiskIsDurableLater(t *testing.T) {
	mem, before := newDisk(t, 3)
	c := newCrashFS(mem, 0, 0, 1)
	disk := &fullOnce{crashFS: c}
	s, err := Open(context.Background(), testOptions(crashRoot, disk))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }() // on a dead disk it cannot succeed
	step := stepRelay("10.0.0.1")
	if err := s.Update(context.Background(), step.f); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("change on a full disk: %v, want ENOSPC", err)
	}
	mustUpdate(t, s, step.f)
	step.model(&before)
	if got := revive(t, c.Crash()).String(); got != before.String() {
		t.Errorf("after a power cut there is\n%s\nwant what was acknowledged:\n%s", got, before)
	}
}

// A fullOnce has no room for the first file of the journal.
type fullOnce struct {
	crashFS
	refused bool
}

func (f *fullOnce) Create(name, like string, perm fs.FileMode) (File, error) {
	if !f.refused && strings.Contains(name, journalDir) {
		f.refused = true
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOSPC}
	}
	return f.crashFS.Create(name, like, perm)
}

func TestOneUnwritableFolderFailsOnlyItsTransaction(t *testing.T) {
	s, disk, root := openFaulty(t)
	writeTestFile(t, root, "domains/locked/x", "")
	disk.locked = filepath.Join(root, "domains/locked")
	err := s.Update(context.Background(), func(tx *Tx) error { return tx.MakeTree("domains/locked/eve", nil, nil) })
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("folder in a locked one: %v, want fs.ErrPermission", err)
	}
	mustUpdate(t, s, addTree("bob"))
}

func TestNewerJournalIsRefusedByName(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, journalDir+"/0000000000000001", journalMagic+"2\nwhatever")
	_, err := Open(context.Background(), testOptions(root, OS()))
	if err == nil || !strings.Contains(err.Error(), "journal/0000000000000001 is a journal of format 2") {
		t.Errorf("Open on a newer journal: %v, want a refusal that names it", err)
	}
	wantFile(t, root, journalDir+"/0000000000000001", journalMagic+"2\nwhatever")
}

func TestForeignFileInTheJournalFolderIsLeftAlone(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	writeTestFile(t, root, journalDir+"/notes.txt", "mine")
	s := openStore(t, root)
	mustUpdate(t, s, addUser("a.org", "bob", 2))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantFile(t, root, journalDir+"/notes.txt", "mine")
	if n := openStore(t, root).Table("users.tab").Len(); n != 2 {
		t.Errorf("table has %d rows, want 2", n)
	}
}

// TestEditAfterACrashWins edits a table between a crash and the next start.
func TestEditAfterACrashWins(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	writeTestFile(t, root, "relay.tab", "")
	s := openStore(t, root)
	mustUpdate(t, s, addUser("a.org", "bob", 2))
	crashed := copyTree(t, root)
	writeTestFile(t, crashed, "users.tab", "# by hand\n\"a.org\"\t\"ann\"\t5\n\"a.org\"\t\"bob\"\t2\n")
	again := openStore(t, crashed)
	wantFile(t, crashed, "users.tab", "# by hand\n\"a.org\"\t\"ann\"\t5\n\"a.org\"\t\"bob\"\t2\n")
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

// copyTree copies a root as a killed process leaves it.
func copyTree(t *testing.T, root string) string {
	t.Helper()
	dst := t.TempDir()
	if err := os.CopyFS(dst, os.DirFS(root)); err != nil {
		t.Fatal(err)
	}
	return dst
}

// TestStartAfterACrashWithoutAFolder removes the folder of a table by hand, which the
// journal has changes of.
func TestStartAfterACrashWithoutAFolder(t *testing.T) {
	for _, rows := range []string{"\"a\"\n", largeRows} {
		root := t.TempDir()
		writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
		writeTestFile(t, root, "domains/a.org/user.tab", rows)
		s := openIdle(t, root, OS())
		mustUpdate(t, s, addRow("domains/a.org/user.tab", "x"))
		mustUpdate(t, s, addUser("a.org", "bob", 2))
		crashed := copyTree(t, root)
		if err := os.RemoveAll(filepath.Join(crashed, "domains/a.org")); err != nil {
			t.Fatal(err)
		}
		openStore(t, crashed)
		wantFile(t, crashed, "users.tab", "\"a.org\"\t\"ann\"\t1\n\"a.org\"\t\"bob\"\t2\n")
	}
}
