package tabfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrFailed is the error of a store that stopped taking changes because the
// disk did not keep what it was given. Look-ups go on; a restart reads what the
// disk holds.
var ErrFailed = errors.New("tables take no more changes after a disk failure")

// ErrClosed is the error of a store after Close.
var ErrClosed = errors.New("tables are closed")

// A WriteError is a change that could not be written, for instance because the
// disk is full. Nothing of it happened.
type WriteError struct{ Err error }

func (e *WriteError) Error() string { return "write failed: " + e.Err.Error() }
func (e *WriteError) Unwrap() error { return e.Err }

// Modes are the modes of new files and folders, before the process's umask.
type Modes struct{ File, Dir fs.FileMode }

// Options say what a store holds.
type Options struct {
	// Root is the folder of the tables.
	Root string

	// FS is the file system, [OS] when nil.
	FS FS

	// Tables are the tables that are always loaded, by their names, which are
	// slash-separated paths relative to Root.
	Tables map[string]*Schema

	// SchemaOf returns the schema of a table that is loaded on demand, or nil
	// where a file is no table. Nil: no other file is a table.
	SchemaOf func(name string) *Schema

	// Modes is asked at each new file or folder. Nil: 0600 and 0700.
	Modes func() Modes

	// Log is told of edits by hand, of rows that cannot be read and of what
	// went wrong without a caller who could be told. Nil: slog.Default().
	Log *slog.Logger

	times times
}

// schemaOf returns the schema of a file, or nil where it is no table.
func (o *Options) schemaOf(name string) *Schema {
	if schema := o.Tables[name]; schema != nil || o.SchemaOf == nil {
		return schema
	}
	return o.SchemaOf(name)
}

// times are the store's delays; the zero value stands for those of the design.
type times struct {
	rest    time.Duration // an edited file is taken after being left alone this long
	idle    time.Duration // large tables are written this long after the last change
	longest time.Duration // and at least this often under load
	calm    time.Duration // removed folders wait until nothing was committed this long
	trash   time.Duration // Close goes on removing folders this long; the next start does the rest
}

// A Store keeps the tables below one folder: in memory for those who look
// something up, in files for everybody else, and in a journal so that what it
// acknowledged outlives a power cut. Its methods may be called concurrently.
//
// Names are slash-separated paths relative to the root. The store trusts them:
// a caller that takes them from a stranger checks them first.
type Store struct {
	fs     FS
	root   string
	opts   Options
	log    *slog.Logger
	opened time.Time
	tables map[string]*table // the fixed ones

	mu       sync.Mutex
	onDemand map[string]*table
	crowd    int // of so many tables on demand some are dropped
	forgets  int // how often folders came, went or moved
	problems map[string][]Error
	failure  error

	queue   chan *request
	closing atomic.Bool // Close was called: no more changes
	closed  chan struct{}
	ended   chan struct{} // closed when nothing is committed any more
	once    sync.Once
	wg      sync.WaitGroup

	trash trash
	wrote atomic.Int64 // when something was last committed, since opened

	flushing sync.Mutex    // one checkpoint at a time
	changed  chan struct{} // wakes the flusher
	crowded  chan struct{} // there are too many tables on demand

	// The rest belongs to the goroutine that commits.
	ending   bool // no more changes are made
	segment  *segment
	oldest   uint64   // the first segment that is still there
	older    []uint64 // segments that are not needed once touched is synced
	lsn      uint64
	names    uint64          // for temporary names
	touched  map[string]bool // on disk, not yet synced
	removed  *pathSet        // folders removed since the last checkpoint began
	removing *pathSet        // folders removed before it, while it runs
	steps    *pathSet        // what the journal has steps on since then
	settling *pathSet        // and before it, while it runs
}

// directMax is up to how many bytes a table shows a change before it is
// acknowledged. Larger ones are written in the background.
const directMax = 64 << 10

