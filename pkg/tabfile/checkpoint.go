package tabfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"time"
)

// A checkpoint writes what the files do not show yet, syncs what was changed on
// disk since the last one, and then removes the journal up to where it began.

// segmentMax is how long a segment may grow before a checkpoint is due.
const segmentMax = 64 << 20

// wakeFlusher tells the flusher that there is something to write.
func (s *Store) wakeFlusher() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// flusher makes checkpoints: some time after the last change, and now and then
// while changes keep coming.
func (s *Store) flusher() {
	idle := time.NewTimer(time.Hour)
	idle.Stop()
	var first time.Time // the first change since the last checkpoint
	for {
		select {
		case <-s.closed:
			idle.Stop()
			return
		case <-s.crowded:
			_ = s.step(s.evict) // it fails when the store is closed
		case <-s.changed:
			if first.IsZero() {
				first = time.Now()
			}
			wait := min(s.opts.times.idle, s.opts.times.longest-time.Since(first))
			idle.Reset(max(wait, 0))
		case <-idle.C:
			first = time.Time{}
			if err := s.checkpoint(); err != nil && !errors.Is(err, ErrClosed) {
				s.log.Error("tables are not written; changes stay in the journal", "err", err)
				if s.Failure() == nil {
					idle.Reset(s.opts.times.longest) // perhaps nothing changes until then, and the disk has room
				}
			}
		}
	}
}

// Sync returns when the files of all tables show every change that was
// acknowledged before, and all of it is synced. A table whose file holds an edit
// that cannot be taken is an error that says where it is broken.
func (s *Store) Sync(ctx context.Context) error {
	for {
		s.takeEdits(ctx)
		err := s.checkpoint()
		if err == nil {
			break
		}
		if !errors.Is(err, errEdited) || ctx.Err() != nil {
			return err
		}
	}
	var behind []error
	for _, t := range s.all() {
		if t.behind.Load() {
			behind = append(behind, fmt.Errorf("%s: an edit is in the way of acknowledged changes", t.name))
		}
	}
	return errors.Join(behind...)
}

// takeEdits waits until the edits that are on disk can be taken, and takes them.
func (s *Store) takeEdits(ctx context.Context) []string {
	var taken []string
	deadline := time.Now().Add(4 * s.opts.times.rest)
	for {
		waiting := false
		for _, t := range s.all() {
			if s.settled(t) {
				continue
			}
			if s.watch(t) {
				taken = append(taken, t.name)
				continue
			}
			if s.step(func() { waiting = waiting || (t.seen != t.held && !t.gone) }) != nil {
				return taken
			}
		}
		if !waiting || time.Now().After(deadline) {
			return taken
		}
		select {
		case <-ctx.Done():
			return taken
		case <-time.After(s.opts.times.rest / 4):
		}
	}
}

// all returns the tables in memory.
func (s *Store) all() []*table {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.AppendSeq(slices.Collect(maps.Values(s.tables)), maps.Values(s.onDemand))
}

// Reload takes edits at once, without waiting for the next look at the files,
// and returns the names of the tables that have changed.
func (s *Store) Reload(ctx context.Context) ([]string, error) {
	taken := s.takeEdits(ctx)
	slices.Sort(taken)
	return taken, ctx.Err()
}

// A checkpointJob is what a checkpoint has to write.
type checkpointJob struct {
	number  uint64 // the segment that goes on
	lsn     uint64 // the last transaction before it
	older   []uint64
	touched map[string]bool
	tables  []flush
}

// A flush is one table to write.
type flush struct {
	t       *table
	content *content
	pending int // how many changes the file does not show
	epoch   int // of the table
}

func (s *Store) checkpoint() error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	if err := s.Failure(); err != nil {
		return err
	}
	var job *checkpointJob
	var err error
	if stepErr := s.step(func() { job, err = s.rotate() }); stepErr != nil {
		return stepErr
	}
	if err != nil || job == nil {
		return err
	}
	err = s.flushTables(job)
	if err == nil {
		err = s.fs.Sync(slices.Collect(maps.Keys(job.touched)))
		if SyncFailed(err) {
			return s.fail(err)
		}
	}
	if err != nil {
		// The older segments stay until another checkpoint succeeds.
		return errors.Join(err, s.step(func() {
			s.older = append(job.older, s.older...)
			maps.Copy(s.touched, job.touched)
			s.removing.addAll(s.removed)
			s.removed, s.removing = s.removing, newPathSet()
			s.settling.addAll(s.steps)
			s.steps, s.settling = s.settling, newPathSet()
		}))
	}
	for _, number := range job.older {
		if err := removeSegment(s.fs, s.root, number); err != nil {
			return s.fail(err)
		}
	}
	return s.step(func() {
		s.oldest = job.number
		s.removing, s.settling = newPathSet(), newPathSet()
		s.evict()
	})
}

