package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/ctrl/commands"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// shownNames is how many names are shown where several fit.
const shownNames = 100

// complete completes the word before the cursor. Where there is nothing to add, it
// shows what fits and the grammar of the command, above the line.
func (s *shell) complete(ctx context.Context, line string, pos int) (string, int, bool) {
	head := line[:pos]
	start := strings.LastIndexByte(head, ' ') + 1
	prefix := head[start:]
	words, err := splitLine(strings.TrimLeft(head[:start], " "))
	if err != nil || strings.HasPrefix(prefix, `"`) {
		return line, pos, true // inside quotes
	}
	var names []string
	var c commands.Command
	known := false
	switch {
	case len(words) == 0:
		names = s.commandNames(prefix, "help", "exit")
	case strings.EqualFold(words[0], "help"):
		names = s.commandNames(prefix)
	case strings.EqualFold(words[0], "try") && len(words) == 1:
		names = s.commandNames(prefix)
	default:
		if strings.EqualFold(words[0], "try") {
			words = words[1:]
		}
		if c, known = s.lookup(words[0]); known {
			names = s.argument(ctx, c, words[1:], prefix)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	added := commonPrefix(names)
	if len(added) > len(prefix) {
		if len(names) == 1 && pos == len(line) {
			added += " "
		}
		return head[:start] + added + line[pos:], start + len(added), true
	}
	if len(names) == 1 && pos == len(line) && names[0] == prefix {
		return line + " ", pos + 1, true
	}
	if len(names) > 1 {
		more := ""
		if len(names) > shownNames {
			names, more = names[:shownNames], " …"
		}
		fmt.Fprintf(s.screen, "%s%s\n", visible(strings.Join(names, "  "), false), more)
	}
	if known {
		fmt.Fprintf(s.screen, "%s\n", hint(c, len(words)-1))
	}
	return line, pos, true
}

// hint returns the grammar of a command with argument i marked.
func hint(c commands.Command, i int) string {
	usage := c.Usage()
	if i < len(c.Args) {
		return fmt.Sprintf("%s    (now: %s)", usage, c.Args[i].Name)
	}
	return usage
}

// commonPrefix returns what all names begin with.
func commonPrefix(names []string) string {
	if len(names) == 0 {
		return ""
	}
	p := names[0]
	for _, n := range names[1:] {
		for !strings.HasPrefix(n, p) {
			p = p[:len(p)-1]
		}
	}
	return p
}

func (s *shell) commandNames(prefix string, more ...string) []string {
	var names []string
	for _, c := range s.known {
		names = append(names, c.Name)
	}
	return withPrefix(append(names, more...), prefix)
}

// withPrefix keeps the names that begin with prefix, in any case of ASCII letters, and
// can be typed without quotes.
func withPrefix(names []string, prefix string) []string {
	return slices.DeleteFunc(names, func(n string) bool {
		return len(n) < len(prefix) || !tabfile.EqualFold(n[:len(prefix)], prefix) || n == "" || strings.ContainsAny(n, " \"")
	})
}

// argument returns what argument len(before) of a command may be.
func (s *shell) argument(ctx context.Context, c commands.Command, before []string, prefix string) []string {
	i := len(before)
	if i >= len(c.Args) {
		return nil
	}
	arg := c.Args[i]
	if len(arg.Values) > 0 {
		return withPrefix(slices.Clone(arg.Values), prefix)
	}
	if strings.ContainsAny(prefix, "*?[") {
		return nil
	}
	domain := ""
	for n, a := range c.Args[:i] {
		if strings.HasPrefix(a.Name, "domain") {
			domain = before[n]
		}
	}
	from := func(column int, words ...string) []string { return withPrefix(s.column(ctx, column, words...), prefix) }
	switch name := strings.TrimSuffix(arg.Name, "-pattern"); {
	case name == "domain" && c.Name == "domainadd", c.Name == "useradd" && name == "user":
		return nil // a new one
	case name == "domain", name == "real-domain", name == "pattern" && c.Name == "domainlist":
		return from(0, "domainlist", prefix+"*")
	case (name == "user" || name == "list" || name == "account") && domain != "":
		return from(1, "userlist", domain, prefix+"*")
	case name == "alias" && domain != "" && c.Name != "aliasadd":
		return from(1, "aliaslist", domain, prefix+"*")
	case name == "alias-domain" && c.Name != "aliasdomainadd":
		return from(1, "aliasdomainlist", "*", prefix+"*")
	case name == "name" && c.Name == "uservarsset" && i >= 2:
		return from(0, "uservars", before[0], before[1])
	case name == "name" && strings.HasPrefix(c.Name, "svar"):
		return from(0, "svarlist", prefix+"*")
	case name == "command":
		return s.commandNames(prefix)
	}
	return nil
}

// column asks the server for a list and returns one of its columns. Without an answer there is
// nothing to complete. In a transaction it is not asked: that would be refused, and spoil the
// transaction.
func (s *shell) column(ctx context.Context, column int, words ...string) []string {
	if s.client == nil || s.begun {
		return nil
	}
	resp, err := s.client.Do(ctx, words...)
	var names []string
	if err == nil {
		for row, e := range resp.Rows() {
			if err = e; err != nil {
				break
			}
			if column < len(row) {
				names = append(names, row[column])
			}
		}
	}
	if _, refused := err.(*ctrl.Error); err != nil && !refused {
		s.client.Close()
		s.client = nil
	}
	return names
}
