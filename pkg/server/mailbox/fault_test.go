package mailbox

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/durable"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
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

// A hookFS runs a function once, before the first sync of one folder.
type hookFS struct {
	tabfile.FS
	dir    string
	before func()
	synced []string
}

func (h *hookFS) Sync(names []string) error {
	if before := h.before; before != nil && slices.Contains(names, h.dir) {
		h.before = nil
		before()
	}
	h.synced = append(h.synced, names...)
	return h.FS.Sync(names)
}

// renameToBob gives ann's account another name, with its folder.
func renameToBob(t *testing.T, root *mailroot.Root, u mailroot.User) {
	t.Helper()
	err := root.Update(t.Context(), func(tx *mailroot.Tx) error {
		fields := u.Row.Fields()
		fields[1], fields[4] = "bob", "bob"
		return errors.Join(tx.MoveTree("domains/example.test/ann", "domains/example.test/bob"),
			tx.Table(mailroot.UsersTab).Replace(u.Row, fields...))
	})
	if err != nil {
		t.Error(err)
	}
}

// TestAMailboxThatMovesDuringASession renames an account while somebody reads its mail:
// what is not removed does not count as removed.
func TestAMailboxThatMovesDuringASession(t *testing.T) {
	for _, plain := range []bool{false, true} {
		root := newRoot(t, plain)
		s := New(root, Options{Log: silent})
		u := ann(t, root)
		if err := s.Deliver(t.Context(), u, message("m1", crashBody)); err != nil {
			t.Fatal(err)
		}
		d, err := s.Open(t.Context(), u, "")
		if err != nil {
			t.Fatal(err)
		}
		renameToBob(t, root, u)
		if err := d.Delete(0); err == nil {
			t.Error("a message counts as removed that is still there")
		}
		if body, err := d.Open(0); err == nil || errors.Is(err, ErrGone) {
			t.Errorf("opening a message of a mailbox that has moved: %v, want that it is not known", err)
			if body != nil {
				body.Close()
			}
		}
		d.Close()
	}
}

// TestAMailboxThatMovesDuringADelivery renames an account when the message has its name
// in the mailbox, and the name is not durable yet.
func TestAMailboxThatMovesDuringADelivery(t *testing.T) {
	for _, plain := range []bool{false, true} {
		root := newRoot(t, plain)
		disk := &hookFS{FS: tabfile.OS(), dir: fresh(root, plain)}
		s := New(root, Options{FS: disk, Log: silent})
		u := ann(t, root)
		if err := s.Deliver(t.Context(), u, message("m0", crashBody)); err != nil { // the folders are durable
			t.Fatal(err)
		}
		disk.before = func() { renameToBob(t, root, u) }
		if err := s.Deliver(t.Context(), u, message("m1", crashBody)); err == nil {
			t.Error("a message counts as delivered whose name is perhaps not durable")
		}
		bob, ok := root.User("example.test", "bob")
		if !ok {
			t.Fatal("the account was not renamed")
		}
		disk.synced = nil
		m := message("m1", crashBody)
		m.Again = true
		if err := s.Deliver(t.Context(), bob, m); err != nil {
			t.Error(err)
		}
		dir := strings.Replace(disk.dir, "/ann/", "/bob/", 1)
		if there := files(t, dir); len(there) != 2 || !slices.Contains(disk.synced, dir) {
			t.Errorf("the mailbox holds %d messages, want two; synced were %v", len(there), disk.synced)
		}
	}
}
