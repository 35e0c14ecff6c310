package tabfile

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
)

// A Tx is one transaction: all of its changes happen, or none. It is valid only
// inside the function that [Store.Update] or [Store.Try] runs with it.
type Tx struct {
	s      *Store
	tables map[string]*TxTable
	ops    []op

	// Earlier transactions of the same batch are about to change files. Where
	// this one asks for them it cannot know the answer yet: conflict is set, and
	// the function runs again after them.
	batch    *batch
	conflict bool

	// remade is set when a folder is made that was removed since the last
	// checkpoint, after which the transaction runs again: a journal knows one
	// fate of a folder, and what was put into the new one since must not go the
	// way of the old one when the journal is read.
	remade bool
}

// errConflict is returned to the function of a transaction that runs again.
var errConflict = errors.New("tabfile: transaction runs again")

// A TxTable is a table inside a transaction: a [View] that shows the changes
// made so far, and ways to make more.
type TxTable struct {
	View
	tx      *Tx
	name    string
	t       *table
	changed bool
}

// Table returns the table of that name, one of [Options.Tables].
func (tx *Tx) Table(name string) *TxTable {
	if tt, ok := tx.tables[name]; ok {
		return tt
	}
	t := tx.s.fixed(name)
	tx.look(t, directMax)
	return tx.enter(t)
}

// File returns the table in any other file. It does not exist when the file
// does not; a file that cannot be read is an error.
func (tx *Tx) File(name string, schema *Schema) (*TxTable, error) {
	if tt, ok := tx.tables[name]; ok {
		return tt, nil
	}
	if tx.meets(name) {
		return nil, errConflict
	}
	t, err := tx.s.demand(name, schema)
	if err != nil {
		return nil, err
	}
	tx.look(t, math.MaxInt64)
	return tx.enter(t), nil
}

// look takes an edit of a table before the transaction sees it, unless the file
// is so large that others would wait for it, or earlier transactions of the
// batch may have changed the table.
func (tx *Tx) look(t *table, size int64) {
	if tx.s.sameOnDisk(t) {
		return
	}
	if e := tx.s.rested(t); e != nil && e.id.size <= size && len(tx.batch.records) == 0 {
		e.read(tx.s)
		tx.s.take(t, e)
	}
}

func (tx *Tx) enter(t *table) *TxTable {
	tt := &TxTable{View: View{c: t.working, gone: t.gone}, tx: tx, name: t.name, t: t}
	tx.tables[t.name] = tt
	return tt
}

// change returns the content to change, which no reader sees yet.
func (tt *TxTable) change() (*content, error) {
	if !tt.Exists() {
		return nil, &fs.PathError{Op: "change", Path: tt.name, Err: fs.ErrNotExist}
	}
	if !tt.changed {
		tt.View.c = tt.View.c.copy()
		tt.changed = true
	}
	return tt.View.c, nil
}

// Append adds a row at the end of the table. The error wraps [fs.ErrNotExist]
// when there is no such file, and [ErrUnwritable] when a field cannot be
// written; a row that could not be read back is refused.
func (tt *TxTable) Append(fields ...string) error {
	body, err := tt.t.schema.format(fields)
	if err != nil {
		return fmt.Errorf("%s: %w", tt.name, err)
	}
	c, err := tt.change()
	if err != nil {
		return err
	}
	c.append(body)
	tt.tx.ops = append(tt.tx.ops, op{kind: opAppend, path: tt.name, text: body})
	return nil
}

// Replace puts fields in the place of a row of this table.
func (tt *TxTable) Replace(row Row, fields ...string) error {
	body, err := tt.t.schema.format(fields)
	if err != nil {
		return fmt.Errorf("%s: %w", tt.name, err)
	}
	c, err := tt.change()
	if err != nil {
		return err
	}
	o := op{kind: opReplace, path: tt.name, old: row.Raw(), nth: uint64(c.nth(row.l)), text: body}
	c.replace(row.l, body)
	tt.tx.ops = append(tt.tx.ops, o)
	return nil
}