// openSegment makes sure that there is a segment to write to.
func (s *Store) openSegment() error {
	if s.segment != nil {
		return nil
	}
	if err := ignoreExisting(s.fs.Mkdir(filepath.Join(s.root, tmpDir), 0o700)); err != nil {
		return err
	}
	g, err := s.newSegment(1)
	s.segment, s.oldest = g, 1
	return err
}

// rotate begins a new segment and returns what the older ones wait for, or
// nothing where there is nothing to do.
func (s *Store) rotate() (*checkpointJob, error) {
	if s.segment == nil {
		return nil, nil
	}
	job := &checkpointJob{lsn: s.lsn}
	var carried []op
	for _, t := range s.all() {
		switch {
		case len(t.pending) == 0:
		case s.sameOnDisk(t) || t.gone:
			job.tables = append(job.tables, flush{t, t.working, len(t.pending), t.epoch})
		default:
			// Somebody has the file in hand. The journal goes on with what is
			// to be applied to whatever it holds in the end.
			carried = append(carried, op{kind: opBase, path: t.name, exists: true})
			carried = append(carried, t.pending...)
		}
	}
	if len(s.touched) == 0 && len(job.tables) == 0 && len(s.older) == 0 && s.segment.size < segmentMax &&
		len(s.steps.names) == 0 { // which others may wait for, though an edit has taken them away
		return nil, nil
	}
	next, err := s.newSegment(s.segment.number + 1)
	if err != nil {
		return nil, err
	}
	old := s.segment
	s.segment = next
	if err := old.f.Close(); err != nil {
		s.log.Warn("segment of the journal is not closed", "segment", old.number, "err", err) // all of it is synced
	}
	if len(carried) > 0 {
		if err := s.logNow(carried); err != nil {
			s.older = append(s.older, old.number) // the next one takes it along
			return nil, err
		}
	}
	for _, t := range s.all() {
		t.direct = false
		if len(t.pending) > 0 {
			t.based = next.number // what it is based on stands in the journal
		}
	}
	job.number = next.number
	job.older = append(s.older, old.number)
	job.touched = s.touched
	s.older, s.touched = nil, make(map[string]bool)
	s.removing, s.removed = s.removed, newPathSet()
	s.settling, s.steps = s.steps, newPathSet()
	return job, nil
}

// flushTables writes the tables whose files do not show every change.
func (s *Store) flushTables(job *checkpointJob) error {
	for _, f := range job.tables {
		if err := s.flush(job, f); err != nil {
			return fmt.Errorf("%s: %w", f.t.name, err)
		}
	}
	return nil
}

func (s *Store) flush(job *checkpointJob, fl flush) error {
	target, err := s.fs.Resolve(s.disk(fl.t.name))
	if err != nil {
		return err
	}
	tmp := tmpBeside(target) + largeExt
	f, err := s.fs.Create(tmp, target, s.opts.Modes().File)
	if errors.Is(err, fs.ErrNotExist) {
		return s.step(func() { s.lose(fl.t) })
	}
	if err != nil {
		return err
	}
	st, err := fill(f, fl.content.writeTo, fl.content.size, true)
	if err == nil {
		if err = s.fs.Sync([]string{tmp}); SyncFailed(err) {
			err = s.fail(err)
		}
	}
	if err == nil {
		stepErr := s.step(func() { err = s.install(job, fl, st, tmp, target) })
		err = errors.Join(err, stepErr)
	}
	if err != nil {
		return errors.Join(err, ignoreMissing(s.fs.Remove(tmp)))
	}
	job.touched[filepath.Dir(target)] = true
	return nil
}

// lose gives up what the file of a table does not show where its folder is not there
// any more, so that it does not hold up everything else for good.
func (s *Store) lose(t *table) {
	if !s.holds(t) {
		return // a transaction has removed it
	}
	s.log.Error("the folder of a table is gone, and changes that were not written with it", "file", t.name, "changes", len(t.pending))
	t.pending = nil
	t.publish()
}

