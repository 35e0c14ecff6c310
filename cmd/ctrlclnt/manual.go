package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/xmaild/xmaild/cmd/internal/man"
	"github.com/xmaild/xmaild/pkg/ctrl/commands"
)

// writeManual writes the manual page, from the tables that the help is made of.
func writeManual(w io.Writer, name string) error {
	p := man.New(w, name, "1", buildVersion(), "run commands of a mail server's control protocol")
	p.Section("SYNOPSIS")
	synopsis := fmt.Sprintf("  %s [options] command [arg ...]\n  %[1]s help [command]\n  %[1]s completion bash|zsh|fish|powershell\n", name)
	for _, v := range verbs() {
		synopsis += fmt.Sprintf("  %s [options] %s\n", name, v.usage())
	}
	p.Text(synopsis)
	p.Section("DESCRIPTION")
	p.Text(longHelp)
	p.Section("OPTIONS")
	manualOptions(p, optionTable())
	p.Section("COMMANDS OF THIS PROGRAM")
	for _, v := range verbs() {
		p.Subsection(v.usage())
		p.Text(v.long)
		manualOptions(p, v.options)
	}
	p.Section("COMMANDS OF THE SERVER")
	for _, c := range commands.All() {
		if isOwn(c.Name) {
			continue // it is asked for after "--"
		}
		p.Subsection(c.Usage())
		p.Text(c.Meaning)
		for _, a := range c.Args {
			if len(a.Values) > 0 {
				p.Item(a.Name, "One of "+strings.Join(a.Values, ", ")+".")
			}
		}
		if len(c.Rows) > 0 {
			p.Item("rows", strings.Join(c.Rows, ", "))
		}
		for _, code := range c.Codes {
			p.Item(code.String(), code.Text())
		}
	}
	p.Section("EXIT STATUS")
	p.Text(statusHelp)
	p.Section("SEE ALSO")
	p.Text("xmaild(8), and docs/ctrlclnt.md and docs/commands.md of the project")
	return p.Flush()
}

func manualOptions(p *man.Page, options []option) {
	for _, o := range options {
		term := "--" + o.name
		if o.letter != 0 {
			term = "-" + string(rune(o.letter)) + ", " + term
		}
		if o.value != "" {
			term += " " + o.value
		}
		p.Item(term, strings.ToUpper(o.usage[:1])+o.usage[1:]+".")
	}
}
