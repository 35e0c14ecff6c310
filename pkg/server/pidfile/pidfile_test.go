package pidfile

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestFileHoldsTheProcessIDAndIsRemoved(t *testing.T) {
	name := filepath.Join(t.TempDir(), "xmaild.pid")
	f, note, err := Write(name, t.TempDir())
	if err != nil || note != "" {
		t.Fatalf("Write: %q, %v, want neither", note, err)
	}
	if got, want := read(t, name), strconv.Itoa(os.Getpid()); got != want {
		t.Errorf("pid file holds %q, want %q", got, want)
	}
	if err := f.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(name); !os.IsNotExist(err) {
		t.Errorf("after Remove: %v, want no file", err)
	}
}

func TestFileOfALiveProcessIsLeftAlone(t *testing.T) {
	dir, root := t.TempDir(), t.TempDir()
	name := filepath.Join(dir, "xmaild.pid")
	parent := strconv.Itoa(os.Getppid())
	if err := os.WriteFile(name, []byte(parent), 0o644); err != nil {
		t.Fatal(err)
	}
	f, note, err := Write(name, root)
	if err != nil {
		t.Fatal(err)
	}
	if want := "belongs to process " + parent; !strings.Contains(note, want) {
		t.Errorf("note %q, want it to say %q", note, want)
	}
	if want := filepath.Join(root, "xmaild.pid"); f.Path() != want {
		t.Errorf("pid file %s, want %s", f.Path(), want)
	}
	if got := read(t, name); got != parent {
		t.Errorf("the other's file holds %q now, want %q", got, parent)
	}
}

func TestStaleFileIsReplaced(t *testing.T) {
	for _, content := range []string{"", "rubbish", "-4", "999999999"} {
		name := filepath.Join(t.TempDir(), "xmaild.pid")
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if f, note, err := Write(name, t.TempDir()); err != nil || f.Path() != name {
			t.Errorf("Write over %q: %q, %v, want it replaced", content, note, err)
		}
	}
}

// Who holds the lock of the MailRoot is alone in it: a number in a pid file there
// is that of a process which was killed, whoever has it now.
func TestFileInTheMailRootIsReplacedWhateverItHolds(t *testing.T) {
	dir, root := t.TempDir(), t.TempDir()
	parent := strconv.Itoa(os.Getppid())
	inRoot := filepath.Join(root, "xmaild.pid")
	for _, name := range []string{inRoot, filepath.Join(root, ".", "xmaild.pid"), filepath.Join(dir, "xmaild.pid")} {
		for _, stale := range []string{filepath.Join(dir, "xmaild.pid"), inRoot} {
			if err := os.WriteFile(stale, []byte(parent), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		f, _, err := Write(name, root)
		if err != nil {
			t.Fatalf("Write %s where root has the file of another: %v", name, err)
		}
		if f.Path() != inRoot || read(t, inRoot) != strconv.Itoa(os.Getpid()) {
			t.Errorf("Write %s: file %s holds %q, want %s with this process", name, f.Path(), read(t, f.Path()), inRoot)
		}
	}
}

func TestMissingFolderFallsBack(t *testing.T) {
	root := t.TempDir()
	f, note, err := Write(filepath.Join(root, "no", "such", "x.pid"), root)
	if err != nil || f.Path() != filepath.Join(root, "x.pid") || note == "" {
		t.Errorf("Write: %v, %q, %v, want the file in %s and a note", f, note, err, root)
	}
	if _, _, err := Write(filepath.Join(root, "no", "x.pid"), filepath.Join(root, "none")); err == nil {
		t.Error("no error when neither place can be written")
	}
}

func TestRemoveLeavesTheFileOfAnother(t *testing.T) {
	name := filepath.Join(t.TempDir(), "xmaild.pid")
	f, _, err := Write(name, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := f.Remove(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, name); got != "1" {
		t.Errorf("the other's file holds %q, want it untouched", got)
	}
}
