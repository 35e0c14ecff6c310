package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/xmaild/xmaild/pkg/server/cmdline"
)

func (p *program) checkCommand() *cobra.Command {
	c := &cobra.Command{Use: "check", Short: "Print what is wrong in the tables of a MailRoot"}
	return p.subcommand(c, nil, func(context.Context, *cmdline.Parser) error { return nil })
}
