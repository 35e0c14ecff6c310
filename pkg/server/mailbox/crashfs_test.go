package mailbox

import (
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/xmaild/xmaild/pkg/tabfile"
	"github.com/xmaild/xmaild/pkg/tabfile/crashfs"
)

// A crashFS is a [crashfs.FS] as a store wants it. Some syncs may do nothing.
type crashFS struct {
	*crashfs.FS
	forget func(name string) bool // nil: none
}

func newCrashFS(mem *vfs.MemFS, dieAt, unsynced int, forget func(string) bool) crashFS {
	return crashFS{crashfs.New(mem, crashfs.Config{DieAt: dieAt, Unsynced: unsynced, Seed: uint64(dieAt)}), forget}
}

func (c crashFS) Open(name string) (tabfile.File, error) { return c.FS.Open(name) }

func (c crashFS) Create(name, like string, perm fs.FileMode) (tabfile.File, error) {
	f, err := c.FS.Create(name, like, perm)
	return crashFile{f, name, c}, err
}

func (c crashFS) Sync(names []string) error {
	for _, name := range names {
		if c.forget != nil && c.forget(name) {
			continue
		}
		if err := c.FS.Sync([]string{name}); err != nil {
			return err
		}
	}
	return nil
}

// A crashFile is a file that was made in a crashFS.
type crashFile struct {
	crashfs.File
	name string
	fs   crashFS
}

func (f crashFile) Sync() error {
	if f.fs.forget != nil && f.fs.forget(f.name) {
		return nil
	}
	return f.File.Sync()
}
