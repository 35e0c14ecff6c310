package tabfile

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var errDead = errors.New("the machine has lost its power")

// A crashFS is a file system in memory that forgets what was not synced. Before
// its dieAt-th change it dies: from then on every call fails, and after tells
// what a disk would hold then.
type crashFS struct {
	mem *vfs.MemFS

	mu       sync.Mutex
	steps    int
	dieAt    int // 0: never
	unsynced int // per cent of what was not synced that reaches the disk
	rng      *rand.Rand
	after    *vfs.MemFS

	forgetful bool // Sync does nothing
}

func newCrashFS(mem *vfs.MemFS, dieAt, unsynced int, seed uint64) *crashFS {
	return &crashFS{mem: mem, dieAt: dieAt, unsynced: unsynced, rng: rand.New(rand.NewPCG(seed, 1))}
}

// step is called before each change.
func (c *crashFS) step() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.after != nil {
		return errDead
	}
	c.steps++
	if c.steps == c.dieAt {
		c.die()
		return errDead
	}
	return nil
}

func (c *crashFS) die() {
	c.after = c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.unsynced, RNG: c.rng})
}

// crash returns what the disk holds after a power cut now, or at dieAt.
func (c *crashFS) crash() *vfs.MemFS {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.after == nil {
		c.die()
	}
	return c.after
}

func (c *crashFS) dead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.after != nil
}

// alive is called before what changes nothing.
func (c *crashFS) alive() error {
	if c.dead() {
		return errDead
	}
	return nil
}

func (c *crashFS) Open(name string) (File, error) {
	if err := c.alive(); err != nil {
		return nil, err
	}
	f, err := c.mem.Open(name)
	return crashFile{f, c}, err
}

func (c *crashFS) Create(name, like string, perm fs.FileMode) (File, error) {
	if err := c.step(); err != nil {
		return nil, err
	}
	f, err := c.mem.Create(name, vfs.WriteCategoryUnspecified)
	return crashFile{f, c}, err
}

func (c *crashFS) Resolve(name string) (string, error)    { return name, c.alive() }
func (c *crashFS) Writable(dir string) error              { return c.alive() }
func (c *crashFS) Lstat(name string) (fs.FileInfo, error) { return c.Stat(name) }

func (c *crashFS) Stat(name string) (fs.FileInfo, error) {
	if err := c.alive(); err != nil {
		return nil, err
	}
	return c.mem.Stat(name)
}

func (c *crashFS) ReadDir(name string) ([]string, error) {
	if err := c.alive(); err != nil {
		return nil, err
	}
	return c.mem.List(name)
}

func (c *crashFS) Mkdir(name string, perm fs.FileMode) error {
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

func (c *crashFS) Rename(from, to string) error {
	if err := c.step(); err != nil {
		return err
	}
	return c.mem.Rename(from, to)
}

func (c *crashFS) Remove(name string) error {
	if err := c.step(); err != nil {
		return err
	}
	return c.mem.Remove(name)
}

func (c *crashFS) RemoveAll(name string) error {
	if err := c.step(); err != nil {
		return err
	}
	return c.mem.RemoveAll(name)
}

func (c *crashFS) Sync(names []string) error {
	for _, name := range names {
		if err := c.step(); err != nil {
			return err
		}
		if c.forgetful {
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
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// A crashFile is a file of a crashFS.
type crashFile struct {
	f  vfs.File
	fs *crashFS
}

func (f crashFile) Read(b []byte) (int, error) { return f.f.Read(b) }
func (f crashFile) Close() error               { return f.f.Close() }
func (f crashFile) Stat() (fs.FileInfo, error) { return f.f.Stat() }
func (f crashFile) Write(b []byte) (int, error) {
	return f.write(func() (int, error) { return f.f.Write(b) })
}
func (f crashFile) WriteAt(b []byte, off int64) (int, error) {
	return f.write(func() (int, error) { return f.f.WriteAt(slices.Clone(b), off) })
}

func (f crashFile) write(write func() (int, error)) (int, error) {
	if err := f.fs.step(); err != nil {
		return 0, err
	}
	return write()
}

func (f crashFile) Sync() error {
	if err := f.fs.step(); err != nil {
		return err
	}
	if f.fs.forgetful {
		return nil
	}
	return f.f.Sync()
}
