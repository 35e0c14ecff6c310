package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// idBlock is how many ids are taken from the file at a time. Those of a block that
// were not used when the server dies are left out.
const idBlock = 256

// ids counts messages as the reference does, in a file that holds the number of
// the last one in decimal digits (docs/reference/services.md 1.7).
type ids struct {
	fs   FS
	file string

	mu    sync.Mutex
	last  uint64
	taken uint64 // up to which the file says that they are used
}

// openIDs reads the file. One that is missing, or holds no number, begins anew.
func openIDs(fsys FS, file string) (*ids, error) {
	c := &ids{fs: fsys, file: file, last: 1}
	f, err := fsys.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, 64))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 63); err == nil && n > 0 {
		c.last = n
	}
	c.taken = c.last
	return c, nil
}

// next returns the next number. Where the file cannot be written the number may
// come again after a restart, which is better than no mail.
func (c *ids) next() (n uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	if c.last > c.taken {
		c.taken = c.last + idBlock
		err = c.write(c.taken)
	}
	return c.last, err
}

// close leaves the file with the last number that was used.
func (c *ids) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken == c.last || c.taken == 0 {
		return nil
	}
	c.taken = c.last
	return c.write(c.last)
}

// write replaces the file. It need not survive a power cut: a number that comes
// again is in another Received header, with another time.
func (c *ids) write(n uint64) error {
	temp := filepath.Join(filepath.Dir(c.file), ".message.id.new")
	f, err := c.fs.Create(temp, c.file, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%d\r\n", n)
	if err = errors.Join(err, f.Close()); err == nil {
		err = c.fs.Rename(temp, c.file)
	}
	if err != nil {
		err = errors.Join(err, c.fs.Remove(temp))
	}
	return err
}
