package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/xmaild/xmaild/pkg/server/sendmail"
)

// mailerNames are names that other programs call xmaild by, and what it does then.
var mailerNames = map[string][]string{
	"sendmail":   {"sendmail"},
	"mailq":      {"sendmail", "-bp"},
	"newaliases": {"sendmail", "-bi"},
}

// asMailer returns the arguments of a program that was called by such a name.
func asMailer(args []string) []string {
	name := strings.TrimSuffix(filepath.Base(args[0]), ".exe")
	if as, ok := mailerNames[name]; ok {
		return append(append([]string{args[0]}, as...), args[1:]...)
	}
	return args
}

func (p *program) sendmailCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "sendmail [options] [--] [address...]",
		Short: "Queue a message, as sendmail does; also by the name sendmail",
		Long: `Reads a message from standard input and queues it, whether the server runs or not.
It takes the options of sendmail that cron, PHP and mail programs pass, and does the
same when it is called by the name sendmail. See: xmaild sendmail --help`,
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			program := sendmail.Program{Args: args, Stdin: p.stdin(), Stdout: p.stdout, Stderr: p.stderr, Getenv: p.getenv}
			if code := program.Run(); code != 0 {
				return status(code)
			}
			return nil
		},
	}
}

func (p *program) stdin() io.Reader { return os.Stdin }
