//go:build unix

package mailroot

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lockFile reports whether the lock was to be had.
func lockFile(f *os.File) (bool, error) {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		default:
			return err == nil, err
		}
	}
}

// removeLocked removes the file while it is locked, so that nobody else's goes.
func removeLocked(f *os.File) error {
	return errors.Join(os.Remove(f.Name()), f.Close())
}
