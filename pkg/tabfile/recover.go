package tabfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// After a crash the files are some mixture of what they were at the last
// checkpoint and of what was written since, since renames and contents reach
// the disk in any order. The journal says what they must be. What is on disk
// tells how much of it a file already shows:
//
//   - a version that the journal knows: the changes after it are applied;
//   - cut short or with holes: it was being written, and the journal has it whole;
//   - anything else: an editor has saved it. It wins, with the changes on top.
//
// All of this can be done again when the crash comes back in the middle.

// recovery is what the journal tells of one file.
type recovery struct {
	name   string
	steps  []step
	schema *Schema
}

// A step is one op of the journal that concerns a file.
type step struct {
	lsn uint64
	op
}

// recover brings the files up to the journal, and removes it.
func (s *Store) recover() error {
	numbers, err := journalSegments(s.fs, s.root)
	if err != nil {
		return err
	}
	if len(numbers) == 0 {
		s.removeJournalDir()
		return nil
	}
	steps, err := s.readJournal(numbers)
	if err != nil {
		return err
	}
	s.log.Info("journal found: the last stop was not clean", "steps", len(steps))
	if steps, err = s.followMoves(steps); err != nil {
		return err
	}
	files, err := s.redoTrees(steps)
	if err != nil {
		return err
	}
	if err := s.redoFiles(files, numbers[len(numbers)-1]+1); err != nil {
		return err
	}
	if err := s.fs.Sync(slices.Collect(maps.Keys(s.touched))); err != nil {
		return err
	}
	clear(s.touched)
	numbers, err = journalSegments(s.fs, s.root)
	if err != nil {
		return err
	}
	if s.segment != nil {
		err = s.segment.f.Close()
		s.segment = nil
	}
	return errors.Join(err, s.removeJournal(numbers))
}

func (s *Store) readJournal(numbers []uint64) ([]step, error) {
	var steps []step
	for _, number := range numbers {
		records, rest, err := readSegment(s.fs, s.root, number)
		if err != nil {
			return nil, err
		}
		if rest > 0 {
			s.log.Info("end of the journal was not acknowledged", "segment", number, "bytes", rest)
		}
		for _, r := range records {
			s.lsn = r.lsn
			for i := range r.ops {
				steps = append(steps, step{r.lsn, r.ops[i]})
			}
		}
	}
	return steps, nil
}

// redoTrees makes and removes folders, and returns what else there is to do,
// file by file. A tree is never made again in the same journal after it was
// removed, so each of them has one fate.
func (s *Store) redoTrees(steps []step) (map[string]*recovery, error) {
	files := make(map[string]*recovery)
	add := func(name string, st step) {
		if files[name] == nil {
			files[name] = &recovery{name: name, schema: s.opts.schemaOf(name)}
		}
		files[name].steps = append(files[name].steps, st)
	}
	removed := newPathSet()
	for _, st := range steps {
		if st.kind == opRemoveTree {
			removed.add(st.path)
		}
	}
	for _, st := range steps {
		if removed.covers(st.path) {
			if st.kind == opRemoveTree {
				if err := s.fs.RemoveAll(s.disk(st.path)); err != nil {
					s.log.Warn("part of a removed folder stays", "folder", st.path, "err", err)
				}
				s.touch(path.Dir(st.path))
			}
			continue
		}
		switch st.kind {
		case opMakeTree:
			if err := s.redoFolders(&st.op); err != nil {
				return nil, err
			}
			for _, f := range st.files {
				add(path.Join(st.path, f.name), step{st.lsn, op{kind: opWrite, exists: true, data: f.data}})
			}
		default:
			add(st.path, st)
		}
	}
	return files, nil
}

// redoFolders makes what is missing of a tree's folders.
func (s *Store) redoFolders(o *op) error {
	for _, dir := range append([]string{"."}, o.dirs...) {
		name := path.Join(o.path, dir)
		err := s.fs.Mkdir(s.disk(name), s.opts.Modes().Dir)
		if ignoreExisting(err) != nil {
			return err
		}
		s.touch(name)
		s.touch(path.Dir(name))
	}
	return nil
}

func (s *Store) touch(name string) { s.touched[s.disk(name)] = true }

