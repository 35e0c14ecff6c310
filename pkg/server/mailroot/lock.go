package mailroot

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// lockName is the file that the owner of a MailRoot holds a lock on. What it
// says (a process id, then addresses, a line each) is for the reader of an error
// message; the lock is the operating system's, and ends with the process.
const lockName = ".xmaild.lock"

type lock struct{ f *os.File }

// acquire locks the MailRoot at dir. The owner before may be about to remove
// the file: a lock counts only on the file that has the name.
func acquire(dir string) (*lock, error) {
	if info, err := os.Stat(dir); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, fmt.Errorf("it is not a folder")
	}
	name := filepath.Join(dir, lockName)
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		locked, err := lockFile(f)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), f.Close())
		}
		if !locked {
			held := owner(dir, f)
			return nil, errors.Join(held, f.Close())
		}
		if same(f, name) {
			l := &lock{f}
			if err := l.write(nil); err != nil {
				return nil, errors.Join(err, f.Close())
			}
			return l, nil
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
}

func same(f *os.File, name string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(name)
	return err == nil && os.SameFile(opened, named)
}

// owner reads who holds the lock.
func owner(dir string, f *os.File) error {
	e := &LockedError{Dir: dir}
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return e
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	e.PID, _ = strconv.Atoi(lines[0]) // 0 where the owner has not written it yet
	e.Addrs = lines[1:]
	return e
}

// write makes the file say who holds it.
func (l *lock) write(addrs []string) error {
	text := strconv.Itoa(os.Getpid()) + "\n"
	for _, a := range addrs {
		text += a + "\n"
	}
	if _, err := l.f.WriteAt([]byte(text), 0); err != nil {
		return err
	}
	return l.f.Truncate(int64(len(text)))
}

// release gives the MailRoot up and leaves nothing behind.
func (l *lock) release() error {
	return errors.Join(l.f.Truncate(0), removeLocked(l.f))
}
