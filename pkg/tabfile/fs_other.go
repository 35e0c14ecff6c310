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

func create(name string, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
}

func rename(from, to string) error { return os.Rename(from, to) }

func keepOwner(*os.File, fs.FileInfo) {}

func inode(fs.FileInfo) uint64 { return 0 }

func device(fs.FileInfo) uint64 { return 0 }
