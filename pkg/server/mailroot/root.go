package mailroot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// Options say how a MailRoot is opened. The zero value is good.
type Options struct {
	Log   *slog.Logger     // nil: slog.Default()
	FS    tabfile.FS       // nil: that of the operating system. Another one is not locked
	Clock func() time.Time // nil: time.Now
}

// A Root is a MailRoot that this process owns. Its methods may be called
// concurrently; the fields are not changed.
type Root struct {
	Tables // as committed

	Dir   string // absolute
	Store *tabfile.Store
	Log   *slog.Logger

	fs    tabfile.FS
	clock func() time.Time
	lock  *lock
	open  atomic.Pointer[tabfile.Store] // Store, for the store's own goroutines
}

// Open takes possession of the MailRoot at dir and loads its tables. Where
// another process has it the error is a [*LockedError]. Rows that cannot be
// read do not stop it; [Root.Problems] lists them.
func Open(ctx context.Context, dir string, o Options) (*Root, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open MailRoot: %w", err)
	}
	r := &Root{Dir: dir, Log: o.Log, fs: o.FS, clock: o.Clock}
	if r.Log == nil {
		r.Log = slog.Default()
	}
	if r.clock == nil {
		r.clock = time.Now
	}
	if r.fs == nil {
		r.fs = tabfile.OS()
		if r.lock, err = acquire(dir); err != nil {
			return nil, fmt.Errorf("open MailRoot %s: %w", dir, err)
		}
	}
	r.Tables = Tables{
		table: func(name string) *tabfile.View { return r.Store.Table(name) },
		file: func(name string, schema *tabfile.Schema) (*tabfile.View, error) {
			return r.Store.File(name, schema)
		},
		lately: func(name string, schema *tabfile.Schema) (*tabfile.View, error) {
			return r.Store.FileLately(name, schema)
		},
	}
	r.Store, err = tabfile.Open(ctx, tabfile.Options{
		Root: dir, FS: r.fs, Tables: rootSchemas, SchemaOf: SchemaFor, Modes: r.Modes, Log: r.Log,
	})
	r.open.Store(r.Store)
	if err != nil {
		err = fmt.Errorf("open MailRoot %s: %w", dir, err)
		if r.lock != nil {
			err = errors.Join(err, r.lock.release())
		}
		return nil, err
	}
	return r, nil
}

// Modes are those of new files and folders (docs/design.md, Safety): private,
// unless the tables are loaded and say that the reference's are wanted.
func (r *Root) Modes() tabfile.Modes {
	store := r.open.Load()
	if store == nil {
		return tabfile.Modes{File: 0o600, Dir: 0o700}
	}
	v := ServerVars{Variables{store.Table(ServerTab)}}
	if v.CompatLevel() >= 1 {
		return tabfile.Modes{File: 0o600, Dir: 0o700}
	}
	return tabfile.Modes{File: 0o666, Dir: 0o700}
}

// Close writes every change to its table and lets others have the MailRoot.
func (r *Root) Close() error {
	err := r.Store.Close()
	if r.lock != nil {
		err = errors.Join(err, r.lock.release())
	}
	return err
}

// Announce tells a process that finds the MailRoot locked where this one
// listens.
func (r *Root) Announce(addrs ...string) error {
	if r.lock == nil {
		return nil
	}
	return r.lock.write(addrs)
}

// Update runs f as one transaction: durable when it returns nil, and undone
// when it returns an error. f may run more than once and must not use the Root.
func (r *Root) Update(ctx context.Context, f func(*Tx) error) error {
	return r.Store.Update(ctx, func(tx *tabfile.Tx) error { return f(newTx(tx)) })
}

// Try runs f as Update does, and changes nothing.
func (r *Root) Try(ctx context.Context, f func(*Tx) error) error {
	return r.Store.Try(ctx, func(tx *tabfile.Tx) error { return f(newTx(tx)) })
}

// Problems lists rows that were skipped and edits that are held back.
func (r *Root) Problems() []tabfile.Error { return r.Store.Problems() }

// Now returns the time by the clock of the options.
func (r *Root) Now() time.Time { return r.clock() }

// Path returns the name by which the operating system knows a path relative to
// MailRoot.
func (r *Root) Path(name string) string { return filepath.Join(r.Dir, filepath.FromSlash(name)) }

// Stat describes a file or folder, following symbolic links.
func (r *Root) Stat(name string) (fs.FileInfo, error) { return r.fs.Stat(r.Path(name)) }

// Lstat describes a file or folder without following a symbolic link.
func (r *Root) Lstat(name string) (fs.FileInfo, error) { return r.fs.Lstat(r.Path(name)) }

// ReadDir returns the names in a folder, in no order.
func (r *Root) ReadDir(name string) ([]string, error) { return r.fs.ReadDir(r.Path(name)) }

// OpenFile opens a file for reading. It does not show changes of tables that
// are not in their files yet.
func (r *Root) OpenFile(name string) (tabfile.File, error) { return r.fs.Open(r.Path(name)) }

// Internal reports whether a path relative to MailRoot is a file of the server's
// own machinery, which nobody reads or writes from outside: the journal, the
// lock, files that are being made.
func Internal(name string) bool {
	name = strings.ToLower(name)
	top, _, _ := strings.Cut(name, "/")
	base := path.Base(name)
	return top == "journal" || top == lockName || top == "tmp" ||
		strings.HasPrefix(base, ".") && strings.HasSuffix(base, ".new")
}

// IsTable reports whether there can be a table at a path relative to MailRoot.
func IsTable(name string) bool {
	if strings.Contains(name, "/") {
		return SchemaFor(name) != nil
	}
	return rootSchemas[name] != nil
}

func hasBackslash(s string) bool { return strings.Contains(s, `\`) }

// A LockedError is the refusal to open a MailRoot that another process owns.
type LockedError struct {
	Dir   string
	PID   int      // 0: not known
	Addrs []string // where it listens, as far as it said so
}

// ErrLocked is what a [LockedError] is, for errors.Is.
var ErrLocked = errors.New("MailRoot is locked")

func (e *LockedError) Error() string {
	who := "another xmaild"
	if e.PID != 0 {
		who = fmt.Sprintf("xmaild with process id %d", e.PID)
	}
	if len(e.Addrs) > 0 {
		who += ", listening on " + strings.Join(e.Addrs, ", ") + ","
	}
	return fmt.Sprintf("%s already runs on %s", who, e.Dir)
}

// Is makes every LockedError an [ErrLocked].
func (e *LockedError) Is(target error) bool { return target == ErrLocked }
