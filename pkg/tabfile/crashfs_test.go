package tabfile

import (
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/xmaild/xmaild/pkg/tabfile/crashfs"
)

// A crashFS is a [crashfs.FS] as a store wants it.
type crashFS struct{ *crashfs.FS }

func newCrashFS(mem *vfs.MemFS, dieAt, unsynced int, seed uint64) crashFS {
	return crashFS{crashfs.New(mem, crashfs.Config{DieAt: dieAt, Unsynced: unsynced, Seed: seed})}
}

func (c crashFS) Open(name string) (File, error) { return c.FS.Open(name) }

func (c crashFS) Create(name, like string, perm fs.FileMode) (File, error) {
	return c.FS.Create(name, like, perm)
}
