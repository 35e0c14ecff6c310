package spool

import (
	"io"
	"io/fs"
	"os"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// An FS is the file system under a queue. [OS] is the real one; tests use one that
// forgets what was not synced.
type FS interface {
	tabfile.FS

	// Modify opens a file that is there for reading and writing, as it is.
	Modify(name string) (File, error)
}

// A File is an open file of an [FS].
type File interface {
	tabfile.File
	io.ReaderAt
}

// OS returns the file system of the operating system.
func OS() FS { return osFS{tabfile.OS()} }

type osFS struct{ tabfile.FS }

func (osFS) Modify(name string) (File, error) { return os.OpenFile(name, os.O_RDWR, 0) }

// mkdir makes a folder unless it is there.
func mkdir(fsys FS, name string, perm fs.FileMode) error {
	if info, err := fsys.Stat(name); err == nil && info.IsDir() {
		return nil
	}
	return fsys.Mkdir(name, perm)
}
