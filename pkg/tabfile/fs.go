package tabfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// An FS is the file system under a store. Names are those of the operating
// system. [OS] is the real one; tests use one that forgets what was not synced.
type FS interface {
	// Open opens a file for reading.
	Open(name string) (File, error)
	// Create opens a new or emptied file for writing. Where like names an
	// existing file, the new one gets its mode, owner and group as far as that
	// is permitted; otherwise it gets mode perm.
	Create(name, like string, perm fs.FileMode) (File, error)
	// Resolve returns where name leads when it is a symbolic link, else name.
	Resolve(name string) (string, error)
	// Stat follows symbolic links; Lstat does not.
	Stat(name string) (fs.FileInfo, error)
	Lstat(name string) (fs.FileInfo, error)
	ReadDir(name string) ([]string, error)
	Mkdir(name string, perm fs.FileMode) error
	Rename(from, to string) error
	Remove(name string) error
	RemoveAll(name string) error
	// Writable reports why nothing can be made in, or removed from, a folder.
	Writable(dir string) error
	// Sync makes the content of the named files and the entries of the named
	// folders durable. Names that are gone are passed over. [SyncFailed] tells
	// what an error means.
	Sync(names []string) error
}

// A File is an open file of an [FS].
type File interface {
	io.Reader
	io.Writer
	io.WriterAt
	io.Closer
	Stat() (fs.FileInfo, error)
	Sync() error
}

// OS returns the file system of the operating system.
func OS() FS { return osFS{} }

type osFS struct{}

func (osFS) Open(name string) (File, error) { return open(name, os.O_RDONLY, 0) }

func (osFS) Create(name, like string, perm fs.FileMode) (File, error) {
	f, err := open(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return nil, err
	}
	if like == "" {
		return f, nil
	}
	info, err := os.Stat(like)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil && info.Mode().Perm() != perm {
		err = f.Chmod(info.Mode().Perm())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(name))
	}
	keepOwner(f, info)
	return f, nil
}

func (osFS) Resolve(name string) (string, error) {
	info, err := os.Lstat(name)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return name, nil
	}
	return filepath.EvalSymlinks(name)
}

func (osFS) Stat(name string) (fs.FileInfo, error)  { return os.Stat(name) }
func (osFS) Lstat(name string) (fs.FileInfo, error) { return os.Lstat(name) }

func (osFS) ReadDir(name string) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	return names, errors.Join(err, f.Close())
}

func (osFS) Mkdir(name string, perm fs.FileMode) error { return os.Mkdir(name, perm) }
func (osFS) Rename(from, to string) error              { return rename(from, to) }
func (osFS) Remove(name string) error                  { return os.Remove(name) }
func (osFS) RemoveAll(name string) error               { return os.RemoveAll(name) }

// syncOne makes one file or folder durable.
func syncOne(name string) error {
	f, err := open(name, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// SyncFailed reports whether an error of [FS.Sync] or [File.Sync] is that of a sync
// which was tried and failed. Nobody knows then what the disk holds, and to try again
// tells nothing: the system may have dropped what it could not write. Where a file
// could not even be opened, say since too many are, a later sync is as good.
func SyncFailed(err error) bool {
	var p *fs.PathError
	return err != nil && !(errors.As(err, &p) && (p.Op == "open" || p.Op == "stat"))
}

// readFile returns what a file holds, and the state of the file that held it.
func readFile(fsys FS, name string) (string, fs.FileInfo, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", nil, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = &fs.PathError{Op: "read", Path: name, Err: errors.New("is a directory")}
	}
	if err != nil {
		return "", nil, errors.Join(err, f.Close())
	}
	text, err := readText(f, info.Size())
	return text, info, errors.Join(err, f.Close())
}
