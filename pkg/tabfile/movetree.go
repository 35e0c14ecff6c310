package tabfile

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Moves of a transaction happen after everything else that it does: until then
// what is in a moved folder is changed at its old place, where the disk has it.

// moves are the folders that a transaction moves.
type moves struct {
	from map[string]string // by the new name
	away map[string]bool   // the old names
	all  *pathSet          // old names, also of moves that were taken back
}

// MoveTree gives a folder, with all that is in it, another name in the folder
// where it stands. The error wraps [fs.ErrNotExist] when it is not there, and
// [fs.ErrExist] when the new name is taken. A name that a folder leaves in a
// transaction cannot be used again in the same one.
func (tx *Tx) MoveTree(from, to string) error {
	if tx.moved.all == nil {
		tx.moved = moves{from: make(map[string]string), away: make(map[string]bool), all: newPathSet()}
	}
	place, gone := tx.where(from)
	switch {
	case gone:
		return &fs.PathError{Op: "move", Path: from, Err: fs.ErrNotExist}
	case path.Dir(from) != path.Dir(to) || tx.movesAround(place):
		return &fs.PathError{Op: "move", Path: from, Err: errors.New("it can only get another name where it stands, and folders around it stay")}
	}
	isDir, err := tx.stat(place)
	if err == nil && !isDir {
		err = &fs.PathError{Op: "move", Path: from, Err: errors.New("is no folder")}
	}
	if err == nil && place != to {
		err = tx.free(to)
	}
	if err == nil && !tx.own(place).known {
		err = tx.movable(place)
	}
	if err != nil {
		return err
	}
	before, known := tx.moved.from[from]
	if known {
		delete(tx.moved.from, from)
	}
	if place != to {
		tx.moved.from[to] = place
	}
	tx.moved.away[place] = place != to
	tx.moved.all.add(place)
	tx.undo = append(tx.undo, func() {
		delete(tx.moved.from, to)
		tx.moved.away[place] = known
		if known {
			tx.moved.from[from] = before
		}
	})
	return nil
}

// where returns the place where something of that name is on disk before the
// moves of this transaction; gone tells that they leave nothing of that name.
func (tx *Tx) where(name string) (place string, gone bool) {
	if len(tx.moved.away) == 0 {
		return name, false
	}
	for dir := name; dir != "."; dir = path.Dir(dir) {
		if from, ok := tx.moved.from[dir]; ok {
			return from + name[len(dir):], false
		}
		if tx.moved.away[dir] {
			return name, true
		}
	}
	return name, false
}

// movesAround reports whether this transaction moves a folder above or inside
// the one at place.
func (tx *Tx) movesAround(place string) bool {
	return tx.moved.all.parents[place] || tx.moved.all.covers(path.Dir(place))
}

// free returns why nothing can get that name.
func (tx *Tx) free(name string) error {
	own := tx.own(name)
	taken := tx.moved.away[name] || tx.moved.from[name] != "" || own.exists || own.removed
	if !taken {
		if tx.meets(name) || tx.meetsBelow(name) {
			return errConflict
		}
		_, err := tx.s.fs.Lstat(tx.s.disk(name))
		taken = err == nil
	}
	if taken {
		return &fs.PathError{Op: "move", Path: name, Err: fs.ErrExist}
	}
	if err := tx.parent(name); err != nil {
		return err
	}
	if tx.s.removed.covers(name) || tx.s.removing.covers(name) || tx.s.journaled(name) {
		tx.remade = true
		return errConflict
	}
	return nil
}

// movable returns why the folder that is on disk cannot be moved. What the
// journal says of it, or of what is in it, must be on disk: a checkpoint looks
// for what it has to sync by the names of before.
func (tx *Tx) movable(name string) error {
	for _, t := range tx.batch.changed {
		tx.conflict = tx.conflict || strings.HasPrefix(t.name, name+"/")
	}
	if tx.conflict || tx.meetsBelow(name) {
		return errConflict
	}
	behind := false
	for _, t := range tx.s.below(name) {
		if len(t.pending) > 0 && !tx.s.sameOnDisk(t) {
			return &fs.PathError{Op: "move", Path: t.name, Err: errors.New("an edit is in the way of acknowledged changes")}
		}
		behind = behind || len(t.pending) > 0
	}
	if behind || tx.s.journaled(name) {
		tx.remade = true
		return errConflict
	}
	folder, err := tx.s.fs.Lstat(tx.s.disk(name))
	if err != nil {
		return err
	}
	above, err := tx.s.fs.Stat(tx.s.disk(path.Dir(name)))
	if err == nil && device(folder) != device(above) {
		err = &fs.PathError{Op: "move", Path: name, Err: errors.New("another file system is mounted there")}
	}
	return err
}

// drop forgets the moves of folders that are removed with name.
func (tx *Tx) drop(name string) {
	for to, from := range maps.Clone(tx.moved.from) {
		if from != name && !strings.HasPrefix(from, name+"/") {
			continue
		}
		delete(tx.moved.from, to)
		tx.undo = append(tx.undo, func() { tx.moved.from[to] = from })
	}
}

