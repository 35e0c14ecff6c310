package commands

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/xmaild/xmaild/pkg/ctrl"
)

var helpColumns = [...]string{"command", "arguments", "kind", "min", "max", "changes", "secret", "values", "rows", "codes", "origin", "meaning"}

// HelpColumns returns the names of the columns of [Command.HelpRow].
func HelpColumns() []string { return slices.Clone(helpColumns[:]) }

// HelpRow returns the command as a row of the list that "help" answers. Numbers
// of arguments are decimal, "-1" for any; lists are of words with a space between;
// the words of values are "name=value|value".
func (c Command) HelpRow() []string {
	var secret, values, codes []string
	for _, a := range c.Args {
		if a.Secret {
			secret = append(secret, a.Name)
		}
		if len(a.Values) > 0 {
			values = append(values, a.Name+"="+strings.Join(a.Values, "|"))
		}
	}
	for _, code := range c.Codes {
		codes = append(codes, code.String())
	}
	changes, origin := "no", "XMail"
	if c.Changes {
		changes = "yes"
	}
	if c.Ours {
		origin = "xmaild"
	}
	return []string{
		c.Name, formatArgs(c.Args), string(c.Kind), strconv.Itoa(c.Min), strconv.Itoa(c.Max), changes,
		strings.Join(secret, " "), strings.Join(values, " "), strings.Join(c.Rows, " "), strings.Join(codes, " "),
		origin, c.Meaning,
	}
}

// ParseHelpRow returns the command of a row of help. Columns after those that it
// knows are ignored, so that rows can grow.
func ParseHelpRow(row []string) (Command, error) {
	if len(row) < len(helpColumns) {
		return Command{}, fmt.Errorf("row of help has %d columns, want %d", len(row), len(helpColumns))
	}
	fail := func(err error) (Command, error) {
		return Command{}, fmt.Errorf("row of help for %q: %w", row[0], err)
	}
	args, _, _, err := parseArgs(row[1])
	if err != nil {
		return fail(err)
	}
	c := Command{
		Name: row[0], Args: args, Kind: Kind(row[2]), Changes: row[5] == "yes",
		Rows: words(row[8]), Ours: row[10] == "xmaild", Meaning: row[11],
	}
	if c.Min, err = strconv.Atoi(row[3]); err != nil {
		return fail(err)
	}
	if c.Max, err = strconv.Atoi(row[4]); err != nil {
		return fail(err)
	}
	for _, name := range words(row[6]) {
		if i := c.arg(name); i >= 0 {
			c.Args[i].Secret = true
		}
	}
	for _, word := range words(row[7]) {
		name, values, _ := strings.Cut(word, "=")
		if i := c.arg(name); i >= 0 {
			c.Args[i].Values = strings.Split(values, "|")
		}
	}
	for _, word := range words(row[9]) {
		n, err := strconv.Atoi(strings.TrimPrefix(word, "-"))
		if err != nil {
			return fail(err)
		}
		c.Codes = append(c.Codes, ctrl.Code(n))
	}
	return c, nil
}

func (c Command) arg(name string) int {
	return slices.IndexFunc(c.Args, func(a Arg) bool { return a.Name == name })
}

// words is strings.Fields that has nil for none.
func words(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Fields(s)
}

// DetailRows returns the rows of the list that "help COMMAND" answers, for people
// and programs: each begins with a word that says what it is. "argument" rows have
// a name, "required" or "optional", and the values it may have; "code" rows a
// number and its meaning; the "right" row has a [Need] and who has it.
func (c Command) DetailRows() [][]string {
	rows := [][]string{
		{"usage", c.Usage()},
		{"meaning", c.Meaning},
		{"kind", string(c.Kind)},
		{"min", strconv.Itoa(c.Min)},
		{"max", strconv.Itoa(c.Max)},
		{"right", string(c.Access().Need), c.who()},
	}
	need := "required"
	for _, a := range c.Args {
		if a.Optional {
			need = "optional"
		}
		row := []string{"argument", a.Name, need}
		if len(a.Values) > 0 {
			row = append(row, strings.Join(a.Values, "|"))
		}
		rows = append(rows, row)
	}
	for _, name := range c.Rows {
		rows = append(rows, []string{"column", name})
	}
	for _, code := range c.Codes {
		rows = append(rows, []string{"code", code.String(), code.Text()})
	}
	return rows
}