// Open reads the tables, first bringing them up to what a journal holds that a
// crash left behind. Rows that cannot be read are skipped and reported by
// [Store.Problems]; ctx ends the start.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.FS == nil {
		o.FS = OS()
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Modes == nil {
		o.Modes = func() Modes { return Modes{File: 0o600, Dir: 0o700} }
	}
	if o.times == (times{}) {
		o.times = times{rest: 200 * time.Millisecond, idle: time.Second, longest: time.Minute, calm: 50 * time.Millisecond, trash: 5 * time.Second}
	}
	s := &Store{
		fs: o.FS, root: o.Root, opts: o, log: o.Log, opened: time.Now(),
		tables:   make(map[string]*table),
		onDemand: make(map[string]*table),
		problems: make(map[string][]Error),
		queue:    make(chan *request, batchMax),
		closed:   make(chan struct{}),
		ended:    make(chan struct{}),
		changed:  make(chan struct{}, 1),
		crowded:  make(chan struct{}, 1),
		crowd:    demandMax,
		touched:  make(map[string]bool),
		removed:  newPathSet(),
		removing: newPathSet(),
		steps:    newPathSet(),
		settling: newPathSet(),
	}
	if err := s.recover(); err != nil {
		return nil, fmt.Errorf("recover %s: %w", s.root, err)
	}
	s.sweep()
	for _, name := range slices.Sorted(maps.Keys(o.Tables)) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t, err := s.load(name, o.Tables[name])
		if err != nil {
			return nil, fmt.Errorf("load table: %w", err)
		}
		s.report(t, t.skipped)
		s.tables[name] = t
	}
	s.sweepTmp()
	s.wg.Go(s.committer)
	s.wg.Go(s.flusher)
	s.wg.Go(s.watcher)
	return s, nil
}

// sweep removes what a crash left unfinished beside the tables that are always loaded.
func (s *Store) sweep() {
	for name := range s.opts.Tables {
		if err := s.removeLeftovers(name); err != nil {
			s.log.Warn("cannot remove leftover", "file", name, "err", err)
		}
	}
}

// disk returns the name of the operating system for a name of the store.
func (s *Store) disk(name string) string { return filepath.Join(s.root, filepath.FromSlash(name)) }

// Table returns the latest committed version of a table of [Options.Tables].
func (s *Store) Table(name string) *View { return s.fixed(name).published.Load() }

func (s *Store) fixed(name string) *table {
	t := s.tables[name]
	if t == nil {
		panic("tabfile: no table " + name)
	}
	return t
}

// File returns the table in another file, loaded when it is first asked for. A
// file that is not there is a table that does not exist; one that cannot be
// read is an error.
func (s *Store) File(name string, schema *Schema) (*View, error) {
	t, err := s.demand(name, schema)
	if err != nil {
		return nil, err
	}
	looked := time.Since(s.opened)
	if !s.settled(t) {
		if err := s.takeNow(t); err != nil {
			return nil, err
		}
	}
	t.looked.Store(int64(looked))
	return t.published.Load(), nil
}

// FileLately is [Store.File] for what is asked for many times a second: it looks at the
// disk only where nobody has within a twentieth of the time that an edited file is to
// rest, which is 10 ms.
func (s *Store) FileLately(name string, schema *Schema) (*View, error) {
	s.mu.Lock()
	t := s.onDemand[name]
	s.mu.Unlock()
	if t != nil {
		if at := t.looked.Load(); at != 0 && int64(time.Since(s.opened))-at < int64(s.opts.times.rest)/20 {
			return t.published.Load(), nil
		}
	}
	return s.File(name, schema)
}

// demandMax is how many tables are kept that were loaded on demand.
const demandMax = 1024

func (s *Store) demand(name string, schema *Schema) (*table, error) {
	if t := s.tables[name]; t != nil {
		return t, nil
	}
	s.mu.Lock()
	t, forgets := s.onDemand[name], s.forgets
	s.mu.Unlock()
	if t != nil {
		return t, nil
	}
	loaded, err := s.load(name, schema)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.onDemand[name]; t != nil {
		return t, nil // another one was faster
	}
	if s.forgets != forgets {
		return loaded, nil // perhaps its folder has come or gone since it was read
	}
	s.onDemand[name] = loaded
	s.keepProblems(name, loaded.skipped)
	s.logSkipped(loaded.skipped)
	if len(s.onDemand) >= s.crowd {
		select {
		case s.crowded <- struct{}{}:
		default:
		}
	}
	return loaded, nil
}

// holds reports whether a table is still the one of its name. Who has got it may
// find that its folder was removed or moved.
func (s *Store) holds(t *table) bool {
	if s.tables[t.name] == t {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.onDemand[t.name] == t
}

// ReadFile returns what the file of that name holds, acknowledged changes
// included that are not written to it yet.
func (s *Store) ReadFile(name string) ([]byte, error) {
	s.mu.Lock()
	t := s.onDemand[name]
	s.mu.Unlock()
	if t == nil {
		t = s.tables[name]
	}
	if t != nil && t.behind.Load() && s.sameOnDisk(t) {
		return []byte(t.published.Load().c.text()), nil
	}
	text, _, err := readFile(s.fs, s.disk(name))
	return []byte(text), err
}

// Problems lists what is wrong in the tables: rows that were skipped, and edits
// that are held back until they are mended.
func (s *Store) Problems() []Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Error
	for _, name := range slices.Sorted(maps.Keys(s.problems)) {
		all = append(all, s.problems[name]...)
	}
	return all
}