// settleMoves makes the moves the last steps of the transaction.
func (tx *Tx) settleMoves() {
	for _, to := range slices.Sorted(maps.Keys(tx.moved.from)) {
		tx.ops = append(tx.ops, op{kind: opMoveTree, path: tx.moved.from[to], text: to})
	}
}

// journaled reports whether the journal has a step on a folder or on something
// in it that the disk may not show yet.
func (s *Store) journaled(name string) bool {
	return s.steps.near(name) || s.settling.near(name)
}

// below returns the tables in a folder that are in memory.
func (s *Store) below(dir string) []*table {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*table
	for name, t := range s.onDemand {
		if strings.HasPrefix(name, dir+"/") {
			all = append(all, t)
		}
	}
	return all
}

// moveTree prepares the move of a folder. What the batch has put into it before
// is to be synced at its new place.
func (p *plan) moveTree(o *op) {
	from, to := p.s.disk(o.path), p.s.disk(o.text)
	p.steps = append(p.steps, func() error { return p.s.fs.Rename(from, to) })
	for i, name := range p.paths {
		if rest, ok := strings.CutPrefix(name, from); ok && (rest == "" || rest[0] == filepath.Separator) {
			p.paths[i] = to + rest
		}
	}
	p.paths = append(p.paths, filepath.Dir(to))
}

// rehome makes the tables in memory follow a folder that has moved. Who holds
// one of them by its old name sees that its file is gone.
func (s *Store) rehome(from, to string) {
	s.forget(to)
	tables := s.below(from)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, old := range tables {
		t := &table{
			name: to + old.name[len(from):], schema: old.schema, working: old.working, gone: old.gone, sum: old.sum,
			epoch: old.epoch, direct: old.direct, based: old.based, seen: old.seen, seenAt: old.seenAt, held: old.held,
		}
		for _, o := range old.pending {
			o.path = t.name
			t.pending = append(t.pending, o)
		}
		t.known.Store(old.known.Load())
		t.odd.Store(old.odd.Load())
		t.skipped = moved(old.skipped, t.name)
		t.publish()
		delete(s.onDemand, old.name)
		s.onDemand[t.name] = t
	}
	for name, problems := range maps.Clone(s.problems) {
		if rest, ok := strings.CutPrefix(name, from+"/"); ok {
			delete(s.problems, name)
			s.keepProblems(to+"/"+rest, moved(problems, to+"/"+rest))
		}
	}
}

// moved returns the problems of a file that has another name now.
func moved(problems []Error, name string) []Error {
	problems = slices.Clone(problems)
	for i := range problems {
		problems[i].File = name
	}
	return problems
}

// followMoves gives the steps of a journal the names that their files have after
// the moves that come later, does those moves that the disk does not show, and
// returns the other steps. Of a folder that was removed after it was moved,
// nothing is left.
func (s *Store) followMoves(steps []step) ([]step, error) {
	var moved []step
	later := make(map[string]string)
	rest := make([]step, 0, len(steps))
	for _, st := range slices.Backward(steps) {
		for dir := st.path; dir != "." && len(later) > 0; dir = path.Dir(dir) {
			if to, ok := later[dir]; ok && st.kind != opMoveTree {
				st.path = to + st.path[len(dir):]
				break
			}
		}
		if st.kind != opMoveTree {
			rest = append(rest, st)
			continue
		}
		moved = append(moved, st)
		to := st.text
		if end, ok := later[to]; ok {
			to = end
		}
		later[st.path] = to
	}
	slices.Reverse(rest)
	for _, st := range slices.Backward(moved) {
		if err := s.redoMove(&st.op); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// redoMove renames a folder that the disk has at its old place. A file system
// that loses power in a rename may have it at both: the new one counts, and the
// other one is put aside, since it could be somebody's work.
func (s *Store) redoMove(o *op) error {
	s.touch(path.Dir(o.text))
	if _, err := s.fs.Lstat(s.disk(o.path)); err != nil {
		return ignoreMissing(err)
	}
	target := s.disk(o.text)
	switch _, err := s.fs.Lstat(target); {
	case err == nil:
		target, err = s.aside(path.Base(o.path))
		if err != nil {
			return err
		}
		s.log.Warn("a folder was found at its old place and at its new one; the old one is put aside",
			"folder", o.path, "new", o.text, "aside", target)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return s.fs.Rename(s.disk(o.path), target)
}

// aside returns a name in tmp under which a folder is kept.
func (s *Store) aside(name string) (string, error) {
	if err := ignoreExisting(s.fs.Mkdir(s.disk(tmpDir), 0o700)); err != nil {
		return "", err
	}
	for {
		s.names++
		target := s.disk(tmpDir) + string(filepath.Separator) + name + "." + strconv.FormatUint(s.names, 10) + ".moved"
		if _, err := s.fs.Lstat(target); errors.Is(err, fs.ErrNotExist) {
			return target, nil
		} else if err != nil {
			return "", err
		}
	}
}
