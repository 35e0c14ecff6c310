package mailbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// many is more messages than one asker takes.
const many = 5*askChunk + 17

// largeRoot has a mailbox of many messages: message i has i%7+1 bytes, and was delivered
// at second many-i.
func largeRoot(t testing.TB, options Options) *Store {
	t.Helper()
	root := newRoot(t, false)
	for i := range many {
		name := filepath.Join(fresh(root, false), fmt.Sprintf("m%d", i))
		write(t, name, strings.Repeat("x", i%7+1))
		at(t, name, int64(many-i))
	}
	for _, folder := range []string{"folder", ".hidden"} {
		if err := os.Mkdir(filepath.Join(fresh(root, false), folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return New(root, options)
}

func TestALargeMailboxIsListedWhole(t *testing.T) {
	s := largeRoot(t, Options{})
	for _, when := range []string{"at first", "again"} {
		d := openDrop(t, s, ann(t, s.root))
		if d.Len() != many {
			t.Fatalf("%s: %d messages, want %d", when, d.Len(), many)
		}
		var bytes int64
		for n := range many {
			i := many - 1 - n
			if got, want := d.Message(n), (MessageInfo{UID: fmt.Sprintf("m%d", i), Size: int64(i%7 + 1)}); got != want {
				t.Errorf("%s: message %d is %+v, want %+v", when, n, got, want)
			}
			bytes += int64(i%7 + 1)
		}
		if d.Bytes() != bytes {
			t.Errorf("%s: %d bytes, want %d", when, d.Bytes(), bytes)
		}
		d.Close()
	}
}

// A forgetful file system does not tell of one file.
type forgetful struct {
	tabfile.FS
	base string
	err  error
}

func (f forgetful) Lstat(name string) (fs.FileInfo, error) {
	if filepath.Base(name) == f.base {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: f.err}
	}
	return f.FS.Lstat(name)
}

func TestFilesThatCannotBeAskedFor(t *testing.T) {
	for _, name := range []string{"m0", "m700", fmt.Sprintf("m%d", many-1)} {
		s := largeRoot(t, Options{FS: forgetful{tabfile.OS(), name, syscall.ENOENT}})
		if d := openDrop(t, s, ann(t, s.root)); d.Len() != many-1 {
			t.Errorf("%s is gone: %d messages, want %d", name, d.Len(), many-1)
		}
		s = largeRoot(t, Options{FS: forgetful{tabfile.OS(), name, syscall.EIO}})
		if d, err := s.Open(t.Context(), ann(t, s.root), ""); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s cannot be read: %v, %v, want EIO", name, d, err)
		}
	}
}

// BenchmarkOpen measures a session that opens a mailbox: one that rests, one that has a
// new message each time, and one that nobody has looked at yet.
func BenchmarkOpen(b *testing.B) {
	const messages = 10_000
	root := newRoot(b, false)
	dir := fresh(root, false)
	for i := range messages {
		write(b, filepath.Join(dir, fmt.Sprintf("m%d", i)), "x\r\n")
	}
	rest := func(b *testing.B, age time.Duration) {
		when := time.Now().Add(-age)
		if err := os.Chtimes(dir, when, when); err != nil {
			b.Fatal(err)
		}
	}
	for _, state := range []string{"resting", "changed", "unknown"} {
		b.Run(fmt.Sprintf("messages=%d/state=%s", messages, state), func(b *testing.B) {
			rest(b, time.Hour)
			s := New(root, Options{})
			openDrop(b, s, ann(b, root)).Close()
			n := 0
			for b.Loop() {
				switch n++; state {
				case "changed":
					rest(b, time.Hour+time.Duration(n)*time.Second)
				case "unknown":
					s = New(root, Options{})
				}
				d, err := s.Open(b.Context(), ann(b, root), "")
				if err != nil {
					b.Fatal(err)
				}
				if d.Len() != messages {
					b.Fatalf("%d messages, want %d", d.Len(), messages)
				}
				d.Close()
			}
		})
	}
}

// TestSessionsDoNotSeeWhatOthersDo has a session remove a message and find another one
// moved while the list that it began with is remembered.
func TestSessionsDoNotSeeWhatOthersDo(t *testing.T) {
	root := newRoot(t, false)
	dir := fresh(root, false)
	for i := range 3 {
		name := filepath.Join(dir, fmt.Sprintf("m%d", i))
		write(t, name, "x")
		at(t, name, int64(i))
	}
	s := New(root, Options{})
	first := openDrop(t, s, ann(t, root))
	listed, err := s.lists.list(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "m1"), filepath.Join(filepath.Dir(dir), "cur", "m1:2,S")); err != nil {
		t.Fatal(err)
	}
	if text := readMessage(t, first, 1); text != "x" {
		t.Errorf("the message that was moved is %q, want x", text)
	}
	if err := first.Delete(0); err != nil {
		t.Fatal(err)
	}
	for i, e := range listed {
		if e.gone || e.cur || e.name != fmt.Sprintf("m%d", i) {
			t.Errorf("what is remembered of message %d is %+v, want it as it was", i, e)
		}
	}
}
