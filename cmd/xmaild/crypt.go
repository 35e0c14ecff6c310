package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/xmaild/xmaild/pkg/server/auth"
)

// cryptWarning is what everybody should know who sees this form.
const cryptWarning = "xmaild crypt: this form hides nothing: whoever can read it has the password"

func (p *program) cryptCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "crypt [-d] [PASSWORD]",
		Short: "Turn a password into its form in the tables, and back",
		Long: `Prints the reversible form in which mailusers.tab, ctrlaccounts.tab and other
tables hold a password, as XMCrypt of XMail does; with -d (--decode) the password
of such a form. Without PASSWORD it is asked for, or the first line of standard
input where that is no terminal. A word after "--" may begin with a dash.

The form is every byte of the password XOR 0x65, in hexadecimal. It hides nothing.`,
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			decode, words := false, []string(nil)
			for i := 0; i < len(args); i++ {
				switch a := args[i]; {
				case a == "-h" || a == "--help":
					return c.Help()
				case a == "-d" || a == "--decode":
					decode = true
				case a == "--":
					words = append(words, args[i+1:]...)
					i = len(args)
				case strings.HasPrefix(a, "-") && a != "-":
					// It may be a password: it is not repeated.
					return usageError{errors.New("crypt: unknown option; a password that begins with a dash stands after --")}
				default:
					words = append(words, a)
				}
			}
			if len(words) > 1 {
				return usageError{errors.New("crypt: one password at a time")}
			}
			return p.crypt(c.InOrStdin(), decode, words)
		},
	}
}

func (p *program) crypt(in io.Reader, decode bool, words []string) error {
	var text string
	if len(words) == 1 && words[0] != "-" {
		text = words[0]
	} else {
		var err error
		if text, err = p.ask(in, decode); err != nil {
			return fmt.Errorf("crypt: %w", err)
		}
	}
	fmt.Fprintln(p.stderr, cryptWarning)
	if decode {
		clear, err := auth.Unscramble(strings.TrimSpace(text))
		if err != nil {
			return fmt.Errorf("crypt: %w", err)
		}
		_, err = fmt.Fprintln(p.stdout, clear)
		return err
	}
	if text == "" {
		return usageError{errors.New("crypt: the password is empty")}
	}
	_, err := fmt.Fprintln(p.stdout, auth.Scramble(text))
	return err
}

// ask reads a password from standard input, without showing it where that is a terminal.
func (p *program) ask(in io.Reader, decode bool) (string, error) {
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		what := "Password: "
		if decode {
			what = "Its form in the table: "
		}
		fmt.Fprint(p.stderr, what)
		word, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(p.stderr)
		return string(word), err
	}
	line, err := bufio.NewReader(io.LimitReader(in, 64<<10)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}
