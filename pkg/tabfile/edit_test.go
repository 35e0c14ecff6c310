package tabfile

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// An editorFS is the real file system with somebody who saves a table of his own
// while the store prepares its next version.
type editorFS struct {
	FS
	save func()
	once sync.Once
}

func (f *editorFS) Create(name, like string, perm fs.FileMode) (File, error) {
	if filepath.Base(name) == ".users.tab.new" {
		f.once.Do(f.save)
	}
	return f.FS.Create(name, like, perm)
}

func TestEditorThatIsFasterLeavesNothingBehind(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	edited := "\"a.org\"\t\"ann\"\t1\n# by hand\n"
	fsys := &editorFS{FS: OS(), save: func() { writeTestFile(t, root, "users.tab", edited) }}
	s, err := Open(context.Background(), testOptions(root, fsys))
	if err != nil {
		t.Fatal(err)
	}
	mustUpdate(t, s, addUser("a.org", "bob", 2))
	if left, _ := filepath.Glob(filepath.Join(root, ".*.new*")); len(left) > 0 {
		t.Errorf("beside a table that somebody else has saved: %v, want nothing", left)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantFile(t, root, "users.tab", edited+"\"a.org\"\t\"bob\"\t2\n")
	if left, _ := filepath.Glob(filepath.Join(root, ".*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// TestRowsThatAFileDidNotShowAreNotRemovedByItsEdit edits a table too large to be
// written at each change, while a change waits to be written.
func TestRowsThatAFileDidNotShowAreNotRemovedByItsEdit(t *testing.T) {
	root := t.TempDir()
	var names []string
	for i := range 4000 {
		names = append(names, fmt.Sprintf("user%04d", i))
	}
	text := users(names...)
	writeTestFile(t, root, "users.tab", text)
	var log lockedBuffer
	o := testOptions(root, OS())
	o.times.idle, o.times.longest = 1<<40, 1<<40
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // a failure is that of the test before it
	mustUpdate(t, s, addUser("b.org", "pending", 1))
	writeTestFile(t, root, "users.tab", strings.Replace(text, "user0007", "edited07", 1))
	waitFor(t, "the edit", func() bool {
		_, ok := s.Table("users.tab").First("user", "a.org\tedited07")
		return ok
	})
	if _, ok := s.Table("users.tab").First("user", "b.org\tpending"); !ok {
		t.Fatal("the change that waited is gone, want it on top of the edit")
	}
	got := log.String()
	if !strings.Contains(got, "user0007") {
		t.Errorf("log is %q, want it to name user0007, which the edit removed", got)
	}
	if strings.Contains(got, "pending") {
		t.Errorf("log is %q, want nothing of a row that is still there", got)
	}
}

func TestProblemsOfAnEditAreToldOnce(t *testing.T) {
	root := t.TempDir()
	ann := "\"a.org\"\t\"ann\"\t1\n"
	writeTestFile(t, root, "users.tab", ann+"old nonsense\n")
	s := openStore(t, root)
	writeTestFile(t, root, "users.tab", ann+"old nonsense\nbroken\n")
	waitFor(t, "the report of the broken edit", func() bool { return len(s.Problems()) > 1 })
	var got []string
	for _, p := range s.Problems() {
		got = append(got, fmt.Sprintf("%s:%d", p.File, p.Line))
	}
	if want := []string{"users.tab:3", "users.tab:2"}; !slices.Equal(got, want) {
		t.Errorf("problems in %v, want %v, what holds the edit back first", got, want)
	}
}

// A lockedBuffer may be written by a store while a test reads it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestLargeEditHoldsUpNobody changes a table, and looks at a large one, while that is
// read since it was edited.
func TestLargeEditHoldsUpNobody(t *testing.T) {
	root := t.TempDir()
	const name = "domains/a.org/user.tab"
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	writeTestFile(t, root, name, "\"a\"\n")
	disk := &readHookFS{FS: OS()}
	s := openIdle(t, root, disk)
	file := func() *View {
		t.Helper()
		v, err := s.File(name, plainSchema)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	file()
	reads, rows := 0, 0
	var result error
	disk.read = func(opened string) {
		if opened == filepath.Join(root, name) {
			reads++
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if result = s.Update(ctx, addUser("a.org", "bob", 2)); result == nil {
				rows = file().Len()
			}
		}
	}
	writeTestFile(t, root, name, largeRows)
	waitFor(t, "the edit", func() bool { return file().Len() > 1 })
	if result != nil {
		t.Errorf("a change while a large table is read: %v", result)
	}
	if reads != 1 || rows != 1 {
		t.Errorf("the table was read %d times, with %d rows for others meanwhile; want once, with 1", reads, rows)
	}
}
