// Package commands is the table of control commands: their grammar, what they
// do and how they answer. It is data only; the server, the command-line client,
// its completion and the manual are made from it.
package commands

import (
	"fmt"
	"slices"
	"sync"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/tabfile"
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
	Optional bool     // may be left out, with those after it that may be
	Repeat   bool     // it and the others that repeat may come again, in turn
	Secret   bool     // never to be logged or shown
	Values   []string // the values it may have, where they are few and fixed; its own name alone makes it a [Arg.Keyword]
}

// Keyword reports whether the argument is a word that is there as it is or not
// at all. Anything else in its place is an argument too many.
func (a Arg) Keyword() bool { return a.Optional && len(a.Values) == 1 && a.Values[0] == a.Name }

// A Command is a control command. What its slices hold must not be changed.
type Command struct {
	Name    string
	Args    []Arg
	Min     int // fewest arguments
	Max     int // most arguments; -1: any number, those beyond Args being ignored where none repeats
	Kind    Kind
	Changes bool        // whether it changes anything on the server
	Rows    []string    // names of the columns of its list; none where it sends the lines of a file
	Meaning string      // what it does, one or two sentences
	Codes   []ctrl.Code // refusals that it may answer besides those of [Common], ascending
	Ours    bool        // not a command of XMail 1.27
}

var all = sync.OnceValue(build)

// read has the commands that [Lookup] has found, as *Command by their names.
var read sync.Map

// All returns all commands, sorted by name.
func All() []Command { return slices.Clone(all()) }

// Common returns the refusals that any command may answer, ascending.
func Common() []ctrl.Code {
	return []ctrl.Code{ctrl.CodeShutdown, ctrl.CodeInternal, ctrl.CodeTimeout, ctrl.CodeCommand, ctrl.CodeForbidden, ctrl.CodeLineTooLong}
}

// Lookup returns the command of that name, whose ASCII letters may be of any case.
func Lookup(name string) (Command, bool) {
	name = tabfile.Fold(name)
	if c, ok := read.Load(name); ok {
		return *c.(*Command), true
	}
	// Of the whole table a client that runs one command needs one row.
	for _, table := range tables {
		for i := range table {
			if table[i].name == name {
				c := table[i].command()
				read.Store(name, &c)
				return c, true
			}
		}
	}
	return Command{}, false
}

// Usage returns the grammar on one line: "userlist [domain-pattern [user-pattern]]".
func (c Command) Usage() string {
	if len(c.Args) == 0 {
		return c.Name
	}
	return c.Name + " " + formatArgs(c.Args)
}

// CheckArgs returns nil when args, without the command, are as many as there
// may be, and otherwise an error that ends in the usage.
func (c Command) CheckArgs(args []string) error {
	n := len(args)
	problem := ""
	switch {
	case n < c.Min:
		problem = "too few arguments"
	case c.Max >= 0 && n > c.Max:
		problem = "too many arguments"
	default:
		first, group := c.repeats()
		if group > 1 && n > first && (n-first)%group != 0 {
			problem = "arguments missing"
		}
		for i, a := range c.Args[:min(n, len(c.Args))] {
			if a.Keyword() && args[i] != a.Name {
				problem = "too many arguments"
			}
		}
	}
	if problem == "" {
		return nil
	}
	return fmt.Errorf("%s: %s, usage: %s", c.Name, problem, c.Usage())
}

// repeats returns the index of the first argument that repeats and how many do.
func (c Command) repeats() (first, group int) {
	for i, a := range c.Args {
		if a.Repeat {
			if group == 0 {
				first = i
			}
			group++
		}
	}
	return first, group
}

// Secret reports whether argument i (from 0, without the command) is a secret.
func (c Command) Secret(i int) bool { return i < len(c.Args) && c.Args[i].Secret }

// Mask returns args (without the command) with "*" in place of secrets, for logs.
// Of a command that is not in the table, such as a login line that is sent twice, and
// of one with a secret and a wrong number of arguments, a secret may be anywhere: all
// are masked, but for a first one that two arguments of the command part from its secret.
func Mask(name string, args []string) []string {
	masked := slices.Clone(args)
	c, ok := Lookup(name)
	switch {
	case ok && c.Name == "try":
		if len(args) > 0 {
			return append(masked[:1], Mask(args[0], args[1:])...)
		}
		return masked
	case ok && (c.CheckArgs(args) == nil || !slices.ContainsFunc(c.Args, func(a Arg) bool { return a.Secret })):
		for i := range masked {
			if c.Secret(i) {
				masked[i] = "*"
			}
		}
		return masked
	}
	for i := range masked {
		if i > 0 || !ok || c.Secret(0) || c.Secret(1) {
			masked[i] = "*"
		}
	}
	return masked
}
