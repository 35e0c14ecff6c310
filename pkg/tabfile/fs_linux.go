package tabfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// syncEach is up to how many names are synced one by one; more of them are
// cheaper to sync with their whole file system.
const syncEach = 64

func (osFS) Sync(names []string) error {
	if len(names) <= syncEach {
		for _, name := range names {
			if err := syncOne(name); err != nil {
				return err
			}
		}
		return nil
	}
	done := make(map[uint64]bool)
	for _, name := range names {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		device := info.Sys().(*syscall.Stat_t).Dev
		if done[device] {
			continue
		}
		err = syncFileSystem(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone meanwhile
		}
		if err != nil {
			return err
		}
		done[device] = true
	}
	return nil
}

func syncFileSystem(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}
