package tabfile

import (
	"path"
	"slices"
	"strings"
)

// A transaction sees the folders and files that it makes itself before they are
// anywhere on disk.

// An ownPath is what a transaction knows of a path by its own doing.
type ownPath struct {
	known   bool // the rest counts
	exists  bool
	removed bool // by this transaction
	isDir   bool
	data    string    // of a file
	made    *madeFile // a file, or the place for one, in a folder that this transaction makes
}

// add makes a change of files part of the transaction.
func (tx *Tx) add(o op) {
	before, had := tx.last[o.path]
	tx.undo = append(tx.undo, func() {
		if had {
			tx.last[o.path] = before
		} else {
			delete(tx.last, o.path)
		}
	})
	tx.last[o.path] = len(tx.ops)
	tx.ops = append(tx.ops, o)
}

// own returns what this transaction has done to a path, or to a folder above it.
func (tx *Tx) own(name string) ownPath {
	at := -1
	for dir := name; dir != "." && len(tx.last) > 0; dir = path.Dir(dir) {
		if i, ok := tx.last[dir]; ok {
			at = max(at, i)
		}
	}
	if at < 0 {
		return ownPath{}
	}
	o := &tx.ops[at]
	switch o.kind {
	case opRemoveTree:
		return ownPath{known: true, removed: true}
	case opWrite:
		return ownPath{known: true, exists: o.exists, data: o.data}
	}
	inside := strings.TrimPrefix(strings.TrimPrefix(name, o.path), "/")
	if inside == "" || slices.Contains(o.dirs, inside) {
		return ownPath{known: true, exists: true, isDir: true}
	}
	own := ownPath{known: true, made: &madeFile{op: at, name: inside}}
	if i := own.made.index(tx); i >= 0 {
		own.exists, own.data = true, o.files[i].data
	}
	return own
}

// A madeFile is a place for a file in a folder that a transaction makes.
type madeFile struct {
	op   int // the one that makes the folder
	name string
}

func (m *madeFile) index(tx *Tx) int {
	return slices.IndexFunc(tx.ops[m.op].files, func(f file) bool { return f.name == m.name })
}

// write makes data the content of the file.
func (m *madeFile) write(tx *Tx, data string) {
	files := slices.Clone(tx.ops[m.op].files)
	if i := m.index(tx); i >= 0 {
		files[i].data = data
	} else {
		files = append(files, file{m.name, data})
	}
	m.set(tx, files)
}

func (m *madeFile) remove(tx *Tx) {
	if i := m.index(tx); i >= 0 {
		m.set(tx, slices.Delete(slices.Clone(tx.ops[m.op].files), i, i+1))
	}
}

func (m *madeFile) set(tx *Tx, files []file) {
	before := tx.ops[m.op].files
	tx.undo = append(tx.undo, func() { tx.ops[m.op].files = before })
	tx.ops[m.op].files = files
}

// ownFile returns the table in a file whose fate this transaction has decided.
func (tx *Tx) ownFile(name string, schema *Schema, own ownPath) (*TxTable, error) {
	tt, ok := tx.tables[name]
	switch {
	case ok && tt.Exists() == own.exists && (tt.made != nil) == (own.made != nil):
		return tt, nil
	case own.made == nil && own.exists && ok:
		return tt, nil // an upload of this transaction, which has loaded it
	case own.made == nil && own.exists:
		t, err := tx.s.demand(name, schema)
		if err != nil {
			return nil, err
		}
		tt = tx.enter(t)
		tt.View.c, _ = parse(schema, name, own.data)
		return tt, nil
	}
	c := newContent(schema)
	if own.exists {
		c, _ = parse(schema, name, own.data)
	}
	tt = &TxTable{tx: tx, name: name, t: &table{name: name, schema: schema, working: c}, shared: true, made: own.made}
	tt.show(c)
	if own.made != nil {
		tx.set(name, tt)
	}
	return tt, nil
}

// settle writes the tables that stand in new folders.
func (tx *Tx) settle() {
	for name, tt := range tx.tables {
		if tt.made == nil {
			continue
		}
		if tt.changed && tx.own(name).made != nil {
			tt.made.write(tx, tt.View.c.text())
		}
		delete(tx.tables, name)
	}
}
