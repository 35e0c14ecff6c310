package tabfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
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

	// remade is set when a folder is made or moved that was removed, made or moved
	// since the last checkpoint, after which the transaction runs again: a journal
	// knows one fate of a folder, and what was put into the new one since must not
	// go the way of the old one when the journal is read.
	remade bool

	last  map[string]int // the last of ops that made, wrote or removed a path
	moved moves
	undo  []func() // takes back what Attempt has to

	attempt  int // the number of the Attempt that runs; 0: none
	attempts int // how many there were
}

// errConflict is returned to the function of a transaction that runs again.
var errConflict = errors.New("tabfile: transaction runs again")

func newTx(s *Store, b *batch) *Tx {
	return &Tx{s: s, tables: make(map[string]*TxTable), batch: b, last: make(map[string]int)}
}

// Attempt runs f and returns its error, after which the changes that f made are
// no longer part of the transaction.
func (tx *Tx) Attempt(f func() error) error {
	outer, ops, undo := tx.attempt, len(tx.ops), len(tx.undo)
	tx.attempts++
	tx.attempt = tx.attempts
	err := f()
	tx.attempt = outer
	if err == nil {
		return nil
	}
	for len(tx.undo) > undo {
		tx.undo[len(tx.undo)-1]()
		tx.undo = tx.undo[:len(tx.undo)-1]
	}
	tx.ops = tx.ops[:ops]
	return err
}

// set makes tt the table of that name, until an Attempt takes it back.
func (tx *Tx) set(name string, tt *TxTable) {
	if tx.attempt != 0 {
		before, had := tx.tables[name]
		tx.undo = append(tx.undo, func() {
			if had {
				tx.tables[name] = before
			} else {
				delete(tx.tables, name)
			}
		})
	}
	tx.tables[name] = tt
}

// save keeps the table as it is for an Attempt, before its first change of it. So what
// an Attempt costs does not grow with the tables that the transaction has seen.
func (tt *TxTable) save() {
	if tt.tx.attempt == 0 || tt.saved == tt.tx.attempt {
		return
	}
	before := *tt
	tt.tx.undo = append(tt.tx.undo, func() { *tt = before })
	tt.saved, tt.shared = tt.tx.attempt, true
}

// A TxTable is a table inside a transaction: a [View] that shows the changes
// made so far, and ways to make more.
type TxTable struct {
	View
	tx      *Tx
	name    string
	t       *table
	changed bool // there is something to write
	shared  bool // somebody else sees the content: it is copied before a change
	saved   int  // the Attempt that can take back what changes
	made    *madeFile
	moved   []map[*line]*line // lines that got new positions, and what became of them
	skipped []Error           // rows that cannot be read
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
	place, gone := tx.where(name)
	if gone {
		return tx.ownFile(name, schema, ownPath{known: true, removed: true})
	}
	return tx.fileAt(place, schema)
}

func (tx *Tx) fileAt(name string, schema *Schema) (*TxTable, error) {
	if own := tx.own(name); own.known {
		return tx.ownFile(name, schema, own)
	}
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
// batch may have changed the table. One look is enough for a batch.
func (tx *Tx) look(t *table, size int64) {
	if tx.batch.looked[t] {
		return
	}
	tx.batch.looked[t] = true
	if tx.s.settled(t) {
		return
	}
	if e := tx.s.rested(t); e != nil && e.id.size <= size && len(tx.batch.records) == 0 {
		e.read(tx.s)
		tx.s.take(t, e)
	}
}

// Changes reports whether the transaction has changed one of [Options.Tables].
func (tx *Tx) Changes(name string) bool {
	tt, ok := tx.tables[name]
	return ok && tt.changed
}

func (tx *Tx) enter(t *table) *TxTable {
	tt := &TxTable{tx: tx, name: t.name, t: t, shared: true, skipped: t.skipped}
	tt.show(t.working)
	tt.View.gone = t.gone
	tx.set(t.name, tt)
	return tt
}

// show makes c the content of the table.
func (tt *TxTable) show(c *content) { tt.View = View{c: c, lent: &tt.shared} }

// change returns the content to change, which no reader sees yet.
func (tt *TxTable) change() (*content, error) {
	if !tt.Exists() {
		return nil, &fs.PathError{Op: "change", Path: tt.name, Err: fs.ErrNotExist}
	}
	tt.save()
	if tt.shared {
		tt.View.c = tt.View.c.copy()
		tt.shared = false
	}
	tt.changed = true
	return tt.View.c, nil
}

// note makes a change of a row part of the transaction. A table in a folder that
// the transaction makes is written with the folder.
func (tt *TxTable) note(o op) {
	if tt.made == nil {
		tt.tx.ops = append(tt.tx.ops, o)
	}
}

// write returns a row as it stands in the table, and the content to put it in.
func (tt *TxTable) write(fields []string) (c *content, body string, err error) {
	if body, err = tt.t.schema.format(fields); err != nil {
		return nil, "", fmt.Errorf("%s: %w", tt.name, err)
	}
	c, err = tt.change()
	return c, body, err
}

// Append adds a row at the end of the table. The error wraps [fs.ErrNotExist]
// when there is no such file, and [ErrUnwritable] when a field cannot be
// written; a row that could not be read back is refused.
func (tt *TxTable) Append(fields ...string) error {
	c, body, err := tt.write(fields)
	if err != nil {
		return err
	}
	c.append(body)
	tt.note(op{kind: opAppend, path: tt.name, text: body})
	return nil
}

// Replace puts fields in the place of a row of this table.
func (tt *TxTable) Replace(row Row, fields ...string) error {
	c, body, err := tt.write(fields)
	if err != nil {
		return err
	}
	l := tt.current(row.l)
	o := op{kind: opReplace, path: tt.name, old: l.body(), nth: uint64(c.nth(l)), text: body}
	c.replace(l, body)
	tt.note(o)
	return nil
}

// Delete removes rows of this table.
func (tt *TxTable) Delete(rows ...Row) error {
	for _, row := range rows {
		c, err := tt.change()
		if err != nil {
			return err
		}
		l := tt.current(row.l)
		o := op{kind: opDelete, path: tt.name, old: l.body(), nth: uint64(c.nth(l))}
		c.remove(l)
		tt.note(o)
	}
	return nil
}
