package mailroot

import (
	"fmt"
	"io/fs"
	"iter"
	"path"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A FilterRule is a row of filters.in.tab or filters.out.tab: the mail that the
// programs of a file are run on.
type FilterRule struct {
	Sender, Recipient string // patterns
	Remote, Local     tabfile.AddrRule
	File              string // below the folder filters
}

// FilterRules returns the rows of the table of filters for mail that comes in ("in")
// or leaves ("out"), in file order.
func (t Tables) FilterRules(kind string) iter.Seq[FilterRule] {
	return typed(t.table(filterTable(kind)).Rows(), func(row tabfile.Row) FilterRule {
		f := row.Fields()
		rule := FilterRule{Sender: f[0], Recipient: f[1], File: f[4]}
		rule.Remote, _ = tabfile.ParseAddrRule(f[2], "") // of a row that is readable
		rule.Local, _ = tabfile.ParseAddrRule(f[3], "")
		return rule
	})
}

// FiltersDir has the files of filters that [FilterRule] names.
const FiltersDir = "filters"

// FilterFile returns the rows of a file of filters, as those of [Tables.Filters] are.
// There is none where exists is false.
func (t Tables) FilterFile(name string) (rows [][]string, exists bool, err error) {
	file := FiltersDir + "/" + name
	if !fs.ValidPath(name) || name == "." || hasBackslash(name) {
		return nil, false, fmt.Errorf("%q is no file of filters", name)
	}
	return t.rows(file)
}

// CommandRows returns the rows of a file of commands, given by its path below MailRoot:
// that of a custom domain or a command alias, or a mailproc.tab.
func (t Tables) CommandRows(file string) (rows [][]string, exists bool, err error) {
	return t.rows(file)
}

// MailProcFiles returns where the commands for mail to an account may stand: those for
// all of its domain, and its own.
func (u User) MailProcFiles() ([]string, error) {
	domain, err := DomainDir(u.Domain)
	if err != nil {
		return nil, err
	}
	own, err := u.Path()
	if err != nil {
		return nil, err
	}
	return []string{path.Join(domain, MailProcTab), path.Join(own, MailProcTab)}, nil
}

func (t Tables) rows(file string) (rows [][]string, exists bool, err error) {
	v, err := t.file(file, wordsSchema)
	if err != nil || !v.Exists() {
		return nil, false, err
	}
	for row := range v.Rows() {
		rows = append(rows, row.Fields())
	}
	return rows, true, nil
}

// wordsSchema is a file whose rows are a word and what belongs to it.
var wordsSchema = &tabfile.Schema{Columns: 1}