// redoFiles makes each file what it must be. The new segment number says of the
// large ones what they are about to become, so that a crash in between finds
// files it knows.
func (s *Store) redoFiles(files map[string]*recovery, number uint64) error {
	results := make(map[string]string)
	var images []op
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if _, err := s.fs.Stat(s.disk(path.Dir(name))); errors.Is(err, fs.ErrNotExist) {
			// The journal makes the folders that it knows of. Without a start nothing else is served.
			s.log.Error("the folder of a file is gone, and changes that were not written with it", "file", name)
			continue
		}
		text, exists, change, err := s.redo(files[name])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		s.touch(name)
		s.touch(path.Dir(name))
		if err := s.removeLeftovers(name); err != nil {
			return err
		}
		switch {
		case !change:
		case exists:
			results[name] = text
			images = append(images, op{kind: opImage, path: name, lsn: s.lsn, sum: sumOf(text)})
		default:
			if err := ignoreMissing(s.fs.Remove(s.disk(name))); err != nil {
				return err
			}
		}
	}
	if len(images) == 0 {
		return nil
	}
	g, err := s.newSegment(number)
	if err != nil {
		return err
	}
	s.segment = g
	if err := s.logNow(images); err != nil {
		return err
	}
	for _, image := range images {
		err := s.replaceDurably(image.path, func(w io.Writer) error {
			_, err := io.WriteString(w, results[image.path])
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// removeLeftovers removes what was being prepared beside a file.
func (s *Store) removeLeftovers(name string) error {
	target, err := s.fs.Resolve(s.disk(name))
	if err != nil {
		return err
	}
	return errors.Join(ignoreMissing(s.fs.Remove(tmpBeside(target))),
		ignoreMissing(s.fs.Remove(tmpBeside(target)+largeExt)))
}

// replaceDurably replaces a file and syncs it and its name.
func (s *Store) replaceDurably(name string, write func(io.Writer) error) error {
	target, err := s.fs.Resolve(s.disk(name))
	if err != nil {
		return err
	}
	tmp := tmpBeside(target)
	f, err := s.fs.Create(tmp, target, s.opts.Modes().File)
	if err != nil {
		return err
	}
	if _, err := fill(f, write, directMax, false); err != nil {
		return err
	}
	if err := s.fs.Sync([]string{tmp}); err != nil {
		return err
	}
	if err := s.fs.Rename(tmp, target); err != nil {
		return err
	}
	return s.fs.Sync([]string{filepath.Dir(target)})
}

// redo returns what a file must hold, whether there is to be one, and whether
// that differs from what is on disk.
func (s *Store) redo(r *recovery) (text string, exists, change bool, err error) {
	disk, _, err := readFile(s.fs, s.disk(r.name))
	onDisk := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", false, false, err
	}
	if from, ok := r.known(disk, onDisk); ok {
		text, exists = r.apply(disk, onDisk, from)
		return text, exists, text != disk || exists != onDisk, nil
	}
	if start, ok := r.start(); ok && (!onDisk || r.torn(disk)) {
		text, exists = r.apply("", false, start)
		return text, exists, text != disk || exists != onDisk, nil
	}
	// Saved by an editor: what was changed since is applied to it, unless it
	// was replaced as a whole.
	s.log.Warn("file was edited after a crash; it is kept, with acknowledged changes on top", "file", r.name)
	text = r.onTop(disk)
	return text, true, text != disk || !onDisk, nil
}

// known finds the latest point of the journal whose file is the one on disk.
func (r *recovery) known(disk string, onDisk bool) (from int, ok bool) {
	var diskSum sum
	if onDisk {
		diskSum = sumOf(disk)
	}
	for i := len(r.steps) - 1; i >= 0; i-- {
		st := &r.steps[i]
		switch st.kind {
		case opImage:
			if onDisk && st.sum == diskSum {
				return r.after(st.lsn), true
			}
		case opBase:
			if onDisk && (st.sum == diskSum || (st.whole && st.data == disk)) || (st.whole && !st.exists && !onDisk) {
				return i + 1, true
			}
		case opWrite:
			if st.exists == onDisk && st.data == disk {
				return i + 1, true
			}
		}
	}
	// The file before one that was written as a whole is known by its sum.
	for i := range r.steps {
		if st := &r.steps[i]; st.kind == opWrite && st.sum == diskSum {
			return i, true
		}
	}
	// A version in between: small tables are written at each change.
	start, ok := r.start()
	if !ok || !onDisk {
		return 0, false
	}
	var c lineList
	for i, o := range r.from(start) {
		c.apply(o)
		if c.size == len(disk) && c.text() == disk {
			return i + 1, true
		}
	}
	return 0, false
}

// from returns the steps from a point on. Where the journal goes on with another file
// than it knew, what that one did not show follows once more in the same record. It is
// left out: it has been done by the steps before.
func (r *recovery) from(start int) iter.Seq2[int, *op] {
	return func(yield func(int, *op) bool) {
		var again uint64 // the record that repeats steps
		for i := start; i < len(r.steps); i++ {
			st := &r.steps[i]
			if st.kind == opBase && !st.whole {
				again = st.lsn
			}
			if st.lsn != again && !yield(i, &st.op) {
				return
			}
		}
	}
}

// after returns the first step of a later transaction.
func (r *recovery) after(lsn uint64) int {
	i := slices.IndexFunc(r.steps, func(st step) bool { return st.lsn > lsn })
	if i < 0 {
		return len(r.steps)
	}
	return i
}

// start returns the first step that holds the whole file.
func (r *recovery) start() (int, bool) {
	i := slices.IndexFunc(r.steps, func(st step) bool {
		return st.kind == opWrite || (st.kind == opBase && st.whole)
	})
	return max(i, 0), i >= 0
}

// apply returns the file after the steps from a point on.
func (r *recovery) apply(disk string, onDisk bool, from int) (string, bool) {
	var c lineList
	c.set(disk, onDisk)
	for _, o := range r.from(from) {
		c.apply(o)
	}
	return c.text(), c.exists
}

// torn reports whether a file looks like one of its versions with pages
// missing, as a power cut leaves it.
func (r *recovery) torn(disk string) bool {
	start, _ := r.start()
	var c lineList
	for _, o := range r.from(start) {
		c.apply(o)
		if c.exists && len(disk) <= c.size && pagesOf(disk, c.text()) {
			return true
		}
	}
	return false
}

// pagesOf reports whether each page of torn is that of whole, or empty.
func pagesOf(torn, whole string) bool {
	const page = 4096
	for len(torn) > 0 {
		n := min(page, len(torn))
		if torn[:n] != whole[:n] && strings.Trim(torn[:n], "\x00") != "" {
			return false
		}
		torn, whole = torn[n:], whole[n:]
	}
	return true
}

// onTop returns an edited file with the changes of rows since the last point
// that replaced it as a whole.
func (r *recovery) onTop(disk string) string {
	schema := r.schema
	if schema == nil {
		schema = &Schema{}
	}
	c, _ := parse(schema, r.name, disk)
	var changes []op
	for i := range r.steps {
		if k := r.steps[i].kind; k == opBase || k == opWrite {
			changes = nil
		} else {
			changes = append(changes, r.steps[i].op)
		}
	}
	c.rebase(changes)
	return c.text()
}
