//go:build !unix

package lmail

import (
	"errors"
	"io/fs"
	"os"
)

// DropMode is that of a drop folder.
const DropMode = 0o1733

func facts(fs.FileInfo) (uid uint32, inode, links uint64) { return 0, 0, 1 }

func openPlain(path string) (*os.File, error) { return os.Open(path) }

// prepare refuses drop folders: whose a file is cannot be told here.
func (m *Mailer) prepare(*folder) error {
	return errors.New("this system has no drop folders; programs can use spool/local")
}

func newBell(string, bool) (*os.File, error) { return nil, nil }

func ringBell(string) bool { return false }

func ownerOf(fs.FileInfo) (uid, gid int, ok bool) { return 0, 0, false }

// syncDir does nothing: these systems sync no folders.
func syncDir(*os.File) error { return nil }
