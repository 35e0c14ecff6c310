package tabfile

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A plan puts one batch on disk: everything that can fail for want of space or
// permission is written beside its place first, then the journal, and after
// that there are only names to change.
type plan struct {
	s     *Store
	b     *batch
	base  record           // what the journal must know of the tables first
	whole map[string]*op   // the last write of each file that is written as a whole
	rows  map[*table][]op  // the changes of rows
	shown map[*table]state // tables whose files show the batch at once
	bases map[*table]basis // what the journal will know of them
	steps []func() error   // to put the files in place
	undo  []func() error   // to throw away what was prepared
	paths []string         // what the steps change on disk
	trees []tree           // to be made before the steps
	tmps  map[string]bool  // the files that were prepared
}

// A state is what the store knows of a table's file.
type state struct {
	id  fileID
	sum sum
}

// A basis says whether the journal knows what a table's file holds.
type basis struct {
	segment uint64 // that has it; the table's based
	direct  bool   // as a whole; the table's direct
}

// prepare writes what the batch needs beside its place.
func (p *plan) prepare() error {
	if err := p.s.openSegment(); err != nil {
		return err
	}
	for _, r := range p.b.records {
		for i := range r.ops {
			if o := &r.ops[i]; o.kind == opWrite {
				p.whole[o.path] = o
			}
		}
	}
	for _, t := range p.b.changed {
		if err := p.table(t); err != nil {
			return err
		}
	}
	for _, r := range p.b.records {
		for i := range r.ops {
			if err := p.op(&r.ops[i]); err != nil {
				return err
			}
		}
	}
	return p.buildTrees()
}

// table decides how a table's file comes to show the batch, and what the
// journal must know before.
func (p *plan) table(t *table) error {
	before := p.b.before[t].content
	id, err := p.s.idOnDisk(t.name)
	if err != nil {
		return err
	}
	edited := id != *t.known.Load()
	small := before.size <= directMax
	now := basis{t.based, t.direct}
	switch {
	case p.whole[t.name] != nil:
		// The journal gets the whole file anyway.
	case edited:
		// Somebody has the file in hand: it is merged when they are done.
		now.direct = false
	case len(t.pending) == 0 && t.based != p.s.segment.number, small && !t.direct:
		o := op{kind: opBase, path: t.name, exists: before.exists, whole: small}
		if small {
			o.data = before.text()
		} else {
			o.sum = t.sum
		}
		p.base.ops = append(p.base.ops, o)
		now = basis{p.s.segment.number, small}
	}
	rewrite := p.whole[t.name] != nil
	if !rewrite {
		now.direct = now.direct && t.working.size <= directMax
		rewrite = now.direct
	}
	p.bases[t] = now
	if rewrite {
		return p.rewrite(t)
	}
	return nil
}

// rewrite prepares the file of a table as it is in memory.
func (p *plan) rewrite(t *table) error {
	if !t.working.exists {
		p.remove(t.name)
		p.shown[t] = state{}
		return nil
	}
	first := len(p.steps)
	st, err := p.file(t.name, t.working.writeTo, t.working.size, t.working.size > directMax)
	if err != nil || p.whole[t.name] != nil {
		p.shown[t] = st
		return err
	}
	rename, discard := p.steps[first], p.undo[len(p.undo)-1]
	p.shown[t] = st
	p.steps[first] = func() error {
		if !p.s.sameOnDisk(t) { // an editor was faster: merged when it is done
			delete(p.shown, t)
			t.direct = false
			return discard()
		}
		return rename()
	}
	return nil
}

// file prepares a file and the step that puts it in place.
func (p *plan) file(name string, write func(io.Writer) error, size int64, summed bool) (state, error) {
	target, err := p.s.fs.Resolve(p.s.disk(name))
	if err != nil {
		return state{}, err
	}
	tmp := p.tmpBeside(target)
	f, err := p.s.fs.Create(tmp, target, p.s.opts.Modes().File)
	if err != nil {
		return state{}, err
	}
	p.undo = append(p.undo, func() error { return p.s.fs.Remove(tmp) })
	st, err := fill(f, write, size, summed)
	if err != nil {
		return state{}, err
	}
	p.steps = append(p.steps, func() error { return p.s.fs.Rename(tmp, target) })
	p.paths = append(p.paths, target, filepath.Dir(target))
	return st, nil
}

// largeExt tells the file of a checkpoint from that of a transaction.
const largeExt = "-large"

// tmpBeside returns the name under which a file is prepared: beside its place,
// so that it can be renamed, and hidden from those who list the folder.
func tmpBeside(target string) string {
	return filepath.Join(filepath.Dir(target), "."+filepath.Base(target)+".new")
}

// tmpBeside is that of the package for a target that the plan has not had before.
// Links may make one file of several names.
func (p *plan) tmpBeside(target string) string {
	tmp := tmpBeside(target)
	for n := 2; p.tmps[tmp]; n++ {
		tmp = tmpBeside(target + "." + strconv.Itoa(n))
	}
	p.tmps[tmp] = true
	return tmp
}

func (p *plan) remove(name string) {
	target := p.s.disk(name)
	p.steps = append(p.steps, func() error { return ignoreMissing(p.s.fs.Remove(target)) })
	p.paths = append(p.paths, filepath.Dir(target))
}

