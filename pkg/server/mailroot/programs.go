package mailroot

import (
	"iter"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// ExtAuthTab has the programs that check SMTP logins (docs/reference/tables.md 3.12).
const ExtAuthTab = "smtpextauth.tab"

// An ExternalAuth is a program that checks the logins by one mechanism of SMTP AUTH.
type ExternalAuth struct {
	Mechanism string
	Program   []string // with its arguments, macros not expanded
}

// ExternalAuths returns the rows of smtpextauth.tab in file order. Of several for one
// mechanism the first counts.
func (t Tables) ExternalAuths() iter.Seq[ExternalAuth] {
	return typed(t.table(ExtAuthTab).Rows(), func(row tabfile.Row) ExternalAuth {
		f := row.Fields()
		return ExternalAuth{Mechanism: f[0], Program: f[1:]}
	})
}

// Filters returns the rows of a table of filters inside the SMTP session, "post-rcpt",
// "pre-data" or "post-data", in file order: perhaps !FLAGS, a program, its arguments.
func (t Tables) Filters(kind string) iter.Seq[[]string] {
	return typed(t.table(filterTable(kind)).Rows(), tabfile.Row.Fields)
}

func filterTable(kind string) string { return "filters." + kind + ".tab" }
