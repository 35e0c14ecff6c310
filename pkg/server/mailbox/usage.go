package mailbox

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"
)

// An FS is where mailboxes stand. Names are slash-separated.
type FS interface {
	ReadDir(name string) ([]string, error)
	Stat(name string) (fs.FileInfo, error)
	Lstat(name string) (fs.FileInfo, error)
}

// A Usage is what is in a mailbox.
type Usage struct {
	Bytes    int64
	Messages int
}

func (u *Usage) add(v Usage) {
	u.Bytes += v.Bytes
	u.Messages += v.Messages
}

const (
	// restTime is how long a folder has to be left alone before its time tells
	// that nothing has changed: some file systems count in steps of two seconds.
	restTime = 3 * time.Second

	// keepTime is how long a count holds at most.
	keepTime = 24 * time.Hour
)

// A Counter counts what is in mailboxes, and remembers it as long as the times of
// their folders stay the same, but for a day at most. It is safe for concurrent
// use.
type Counter struct {
	fs  FS
	now func() time.Time

	mu      sync.Mutex
	folders map[string]folder
	prune   int // forget what is old when there are so many
}

// A folder is what was counted in one folder without those below it.
type folder struct {
	modified time.Time // the folder, when it was counted
	counted  time.Time
	own      Usage
	below    []string // names of the folders in it
}

// NewCounter returns a counter of mailboxes in fsys, which has nothing counted yet.
func NewCounter(fsys FS, now func() time.Time) *Counter {
	return &Counter{fs: fsys, now: now, folders: make(map[string]folder), prune: 1 << 16}
}

// Usage adds up the files in a folder and below it whose names do not begin with
// a dot. Files that vanish meanwhile do not count; symbolic links are followed for
// the folder itself only. A folder that is not there is empty.
func (c *Counter) Usage(ctx context.Context, dir string) (Usage, error) {
	info, err := c.fs.Stat(dir)
	if err != nil {
		return Usage{}, missing(err)
	}
	return c.usage(ctx, dir, info)
}

func (c *Counter) usage(ctx context.Context, dir string, info fs.FileInfo) (Usage, error) {
	if err := ctx.Err(); err != nil {
		return Usage{}, err
	}
	f, err := c.folder(dir, info)
	if err != nil {
		return Usage{}, missing(err)
	}
	all := f.own
	for _, name := range f.below {
		name = path.Join(dir, name)
		info, err := c.fs.Lstat(name)
		if err != nil || !info.IsDir() {
			continue // gone
		}
		u, err := c.usage(ctx, name, info)
		if err != nil {
			return Usage{}, err
		}
		all.add(u)
	}
	return all, nil
}

// folder returns what is in one folder, counted again where that is not known.
func (c *Counter) folder(dir string, info fs.FileInfo) (folder, error) {
	now := c.now()
	c.mu.Lock()
	f, ok := c.folders[dir]
	c.mu.Unlock()
	// A change right after the count may have left the folder with the same time.
	if ok && f.modified.Equal(info.ModTime()) && f.counted.Sub(f.modified) >= restTime && now.Sub(f.counted) < keepTime {
		return f, nil
	}
	f = folder{modified: info.ModTime(), counted: now}
	names, err := c.fs.ReadDir(dir)
	if err != nil {
		c.forget(dir)
		return f, err
	}
	for _, name := range names {
		info, err := c.fs.Lstat(path.Join(dir, name))
		switch {
		case err != nil: // gone
		case info.IsDir():
			f.below = append(f.below, name)
		case info.Mode().IsRegular() && !strings.HasPrefix(name, "."):
			f.own.add(Usage{info.Size(), 1})
		}
	}
	c.remember(dir, f)
	return f, nil
}

func (c *Counter) remember(dir string, f folder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.folders[dir] = f
	if len(c.folders) < c.prune {
		return
	}
	for dir, old := range c.folders {
		if f.counted.Sub(old.counted) >= keepTime {
			delete(c.folders, dir)
		}
	}
	c.prune = max(1<<16, 2*len(c.folders))
}

func (c *Counter) forget(dir string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.folders, dir)
}

// missing makes nothing of the error of a folder that is not there.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
