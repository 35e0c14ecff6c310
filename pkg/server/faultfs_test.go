package server_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/xmaild/xmaild/pkg/server/spool"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A faultFS is the real file system with a disk that can be broken: below a folder, in
// one way.
type faultFS struct {
	spool.FS

	mu    sync.Mutex
	below string // a part of the names that are concerned, with $ their end; empty: nothing is
	kind  fault
	left  int // how often it fails still; below 0: always
	hits  int // how often it has failed
}

type fault int

const (
	syncFails   fault = iota // once is enough: then Linux has forgotten it
	diskFull                 // writes fail
	shortWrite               // half of it is written
	notAllowed               // nothing can be made, removed or opened for writing
	renameFails              // names cannot be changed
)

func newFaultFS() *faultFS { return &faultFS{FS: spool.OS()} }

// fail breaks the disk below a folder of that name, for so many times.
func (f *faultFS) fail(kind fault, below string, times int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kind, f.below, f.left, f.hits = kind, filepath.FromSlash(below), times, 0
}

// mend mends the disk, and returns how often it has failed.
func (f *faultFS) mend() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.below = ""
	return f.hits
}

// hit reports whether an operation on a name fails.
func (f *faultFS) hit(kind fault, name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.below == "" || f.kind != kind || f.left == 0 || !strings.Contains(name+"$", f.below) {
		return false
	}
	f.left--
	f.hits++
	return true
}

func (f *faultFS) refusal(op, name string) error {
	if f.hit(notAllowed, name) {
		return &fs.PathError{Op: op, Path: name, Err: syscall.EACCES}
	}
	return nil
}

func (f *faultFS) Create(name, like string, perm fs.FileMode) (tabfile.File, error) {
	if err := f.refusal("open", name); err != nil {
		return nil, err
	}
	file, err := f.FS.Create(name, like, perm)
	if err != nil {
		return nil, err
	}
	return &faultFile{File: file, fs: f, name: name}, nil
}

func (f *faultFS) Modify(name string) (spool.File, error) {
	if err := f.refusal("open", name); err != nil {
		return nil, err
	}
	file, err := f.FS.Modify(name)
	if err != nil {
		return nil, err
	}
	return &faultModified{faultFile{File: file, fs: f, name: name}, file}, nil
}

func (f *faultFS) Writable(dir string) error {
	return errors.Join(f.refusal("write", dir), f.FS.Writable(dir))
}

func (f *faultFS) Mkdir(name string, perm fs.FileMode) error {
	return errors.Join(f.refusal("mkdir", name), f.FS.Mkdir(name, perm))
}

func (f *faultFS) Remove(name string) error {
	if err := f.refusal("remove", name); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

func (f *faultFS) Rename(from, to string) error {
	if f.hit(renameFails, to) {
		return &fs.PathError{Op: "rename", Path: to, Err: syscall.EIO}
	}
	return f.FS.Rename(from, to)
}

func (f *faultFS) Sync(names []string) error {
	for _, name := range names {
		if f.hit(syncFails, name) {
			return &fs.PathError{Op: "sync", Path: name, Err: syscall.EIO}
		}
	}
	return f.FS.Sync(names)
}

// A faultFile is a file of a faultFS.
type faultFile struct {
	tabfile.File
	fs   *faultFS
	name string
}

func (f *faultFile) write(b []byte, write func([]byte) (int, error)) (int, error) {
	switch {
	case f.fs.hit(diskFull, f.name):
		return 0, syscall.ENOSPC
	case f.fs.hit(shortWrite, f.name):
		n, err := write(b[:len(b)/2])
		return n, errors.Join(err, syscall.ENOSPC)
	}
	return write(b)
}

func (f *faultFile) Write(b []byte) (int, error) { return f.write(b, f.File.Write) }

func (f *faultFile) WriteAt(b []byte, off int64) (int, error) {
	return f.write(b, func(b []byte) (int, error) { return f.File.WriteAt(b, off) })
}

func (f *faultFile) Sync() error {
	if f.fs.hit(syncFails, f.name) {
		return &fs.PathError{Op: "sync", Path: f.name, Err: syscall.EIO}
	}
	return f.File.Sync()
}

// A faultModified can be read at any place as well.
type faultModified struct {
	faultFile
	file spool.File
}

func (f *faultModified) ReadAt(b []byte, off int64) (int, error) { return f.file.ReadAt(b, off) }
