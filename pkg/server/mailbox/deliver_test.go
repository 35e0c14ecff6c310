package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

func TestAMessageGetsTheLinesOfItsDelivery(t *testing.T) {
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprintf("plain=%v", plain), func(t *testing.T) {
			root := newRoot(t, plain)
			s := New(root, Options{})
			body := "Subject: one\r\n\r\n.dot\r\nno end"
			if err := s.Deliver(t.Context(), ann(t, root), message("m1", body)); err != nil {
				t.Fatal(err)
			}
			null := message("m2", body)
			null.ReturnPath = ""
			null.Size = -1
			if err := s.Deliver(t.Context(), ann(t, root), null); err != nil {
				t.Fatal(err)
			}
			forged := message("m3", body)
			forged.ReturnPath = "x@ext.test>\r\nX-Forged: yes"
			if err := s.Deliver(t.Context(), ann(t, root), forged); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(annDir(root), "Maildir", "new")
			if plain {
				dir = filepath.Join(annDir(root), "mailbox")
			}
			want := map[string]string{
				"m1": stored(body),
				"m2": strings.Replace(stored(body), "x@ext.test", "", 1),
				"m3": strings.Replace(stored(body), "x@ext.test", "x@ext.test>X-Forged: yes", 1),
			}
			if diff := cmp.Diff(want, files(t, dir)); diff != "" {
				t.Errorf("mailbox (-want +got):\n%s", diff)
			}
			if plain {
				return
			}
			if left := files(t, filepath.Join(annDir(root), "Maildir", "tmp")); len(left) != 0 {
				t.Errorf("tmp holds %v, want nothing", left)
			}
		})
	}
}

func TestTheMailboxThatIsThereIsUsed(t *testing.T) {
	for _, test := range []struct {
		plain      bool
		have, want string
	}{
		{false, "Maildir/new mailbox", "Maildir/new"},
		{true, "Maildir/new mailbox", "mailbox"},
		{true, "Maildir/new", "Maildir/new"},
		{false, "mailbox", "mailbox"},
		{false, "Maildir", "Maildir/new"}, // another program made it and not all of it
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			root := newRoot(t, false)
			if err := os.RemoveAll(filepath.Join(annDir(root), "Maildir")); err != nil {
				t.Fatal(err)
			}
			for _, dir := range strings.Fields(test.have) {
				if err := os.MkdirAll(filepath.Join(annDir(root), dir), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			s := New(root, Options{Plain: test.plain})
			if err := s.Deliver(t.Context(), ann(t, root), message("m", "x\r\n")); err != nil {
				t.Fatal(err)
			}
			if got := files(t, filepath.Join(annDir(root), test.want)); got["m"] != stored("x\r\n") {
				t.Errorf("%s holds %v, want the message", test.want, got)
			}
		})
	}
}

func TestThereIsNowhereToDeliver(t *testing.T) {
	root := newRoot(t, false)
	s := New(root, Options{})
	list := ann(t, root)
	list.Type = "M"
	if err := s.Deliver(t.Context(), list, message("m", "x")); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("delivery to a list: %v, want ErrNoMailbox", err)
	}
	odd := ann(t, root)
	odd.Dir = "../.."
	if err := s.Deliver(t.Context(), odd, message("m", "x")); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("delivery outside: %v, want ErrNoMailbox", err)
	}
	if err := os.RemoveAll(filepath.Join(annDir(root), "Maildir")); err != nil {
		t.Fatal(err)
	}
	if err := s.Deliver(t.Context(), ann(t, root), message("m", "x")); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("delivery without a folder: %v, want ErrNoMailbox", err)
	}
}

func TestNamesThatLeaveTheFolderAreRefused(t *testing.T) {
	root := newRoot(t, false)
	s := New(root, Options{})
	for _, name := range []string{"", ".", "..", "../m", "a/b", `a\b`, ".hidden", "m:2,S", "m\x00", strings.Repeat("m", 256), "1700000000123.7f01.3e8.1a.host"} {
		if err := s.Deliver(t.Context(), ann(t, root), message(name, "x")); err == nil {
			t.Errorf("a message was delivered by the name %q", name)
		}
	}
}

func TestAFailedDeliveryLeavesNothing(t *testing.T) {
	broken := errors.New("the spool is broken")
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name string
		ctx  context.Context
		body io.Reader
		size int64
	}{
		{"short", t.Context(), strings.NewReader("abc"), 4},
		{"long", t.Context(), strings.NewReader("abc"), 2},
		{"broken", t.Context(), io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken)), -1},
		{"canceled", canceled, strings.NewReader("abc"), 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := newRoot(t, false)
			m := message("m", "")
			m.Body, m.Size = test.body, test.size
			if err := New(root, Options{}).Deliver(test.ctx, ann(t, root), m); err == nil {
				t.Error("the message was delivered")
			}
			for _, sub := range []string{"tmp", "new", "cur"} {
				if got := files(t, filepath.Join(annDir(root), "Maildir", sub)); len(got) > 0 {
					t.Errorf("%s holds %v, want nothing", sub, got)
				}
			}
		})
	}
}

