package mailroot

import (
	"iter"
	"slices"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// UsersLike returns the users whose domain and name match the patterns, in the order of
// the table. It costs what it finds where the patterns begin with a literal text.
func (t Tables) UsersLike(domain, name string) iter.Seq[User] {
	return typed(like(t.table(UsersTab), domain, name), parseUser)
}

// AliasesLike returns the aliases whose domain and name match the patterns, in the order
// of the table. It costs what it finds where the patterns begin with a literal text.
func (t Tables) AliasesLike(domain, name string) iter.Seq[Alias] {
	return typed(like(t.table(AliasesTab), domain, name), parseAlias)
}

// like returns the rows of a table whose first two columns, which are its index "name",
// match the patterns.
func like(v *tabfile.View, domain, name string) iter.Seq[tabfile.Row] {
	first, whole := literal(domain)
	prefix := first
	if whole {
		second, both := literal(name)
		if both {
			return v.All("name", key(domain, name))
		}
		prefix = key(domain, second)
	}
	matches := func(row tabfile.Row) bool {
		var room [8]string
		f := row.AppendFields(room[:0])
		return tabfile.Match(domain, f[0]) && tabfile.Match(name, f[1])
	}
	return func(yield func(tabfile.Row) bool) {
		if prefix != "" {
			if rows, ok := sorted(v, tabfile.Fold(prefix), matches); ok {
				for _, row := range rows {
					if !yield(row) {
						return
					}
				}
				return
			}
		}
		for row := range v.Rows() {
			if matches(row) && !yield(row) {
				return
			}
		}
	}
}

// sorted returns the rows that match among those whose key begins with prefix, in the
// order of the file; false where they are so many that it is better to walk through all,
// which needs no memory.
func sorted(v *tabfile.View, prefix string, matches func(tabfile.Row) bool) ([]tabfile.Row, bool) {
	most := max(10_000, v.Len()/8)
	var rows []tabfile.Row
	seen := 0
	for row := range v.Prefix("name", prefix) {
		if seen++; seen > most {
			return nil, false
		}
		if matches(row) {
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b tabfile.Row) int {
		switch {
		case a.Before(b):
			return -1
		case b.Before(a):
			return 1
		}
		return 0
	})
	return rows, true
}

// literal returns the text that all that matches a pattern begins with, but for case, and
// whether that is the whole pattern.
func literal(pattern string) (text string, whole bool) {
	for i := range len(pattern) {
		switch pattern[i] {
		case '*', '?', '[', '\\':
			return pattern[:i], false
		}
	}
	return pattern, true
}
