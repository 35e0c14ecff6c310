package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/check"
	"github.com/xmaild/xmaild/pkg/server/cmdline"
)

func (p *program) passwordsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "passwords [DIR]",
		Short: "List the accounts whose passwords are not hashed",
		Long: `Reads mailusers.tab and smtpauth.tab of a MailRoot (DIR, --root or MAIL_ROOT),
also one in use, and prints a line FILE:LINE: NAME: SCHEME for each password that
who reads the table knows ("reversible", in smtpauth.tab "clear") and for each that
cannot be read, and then how many there are of each scheme. PasswordScheme in
server.tab, or in the userdef.tab of a domain, says how new passwords are stored;
with PasswordUpgrade an old one is hashed when its owner logs in.

The exit status is 0 where every password is hashed, 1 where one is not, and 2
where the MailRoot cannot be read.`,
	}
	return offline(p.subcommand(c, nil, func(ctx context.Context, parser *cmdline.Parser) error {
		dir, err := folder(parser)
		if err != nil {
			return err
		}
		if dir == "" {
			return usageError{errors.New("no MailRoot: give one as an argument, by --root or by MAIL_ROOT")}
		}
		all, err := check.Passwords(ctx, dir)
		if err != nil {
			return usageError{err}
		}
		wrong, err := p.showPasswords(all)
		if err != nil {
			return usageError{err}
		}
		if wrong {
			return status(exitFailed)
		}
		return nil
	}))
}

// unreadable stands for the scheme of a password that cannot be read.
const unreadable = "unreadable"

// showPasswords prints those that are not hashed, and how many there are of each scheme.
func (p *program) showPasswords(all []check.Password) (wrong bool, err error) {
	out := bufio.NewWriter(p.stdout)
	counts := map[string]int{}
	for _, x := range all {
		if x.Scheme == "" {
			x.Scheme = unreadable
		}
		counts[x.Scheme]++
		if x.Old() || x.Scheme == unreadable {
			wrong = true
			fmt.Fprintf(out, "%s:%d: %s: %s\n", x.File, x.Line, printable(x.Name), x.Scheme)
		}
	}
	var parts []string
	for _, scheme := range []string{auth.Argon2id, auth.Bcrypt, auth.Reversible, auth.ClearText, unreadable} {
		if n := counts[scheme]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, scheme))
		}
	}
	if len(parts) == 0 {
		parts = []string{"no passwords"}
	}
	fmt.Fprintln(out, strings.Join(parts, ", "))
	return wrong, out.Flush()
}

// printable replaces what could act on a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
