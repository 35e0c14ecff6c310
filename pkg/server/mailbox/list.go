package mailbox

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// maxListed is how many files of mailboxes are remembered at most, some 100 bytes
// each.
const maxListed = 1 << 18

// An entry is one file of a mailbox.
type entry struct {
	name string
	size int64
	time int64 // of its last change, in nanoseconds since 1970: when it was delivered
	cur  bool  // it is in cur
	gone bool  // it could not be found again
}

// order is that in which messages are numbered: by time, then by name.
func order(a, b entry) int {
	if c := cmp.Compare(a.time, b.time); c != 0 {
		return c
	}
	return strings.Compare(a.name, b.name)
}

// lists are the files in folders of mailboxes, remembered until the folder changes.
// Then only the names are read again, and what is known of a file by its name
// stays: a file of a mailbox is never changed. It is safe for concurrent use.
type lists struct {
	fs  tabfile.FS
	now func() time.Time
	max int

	mu      sync.Mutex
	folders map[string]*listed
	recent  *list.List // of *listed, what was used last in front
	total   int        // entries of all
}

type listed struct {
	dir      string
	modified time.Time // the folder, when it was read
	read     time.Time
	sized    time.Time // when the sizes were read
	entries  []entry   // in order; never changed
	stale    bool      // the folder has changed
	place    *list.Element
}

func (l *lists) init(fsys tabfile.FS, now func() time.Time) {
	l.fs, l.now, l.max = fsys, now, maxListed
	l.folders, l.recent = make(map[string]*listed), list.New()
}

// list returns the messages in a folder in order: its files whose names do not begin
// with a dot. A folder that is not there has none. The result must not be changed.
func (l *lists) list(ctx context.Context, dir string) ([]entry, error) {
	info, err := l.fs.Stat(dir)
	if err != nil {
		l.forget(dir)
		return nil, missing(err)
	}
	now := l.now()
	old, stale := l.known(dir)
	if old != nil && now.Sub(old.sized) >= keepTime {
		old = nil
	}
	// A change right after the folder was read may have left it with the same time.
	if old != nil && !stale && old.modified.Equal(info.ModTime()) && old.read.Sub(old.modified) >= restTime {
		return old.entries, nil
	}
	next := &listed{dir: dir, modified: info.ModTime(), read: now, sized: now}
	if old != nil {
		next.sized = old.sized
	}
	if next.entries, err = l.read(ctx, dir, old); err != nil {
		l.forget(dir)
		return nil, missing(err)
	}
	l.remember(next)
	return next.entries, nil
}

// read lists a folder, asking only for files that are not in old.
func (l *lists) read(ctx context.Context, dir string, old *listed) ([]entry, error) {
	names, err := l.fs.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var known map[string]entry
	if old != nil {
		known = make(map[string]entry, len(old.entries))
		for _, e := range old.entries {
			known[e.name] = e
		}
	}
	entries := make([]entry, 0, len(names))
	unknown := names[:0]
	for _, name := range names {
		if strings.HasPrefix(name, ".") {
			continue
		}
		if e, ok := known[name]; ok {
			entries = append(entries, e)
		} else {
			unknown = append(unknown, name)
		}
	}
	found, err := l.ask(ctx, dir, unknown)
	if err != nil {
		return nil, err
	}
	entries = append(entries, found...)
	slices.SortFunc(entries, order)
	return single(entries), nil
}

const (
	// A large mailbox that nobody has looked at for long is on the disk only, which
	// answers many questions at once in little more time than one.
	askers   = 4
	askChunk = 256 // files that one of them asks for at a time
)

// ask returns the files of these names in a folder; those that are no files, and those
// that have gone meanwhile, are left out.
func (l *lists) ask(ctx context.Context, dir string, names []string) ([]entry, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		found = make([]entry, len(names))
		next  atomic.Int64
		wait  sync.WaitGroup
	)
	run := func() {
		for ctx.Err() == nil {
			to := int(next.Add(askChunk))
			from := to - askChunk
			if from >= len(names) {
				return
			}
			for i := from; i < min(to, len(names)); i++ {
				info, err := l.fs.Lstat(filepath.Join(dir, names[i]))
				switch {
				case errors.Is(err, fs.ErrNotExist): // moved or removed meanwhile
				case err != nil:
					cancel(err)
					return
				case info.Mode().IsRegular():
					found[i] = entry{name: names[i], size: info.Size(), time: info.ModTime().UnixNano()}
				}
			}
		}
	}
	for range min(askers-1, len(names)/askChunk) {
		wait.Go(run)
	}
	run()
	wait.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found, func(e entry) bool { return e.name == "" }), nil
}

// single leaves out a file that was seen under two names, since it was renamed
// while the folder was read.
func single(entries []entry) []entry {
	if !slices.ContainsFunc(entries, func(e entry) bool { return strings.Contains(e.name, ":2,") }) {
		return entries
	}
	seen := make(map[string]bool, len(entries))
	return slices.DeleteFunc(entries, func(e entry) bool {
		base := baseName(e.name)
		twice := seen[base]
		seen[base] = true
		return twice
	})
}

func (l *lists) known(dir string) (f *listed, stale bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f = l.folders[dir]
	if f == nil {
		return nil, false
	}
	l.recent.MoveToFront(f.place)
	return f, f.stale
}

func (l *lists) remember(f *listed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(l.folders[f.dir])
	f.place = l.recent.PushFront(f)
	l.folders[f.dir] = f
	l.total += 1 + len(f.entries)
	for l.total > l.max {
		l.drop(l.recent.Back().Value.(*listed))
	}
}

// changed says that this process has changed a folder, whatever its time tells.
func (l *lists) changed(dir string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.folders[dir]; f != nil {
		f.stale = true
	}
}

func (l *lists) forget(dir string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(l.folders[dir])
}

func (l *lists) drop(f *listed) {
	if f == nil {
		return
	}
	l.recent.Remove(f.place)
	delete(l.folders, f.dir)
	l.total -= 1 + len(f.entries)
}
