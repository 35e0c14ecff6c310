//go:build !unix

package tabfile

import (
	"io/fs"
	"os"
)

func (osFS) Writable(dir string) error {
	_, err := os.Stat(dir)
	return err
}

func open(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, perm)
}

func rename(from, to string) error { return os.Rename(from, to) }

func keepOwner(*os.File, fs.FileInfo) {}

func inode(fs.FileInfo) uint64 { return 0 }

func device(fs.FileInfo) uint64 { return 0 }
