package mailroot

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// lockFile reports whether the lock was to be had. It locks a byte far behind
// the content, which stays readable.
func lockFile(f *os.File) (bool, error) {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, &windows.Overlapped{OffsetHigh: 1})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}

// removeLocked removes the file after closing it, since an open one cannot be
// removed here. When somebody else has it already, it stays.
func removeLocked(f *os.File) error {
	err := f.Close()
	if e := os.Remove(f.Name()); errors.Is(e, fs.ErrNotExist) {
		return errors.Join(err, e)
	}
	return err
}