// Delete removes rows of this table.
func (tt *TxTable) Delete(rows ...Row) error {
	for _, row := range rows {
		c, err := tt.change()
		if err != nil {
			return err
		}
		o := op{kind: opDelete, path: tt.name, old: row.Raw(), nth: uint64(c.nth(row.l))}
		c.remove(row.l)
		tt.tx.ops = append(tt.tx.ops, o)
	}
	return nil
}

// meets reports whether an earlier transaction of the batch is about to change
// what is at name, and if so makes this one run again.
func (tx *Tx) meets(name string) bool {
	if tx.batch.pending.covers(name) {
		tx.conflict = true
	}
	return tx.conflict
}

// meetsBelow is meets for what is inside the folder of that name.
func (tx *Tx) meetsBelow(name string) bool {
	if tx.batch.pending.parents[name] {
		tx.conflict = true
	}
	return tx.conflict
}

// Exists reports whether there is a file or folder of that name.
func (tx *Tx) Exists(name string) bool {
	_, err := tx.Stat(name)
	return err == nil
}

// Stat describes the file or folder of that name as it is on disk, following
// symbolic links. It does not show what this transaction does to it.
func (tx *Tx) Stat(name string) (fs.FileInfo, error) {
	if tx.meets(name) {
		return nil, errConflict
	}
	return tx.s.fs.Stat(tx.s.disk(name))
}

// ReadFile returns what the file of that name holds.
func (tx *Tx) ReadFile(name string) ([]byte, error) {
	if tx.meets(name) {
		return nil, errConflict
	}
	return tx.s.ReadFile(name)
}

// MakeTree makes a new folder with folders and files in it, whose names are
// relative to it. The error wraps [fs.ErrExist] when there is something of that
// name, and [fs.ErrNotExist] when the folder above it is not there.
func (tx *Tx) MakeTree(name string, dirs []string, files map[string][]byte) error {
	if tx.meets(name) {
		return errConflict
	}
	if _, err := tx.s.fs.Lstat(tx.s.disk(name)); err == nil {
		return &fs.PathError{Op: "make", Path: name, Err: fs.ErrExist}
	}
	if !tx.makes(path.Dir(name)) {
		if err := tx.parent(name); err != nil {
			return err
		}
	}
	if tx.s.removed.covers(name) || tx.s.removing.covers(name) {
		tx.remade = true
		return errConflict
	}
	o := op{kind: opMakeTree, path: name, dirs: dirs}
	for _, n := range slices.Sorted(maps.Keys(files)) {
		o.files = append(o.files, file{n, string(files[n])})
	}
	tx.ops = append(tx.ops, o)
	return nil
}

// makes reports whether this transaction has made the folder dir.
func (tx *Tx) makes(dir string) bool {
	return slices.ContainsFunc(tx.ops, func(o op) bool {
		return o.kind == opMakeTree && (dir == o.path || strings.HasPrefix(dir, o.path+"/"))
	})
}

// parent returns why nothing can be made at name.
func (tx *Tx) parent(name string) error {
	dir := path.Dir(name)
	info, err := tx.Stat(dir)
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "make", Path: dir, Err: fs.ErrNotExist}
	}
	if err != nil {
		return err
	}
	return tx.s.fs.Writable(tx.s.disk(dir))
}

