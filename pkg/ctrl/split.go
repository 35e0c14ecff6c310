package ctrl

import "github.com/xmaild/xmaild/pkg/tabfile"

// split returns the fields of a line. Command lines and the rows of tables have
// the same syntax.
func split(line string) []string { return tabfile.Split(line) }
