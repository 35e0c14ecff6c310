//go:build unix

package program_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/program"
	"github.com/xmaild/xmaild/pkg/server/program/programtest"
)

func newFolder(t *testing.T) (f *program.Folder, parent string) {
	t.Helper()
	parent = programtest.Dir(t)
	f, err := program.NewFolder(parent, "owner")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Remove(); err != nil {
			t.Error(err)
		}
	})
	return f, parent
}

func TestProgramAndServerExchangeFiles(t *testing.T) {
	f, parent := newFolder(t)
	file, err := f.Create("in")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString("from the server"); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := program.Program{Path: programtest.Script(t, `tr a-z A-Z <"$1" >"$2" && echo more >>"$1"`), Args: []string{f.Path("in"), f.Path("out")}}.Run(t.Context())
	if err != nil || !r.OK() {
		t.Fatalf("%v, %v", r, err)
	}
	if file, err = f.Open("out"); err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if got, err := io.ReadAll(file); err != nil || string(got) != "FROM THE SERVER" {
		t.Errorf("the program left %q, %v", got, err)
	}
	if err := f.Remove(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestFoldersOfAServerThatDiedAreSwept has folders of two servers, and what others call
// by such a name.
func TestFoldersOfAServerThatDiedAreSwept(t *testing.T) {
	parent := programtest.Dir(t)
	var names []string
	for _, owner := range []string{"/dead", "/dead", "/lives"} {
		f, err := program.NewFolder(parent, owner)
		if err != nil {
			t.Fatal(err)
		}
		file, err := f.Create("message")
		if err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		names = append(names, filepath.Base(f.Path("")))
	}
	link := names[0] + "-link"
	if err := os.Symlink("/", filepath.Join(parent, link)); err != nil {
		t.Fatal(err)
	}
	if err := program.SweepFolders(parent, "/dead"); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range left {
		got = append(got, e.Name())
	}
	want := []string{link, names[2]}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("left are %q, want what is no folder, and that of the other server: %q", got, want)
	}
}

func TestOnlyPlainFilesOfTheFolderAreOpened(t *testing.T) {
	f, parent := newFolder(t)
	if err := os.WriteFile(filepath.Join(parent, "secret"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(parent, "secret"), f.Path("link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("inside", f.Path("near")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.Path("inside"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(f.Path("pipe"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(f.Path("folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"link", "near", "pipe", "folder", "../secret"} {
		file, err := f.Open(name)
		if err == nil {
			t.Errorf("%s was opened: %s", name, file.Name())
			if err := file.Close(); err != nil {
				t.Error(err)
			}
		} else if strings.Contains(err.Error(), "secret\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := f.Open("none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there gave %v", err)
	}
	for _, name := range []string{"link", "folder", "none"} {
		if err := f.Delete(name); err != nil {
			t.Errorf("delete %s: %v", name, err)
		}
	}
	if got, err := os.ReadFile(filepath.Join(parent, "secret")); err != nil || string(got) != "secret" {
		t.Errorf("what the link led to is now %q, %v", got, err)
	}
}