// RemoveTree removes the folder of that name with all that is in it. Where name
// is a symbolic link the link goes and what it leads to stays. A folder that is
// not there is no error.
func (tx *Tx) RemoveTree(name string) error {
	if tx.meets(name) || tx.meetsBelow(name) {
		return errConflict
	}
	if _, err := tx.s.fs.Lstat(tx.s.disk(name)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := tx.s.fs.Writable(tx.s.disk(path.Dir(name))); err != nil {
		return err
	}
	tx.ops = append(tx.ops, op{kind: opRemoveTree, path: name})
	return nil
}

// WriteFile makes content the whole of the file of that name, which may be new.
// The error wraps [fs.ErrNotExist] when the folder is not there. A table is read
// first: what would not load, and did not stand there before, is an [*Error].
func (tx *Tx) WriteFile(name string, content []byte) error {
	text := string(content)
	if tx.meets(name) {
		return errConflict
	}
	if err := tx.parent(name); err != nil {
		return err
	}
	if info, err := tx.s.fs.Stat(tx.s.disk(name)); err == nil && info.IsDir() {
		return &fs.PathError{Op: "write", Path: name, Err: errors.New("is a directory")}
	}
	if err := tx.loadInto(name, text); err != nil {
		return err
	}
	tx.ops = append(tx.ops, op{kind: opWrite, path: name, exists: true, data: text})
	return nil
}

// loadInto makes text the content of the table of that name, if it is one.
func (tx *Tx) loadInto(name, text string) error {
	schema := tx.s.opts.schemaOf(name)
	if schema == nil {
		return nil
	}
	tt, err := tx.File(name, schema)
	if err != nil {
		return err
	}
	c, problems := parse(schema, name, text)
	if err := newProblem(tt.View.c, problems, text); err != nil {
		return err
	}
	if err := newRow(name, tt.View.c, c); err != nil {
		return err
	}
	if schema.Keep && c.rows == 0 {
		return &Error{File: name, Msg: "no row would be left"}
	}
	tt.View = View{c: c}
	tt.changed = true
	return nil
}

// RemoveFile removes the file of that name. One that is not there is no error.
func (tx *Tx) RemoveFile(name string) error {
	if tx.meets(name) {
		return errConflict
	}
	info, err := tx.s.fs.Lstat(tx.s.disk(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.IsDir() {
		return &fs.PathError{Op: "remove", Path: name, Err: errors.New("is a directory")}
	}
	if err := tx.s.fs.Writable(tx.s.disk(path.Dir(name))); err != nil {
		return err
	}
	if schema := tx.s.opts.schemaOf(name); schema != nil {
		if schema.Keep {
			return &Error{File: name, Msg: "no row would be left"}
		}
		tt, err := tx.File(name, schema)
		if err != nil {
			return err
		}
		tt.View = View{c: newContent(schema)}
		tt.changed = true
	}
	tx.ops = append(tx.ops, op{kind: opWrite, path: name})
	return nil
}

// newProblem returns the first problem of text whose line did not stand in the
// table before.
func newProblem(before *content, problems []Error, text string) error {
	if len(problems) == 0 {
		return nil
	}
	known := make(map[string]bool)
	before.lines.Scan(func(l *line) bool {
		if !l.row {
			known[l.body()] = true
		}
		return true
	})
	lines := strings.Split(text, "\n")
	for i := range problems {
		if !known[TrimEnd(lines[problems[i].Line-1])] {
			return &problems[i]
		}
	}
	return nil
}

// newRow returns what is wrong with the first row that did not stand in the
// table before and may not be added.
func newRow(name string, before, after *content) (err error) {
	check := after.schema.CheckNew
	if check == nil {
		return nil
	}
	known := make(map[string]bool)
	before.lines.Scan(func(l *line) bool {
		known[l.body()] = true
		return true
	})
	number := 0
	after.lines.Scan(func(l *line) bool {
		number++
		if l.row && !known[l.body()] {
			if wrong := check(Split(l.body())); wrong != nil {
				err = &Error{File: name, Line: number, Msg: wrong.Error()}
			}
		}
		return err == nil
	})
	return err
}

// A pathSet is a set of paths.
type pathSet struct {
	names   map[string]bool // the paths themselves
	parents map[string]bool // every folder above one of them
}

func newPathSet() *pathSet {
	return &pathSet{names: make(map[string]bool), parents: make(map[string]bool)}
}

func (p *pathSet) add(name string) {
	p.names[name] = true
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		p.parents[dir] = true
	}
}

func (p *pathSet) addAll(q *pathSet) {
	maps.Copy(p.names, q.names)
	maps.Copy(p.parents, q.parents)
}

// covers reports whether name, or a folder above it, is in the set.
func (p *pathSet) covers(name string) bool {
	if len(p.names) == 0 {
		return false
	}
	for ; name != "."; name = path.Dir(name) {
		if p.names[name] {
			return true
		}
	}
	return false
}
