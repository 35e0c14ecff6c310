package tabfile

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"time"
)

// Tables are edited by hand, too. A file that is not the one the store knows is
// taken once it has been left alone for a while; what the store has changed in
// the meantime is applied on top of it.

// watcher looks at the files of the tables that are always loaded.
func (s *Store) watcher() {
	tick := time.NewTicker(max(s.opts.times.rest/2, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-s.closed:
			return
		case <-tick.C:
			for _, t := range s.tables {
				s.watch(t)
			}
		}
	}
}

// watch looks at one table, and reports whether its rows have changed.
func (s *Store) watch(t *table) bool {
	if s.settled(t) {
		return false
	}
	var e *edit
	if s.step(func() { e = s.rested(t) }) != nil || e == nil {
		return false
	}
	// Reading is done here, where nobody waits for it.
	e.read(s)
	taken := false
	if s.step(func() { taken = s.take(t, e) }) != nil {
		return false
	}
	return taken
}

// takeNow is watch for a table that many may ask for at once. A small one is read where
// all changes are made; of a large one the first of them waits for the reading, and the
// others see the rows from before.
func (s *Store) takeNow(t *table) error {
	large := false
	err := s.step(func() {
		e := s.rested(t)
		switch {
		case e == nil:
		case e.id.size > directMax:
			large = true
		default:
			e.read(s)
			s.take(t, e)
		}
	})
	if large && t.reading.TryLock() {
		defer t.reading.Unlock()
		s.watch(t)
	}
	return err
}

// settle takes back what was said of a table while its file was not the known one.
func (s *Store) settle(t *table) {
	t.odd.Store(false)
	s.setProblems(t.name, t.skipped)
}

// An edit is a version of a table's file that somebody else has written.
type edit struct {
	name     string
	schema   *Schema
	before   *content
	id       fileID
	err      error
	text     string
	content  *content
	problems []Error
}

// rested returns the edit of a table that has been left alone long enough to be
// taken, if there is one.
func (s *Store) rested(t *table) *edit {
	if !s.holds(t) {
		return nil
	}
	id, err := s.idOnDisk(t.name)
	switch {
	case err != nil || id == *t.known.Load() || (id == t.held && id != fileID{}):
		if err == nil && id == *t.known.Load() && t.odd.Load() {
			s.log.Info("file is what it was", "file", t.name)
			t.held = fileID{}
			t.setGone(false)
			s.settle(t)
		}
		return nil
	case id == fileID{}:
		if !t.gone {
			t.setGone(true)
			t.odd.Store(true)
			t.held = fileID{} // if that comes back it is told of again
			s.setProblems(t.name, []Error{{File: t.name, Msg: "file is gone; its last rows stay in force"}})
			s.log.Error("table is gone; its last rows stay in force", "file", t.name)
		}
		return nil
	}
	now := time.Now()
	if id != t.seen {
		t.seen, t.seenAt = id, now
	}
	if now.Sub(t.seenAt) < s.opts.times.rest && now.UnixNano()-id.mtime < int64(s.opts.times.rest) {
		return nil
	}
	return &edit{name: t.name, schema: t.schema, before: t.working, id: id}
}

// read reads and parses what was saved. The journal will know a large file by its sum
// alone, so that what comes from here on needs it to be durable.
func (e *edit) read(s *Store) {
	if e.id.size > directMax {
		if e.err = s.syncFile(e.name); e.err != nil {
			return
		}
	}
	text, info, err := readFile(s.fs, s.disk(e.name))
	if err == nil && idOf(info) != e.id {
		err = errors.New("changed again")
	}
	if e.err = err; err != nil {
		return
	}
	e.text = text
	e.content, e.problems = parse(e.schema, e.name, text)
}

// syncFile makes a file that somebody else has written durable, with its name.
func (s *Store) syncFile(name string) error {
	target, err := s.fs.Resolve(s.disk(name))
	if err != nil {
		return err
	}
	if err = s.fs.Sync([]string{target, filepath.Dir(target)}); SyncFailed(err) {
		err = s.fail(err)
	}
	return err
}

// hold reports why an edit cannot be taken.
func (e *edit) hold() *Error {
	var problem *Error
	if errors.As(newProblem(e.before, e.problems, e.text), &problem) {
		return problem
	}
	if e.schema.Keep && e.content.rows == 0 && e.before.rows > 0 {
		return &Error{File: e.name, Msg: "no row would be left"}
	}
	return nil
}

