package tabfile

import "iter"

// A Row is one readable row of a table. It is never changed, and stays valid
// when the table changes.
type Row struct{ l *line }

// Fields returns the fields of the row.
func (r Row) Fields() []string { return Split(r.l.body()) }

// AppendFields appends the fields of the row to dst. With room in dst it allocates
// only for fields that contain \".
func (r Row) AppendFields(dst []string) []string { return AppendSplit(dst, r.l.body()) }

// Field returns field i, counted from 0, or "" where the row has fewer.
func (r Row) Field(i int) string {
	field, _ := Field(r.l.body(), i)
	return field
}

// Raw returns the row as it stands in the file, without its line end.
func (r Row) Raw() string { return r.l.body() }

// Before reports whether r stands above other in the same version of a table.
func (r Row) Before(other Row) bool { return r.l.seq < other.l.seq }

// A View is one version of a table. It does not change and may be used by
// several goroutines; a nil View is a table that is not there.
type View struct {
	c    *content
	gone bool
	lent *bool // of a table in a transaction: set when somebody may walk through its rows
}

// walk returns the content to walk through, which nobody changes meanwhile.
func (v *View) walk() *content {
	if v.lent != nil {
		*v.lent = true
	}
	return v.c
}

// Exists reports whether the file of the table is there. A table whose file
// vanished under the running store keeps its rows for look-ups.
func (v *View) Exists() bool { return v != nil && v.c.exists && !v.gone }

// Len returns the number of readable rows.
func (v *View) Len() int {
	if v == nil {
		return 0
	}
	return v.c.rows
}

// Rows returns the readable rows in file order.
func (v *View) Rows() iter.Seq[Row] {
	return func(yield func(Row) bool) {
		if v == nil {
			return
		}
		v.walk().lines.Scan(func(l *line) bool { return !l.row || yield(Row{l}) })
	}
}

// First returns the earliest row in the file that has this key in an index.
func (v *View) First(index, key string) (Row, bool) {
	var first *line
	if v != nil {
		v.c.withKey(v.c.schema.index(index), key, func(l *line) bool {
			first = l
			return false
		})
	}
	return Row{first}, first != nil
}

// All returns the rows that have this key in an index, in file order.
func (v *View) All(index, key string) iter.Seq[Row] {
	return func(yield func(Row) bool) {
		if v == nil {
			return
		}
		c := v.walk()
		c.withKey(c.schema.index(index), key, func(l *line) bool { return yield(Row{l}) })
	}
}

// Count returns how many rows have this key in a count of the schema.
func (v *View) Count(name, key string) int {
	if v == nil {
		return 0
	}
	for i, count := range v.c.schema.Counts {
		if count.Name == name {
			return v.c.counts[i][key]
		}
	}
	panic("tabfile: no count " + name)
}

// Prefix returns the rows whose key in an index begins with prefix, in the
// order of their keys.
func (v *View) Prefix(index, prefix string) iter.Seq[Row] {
	return func(yield func(Row) bool) {
		if v == nil {
			return
		}
		c := v.walk()
		tree := c.indexes[c.schema.index(index)]
		tree.Ascend(entry{prefix, &line{}}, func(e entry) bool {
			return len(e.key) >= len(prefix) && e.key[:len(prefix)] == prefix && yield(Row{e.line})
		})
	}
}

// Last returns the row with the greatest key in an index.
func (v *View) Last(index string) (Row, bool) {
	if v == nil {
		return Row{}, false
	}
	e, ok := v.c.indexes[v.c.schema.index(index)].Max()
	return Row{e.line}, ok
}
