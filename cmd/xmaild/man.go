package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/xmaild/xmaild/cmd/internal/man"
)

// manCommand writes the manual page, from the help of the commands.
func (p *program) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man",
		Short:  "Write the manual page in roff",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			root := c.Root()
			page := man.New(p.stdout, "xmaild", "8", buildVersion(), "mail server over a folder of text tables")
			page.Section("SYNOPSIS")
			var commands []*cobra.Command
			for _, c := range root.Commands() {
				if c.IsAvailableCommand() && c.Name() != "completion" && c.Name() != "help" {
					commands = append(commands, c)
				}
			}
			for _, c := range commands {
				page.Text("  xmaild " + c.Use)
			}
			page.Section("DESCRIPTION")
			page.Text(root.Long)
			page.Section("COMMANDS")
			for _, c := range commands {
				page.Subsection(c.Use)
				text := c.Long
				if text == "" {
					text = c.Short + "."
				}
				page.Text(text)
				if c.Name() != "serve" && c.Name() != "init" && c.Name() != "quickstart" {
					continue // the options of the server mean nothing to the others
				}
				c.Flags().VisitAll(func(f *pflag.Flag) {
					term := "--" + f.Name
					if f.Shorthand != "" {
						term = "-" + f.Shorthand + ", " + term
					}
					value, usage := pflag.UnquoteUsage(f)
					if value != "" {
						term += " " + value
					}
					page.Item(term, usage)
				})
			}
			page.Section("SEE ALSO")
			page.Text("ctrlclnt(1)")
			return page.Flush()
		},
	}
}
