// Xmaild is a mail server over a MailRoot, a folder of tables as text. See
// "xmaild help".
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/xmaild/xmaild/pkg/server/cmdline"
)

// Exit statuses.
const (
	exitFailed = 1 // could not start, or did not stop cleanly; check: problems were found
	exitUsage  = 2 // the command line is wrong; check: could not be done
)

func main() {
	// Whoever waits for a sync of the disk keeps one of the runtime's processors for some
	// time, which is less than a processor of the machine. With half as many again 32
	// sessions are acknowledged 1.2 times as many messages a second on two cores; with more,
	// passwords are hashed more slowly.
	if os.Getenv("GOMAXPROCS") == "" {
		n := runtime.GOMAXPROCS(0)
		runtime.GOMAXPROCS(n + (n+1)/2)
	}
	os.Exit(run(os.Args, os.Stdout, os.Stderr))
}

// A program is one run of xmaild: the world around its commands.
type program struct {
	argv0          string
	stdout, stderr io.Writer
	getenv         func(string) string
}

// A status is an error that has said all there is to say, but for its exit status.
type status int

func (s status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// usageError is a mistake in the command line.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func run(args []string, stdout, stderr io.Writer) int {
	args = asMailer(args)
	p := &program{argv0: args[0], stdout: stdout, stderr: stderr, getenv: os.Getenv}
	root := p.command()
	root.SetArgs(withCommand(root, args[1:]))
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(context.Background())
	var s status
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &s):
		return int(s)
	}
	// One line, whatever it is made of.
	fmt.Fprintf(stderr, "xmaild: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

// withCommand puts "serve" before options of the reference, which begin a
// command line without a command and look to cobra like anything but options.
func withCommand(root *cobra.Command, args []string) []string {
	if len(args) == 0 {
		return []string{"serve"}
	}
	switch first := args[0]; {
	case first == "-h" || first == "--help":
		return []string{"help"}
	case first == "--version":
		return []string{"version"}
	case strings.HasPrefix(first, "-"):
		return append([]string{"serve"}, args...)
	}
	return args
}

func (p *program) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "xmaild [command] [options]",
		Short: "A mail server over a folder of text tables, compatible with XMail 1.27",
		Long: `A mail server over a MailRoot, a folder of tables as text.

Without a command it serves. Beside the long options it takes the option letters
of XMail 1.27 (-Ms -Md -Mr -C- -Cp -CI -Ct -Cl -CX -C6 -W- -Wp -WI -W6 …) and
the environment variables MAIL_ROOT, MAIL_CMD_LINE and XMAIL_PID_DIR.`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(p.serveCommand(), p.quickstartCommand(), p.initCommand(), p.checkCommand(), p.passwordsCommand(), p.cryptCommand(), p.mkusersCommand(), p.sendmailCommand(), p.manCommand(), p.versionCommand())
	return root
}

// subcommand is a command whose options are read by cmdline, so that letters of
// the reference and long options mix. addFlags declares options of its own.
func (p *program) subcommand(c *cobra.Command, addFlags func(*pflag.FlagSet), run func(context.Context, *cmdline.Parser) error) *cobra.Command {
	c.DisableFlagParsing = true
	c.Flags().SortFlags = false
	if addFlags != nil {
		addFlags(c.Flags())
	}
	parser := cmdline.New(c.Flags())
	c.RunE = func(c *cobra.Command, args []string) error {
		err := parser.Parse(p.argv0, args, p.getenv)
		if errors.Is(err, cmdline.ErrHelp) {
			return c.Help()
		}
		if err != nil {
			return usageError{err}
		}
		return run(c.Context(), parser)
	}
	return c
}

// offline leaves out of the help of a subcommand which only reads a MailRoot what
// says how to serve it. The options are taken all the same: MAIL_CMD_LINE has them.
func offline(c *cobra.Command) *cobra.Command {
	c.Flags().VisitAll(func(f *pflag.Flag) { f.Hidden = f.Name != "root" })
	return c
}

func (p *program) printf(format string, args ...any) {
	// Standard output that is gone is no reason for a server to stop.
	_, _ = fmt.Fprintf(p.stdout, format, args...)
}

// folder takes the one word that init and check accept as the MailRoot.
func folder(parser *cmdline.Parser) (string, error) {
	switch len(parser.Words) {
	case 0:
		return parser.Config.Root, nil
	case 1:
		return parser.Words[0], nil
	}
	return "", usageError{fmt.Errorf("one folder at most, not %q", parser.Words)}
}