// op prepares what one step of a transaction does on disk.
func (p *plan) op(o *op) error {
	switch o.kind {
	case opMakeTree:
		p.makeTree(o)
	case opRemoveTree:
		p.removeTree(o)
	case opMoveTree:
		p.moveTree(o)
	case opWrite:
		return p.writeFile(o)
	default:
		t := p.b.table(o.path)
		p.rows[t] = append(p.rows[t], *o)
	}
	return nil
}

// table returns the table of that name that the batch has changed.
func (b *batch) table(name string) *table {
	i := slices.IndexFunc(b.changed, func(t *table) bool { return t.name == name })
	return b.changed[i]
}

func (p *plan) writeFile(o *op) error {
	text, _, err := readFile(p.s.fs, p.s.disk(o.path))
	if err == nil {
		o.sum = sumOf(text)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if o != p.whole[o.path] || p.s.opts.schemaOf(o.path) != nil {
		return nil // a later step writes it, or the table itself
	}
	if !o.exists {
		p.remove(o.path)
		return nil
	}
	_, err = p.file(o.path, func(w io.Writer) error {
		_, err := io.WriteString(w, o.data)
		return err
	}, int64(len(o.data)), false)
	return err
}

// removeTree renames a tree away, so that it is gone at once, and removes it in
// the background.
func (p *plan) removeTree(o *op) {
	target := p.s.disk(o.path)
	trash := p.s.tmpName(trashExt)
	p.steps = append(p.steps, func() error {
		p.s.discard(target, trash)
		return nil
	})
	p.paths = append(p.paths, filepath.Dir(target))
}

// discard makes a tree vanish. What cannot be removed stays: the transaction
// that removed it is durable, and nobody looks there any more.
func (s *Store) discard(target, trash string) {
	err := s.fs.Rename(target, trash)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		s.removeLater(trash)
		return
	}
	// Perhaps it is another file system. At once, since the name may be used again.
	if err := s.fs.RemoveAll(target); err != nil {
		s.log.Warn("part of a removed folder stays", "folder", target, "err", err)
	}
}

// log makes the batch durable.
func (p *plan) log() error {
	if len(p.base.ops) > 0 {
		// Numbers only grow in a journal, and the base stands before the batch.
		p.s.lsn++
		p.base.lsn = p.b.records[0].lsn
		for i, r := range p.b.records {
			r.lsn = p.base.lsn + uint64(i) + 1
		}
		p.s.segment.add(&p.base)
	}
	for _, r := range p.b.records {
		p.s.segment.add(r)
	}
	failed, err := p.s.segment.sync()
	if failed {
		err = p.s.fail(err)
	}
	return err
}

// apply puts the prepared files in place. What fails here is in the journal and
// happens at the next start; until then the store cannot go on.
func (p *plan) apply() error {
	for t, now := range p.bases {
		t.based, t.direct = now.segment, now.direct
	}
	for _, step := range p.steps {
		if err := step(); err != nil {
			return p.s.fail(err)
		}
	}
	for _, name := range p.paths {
		p.s.touched[name] = true
	}
	for _, t := range p.b.changed {
		if st, ok := p.shown[t]; ok {
			t.known.Store(&st.id)
			t.sum = st.sum
			t.pending = nil
			t.epoch++
			if p.whole[t.name] != nil {
				t.held = fileID{}
				p.s.settle(t)
			}
		} else {
			t.pending = append(t.pending, p.rows[t]...)
		}
	}
	for _, r := range p.b.records {
		for i := range r.ops {
			o := &r.ops[i]
			p.s.steps.add(o.path)
			switch o.kind {
			case opMoveTree:
				p.s.steps.add(o.text)
				p.s.removed.add(o.path)
				p.s.rehome(o.path, o.text)
			case opRemoveTree:
				p.s.removed.add(o.path)
				p.s.forget(o.path)
			case opMakeTree:
				p.s.forget(o.path)
			}
		}
	}
	return nil
}

// forget drops the tables below a folder that is new or gone.
func (s *Store) forget(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgets++
	for name := range s.onDemand {
		if strings.HasPrefix(name, dir+"/") {
			delete(s.onDemand, name)
		}
	}
	for name := range s.problems { // also of tables that were dropped meanwhile
		if strings.HasPrefix(name, dir+"/") {
			delete(s.problems, name)
		}
	}
}

// abandon throws away what was prepared.
func (p *plan) abandon() {
	if p.s.segment != nil {
		p.s.segment.discard()
	}
	for _, undo := range p.undo {
		if err := undo(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			p.s.log.Warn("leftover of a change that failed", "err", err)
		}
	}
}

// fill writes a new file, closes it and returns what is to be known of it. Its
// sum is known only when it is asked for. size is about how much is written.
func fill(f File, write func(io.Writer) error, size int64, summed bool) (state, error) {
	var st state
	var hash hash.Hash
	var dst io.Writer = f
	if summed {
		hash = sha256.New()
		dst = io.MultiWriter(f, hash)
	}
	w := bufio.NewWriterSize(dst, int(min(size, directMax)))
	err := write(w)
	if err == nil {
		err = w.Flush()
	}
	var info fs.FileInfo
	if err == nil {
		info, err = f.Stat()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return state{}, err
	}
	if summed {
		hash.Sum(st.sum[:0])
	}
	st.id = idOf(info)
	return st, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func ignoreExisting(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
