package tabfile

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// inTmp returns how many trees of a store there are in its tmp.
func inTmp(t *testing.T, root string) int {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, tmpDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range found {
		if ext := filepath.Ext(name); ext == stageExt || ext == trashExt {
			n++
		}
	}
	return n
}

func TestLeftoversInTmpAreRemoved(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "tmp/3.stage/user.tab", "")
	writeTestFile(t, root, "tmp/7.trash/Maildir/new/1", "mail")
	writeTestFile(t, root, "tmp/notes", "mine")
	s := openStore(t, root)
	if got := s.tmpName(trashExt); filepath.Base(got) != "8.trash" {
		t.Errorf("a new name is %s, want one that nothing has had", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := inTmp(t, root); n != 0 {
		t.Errorf("%d leftovers stay", n)
	}
	wantFile(t, root, "tmp/notes", "mine")
}

// A slowRemover removes no tree before it may.
type slowRemover struct {
	FS
	may chan struct{}
	now *atomic.Int32 // how many are being removed
	max *atomic.Int32
}

func (r slowRemover) RemoveAll(name string) error {
	n := r.now.Add(1)
	defer r.now.Add(-1)
	for m := r.max.Load(); n > m && !r.max.CompareAndSwap(m, n); m = r.max.Load() {
	}
	<-r.may
	return r.FS.RemoveAll(name)
}

// TestRemovalWaitsForNobody removes folders on a disk that removes nothing, and closes
// the store long before it is done.
func TestRemovalWaitsForNobody(t *testing.T) {
	root := t.TempDir()
	names := []string{"a", "b", "c", "d"}
	for _, name := range names {
		writeTestFile(t, root, name+"/user.tab", "")
	}
	disk := slowRemover{OS(), make(chan struct{}), new(atomic.Int32), new(atomic.Int32)}
	o := testOptions(root, disk)
	o.times.trash = time.Nanosecond
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		mustUpdate(t, s, func(tx *Tx) error { return tx.RemoveTree(name) })
		if _, err := os.Stat(filepath.Join(root, name)); err == nil {
			t.Errorf("%s is there after it was removed", name)
		}
	}
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	<-s.closed
	close(disk.may)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if n := disk.max.Load(); n != 1 {
		t.Errorf("%d trees were removed at once, want 1", n)
	}
	if n := inTmp(t, root); n == 0 {
		t.Error("the stop has waited for all folders")
	}
	if err := openStore(t, root).Close(); err != nil {
		t.Fatal(err)
	}
	if n := inTmp(t, root); n != 0 {
		t.Errorf("%d folders stay after the next start", n)
	}
}

// TestRemovalWaitsForACalmMoment removes a folder while changes keep coming.
func TestRemovalWaitsForACalmMoment(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "a/user.tab", "")
	writeTestFile(t, root, "relay.tab", "")
	disk := slowRemover{OS(), make(chan struct{}), new(atomic.Int32), new(atomic.Int32)}
	close(disk.may)
	o := testOptions(root, disk)
	o.times.calm = 300 * time.Millisecond
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mustUpdate(t, s, func(tx *Tx) error { return tx.RemoveTree("a") })
	for begin := time.Now(); time.Since(begin) < 400*time.Millisecond && disk.max.Load() == 0; {
		before := time.Duration(s.wrote.Load())
		mustUpdate(t, s, func(tx *Tx) error { return tx.Table("relay.tab").Append("10.0.0.1") })
		removed := disk.max.Load() > 0
		wrote := time.Duration(s.wrote.Load())
		// A machine that is busy may have made a calm moment, before the change or in it.
		if removed && wrote-before < o.times.calm && time.Since(s.opened)-wrote < o.times.calm {
			t.Fatal("a folder is removed between two changes")
		}
	}
	for deadline := time.Now().Add(10 * time.Second); inTmp(t, root) > 0; {
		if time.Now().After(deadline) {
			t.Fatal("the folder is never removed")
		}
		runtime.Gosched()
	}
}

// TestManyTreesAtOnce makes more folders in a batch than one goroutine makes.
func TestManyTreesAtOnce(t *testing.T) {
	s, root := openWithFolders(t, "d")
	const many = 40
	errs := make(chan error, many)
	held, hold := make(chan struct{}), make(chan struct{})
	go func() { // what comes meanwhile is one batch
		_ = s.step(func() { close(held); <-hold })
	}()
	<-held
	for i := range many {
		go func() {
			errs <- s.Update(t.Context(), func(tx *Tx) error {
				return tx.MakeTree("d/"+strconv.Itoa(i), []string{"Maildir", "Maildir/new"}, map[string][]byte{"user.tab": []byte("\"x\"\n")})
			})
		}()
	}
	close(hold)
	for range many {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	for i := range many {
		name := "d/" + strconv.Itoa(i)
		wantFile(t, root, name+"/user.tab", "\"x\"\n")
		if info, err := os.Stat(filepath.Join(root, name, "Maildir/new")); err != nil || !info.IsDir() {
			t.Errorf("%s has no Maildir/new: %v", name, err)
		}
	}
}
