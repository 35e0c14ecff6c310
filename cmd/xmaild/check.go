package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/xmaild/xmaild/pkg/server/check"
	"github.com/xmaild/xmaild/pkg/server/cmdline"
)

func (p *program) checkCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "check [DIR]",
		Short: "Print what is wrong in the tables of a MailRoot",
		Long: `Reads every table of a MailRoot (DIR, --root or MAIL_ROOT), also one in use, and
prints a line FILE:LINE: PROBLEM for each thing that is wrong. Lines that say
"risky" are of settings that work and endanger something.

The exit status is 0 where nothing is wrong (risks do not count), 1 where
something is, and 2 where the MailRoot cannot be read.`,
	}
	return offline(p.subcommand(c, nil, func(ctx context.Context, parser *cmdline.Parser) error {
		dir, err := folder(parser)
		if err != nil {
			return err
		}
		if dir == "" {
			return usageError{errors.New("no MailRoot: give one as an argument, by --root or by MAIL_ROOT")}
		}
		findings, err := check.MailRoot(ctx, dir)
		if err != nil {
			return usageError{err}
		}
		wrong := 0
		for _, f := range findings {
			if !f.Risk {
				wrong++
			}
			if _, err := fmt.Fprintln(p.stdout, f); err != nil {
				return usageError{err}
			}
		}
		if wrong > 0 {
			return status(exitFailed)
		}
		return nil
	}))
}
