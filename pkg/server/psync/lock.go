package psync

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// locksDir has a file for each remote account that somebody fetches from.
const locksDir = "pop3linklocks"

var errBusy = errors.New("somebody else fetches from there")

// lock keeps others, and other links to the same remote account, from fetching there
// until release is called.
func (f *Fetcher) lock(l mailroot.Link) (release func(), err error) {
	flat := strings.NewReplacer(":", "_", "/", "_", `\`, "_").Replace
	base := flat(l.RemoteName) + "@" + flat(l.Host) + ".lock"
	if !mailroot.IsComponent(base) {
		return nil, fmt.Errorf("%q cannot be the name of a lock", base)
	}
	if !f.acquire(base) {
		return nil, errBusy
	}
	file := f.Root.Path(locksDir + "/" + base)
	if _, left := f.left.LoadAndDelete(file); left {
		f.unlock(file) // what a session of ours could not remove
	}
	err = f.writeLock(file)
	switch {
	case errors.Is(err, fs.ErrExist):
		f.release(base)
		return nil, errBusy
	case err != nil:
		// Those who share this process are kept away all the same.
		f.log.Warn("the lock file of a POP3 link cannot be written", "file", file, "err", err)
		return func() { f.release(base) }, nil
	}
	return func() {
		f.unlock(file)
		f.release(base)
	}, nil
}

// unlock removes a lock file of ours. Where that cannot be done now it is tried again by
// the next session: the link would rest until the server is started again otherwise.
func (f *Fetcher) unlock(file string) {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.left.Store(file, true)
		f.log.Warn("the lock file of a POP3 link is left over", "file", file, "err", err)
	}
}

func (f *Fetcher) acquire(key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.busy[key] {
		return false
	}
	f.busy[key] = true
	return true
}

func (f *Fetcher) release(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.busy, key)
}

func (f *Fetcher) writeLock(file string) error {
	open := func() (*os.File, error) { return os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) }
	lock, err := open()
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.Mkdir(filepath.Dir(file), f.Root.Modes().Dir); err == nil || errors.Is(err, fs.ErrExist) {
			lock, err = open()
		}
	}
	if err != nil {
		return err
	}
	// The reference writes the number of its thread.
	_, err = io.WriteString(lock, fmt.Sprint(os.Getpid())+"\x00")
	if err = errors.Join(err, lock.Close()); err != nil {
		f.unlock(file)
	}
	return err
}

// cleanLocks removes the lock files that an earlier process has left.
func (f *Fetcher) cleanLocks() error {
	dir := f.Root.Path(locksDir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".lock") {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}
