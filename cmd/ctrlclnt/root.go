package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/xmaild/xmaild/pkg/ctrl/commands"
)

// isOwn reports whether a first word is for this program and not for the
// server. XMail 1.27 has no command of these names; a server's own help is
// asked for after "--".
func isOwn(word string) bool {
	switch word {
	case "help", "completion", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd:
		return true
	}
	return false
}

// newRoot returns the cobra command for help and shell completion. Its flags
// are made from the option table, so that completion knows them; command lines
// for the server never reach it, since their words are not cobra's to read.
func (p *program) newRoot(out io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:               p.name + " [options] command [arg ...]",
		Short:             "Run one command of a mail server's control protocol",
		Long:              longHelp,
		Args:              cobra.ArbitraryArgs,
		Run:               func(*cobra.Command, []string) {},
		ValidArgsFunction: completeCommand,
		SilenceUsage:      true,
		SilenceErrors:     true,
	}
	// Before any subcommand: cobra would otherwise find "completion" in the value of -s.
	root.TraverseChildren = true
	flags := root.Flags()
	flags.SetInterspersed(false)
	addFlags(root, optionTable())
	for _, v := range verbs() {
		root.AddCommand(v.command(p.name))
	}
	help := &cobra.Command{
		Use:               "help [command]",
		Short:             "Print the help of this program, or of one command of the server",
		RunE:              p.runHelp,
		ValidArgsFunction: completeHelp,
	}
	help.Flags().Bool("man", false, "write the manual page in roff")
	help.Flags().MarkHidden("man")
	root.SetHelpCommand(help)
	root.AddCommand(help)
	root.SetOut(out)
	root.SetErr(p.stderr)
	root.InitDefaultCompletionCmd("completion")
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		// Cobra prints the help, and succeeds, for a shell that it does not know.
		completion.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	return root
}

func (p *program) runHelp(cmd *cobra.Command, args []string) error {
	out := cmd.OutOrStdout()
	if manual, _ := cmd.Flags().GetBool("man"); manual {
		return writeManual(out, p.name)
	}
	if len(args) == 0 {
		writeHelp(out, p.name)
		return nil
	}
	if c, ok := commands.Lookup(args[0]); ok && args[0] != "help" {
		writeCommandHelp(out, p.name, c)
		return nil
	}
	if sub, _, err := cmd.Root().Find(args); err == nil && sub != cmd.Root() {
		return sub.Help()
	}
	return &usageError{
		msg:     fmt.Sprintf("no command %q is known here; ask the server: %s … -- help %[1]s", args[0], p.name),
		command: "help [command]",
	}
}

// completeCommand completes the command of the server, and shows its grammar
// where an argument is due.
func completeCommand(_ *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return commandNames(toComplete), cobra.ShellCompDirectiveNoFileComp
	}
	c, ok := commands.Lookup(args[0])
	if !ok {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	if i := len(args) - 1; i < len(c.Args) {
		for _, v := range c.Args[i].Values {
			if strings.HasPrefix(v, toComplete) {
				out = append(out, v)
			}
		}
	}
	return cobra.AppendActiveHelp(out, c.Usage()), cobra.ShellCompDirectiveNoFileComp
}

func completeHelp(_ *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := append(commandNames(toComplete), "completion")
	for _, v := range verbs() {
		names = append(names, cobra.CompletionWithDesc(v.name, v.short))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func commandNames(prefix string) []string {
	var names []string
	for _, c := range commands.All() {
		if strings.HasPrefix(c.Name, strings.ToLower(prefix)) && !isOwn(c.Name) {
			names = append(names, cobra.CompletionWithDesc(c.Name, firstSentence(c.Meaning)))
		}
	}
	return names
}
