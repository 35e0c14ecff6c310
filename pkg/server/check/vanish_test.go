package check

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// TestLinkThatLeadsNowhereIsFound has one for a table of an account, as a folder leaves
// it that was moved away, and one for a table of MailRoot.
func TestLinkThatLeadsNowhereIsFound(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("symbolic links are for administrators on Windows")
	}
	dir := fresh(t)
	for _, name := range []string{"domains/example.test/user/mailproc.tab", "smtp.ipmap.tab"} {
		name = filepath.Join(dir, name)
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("nowhere", name); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"domains/example.test/user/mailproc.tab: is a link that leads nowhere",
		"smtp.ipmap.tab: is a link that leads nowhere",
	}
	if diff := cmp.Diff(want, findings(t, dir)); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

// vanishing is a MailRoot in use, where names go that have just been listed.
type vanishing struct {
	fs.FS
	gone []string
}

func (v vanishing) Open(name string) (fs.File, error) {
	if slices.Contains(v.gone, name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return v.FS.Open(name)
}

func TestAccountsRemovedMeanwhileAreNoFindings(t *testing.T) {
	file := &fstest.MapFile{Data: []byte("\"a\"\n")}
	c := &checker{fsys: vanishing{
		fstest.MapFS{"domains/a.test/ann/user.tab": file, "domains/a.test/bob/user.tab": file, "domains/a.test/joe/user.tab": file},
		[]string{"domains/a.test/ann/user.tab", "domains/a.test/bob"},
	}, tables: map[string][]row{}}
	if err := c.walk(t.Context(), "domains"); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range c.sorted() {
		got = append(got, f.String())
	}
	want := []string{"domains/a.test/joe/user.tab:1: 1 fields where 2 are needed"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}
