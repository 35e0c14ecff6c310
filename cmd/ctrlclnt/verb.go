package main

import (
	"github.com/spf13/cobra"
)

// A verb is a command of this program that talks to a server, such as batch.
// After "--" its name is the server's, as any other word.
type verb struct {
	name, args  string // args as the help shows them
	short, long string
	least, most int      // words after the name; most -1: any number
	options     []option // besides those of the option table
	run         func(p *program, o *options) int
	// complete completes the word after args, those before it.
	complete func(args []string, word string) ([]string, cobra.ShellCompDirective)
}

// bulkOptions are set by the options of the verbs.
type bulkOptions struct {
	keepGoing    bool
	atomic       bool
	dryRun       bool
	skipExisting bool
	generate     bool
	resume       bool
	report       string
	domain       string
	since        string
	interval     int // seconds

	// Of queue and froz.
	match []string
	older string
	all   bool
}

// verbs returns the commands of this program in the order of the help.
func verbs() []verb {
	return []verb{batchVerb(), importVerb(), exportVerb(), queueVerb(), frozVerb(), shellVerb(), watchVerb()}
}

// findVerb returns the verb of that name, or nil.
func findVerb(name string) *verb {
	for _, v := range verbs() {
		if v.name == name {
			return &v
		}
	}
	return nil
}

// usage returns the grammar of a verb.
func (v *verb) usage() string {
	if v.args == "" {
		return v.name
	}
	return v.name + " " + v.args
}

// check returns a usage error for a wrong number of words.
func (v *verb) check(words []string) error {
	n := len(words) - 1
	switch {
	case n < v.least:
		return &usageError{msg: v.name + ": too few arguments", command: v.usage()}
	case v.most >= 0 && n > v.most:
		return &usageError{msg: v.name + ": too many arguments", command: v.usage()}
	}
	return nil
}

// command returns what cobra must know for help and completion; name is the program's.
func (v *verb) command(name string) *cobra.Command {
	c := &cobra.Command{
		Use:   v.usage(),
		Short: v.short,
		Args:  cobra.ArbitraryArgs,
		Run:   func(*cobra.Command, []string) {},
		ValidArgsFunction: func(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
			if v.complete == nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return v.complete(args, word)
		},
	}
	addFlags(c, v.options)
	addFlags(c, optionTable())
	c.SetHelpFunc(func(c *cobra.Command, _ []string) { writeVerbHelp(c.OutOrStdout(), name, v) })
	return c
}

// addFlags declares options to cobra.
func addFlags(c *cobra.Command, options []option) {
	flags := c.Flags()
	for _, o := range options {
		short := ""
		if o.letter != 0 {
			short = string(rune(o.letter))
		}
		if o.value == "" {
			flags.BoolP(o.name, short, false, o.usage)
			continue
		}
		flags.StringP(o.name, short, "", o.usage)
		switch o.value {
		case "file":
		case "dir":
			c.MarkFlagDirname(o.name)
		case "format":
			c.RegisterFlagCompletionFunc(o.name, cobra.FixedCompletions(formatNames[:], cobra.ShellCompDirectiveNoFileComp))
		default:
			c.RegisterFlagCompletionFunc(o.name, cobra.NoFileCompletions)
		}
	}
}

// toggle is an option without a value.
func toggle(name, usage string, p func(*bulkOptions) *bool) option {
	return option{0, name, "", usage, func(o *options, _ string) error { *p(&o.bulk) = true; return nil }}
}

// word is an option with a value that must not be empty.
func word(name, value, usage string, p func(*bulkOptions) *string) option {
	return option{0, name, value, usage, func(o *options, v string) error {
		if v == "" {
			return errEmptyValue
		}
		*p(&o.bulk) = v
		return nil
	}}
}
