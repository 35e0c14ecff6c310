// Package commands is the table of control commands: their grammar, what they do and how
// they answer. It is data only; the server, the command-line client, its
// completion and the manual are made from it.
package commands

import (
	"slices"

	"github.com/xmaild/xmaild/pkg/ctrl"
)

// A Kind says what kind of reply a successful command has.
type Kind string

const (
	Plain  Kind = "plain"  // one line
	List   Kind = "list"   // lines follow
	Upload Kind = "upload" // the client sends lines
)

// An Arg is an argument of a command.
type Arg struct {
	Name     string   // as in "remote-host"
	Optional bool     // may be left out, with all after it
	Repeat   bool     // this one, and those before it that repeat, may come again
	Secret   bool     // never to be logged or shown
	Values   []string // the values it may have, where they are few and fixed
}

// A Command is a control command.
type Command struct {
	Name    string
	Args    []Arg
	Min     int // fewest arguments
	Max     int // most arguments; -1: any number
	Kind    Kind
	Changes bool        // whether it changes anything on the server
	Rows    []string    // names of the columns of its list; none where it sends lines of a file
	Meaning string      // what it does, one or two sentences
	Codes   []ctrl.Code // refusals it may answer, besides those of any command, ascending
	Ours    bool        // not a command of XMail 1.27
}

// All returns all commands, sorted by name.
func All() []Command { return slices.Clone(table) }

// Lookup returns the command of that name, whose ASCII letters may be of any case.
func Lookup(name string) (Command, bool) { return lookup(name) }

// Usage returns the grammar on one line: "userlist [domain-pattern [user-pattern]]".
func (c Command) Usage() string { return c.usage() }

// CheckArgs returns nil when args, without the command, are a valid number of arguments, and
// otherwise an error that ends in the usage.
func (c Command) CheckArgs(args []string) error { return c.checkArgs(args) }

// Secret reports whether argument i (from 0, without the command) is a secret.
func (c Command) Secret(i int) bool { return c.secret(i) }

// Mask returns args (without the command) with "*" in place of secrets. Of a command that is not in the table,
// and of one with the wrong number of arguments, where a secret may be anywhere, all are masked
// but the first.
func Mask(name string, args []string) []string { return mask(name, args) }

// HelpRow returns the command as a row of the list that help answers; ParseHelpRow reads it.
func (c Command) HelpRow() []string { return c.helpRow() }

// ParseHelpRow returns the command of a row of help. Columns after those it
// knows are ignored.
func ParseHelpRow(row []string) (Command, error) { return parseHelpRow(row) }

// HelpColumns returns the names of the columns of [Command.HelpRow].
func HelpColumns() []string { return slices.Clone(helpColumns) }

// DetailRows returns the rows of the list that "help COMMAND" answers: a word and its values in each.
func (c Command) DetailRows() [][]string { return c.detailRows() }

// Markdown returns the table of all commands as a page of the manual.
func Markdown() string { return markdown() }
