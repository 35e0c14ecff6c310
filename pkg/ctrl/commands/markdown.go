package commands

import (
	"fmt"
	"strings"
)

// escaper makes of a text one that Markdown shows as it is.
var escaper = strings.NewReplacer("|", `\|`, "*", `\*`, "_", `\_`, "<", `\<`)

// Table returns the commands as a Markdown table: usage and meaning.
func Table() string {
	var b strings.Builder
	b.WriteString("| Command | What it does |\n|---|---|\n")
	for _, c := range all() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", c.Usage(), escaper.Replace(c.Meaning))
	}
	return b.String()
}

// Markdown returns the page of the manual on the commands, docs/commands.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString(`# Control commands

This page is made from the table in pkg/ctrl/commands; change it there, then run

    go test ./pkg/ctrl/commands -update

Arguments in brackets may be left out, with all after them; those before "..." may come again. Each is
a field of the command line (an empty one is ""). The commands that XMail 1.27 does not have are marked. A server lists all this: "help" and "help COMMAND".

Any command may be refused with these codes:

`)
	for _, code := range Common() {
		fmt.Fprintf(&b, "- `%v` %s\n", code, code.Text())
	}
	b.WriteString("\n## At a glance\n\n" + Table())
	for _, c := range all() {
		c.section(&b)
	}
	return b.String()
}

func (c Command) section(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n\n    %s\n\n%s", c.Name, c.Usage(), escaper.Replace(c.Meaning))
	if c.Ours {
		b.WriteString(" XMail 1.27 does not have this command.")
	}
	b.WriteString("\n")
	for _, a := range c.Args {
		if len(a.Values) > 0 {
			fmt.Fprintf(b, "\nValues of %s: `%s`\n", a.Name, strings.Join(a.Values, "`, `"))
		}
	}
	if c.Max < 0 {
		if _, group := c.repeats(); group == 0 {
			b.WriteString("\nMore arguments are taken and ignored.\n")
		}
	}
	switch {
	case c.Kind == Upload:
		b.WriteString("\nReply: `+00101`, after which the client sends lines and a dot, and another reply.\n")
	case len(c.Rows) > 0:
		fmt.Fprintf(b, "\nReply: a list with the columns %s.\n", strings.Join(c.Rows, ", "))
	case c.Kind == List && c.Name == "help":
		fmt.Fprintf(b, "\nReply: a list with the columns %s; for one command rows that begin with what they are.\n", strings.Join(helpColumns[:], ", "))
	case c.Kind == List:
		b.WriteString("\nReply: a list, the lines of the file.\n")
	}
	fmt.Fprintf(b, "\nFor %s.\n", c.who())
	if len(c.Codes) > 0 {
		b.WriteString("\nRefusals:\n\n")
		for _, code := range c.Codes {
			fmt.Fprintf(b, "- `%v` %s\n", code, code.Text())
		}
	}
}
