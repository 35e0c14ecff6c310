package mailroot

import (
	"iter"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// Tables reads the tables of a MailRoot. It is safe for concurrent use when it
// belongs to a [Root]; that of a [Tx] is good only inside its transaction.
type Tables struct {
	table func(name string) *tabfile.View
	file  func(name string, schema *tabfile.Schema) (*tabfile.View, error)
	// lately is file for what is asked for by many commands a second: what an editor saved
	// may show some milliseconds later.
	lately func(name string, schema *tabfile.Schema) (*tabfile.View, error)
	owns   func(domain string) bool // nil: no limit; see Within
}

// Exists reports whether a table of MailRoot itself has its file. One that
// vanished under the running server keeps its rows for look-ups, but does not
// exist.
func (t Tables) Exists(table string) bool { return t.table(table).Exists() }

// A Tx is a transaction: its [Tables] show the changes made so far, its
// embedded [tabfile.Tx] makes them.
type Tx struct {
	Tables
	*tabfile.Tx
}

func newTx(tx *tabfile.Tx) *Tx {
	file := func(name string, schema *tabfile.Schema) (*tabfile.View, error) {
		t, err := tx.File(name, schema)
		if err != nil {
			return nil, err
		}
		return &t.View, nil
	}
	return &Tx{Tx: tx, Tables: Tables{
		table:  func(name string) *tabfile.View { return &tx.Table(name).View },
		file:   file,
		lately: file,
	}}
}

// Exists reports whether a table of MailRoot itself has its file.
func (tx *Tx) Exists(table string) bool { return tx.Tables.Exists(table) }

// typed turns rows into their typed form.
func typed[T any](rows iter.Seq[tabfile.Row], parse func(tabfile.Row) T) iter.Seq[T] {
	return func(yield func(T) bool) {
		for row := range rows {
			if !yield(parse(row)) {
				return
			}
		}
	}
}

// first returns the earliest row with that key in its typed form.
func first[T any](v *tabfile.View, index, key string, parse func(tabfile.Row) T) (T, bool) {
	row, ok := v.First(index, key)
	if !ok {
		var none T
		return none, false
	}
	return parse(row), true
}
