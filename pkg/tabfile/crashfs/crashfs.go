// Package crashfs is a file system in memory that forgets what was not synced. Tests
// of what must survive a power cut run on it.
package crashfs

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrDead is the error of every call after the machine has died.
var ErrDead = errors.New("the machine has lost its power")

// Config says when the machine dies, and what is left then.
type Config struct {
	DieAt    int    // before that change, counted from 1; 0: never
	Unsynced int    // per cent of what was not synced that reaches the disk all the same
	Seed     uint64 // decides which

	Forgetful bool // Sync does nothing: a test that passes all the same tests nothing
}

// An FS is a file system in memory. Before the change at which it is to die it
// dies: from then on every call fails, and Crash tells what a disk would hold. It
// is safe for concurrent use.
type FS struct {
	mem    *vfs.MemFS
	config Config

	mu    sync.Mutex
	steps int
	rng   *rand.Rand
	after *vfs.MemFS

	// Nobody looks at a folder while a file of it has neither its old name nor the new one.
	renaming sync.RWMutex
}

// New returns a file system over what mem holds.
func New(mem *vfs.MemFS, c Config) *FS {
	return &FS{mem: mem, config: c, rng: rand.New(rand.NewPCG(c.Seed, 1))}
}

// step is called before each change.
func (c *FS) step() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.after != nil {
		return ErrDead
	}
	c.steps++
	if c.steps == c.config.DieAt {
		c.die()
		return ErrDead
	}
	return nil
}

func (c *FS) die() {
	c.after = c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.config.Unsynced, RNG: c.rng})
}

// Crash returns what the disk holds after a power cut now, or when it died.
func (c *FS) Crash() *vfs.MemFS {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.after == nil {
		c.die()
	}
	return c.after
}

// DieIn has the machine die before the nth change from now on, counted from 1.
func (c *FS) DieIn(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.config.DieAt = c.steps + n
}

// Dead reports whether the machine has died.
func (c *FS) Dead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.after != nil
}

// alive is called before what changes nothing.
func (c *FS) alive() error {
	if c.Dead() {
		return ErrDead
	}
	return nil
}

// Open opens a file for reading.
func (c *FS) Open(name string) (File, error) {
	if err := c.alive(); err != nil {
		return File{}, err
	}
	c.renaming.RLock()
	defer c.renaming.RUnlock()
	f, err := c.mem.Open(name)
	return File{f, c}, err
}

func (c *FS) Create(name, like string, perm fs.FileMode) (File, error) {
	if err := c.step(); err != nil {
		return File{}, err
	}
	f, err := c.mem.Create(name, vfs.WriteCategoryUnspecified)
	return File{f, c}, err
}

// Modify opens a file that is there for reading and writing.
func (c *FS) Modify(name string) (File, error) {
	if err := c.alive(); err != nil {
		return File{}, err
	}
	c.renaming.RLock()
	defer c.renaming.RUnlock()
	f, err := c.mem.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	return File{f, c}, err
}

func (c *FS) Resolve(name string) (string, error)    { return name, c.alive() }
func (c *FS) Writable(dir string) error              { return c.alive() }
func (c *FS) Lstat(name string) (fs.FileInfo, error) { return c.Stat(name) }

func (c *FS) Stat(name string) (fs.FileInfo, error) {
	if err := c.alive(); err != nil {
		return nil, err
	}
	c.renaming.RLock()
	defer c.renaming.RUnlock()
	return c.mem.Stat(name)
}

func (c *FS) ReadDir(name string) ([]string, error) {
	if err := c.alive(); err != nil {
		return nil, err
	}
	c.renaming.RLock()
	defer c.renaming.RUnlock()
	return c.mem.List(name)
}

func (c *FS) Mkdir(name string, perm fs.FileMode) error {
	if err := c.step(); err != nil {
		return err
	}
	if _, err := c.mem.Stat(name); err == nil {
		return &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrExist}
	}
	if _, err := c.mem.Stat(filepath.Dir(name)); err != nil {
		return err
	}
	return c.mem.MkdirAll(name, perm)
}

func (c *FS) Rename(from, to string) error {
	if err := c.step(); err != nil {
		return err
	}
	// Without the folder the file would be lost, which no file system does.
	if _, err := c.mem.Stat(filepath.Dir(to)); err != nil {
		return err
	}
	// That of the file in memory takes the old name away before it gives the new one.
	c.renaming.Lock()
	defer c.renaming.Unlock()
	return c.mem.Rename(from, to)
}

func (c *FS) Remove(name string) error {
	if err := c.step(); err != nil {
		return err
	}
	return c.mem.Remove(name)
}

func (c *FS) RemoveAll(name string) error {
	if err := c.step(); err != nil {
		return err
	}
	return c.mem.RemoveAll(name)
}

func (c *FS) Sync(names []string) error {
	for _, name := range names {
		if err := c.step(); err != nil {
			return err
		}
		if c.config.Forgetful {
			continue
		}
		info, err := c.mem.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		open := func() (vfs.File, error) { return c.mem.Open(name) }
		if info.IsDir() {
			open = func() (vfs.File, error) { return c.mem.OpenDir(name) }
		}
		f, err := open()
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone meanwhile
		}
		if err != nil {
			return err
		}
		c.renaming.RLock()
		err = f.Sync()
		c.renaming.RUnlock()
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return c.alive() // where the machine has died meanwhile it may not be on the disk
}

// A File is a file of an [FS].
type File struct {
	f  vfs.File
	fs *FS
}

func (f File) Read(b []byte) (int, error)              { return f.f.Read(b) }
func (f File) ReadAt(b []byte, off int64) (int, error) { return f.f.ReadAt(b, off) }
func (f File) Close() error                            { return f.f.Close() }
func (f File) Stat() (fs.FileInfo, error)              { return f.f.Stat() }

// Write hands on a copy: in a build that looks for races the file in memory spoils what
// it is given, which the caller may want to sum up.
func (f File) Write(b []byte) (int, error) {
	return f.write(func() (int, error) { return f.f.Write(slices.Clone(b)) })
}
func (f File) WriteAt(b []byte, off int64) (int, error) {
	return f.write(func() (int, error) { return f.f.WriteAt(slices.Clone(b), off) })
}

func (f File) write(write func() (int, error)) (int, error) {
	if err := f.fs.step(); err != nil {
		return 0, err
	}
	return write()
}

func (f File) Sync() error {
	if err := f.fs.step(); err != nil {
		return err
	}
	if f.fs.config.Forgetful {
		return nil
	}
	if err := f.f.Sync(); err != nil {
		return err
	}
	return f.fs.alive() // as in Sync of an FS
}
