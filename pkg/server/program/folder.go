package program

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A Folder is where a program finds and leaves files. It belongs to the user that
// programs run as, and nobody else can enter it.
type Folder struct {
	dir  string
	root *os.Root
	uid  int // -1: files keep the owner that they are made with
	gid  int
}

// NewFolder makes a folder below parent; "" is [os.TempDir]. [Folder.Remove] removes it.
// The owner is what only one server works on, its MailRoot: see [SweepFolders].
func NewFolder(parent, owner string) (*Folder, error) {
	uid, gid, other, err := RunsAs()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(parent, prefix(owner))
	if err != nil {
		return nil, err
	}
	f := &Folder{dir: dir, uid: -1, gid: -1}
	if f.root, err = os.OpenRoot(dir); err == nil && other {
		f.uid, f.gid = uid, gid
		err = f.root.Chown(".", uid, gid)
	}
	if err != nil {
		return nil, errors.Join(err, f.Remove())
	}
	return f, nil
}

// prefix is how the names of the folders of an owner begin.
func prefix(owner string) string {
	sum := sha256.Sum256([]byte(owner))
	return "xmaild-" + hex.EncodeToString(sum[:6]) + "-"
}

// SweepFolders removes the folders below parent that a server has left which died: those
// of an owner that nobody else works on at the moment.
func SweepFolders(parent, owner string) error {
	uid, _, _, err := RunsAs()
	if err != nil {
		return err
	}
	if parent == "" {
		parent = os.TempDir()
	}
	entries, err := os.ReadDir(parent)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix(owner)) {
			continue
		}
		// Others may make folders there, and call them what they like.
		if info, err := e.Info(); err != nil || !info.IsDir() || !belongsTo(info, os.Geteuid(), uid) {
			continue
		}
		errs = append(errs, os.RemoveAll(filepath.Join(parent, e.Name())))
	}
	return errors.Join(errs...)
}

// Path returns the name by which a program knows a file of the folder.
func (f *Folder) Path(name string) string { return filepath.Join(f.dir, name) }

// Create makes a file that the program may read and write. What stands under its name
// is removed.
func (f *Folder) Create(name string) (*os.File, error) {
	if err := f.root.RemoveAll(name); err != nil {
		return nil, err
	}
	file, err := f.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if f.uid >= 0 {
		if err := file.Chown(f.uid, f.gid); err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
	return file, nil
}

// Open opens a file that a program may have made. Whatever is no plain file is an
// error: a link would lead to files that the program itself may not read, and a pipe
// would hold the server up.
func (f *Folder) Open(name string) (*os.File, error) {
	if info, err := f.root.Lstat(name); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w", name, errNotRegular)
	}
	file, err := f.root.OpenFile(name, os.O_RDONLY|dontWait, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", name, errNotRegular)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

var errNotRegular = errors.New("no plain file")

// Delete removes a file, if it is there.
func (f *Folder) Delete(name string) error {
	err := f.root.RemoveAll(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Remove removes the folder with all that is in it.
func (f *Folder) Remove() error {
	var err error
	if f.root != nil {
		err = f.root.Close()
	}
	return errors.Join(err, os.RemoveAll(f.dir))
}
