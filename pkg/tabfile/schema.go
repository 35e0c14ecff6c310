package tabfile

import (
	"fmt"
	"strings"
)

// A Schema says what a [Store] must know of one kind of table. It is not
// changed after it was handed to a store.
type Schema struct {
	// Columns is how many fields a row needs; a row with fewer is unreadable.
	Columns int

	// Bare has bit i set where column i, counted from 0, is written without
	// quotes, as the reference writes numbers.
	Bare uint64

	// Check reports why a row with enough fields is unreadable. Nil accepts all.
	Check func(fields []string) error

	// CheckNew reports why a row that is readable may not be added: old tables
	// have rows that are understood and that nobody should write any more. In a
	// file that is written as a whole it sees the lines that did not stand there
	// before; edits by hand are not asked. Nil accepts all.
	CheckNew func(fields []string) error

	// Indexes are the look-ups that a table answers. The first one also tells
	// which row an edit by hand has changed or removed.
	Indexes []Index

	// Counts are like Indexes of which is known only how many rows have a key, so that
	// they take no memory a row. Keys are to be few.
	Counts []Index

	// Keep refuses an edit or an upload that leaves no readable row.
	Keep bool
}

// An Index is one way to look up rows.
type Index struct {
	Name string

	// Key returns the key of a row; ok is false for a row that this index
	// leaves out. Keys are compared byte by byte: a key that is to be found
	// whatever its case is folded here, with [Fold].
	Key func(fields []string) (key string, ok bool)
}

// check returns why fields are no readable row of the table.
func (s *Schema) check(fields []string) error {
	if len(fields) < s.Columns {
		return fmt.Errorf("%d fields where %d are needed", len(fields), s.Columns)
	}
	if s.Check != nil {
		return s.Check(fields)
	}
	return nil
}

// format writes a row as one line without its end.
func (s *Schema) format(fields []string) (string, error) {
	if err := s.check(fields); err != nil {
		return "", err
	}
	if s.CheckNew != nil {
		if err := s.CheckNew(fields); err != nil {
			return "", err
		}
	}
	cells := make([]string, len(fields))
	for i, field := range fields {
		if i < 64 && s.Bare&(1<<i) != 0 && isNumber(field) {
			cells[i] = field
			continue
		}
		cell, err := Cell(field)
		if err != nil {
			return "", err
		}
		cells[i] = cell
	}
	if strings.HasPrefix(cells[0], "#") {
		return "", fmt.Errorf("first field %q would be read as a comment", fields[0])
	}
	return strings.Join(cells, "\t"), nil
}

// isNumber reports whether s is a decimal number that can stand without quotes.
func isNumber(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	return digits != "" && strings.Trim(digits, "0123456789") == ""
}

// index returns the position of the index of that name. Asking for one that
// the schema does not have is a mistake of the program.
func (s *Schema) index(name string) int {
	for i := range s.Indexes {
		if s.Indexes[i].Name == name {
			return i
		}
	}
	panic("tabfile: no index " + name)
}