// errEdited ends a checkpoint that met an edit; the next one carries on.
var errEdited = errors.New("file was edited while it was being written")

// install puts a table that was written in the background in place. The journal
// knows of it first: after a crash either file is one that it can build on.
func (s *Store) install(job *checkpointJob, fl flush, st state, tmp, target string) error {
	t := fl.t
	if t.epoch != fl.epoch || (!s.sameOnDisk(t) && !t.gone) {
		return errEdited
	}
	image := op{kind: opImage, path: t.name, sum: st.sum, lsn: job.lsn}
	if err := s.logNow([]op{image}); err != nil {
		return err
	}
	if err := s.fs.Rename(tmp, target); err != nil {
		return err
	}
	t.known.Store(&st.id)
	t.sum = st.sum
	t.pending = slices.Clone(t.pending[fl.pending:])
	t.gone = false
	t.publish()
	return nil
}

// evict drops tables that were loaded on demand when there are many.
func (s *Store) evict() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.onDemand) < demandMax {
		return
	}
	for name, t := range s.onDemand {
		if len(s.onDemand) <= demandMax/2 {
			break
		}
		heldBack := t.odd.Load() && !t.gone // its rows are not those of its file
		if len(t.pending) == 0 && !s.inJournal(t) && !heldBack {
			delete(s.onDemand, name)
		}
	}
	// Where few can go it is not tried again for each that comes.
	s.crowd = max(demandMax, len(s.onDemand)+demandMax/2)
}

// inJournal reports whether the journal may have steps on the file of a table.
func (s *Store) inJournal(t *table) bool { return s.segment != nil && t.based >= s.oldest }

// finish brings everything to the tables and removes the journal.
func (s *Store) finish() error {
	s.closing.Store(true)
	// Some may have asked before that and come into the queue only now.
	if err := s.step(func() { s.ending = true }); err != nil {
		return err
	}
	why := s.Sync(context.Background())
	if why != nil && s.Failure() != nil {
		return why
	}
	s.flushing.Lock() // a checkpoint that began meanwhile still needs the journal
	defer s.flushing.Unlock()
	var err error
	stepErr := s.step(func() { err = s.endJournal() })
	if err != nil {
		err = errors.Join(err, why)
	}
	return errors.Join(err, stepErr)
}

// endJournal forces what an edit was in the way of into the files, line by
// line, and removes the journal.
func (s *Store) endJournal() error {
	if s.segment == nil {
		return nil
	}
	if len(s.touched) > 0 || len(s.older) > 0 {
		return errors.New("the tables could not be written; the journal stays")
	}
	for _, t := range s.all() {
		if len(t.pending) == 0 {
			continue
		}
		if err := s.force(t); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	number := s.segment.number
	if err := s.segment.f.Close(); err != nil {
		return err
	}
	s.segment = nil
	return s.removeJournal([]uint64{number})
}

// force writes the pending changes of a table into a file that has lines which
// cannot be read: those stay as they are.
func (s *Store) force(t *table) error {
	text, info, err := readFile(s.fs, s.disk(t.name))
	if err != nil {
		return err
	}
	c, problems := parse(t.schema, t.name, text)
	if _, lost := c.rebase(t.pending); lost > 0 {
		// The edit was never in force and the changes were acknowledged: they
		// are kept even where it has taken their row away.
		for _, o := range net(t.pending) {
			if o.kind == opReplace && c.find(o.text, 0) == nil {
				c.append(o.text)
			}
		}
	}
	s.log.Warn("changes were written into an edit that is not in force", "file", t.name, "problem", problems)
	t.working, t.pending = c, nil
	id := idOf(info)
	t.known.Store(&id)
	return s.replaceDurably(t.name, c.writeTo)
}

// removeJournal removes segments, oldest first, and the folder.
func (s *Store) removeJournal(numbers []uint64) error {
	for _, number := range numbers {
		if err := removeSegment(s.fs, s.root, number); err != nil {
			return err
		}
	}
	s.removeJournalDir()
	return s.fs.Sync([]string{s.root})
}

// removeJournalDir removes the folder of the journal, unless somebody has put
// something else there.
func (s *Store) removeJournalDir() {
	if err := ignoreMissing(s.fs.Remove(filepath.Join(s.root, journalDir))); err != nil {
		s.log.Warn("folder of the journal stays", "err", err)
	}
}
