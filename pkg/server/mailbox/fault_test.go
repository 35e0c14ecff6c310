package mailbox

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/durable"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A brokenOnce fails the first sync of one folder, and calls every later one a success,
// as Linux does of what it could not write and has forgotten.
type brokenOnce struct {
	tabfile.FS
	dir    string
	failed bool
}

func (b *brokenOnce) Sync(names []string) error {
	for _, name := range names {
		if name == b.dir && !b.failed {
			b.failed = true
			return syscall.EIO
		}
	}
	return b.FS.Sync(names)
}

// TestAFailedSyncIsNeverTakenForADelivery fails the sync of each folder that a delivery
// needs, and tries the delivery again.
func TestAFailedSyncIsNeverTakenForADelivery(t *testing.T) {
	for _, plain := range []bool{false, true} {
		root := newRoot(t, plain)
		box, _ := crashBox(root, plain)
		for _, dir := range []string{fresh(root, plain), box, annDir(root), filepath.Dir(annDir(root)), root.Path("domains"), root.Dir} {
			broken := &brokenOnce{FS: tabfile.OS(), dir: dir}
			s := New(root, Options{FS: broken, Log: silent})
			m := message("m1", crashBody)
			for try := range 3 {
				if err := s.Deliver(t.Context(), ann(t, root), m); !errors.Is(err, durable.ErrFailed) {
					t.Errorf("%s, attempt %d: %v, want ErrFailed", dir, try, err)
				}
				m = message("m1", crashBody)
				m.Again = true
			}
			if there := files(t, fresh(root, plain)); len(there) != 0 {
				t.Errorf("%s: after a failed sync the mailbox holds %v, want nothing", dir, there)
			}
			if err := New(root, Options{FS: broken, Log: silent}).Deliver(t.Context(), ann(t, root), m); err != nil {
				t.Errorf("%s: after a restart: %v", dir, err)
			}
			if there := files(t, fresh(root, plain)); len(there) != 1 {
				t.Errorf("%s: after a restart the mailbox holds %v, want the message", dir, there)
			}
			if err := broken.RemoveAll(filepath.Join(fresh(root, plain), "m1")); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestAFailedSyncIsNeverTakenForARemoval removes two messages, one after the other.
func TestAFailedSyncIsNeverTakenForARemoval(t *testing.T) {
	root := newRoot(t, false)
	dir := fresh(root, false)
	broken := &brokenOnce{FS: tabfile.OS(), dir: dir, failed: true}
	s := New(root, Options{FS: broken, Log: silent})
	for _, name := range []string{"m1", "m2"} {
		if err := s.Deliver(t.Context(), ann(t, root), message(name, crashBody)); err != nil {
			t.Fatal(err)
		}
	}
	broken.failed = false
	for n := range 2 {
		d, err := s.Open(t.Context(), ann(t, root), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Delete(0); !errors.Is(err, durable.ErrFailed) {
			t.Errorf("removal %d: %v, want ErrFailed", n, err)
		}
		d.Close()
	}
}
