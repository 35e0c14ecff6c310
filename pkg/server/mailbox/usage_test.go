package mailbox

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A dirFS is a folder of the operating system that counts how often folders are
// read.
type dirFS struct {
	dir   string
	reads int
}

func (d *dirFS) path(name string) string { return filepath.Join(d.dir, filepath.FromSlash(name)) }

func (d *dirFS) ReadDir(name string) ([]string, error) {
	d.reads++
	entries, err := os.ReadDir(d.path(name))
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (d *dirFS) Stat(name string) (fs.FileInfo, error)  { return os.Stat(d.path(name)) }
func (d *dirFS) Lstat(name string) (fs.FileInfo, error) { return os.Lstat(d.path(name)) }

func (d *dirFS) write(t *testing.T, name, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(d.path(name)), 0o700)
	if err == nil {
		err = os.WriteFile(d.path(name), []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func wantUsage(t *testing.T, c *Counter, want Usage) {
	t.Helper()
	if got, err := c.Usage(t.Context(), "box"); err != nil || got != want {
		t.Errorf("usage %+v (err %v), want %+v", got, err, want)
	}
}

func TestFilesOfAMailboxAreCounted(t *testing.T) {
	d := &dirFS{dir: t.TempDir()}
	c := NewCounter(d, time.Now)
	wantUsage(t, c, Usage{}) // it is not there
	d.write(t, "box/new/1", "12345")
	d.write(t, "box/cur/2:2,S", "123")
	d.write(t, "box/.Sent/cur/3", "1")
	d.write(t, "box/tmp/4", "12")
	d.write(t, "box/.hidden", "12345678")
	d.write(t, "box/new/.nfs1", "12345678")
	d.write(t, "elsewhere", "1234")
	if err := os.Symlink(d.path("elsewhere"), d.path("box/new/link")); err != nil {
		t.Fatal(err)
	}
	wantUsage(t, c, Usage{11, 4})
	if err := os.Rename(d.path("box"), d.path("real")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", d.path("box")); err != nil {
		t.Fatal(err)
	}
	wantUsage(t, c, Usage{11, 4})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Usage(ctx, "box"); !errors.Is(err, context.Canceled) {
		t.Errorf("usage after the end: %v, want context.Canceled", err)
	}
}

func TestFoldersAreReadAgainWhenTheyChange(t *testing.T) {
	d := &dirFS{dir: t.TempDir()}
	now := time.Now()
	c := NewCounter(d, func() time.Time { return now })
	d.write(t, "box/new/1", "12345")
	d.write(t, "box/cur/2", "123")
	reads := func(want int) {
		t.Helper()
		if d.reads != want {
			t.Errorf("%d folders were read, want %d", d.reads, want)
		}
		d.reads = 0
	}
	wantUsage(t, c, Usage{8, 2})
	reads(3)
	wantUsage(t, c, Usage{8, 2})
	reads(3) // too fresh: their times may not tell
	now = now.Add(time.Minute)
	wantUsage(t, c, Usage{8, 2})
	reads(3)
	wantUsage(t, c, Usage{8, 2})
	reads(0)
	d.write(t, "box/new/3", "1234567")
	if err := os.Remove(d.path("box/new/1")); err != nil {
		t.Fatal(err)
	}
	wantUsage(t, c, Usage{10, 2})
	reads(1)
	now = now.Add(time.Minute)
	wantUsage(t, c, Usage{10, 2})
	d.reads = 0
	d.write(t, "box/.Sent/4", "1")
	wantUsage(t, c, Usage{11, 3})
	reads(2)
	// What does not change the time of a folder is seen the next day.
	now = now.Add(time.Minute)
	wantUsage(t, c, Usage{11, 3})
	d.reads = 0
	d.write(t, "box/cur/2", "123456")
	wantUsage(t, c, Usage{11, 3})
	reads(0)
	now = now.Add(keepTime)
	wantUsage(t, c, Usage{14, 3})
	reads(4)
	if err := os.RemoveAll(d.path("box")); err != nil {
		t.Fatal(err)
	}
	wantUsage(t, c, Usage{})
}

func TestOldCountsAreForgotten(t *testing.T) {
	d := &dirFS{dir: t.TempDir()}
	now := time.Now()
	c := NewCounter(d, func() time.Time { return now })
	c.prune = 3
	for _, name := range []string{"a", "b"} {
		d.write(t, name+"/1", "x")
		if _, err := c.Usage(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(keepTime)
	d.write(t, "c/1", "x")
	if _, err := c.Usage(t.Context(), "c"); err != nil || len(c.folders) != 1 {
		t.Errorf("%d folders are remembered (err %v), want the last one", len(c.folders), err)
	}
}
