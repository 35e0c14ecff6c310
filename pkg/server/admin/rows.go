package admin

import (
	"iter"
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// rowsOf returns the rows of typed rows.
func rowsOf[T any](seq iter.Seq[T], row func(T) tabfile.Row) []tabfile.Row {
	var rows []tabfile.Row
	for x := range seq {
		rows = append(rows, row(x))
	}
	return rows
}

// deleteRows removes rows that go with something else. A table without its file
// has none to remove, whatever is remembered of it.
func deleteRows(tx *mailroot.Tx, table string, rows []tabfile.Row) error {
	if len(rows) == 0 || !tx.Tables.Exists(table) {
		return nil
	}
	return tx.Table(table).Delete(rows...)
}

// filter returns the elements that keep wants.
func filter[T any](seq iter.Seq[T], keep func(T) bool) iter.Seq[T] {
	return func(yield func(T) bool) {
		for x := range seq {
			if keep(x) && !yield(x) {
				return
			}
		}
	}
}

// inFileOrder returns what an index gave in the order of the file.
func inFileOrder[T any](seq iter.Seq[T], row func(T) tabfile.Row) iter.Seq[T] {
	all := slices.Collect(seq)
	slices.SortFunc(all, func(a, b T) int {
		switch {
		case row(a).Before(row(b)):
			return -1
		case row(b).Before(row(a)):
			return 1
		}
		return 0
	})
	return slices.Values(all)
}

// isPattern reports whether a pattern can match more than its own text.
func isPattern(s string) bool { return strings.ContainsAny(s, `*?[\`) }