// take makes an edit the table's content, with the changes on top of it that the
// file did not show. It reports whether it did.
func (s *Store) take(t *table, e *edit) bool {
	if e.err != nil {
		return false // looked at again
	}
	if id, err := s.idOnDisk(t.name); err != nil || id != e.id || id == *t.known.Load() {
		return false // changed again, or somebody else has taken it
	}
	if problem := e.hold(); problem != nil {
		if t.held != e.id {
			t.held = e.id
			t.odd.Store(true)
			t.setGone(false)
			problems := []Error{*problem}
			for _, other := range e.problems {
				if other != *problem {
					problems = append(problems, other)
				}
			}
			s.setProblems(t.name, problems)
			s.log.Error("edit is not in force; the last good rows are", "problem", problem.Error())
		}
		return false
	}
	if err := s.adopt(t, e); err != nil {
		s.log.Error("edit cannot be taken", "file", t.name, "err", err)
		return false
	}
	t.odd.Store(false)
	s.report(t, e.problems)
	s.log.Info("table was edited", "file", t.name, "rows", e.content.rows)
	return true
}

// adopt makes the journal and the memory follow an edit.
func (s *Store) adopt(t *table, e *edit) error {
	s.keepBefore(t)
	merged, pending := e.content, t.pending
	if len(pending) > 0 {
		var lost int
		merged = e.content.copy()
		if pending, lost = merged.rebase(pending); lost > 0 {
			s.log.Warn("edit wins over changes of the same rows", "file", t.name, "changes", lost)
		}
	}
	s.logRemoved(t, merged)
	st := state{id: e.id}
	small := len(e.text) <= directMax
	if !small {
		st.sum = sumOf(e.text)
	}
	if len(t.pending) > 0 || s.inJournal(t) {
		// The journal speaks of the file before the edit: from here on it
		// speaks of this one.
		if err := s.openSegment(); err != nil {
			return err
		}
		if small {
			if err := s.syncFile(t.name); err != nil {
				return err
			}
		}
		base := op{kind: opBase, path: t.name, exists: true, whole: small, sum: st.sum}
		if small {
			base.data = e.text
		}
		if err := s.logNow(append([]op{base}, pending...)); err != nil {
			return err
		}
		t.based, t.direct = s.segment.number, small
	}
	t.working, t.pending = merged, pending
	t.epoch++
	t.known.Store(&st.id)
	t.sum = st.sum
	t.gone = false
	t.publish()
	s.wakeFlusher()
	return nil
}

// logNow makes a record of the store's own durable.
func (s *Store) logNow(ops []op) error {
	s.lsn++
	s.segment.add(&record{lsn: s.lsn, ops: ops})
	failed, err := s.segment.sync()
	if failed {
		err = s.fail(err)
	}
	return err
}

// keepBefore keeps the version that an edit replaces, once.
func (s *Store) keepBefore(t *table) {
	if s.tables[t.name] == nil || !t.working.exists {
		return
	}
	name := filepath.Join(s.root, tmpDir, path.Base(t.name)+".before")
	f, err := s.fs.Create(name, "", 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.fs.Mkdir(filepath.Dir(name), 0o700); err == nil {
			f, err = s.fs.Create(name, "", 0o600)
		}
	}
	if err == nil {
		_, err = fill(f, t.working.writeTo, t.working.size, false)
	}
	if err != nil {
		s.log.Warn("version before an edit is not kept", "file", t.name, "err", err)
	}
}

// logRemoved logs the rows that are gone with an edit by their keys, which hold
// no secret. Rows that the file did not show before are not among them.
func (s *Store) logRemoved(t *table, after *content) {
	if len(after.indexes) == 0 {
		return
	}
	const most = 20
	n := 0
	t.working.indexes[0].Scan(func(e entry) bool {
		left := false
		after.withKey(0, e.key, func(*line) bool { left = true; return false })
		if !left {
			if n++; n <= most {
				s.log.Info("row removed by an edit", "file", t.name, "key", fmt.Sprintf("%q", e.key))
			}
		}
		return true
	})
	if n > most {
		s.log.Info("more rows removed by an edit", "file", t.name, "rows", n-most)
	}
}
