package mailbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// silent is a log that nobody reads.
var silent = slog.New(slog.DiscardHandler)

const crashBody = "Subject: crash\r\n\r\nall of it\r\n"

// crashBox returns the folder of ann's mail, of which this much is inside.
func crashBox(root *mailroot.Root, plain bool) (dir string, folders []string) {
	if plain {
		return filepath.Join(annDir(root), "mailbox"), []string{""}
	}
	return filepath.Join(annDir(root), "Maildir"), []string{"tmp", "new", "cur"}
}

// fresh is where new mail is in it.
func fresh(root *mailroot.Root, plain bool) string {
	dir, _ := crashBox(root, plain)
	return box{dir: dir, maildir: !plain}.fresh()
}

// makeBox makes the folders of ann's mail, which are there already or not.
func makeBox(t *testing.T, mem *vfs.MemFS, root *mailroot.Root, plain bool) {
	t.Helper()
	dir, folders := crashBox(root, plain)
	for _, sub := range folders {
		if err := mem.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

// crashDisk is a disk on which the control port has just made the account of ann:
// the MailRoot is durable, and the folders below domains are not.
func crashDisk(t *testing.T, root *mailroot.Root, plain bool) *vfs.MemFS {
	t.Helper()
	mem := vfs.NewCrashableMem()
	durable := filepath.Join(root.Dir, "domains")
	if err := mem.MkdirAll(durable, 0o700); err != nil {
		t.Fatal(err)
	}
	for dir := durable; ; dir = filepath.Dir(dir) {
		f, err := mem.OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			t.Fatal(err)
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	makeBox(t, mem, root, plain)
	return mem
}

func readMem(mem *vfs.MemFS, name string) (string, error) {
	f, err := mem.Open(name)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(f)
	return string(text), errors.Join(err, f.Close())
}

// deliverAndCrash delivers messages until the machine dies at a step, and returns
// what went wrong: acknowledged messages that a restart does not find whole, and
// messages that are there twice after they were tried again. ended is true when the
// step never came.
func deliverAndCrash(t *testing.T, root *mailroot.Root, plain bool, dieAt, unsynced int, forget func(string) bool) (wrong []string, ended bool) {
	t.Helper()
	fsys := newCrashFS(crashDisk(t, root, plain), dieAt, unsynced, forget)
	s := New(root, Options{FS: fsys, Log: silent})
	u := ann(t, root)
	acknowledged := map[string]bool{}
	names := []string{"m1", "m2", "m3"}
	for _, name := range names {
		if err := s.Deliver(t.Context(), u, message(name, crashBody)); err == nil {
			acknowledged[name] = true
		}
	}
	ended = !fsys.Dead()
	disk := fsys.Crash()
	dir := fresh(root, plain)
	for name := range acknowledged {
		if text, err := readMem(disk, filepath.Join(dir, name)); err != nil || text != stored(crashBody) {
			wrong = append(wrong, fmt.Sprintf("%s was acknowledged and holds %q (%v)", name, text, err))
		}
	}
	// Nothing is half there by its name, and trying again makes one of each.
	after := New(root, Options{FS: newCrashFS(disk, 0, 0, nil), Log: silent})
	makeBox(t, disk, root, plain) // the journal makes the folders again
	for _, name := range names {
		again := message(name, crashBody)
		again.Again = true
		if err := after.Deliver(t.Context(), u, again); err != nil {
			t.Fatalf("trying %s again after a crash at step %d: %v", name, dieAt, err)
		}
	}
	list, err := disk.List(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	list = slices.DeleteFunc(list, func(name string) bool { return strings.HasPrefix(name, unfinished) })
	if len(list) != len(names) {
		wrong = append(wrong, fmt.Sprintf("new holds %v, want each of %v once", list, names))
	}
	for _, name := range list {
		if text, err := readMem(disk, filepath.Join(dir, name)); err != nil || text != stored(crashBody) {
			wrong = append(wrong, fmt.Sprintf("%s holds %q (%v), want all of it", name, text, err))
		}
	}
	return wrong, ended
}

func TestAcknowledgedMessagesSurviveAPowerCut(t *testing.T) {
	root := newRoot(t, false)
	for _, plain := range []bool{false, true} {
		for _, unsynced := range []int{0, 50, 100} {
			ended := false
			for dieAt := 1; !ended; dieAt++ {
				var wrong []string
				wrong, ended = deliverAndCrash(t, root, plain, dieAt, unsynced, nil)
				for _, w := range wrong {
					t.Errorf("power cut at step %d, %d%% of the rest written, plain %v: %s", dieAt, unsynced, plain, w)
				}
				if dieAt > 1000 {
					t.Fatal("the delivery does not end")
				}
			}
		}
	}
}

// TestEverySyncIsNeeded shows that the test above would notice each sync that is
// left out.
func TestEverySyncIsNeeded(t *testing.T) {
	root := newRoot(t, false)
	for _, plain := range []bool{false, true} {
		dir, _ := crashBox(root, plain)
		only := func(name string) func(string) bool {
			return func(other string) bool { return other == name }
		}
		forgets := map[string]func(string) bool{
			"of the message": func(name string) bool {
				return strings.HasPrefix(name, filepath.Join(dir, "tmp")) || strings.HasPrefix(filepath.Base(name), unfinished)
			},
			"of the folder of new mail": only(fresh(root, plain)),
			"of the folder of mail":     only(dir),
			"of the folder of the user": only(annDir(root)),
			"of the folder above":       only(filepath.Dir(annDir(root))),
			"of the folder domains":     only(root.Path("domains")),
		}
		for name, forget := range forgets {
			t.Run(fmt.Sprintf("%s, plain %v", name, plain), func(t *testing.T) {
				for dieAt := 1; ; dieAt++ {
					wrong, ended := deliverAndCrash(t, root, plain, dieAt, 0, forget)
					if len(wrong) > 0 {
						return
					}
					if ended {
						t.Fatal("nothing was lost without this sync")
					}
				}
			})
		}
	}
}

// removeAndCrash removes messages until the machine dies at a step, and returns
// those that are there after a restart although their removal was acknowledged.
func removeAndCrash(t *testing.T, root *mailroot.Root, dieAt int, forget func(string) bool) (back []string, ended bool) {
	t.Helper()
	mem := crashDisk(t, root, false)
	u := ann(t, root)
	filled := New(root, Options{FS: newCrashFS(mem, 0, 0, nil), Log: silent})
	for _, name := range []string{"m1", "m2", "m3"} {
		if err := filled.Deliver(t.Context(), u, message(name, crashBody)); err != nil {
			t.Fatal(err)
		}
	}
	fsys := newCrashFS(mem, dieAt, 0, forget)
	removed := false
	if d, err := New(root, Options{FS: fsys, Log: silent}).Open(t.Context(), u, ""); err == nil {
		removed = d.Len() == 3 && d.Delete(0, 1, 2) == nil
		d.Close()
	}
	ended = !fsys.Dead()
	disk := fsys.Crash()
	if !removed {
		return nil, ended
	}
	back, err := disk.List(filepath.Join(annDir(root), "Maildir", "new"))
	if err != nil {
		t.Fatal(err)
	}
	return back, ended
}

func TestRemovedMessagesDoNotComeBackAfterAPowerCut(t *testing.T) {
	root := newRoot(t, false)
	ended := false
	for dieAt := 1; !ended; dieAt++ {
		var back []string
		if back, ended = removeAndCrash(t, root, dieAt, nil); len(back) > 0 {
			t.Errorf("power cut at step %d: %v are there again", dieAt, back)
		}
	}
	// The test would notice a sync that is left out.
	if back, _ := removeAndCrash(t, root, 0, func(name string) bool { return strings.HasSuffix(name, "new") }); len(back) == 0 {
		t.Error("without the sync of the folder the messages were gone as well")
	}
}

// TestFoldersThatADeliveryMakesAreDurable delivers into a Maildir that another program has
// made without its folders.
func TestFoldersThatADeliveryMakesAreDurable(t *testing.T) {
	root := newRoot(t, false)
	dir, folders := crashBox(root, false)
	mem := crashDisk(t, root, false)
	for _, sub := range folders {
		if err := mem.RemoveAll(filepath.Join(dir, sub)); err != nil {
			t.Fatal(err)
		}
	}
	fsys := newCrashFS(mem, 0, 0, nil)
	if err := New(root, Options{FS: fsys, Log: silent}).Deliver(t.Context(), ann(t, root), message("m1", crashBody)); err != nil {
		t.Fatal(err)
	}
	if text, err := readMem(fsys.Crash(), filepath.Join(dir, "new", "m1")); err != nil || text != stored(crashBody) {
		t.Errorf("after a power cut the acknowledged message holds %q, %v", text, err)
	}
}

// TestAMessageThatIsFoundIsDurable has a process die between the name of a message and
// its sync, and another one find the message.
func TestAMessageThatIsFoundIsDurable(t *testing.T) {
	root := newRoot(t, false)
	dir, _ := crashBox(root, false)
	for _, name := range []string{"new/m1", "cur/m1", "cur/m1:2,S"} {
		mem := crashDisk(t, root, false)
		first := newCrashFS(mem, 0, 0, func(name string) bool { return strings.HasSuffix(name, "/new") })
		if err := New(root, Options{FS: first, Log: silent}).Deliver(t.Context(), ann(t, root), message("m1", crashBody)); err != nil {
			t.Fatal(err)
		}
		if name != "new/m1" {
			if err := mem.Rename(filepath.Join(dir, "new/m1"), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		again := message("m1", crashBody)
		again.Again = true
		second := newCrashFS(mem, 0, 0, nil)
		if err := New(root, Options{FS: second, Log: silent}).Deliver(t.Context(), ann(t, root), again); err != nil {
			t.Fatal(err)
		}
		if text, err := readMem(second.Crash(), filepath.Join(dir, name)); err != nil || text != stored(crashBody) {
			t.Errorf("%s: after a power cut the message that counts as delivered holds %q, %v", name, text, err)
		}
	}
}