func TestTheSameNameTwiceIsOneMessage(t *testing.T) {
	maildir := func(parts ...string) []string { return parts }
	for _, where := range []string{"new/m", "cur/m", "cur/m:2,", "cur/m:2,RS"} {
		t.Run(where, func(t *testing.T) {
			root := newRoot(t, false)
			s := New(root, Options{})
			box := filepath.Join(annDir(root), "Maildir")
			if err := s.Deliver(t.Context(), ann(t, root), message("m", "x")); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(box, "new", "m"), filepath.Join(box, filepath.FromSlash(where))); err != nil {
				t.Fatal(err)
			}
			again := message("m", "x")
			again.Again = true
			if err := s.Deliver(t.Context(), ann(t, root), again); err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, sub := range maildir("tmp", "new", "cur") {
				n += len(files(t, filepath.Join(box, sub)))
			}
			if n != 1 {
				t.Errorf("%d messages, want one", n)
			}
		})
	}
}

func TestOldLeftoversAreSweptBeforeTheFirstDelivery(t *testing.T) {
	before := time.Now().Add(-37 * time.Hour)
	for _, test := range []struct {
		plain      bool
		dir        string
		old, fresh string
		foreign    string
	}{
		{false, "Maildir/tmp", "old", "fresh", ""},
		{true, "mailbox", ".xmaild-1.old", ".xmaild-2.fresh", ".nfs0001"},
	} {
		root := newRoot(t, test.plain)
		dir := filepath.Join(annDir(root), filepath.FromSlash(test.dir))
		want := map[string]string{test.fresh: "x"}
		if test.plain {
			want["m"] = stored("x")
			want[test.foreign] = "x"
		}
		for _, name := range []string{test.old, test.fresh, test.foreign} {
			if name == "" {
				continue
			}
			write(t, filepath.Join(dir, name), "x")
			if name != test.fresh {
				if err := os.Chtimes(filepath.Join(dir, name), before, before); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := New(root, Options{}).Deliver(t.Context(), ann(t, root), message("m", "x")); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, files(t, dir)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.dir, diff)
		}
	}
}

// A fullFS takes so many bytes and no more.
type fullFS struct {
	tabfile.FS
	room int
}

func (f *fullFS) Create(name, like string, perm fs.FileMode) (tabfile.File, error) {
	file, err := f.FS.Create(name, like, perm)
	return fullFile{file, f}, err
}

type fullFile struct {
	tabfile.File
	fs *fullFS
}

func (f fullFile) Write(b []byte) (int, error) {
	n := min(len(b), f.fs.room)
	f.fs.room -= n
	if _, err := f.File.Write(b[:n]); err != nil || n == len(b) {
		return n, err
	}
	return n, syscall.ENOSPC
}

func TestAFullDiskTakesWholeMessagesOnly(t *testing.T) {
	root := newRoot(t, false)
	disk := &fullFS{FS: tabfile.OS(), room: 1000}
	s := New(root, Options{FS: disk})
	body := strings.Repeat("x", 300)
	delivered := map[string]string{}
	for _, name := range []string{"m1", "m2", "m3", "m4"} {
		err := s.Deliver(t.Context(), ann(t, root), message(name, body))
		switch {
		case err == nil:
			delivered[name] = stored(body)
		case !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrFull):
			t.Errorf("%s: %v, want that the disk is full", name, err)
		}
	}
	if len(delivered) != 2 {
		t.Errorf("%d messages were delivered, want 2", len(delivered))
	}
	if diff := cmp.Diff(delivered, files(t, filepath.Join(annDir(root), "Maildir", "new"))); diff != "" {
		t.Errorf("new (-want +got):\n%s", diff)
	}
	if left := files(t, filepath.Join(annDir(root), "Maildir", "tmp")); len(left) > 0 {
		t.Errorf("tmp holds %d files, want none", len(left))
	}
}

func TestFilesGetTheModesOfTheMailRoot(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // it has no modes
	}
	root := newRoot(t, false)
	if err := New(root, Options{}).Deliver(t.Context(), ann(t, root), message("m", "x")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(annDir(root), "Maildir", "new", "m"))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v (err %v), want -rw-------", info.Mode(), err)
	}
}
