package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/xmaild/xmaild/pkg/ctrl/commands"
)

// writeUsage prints the text of a usage error: a line that begins as the
// reference's does, the options, and what was wrong, last, where it is seen.
func writeUsage(w io.Writer, name string, e *usageError) {
	if e.command != "" {
		fmt.Fprintf(w, "use :  %s  [options]  %s\n", name, e.command)
	} else {
		fmt.Fprintf(w, "use :  %s  [-snuptfSLcKCXHDo]  [--option[=value] ...]  [--]  command  [arg ...]\n", name)
		fmt.Fprint(w, optionLines())
	}
	fmt.Fprintf(w, "%s: %s\n", name, visible(e.msg, false))
}

// optionLines describes the options of the program.
func optionLines() string { return "options :\n" + describeOptions(optionTable()) }

// describeOptions describes options, a line each.
func describeOptions(options []option) string {
	var b strings.Builder
	for _, o := range options {
		short := "    "
		if o.letter != 0 {
			short = "-" + string(rune(o.letter)) + ", "
		}
		long := "--" + o.name
		if o.value != "" {
			long += " " + o.value
		}
		fmt.Fprintf(&b, "  %s%-24s %s\n", short, long, o.usage)
	}
	return b.String()
}

const longHelp = `Run one command of a mail server's control protocol, for xmaild and XMail.

Options come before the command; everything after the command goes to the
server as it is, also words that begin with a dash. After "--" everything is
raw, so that "-- help" asks the server. Lists are printed to standard output;
uploads are read from standard input, and nothing else reads it.

Where the command is one this program knows, a wrong number of arguments is
refused before connecting; --no-check leaves it to the server.`

const statusHelp = `Exit status:
  0  done
  3  wrong usage: options, or the arguments of a command
  4  anything else
With --status, in place of 4:
  4  a failure on this side: a file, standard output
  5  it exists already
  6  it was not found
  7  the server refused for another reason
  8  the login failed, or this address may not log in
  9  the server cannot be reached, is not trusted, or turned us away; nothing was done
  10 the outcome is unknown: the connection ended after the command was sent, or a list is cut short

Failures are told on standard error: ErrCode (-138 for a refusal), ErrString,
ErrInfo (the server's text) and ErrServer (the server's number).

Environment: CTRL_SERVER (host[:port]), CTRL_USER, CTRL_PASSWORD,
CTRL_PASSWORD_FILE, CTRL_FINGERPRINT, CTRL_INSECURE, CTRL_KEY_FILE,
CTRL_CERT_FILE, CTRL_CA_FILE, CTRL_CA_PATH, CTRL_PROFILE, CTRL_PROFILE_FILE.
An option wins over a profile, and a profile over the other variables.
`

// writeHelp prints everything on one page.
func writeHelp(w io.Writer, name string) {
	fmt.Fprintf(w, "%s\n\nUsage:\n  %[2]s [options] command [arg ...]\n  %[2]s help [command]\n  %[2]s completion bash|zsh|fish|powershell\n\n", longHelp, name)
	io.WriteString(w, optionLines())
	io.WriteString(w, "\nCommands of this program (help COMMAND says more; after \"--\" these words are the server's too):\n")
	for _, v := range verbs() {
		fmt.Fprintf(w, "  %-16s %s\n", v.name, v.short)
	}
	io.WriteString(w, "\nCommands of the server (help COMMAND says more):\n")
	for _, c := range commands.All() {
		fmt.Fprintf(w, "  %-16s %s\n", c.Name, firstSentence(c.Meaning))
	}
	io.WriteString(w, "\n"+statusHelp)
}

// writeCommandHelp prints what the command table says of one command.
func writeCommandHelp(w io.Writer, name string, c commands.Command) {
	fmt.Fprintf(w, "%s\n\nUsage:\n  %s [options] %s\n", c.Meaning, name, c.Usage())
	for _, a := range c.Args {
		if len(a.Values) > 0 {
			fmt.Fprintf(w, "\n%s: %s\n", a.Name, strings.Join(a.Values, ", "))
		}
	}
	switch {
	case c.Kind == commands.Upload:
		fmt.Fprintf(w, "\nThe content is read from standard input or the file of -f. Empty content removes the file.\n")
	case c.Kind == commands.List && len(c.Rows) > 0:
		fmt.Fprintf(w, "\nPrints rows of: %s\n", strings.Join(c.Rows, ", "))
	case c.Kind == commands.List:
		fmt.Fprintf(w, "\nPrints the lines of a file.\n")
	}
	if len(c.Codes) > 0 {
		fmt.Fprintf(w, "\nRefusals:\n")
		for _, code := range c.Codes {
			fmt.Fprintf(w, "  %s  %s\n", code, code.Text())
		}
	}
}

// writeVerbHelp prints the help of a command of this program.
func writeVerbHelp(w io.Writer, name string, v *verb) {
	fmt.Fprintf(w, "%s\n\nUsage:\n  %s [options] %s\n", v.long, name, v.usage())
	if len(v.options) > 0 {
		fmt.Fprintf(w, "\noptions :\n%s", describeOptions(v.options))
	}
	fmt.Fprintf(w, "\nThe options of the program, such as -s and --profile, may stand here as well; \"%s help\" lists them.\n", name)
}

// firstSentence cuts the meaning of a command for the list of all.
func firstSentence(s string) string {
	if first, _, ok := strings.Cut(s, ". "); ok {
		return first
	}
	return strings.TrimSuffix(s, ".")
}