func (s *Store) setProblems(name string, problems []Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keepProblems(name, problems)
}

func (s *Store) keepProblems(name string, problems []Error) {
	if len(problems) == 0 {
		delete(s.problems, name)
		return
	}
	s.problems[name] = problems
}

// fail makes the store refuse changes from now on.
func (s *Store) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil {
		s.failure = fmt.Errorf("%w: %w", ErrFailed, err)
		s.log.Error("tables take no more changes", "err", err)
	}
	return s.failure
}

// Failure returns why the store takes no changes any more, or nil.
func (s *Store) Failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// Close writes every change to the tables, removes the journal and ends the
// store's goroutines. An error says what stays in the journal, from where the
// next Open takes it.
func (s *Store) Close() error {
	err := ErrClosed
	s.once.Do(func() {
		err = s.finish()
		close(s.closed)
		s.wg.Wait()
	})
	return err
}

// A table is one table of a store. What is not said to be otherwise belongs to
// the goroutine that commits.
type table struct {
	name   string
	schema *Schema

	working   *content             // the latest version, perhaps not yet durable
	published atomic.Pointer[View] // the latest durable version
	known     atomic.Pointer[fileID]
	behind    atomic.Bool  // pending is not empty
	looked    atomic.Int64 // when the file was last found to be the known one, since Store.opened; 0: never
	reading   sync.Mutex   // held by who reads a large edit for all who ask
	odd       atomic.Bool  // the file was found to be gone, or to hold an edit that cannot be taken

	gone    bool      // the file vanished
	skipped []Error   // rows of the file in force that cannot be read
	sum     sum       // of the file; zero where it was not needed yet
	pending []op      // changes that the file does not show
	epoch   int       // counts the times that the whole file was replaced
	direct  bool      // changes are written to the file before they are acknowledged
	based   uint64    // the segment that knows what the file held
	seen    fileID    // an edit that waits to be taken
	seenAt  time.Time // since when
	held    fileID    // an edit that cannot be taken, and was reported
}

func (t *table) publish() {
	t.behind.Store(len(t.pending) > 0)
	t.published.Store(&View{c: t.working, gone: t.gone})
}

// setGone notes whether the file of a table is there.
func (t *table) setGone(gone bool) {
	t.gone = gone
	t.published.Store(&View{c: t.published.Load().c, gone: gone})
}

// A fileID tells one version of a file from another without reading it. The
// zero value stands for a file that is not there.
type fileID struct {
	size  int64
	mtime int64
	inode uint64
}

func idOf(info fs.FileInfo) fileID {
	return fileID{info.Size(), info.ModTime().UnixNano(), inode(info)}
}

// idOnDisk returns the version of a file that is on disk now.
func (s *Store) idOnDisk(name string) (fileID, error) {
	info, err := s.fs.Stat(s.disk(name))
	if errors.Is(err, fs.ErrNotExist) {
		return fileID{}, nil
	}
	if err != nil {
		return fileID{}, err
	}
	return idOf(info), nil
}

// sameOnDisk reports whether the file of a table is the one that we know.
func (s *Store) sameOnDisk(t *table) bool {
	id, err := s.idOnDisk(t.name)
	return err == nil && id == *t.known.Load()
}

// settled reports whether the file of a table is the one that we know, and was when
// somebody last looked.
func (s *Store) settled(t *table) bool { return !t.odd.Load() && s.sameOnDisk(t) }

// load reads a table from its file.
func (s *Store) load(name string, schema *Schema) (*table, error) {
	t := &table{name: name, schema: schema}
	text, info, err := readFile(s.fs, s.disk(name))
	var id fileID
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t.working = newContent(schema)
	case err != nil:
		return nil, err
	default:
		id = idOf(info)
		t.working, t.skipped = parse(schema, name, text)
		if len(text) > directMax {
			if err := s.syncFile(name); err != nil { // as with an edit
				return nil, err
			}
			t.sum = sumOf(text)
		}
	}
	t.known.Store(&id)
	t.publish()
	return t, nil
}

// report logs and keeps the rows of a table that were skipped.
func (s *Store) report(t *table, problems []Error) {
	t.skipped = problems
	s.setProblems(t.name, problems)
	s.logSkipped(problems)
}

func (s *Store) logSkipped(problems []Error) {
	for i := range problems {
		s.log.Warn("row skipped", "row", problems[i].Error())
	}
}
