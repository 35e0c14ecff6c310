package commands

import (
	"fmt"
	"slices"
	"strings"
)

// The grammar of arguments, as [Command.Usage] shows it:
//
//	domain user            both must be there
//	domain [user [host]]   user may be left out, and so may host
//	address [mask] rest    mask may be left out, rest may not
//	pattern...             once or more often
//	[pattern...]           any number of times
//	domain (name value)... pairs, at least one

// formatArgs returns args in the grammar.
func formatArgs(args []Arg) string {
	var b strings.Builder
	open := 0
	for i, a := range args {
		if i > 0 {
			b.WriteByte(' ')
		}
		if a.Optional {
			b.WriteByte('[')
			open++
		}
		group := a.Repeat && (i+1 < len(args) && args[i+1].Repeat || i > 0 && args[i-1].Repeat)
		first := a.Repeat && (i == 0 || !args[i-1].Repeat)
		last := a.Repeat && (i+1 == len(args) || !args[i+1].Repeat)
		if group && first {
			b.WriteByte('(')
		}
		b.WriteString(a.Name)
		if group && last {
			b.WriteByte(')')
		}
		if last {
			b.WriteString("...")
		}
		if i+1 < len(args) && !args[i+1].Optional {
			b.WriteString(strings.Repeat("]", open))
			open = 0
		}
	}
	b.WriteString(strings.Repeat("]", open))
	return b.String()
}

// parseArgs returns the arguments of a grammar, and how many there are at least
// and at most (-1: any number).
func parseArgs(grammar string) (args []Arg, least, most int, err error) {
	open, group := 0, 0
	for word := range strings.FieldsSeq(grammar) {
		a := Arg{}
		if rest, ok := strings.CutPrefix(word, "["); ok {
			word, a.Optional = rest, true
			open++
		}
		optional := open > 0
		inner := strings.TrimRight(word, "]")
		word, open = inner, open-(len(word)-len(inner))
		if rest, ok := strings.CutPrefix(word, "("); ok {
			word, group = rest, len(args)+1
		}
		word, a.Repeat = strings.CutSuffix(word, "...")
		word, _ = strings.CutSuffix(word, ")")
		a.Name = word
		if word == "" || strings.ContainsAny(word, "[]().\"") {
			return nil, 0, 0, fmt.Errorf("arguments %q: malformed", grammar)
		}
		args = append(args, a)
		if !optional {
			least++
		}
		most++
		if a.Repeat && group > 0 {
			for i := group - 1; i < len(args); i++ {
				args[i].Repeat = true
			}
		}
	}
	if slices.ContainsFunc(args, func(a Arg) bool { return a.Repeat }) {
		most = -1
	}
	return args, least, most, nil
}
