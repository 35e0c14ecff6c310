// Package pidfile keeps the file that tells scripts the process id of a daemon.
package pidfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A File is a pid file of this process.
type File struct {
	path string
	pid  string
}

// Write writes the process id to name, decimal and without a line end. Where
// name belongs to another live process or cannot be written, a file of the same
// base name in root takes its place, and note says why.
//
// Root is the MailRoot, which the caller has locked: a file there was left by a
// process that did not stop cleanly, also where its number is another's now or
// its parent has not seen its end yet.
func Write(name, root string) (f *File, note string, err error) {
	if !sameFolder(filepath.Dir(name), root) {
		err = free(name)
	}
	if err == nil {
		f, err = write(name)
	}
	if err == nil {
		return f, "", nil
	}
	other := filepath.Join(root, filepath.Base(name))
	f, err2 := write(other)
	if err2 != nil {
		return nil, "", fmt.Errorf("%w; %w", err, err2)
	}
	return f, fmt.Sprintf("pid file is %s: %v", other, err), nil
}

// Path is where the process id stands.
func (f *File) Path() string { return f.path }

// Remove removes the file, unless another process has written its own there. Where
// this process may not write to its folder any more, the file stays; it names no
// process that lives.
func (f *File) Remove() error {
	content, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && string(content) != f.pid {
		return nil
	}
	if err = os.Remove(f.path); errors.Is(err, fs.ErrPermission) && os.Truncate(f.path, 0) == nil {
		return nil
	}
	return err
}

// Give gives the file to another user, whom the process is about to become.
func (f *File) Give(uid, gid int) error { return os.Chown(f.path, uid, gid) }

func sameFolder(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// free returns an error where the file name holds the id of another live process.
func free(name string) error {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err == nil && pid != os.Getpid() && alive(pid) {
		return fmt.Errorf("%s belongs to process %d", name, pid)
	}
	return nil
}

func write(name string) (*File, error) {
	f := &File{path: name, pid: strconv.Itoa(os.Getpid())}
	temp, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return nil, err
	}
	_, err = temp.WriteString(f.pid)
	err = errors.Join(err, temp.Chmod(0o644), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), name)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(temp.Name()))
	}
	return f, nil
}
