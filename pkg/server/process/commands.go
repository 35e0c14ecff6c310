// Package process carries out files of commands: what an account's mailproc.tab, a
// custom domain or a command alias wants done with a message
// (docs/reference/delivery.md 3). It runs the programs, and has all else done by the
// [Actions] of whoever delivers. No command that fails loses the message: it waits, and
// what was done before is not done again.
package process

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A Word is the first field of a command, in lower case.
type Word string

// The words.
const (
	// External runs a program with the message. Status 0 goes on, 16 ends the file, 75
	// (EX_TEMPFAIL) and 255 wait for another attempt; any other one goes on, or waits
	// where FilterFailure says "defer".
	External Word = "external"

	Filter    Word = "filter"    // run a program that may rewrite or refuse it: see filter.Action
	Mailbox   Word = "mailbox"   // put it into the mailbox of the account; in mailproc.tab only
	Redirect  Word = "redirect"  // send a copy to each of some addresses
	LRedirect Word = "lredirect" // the same, with the account as the sender of the copies
	SMTPRelay Word = "smtprelay" // send it by certain hosts
	SMTP      Word = "smtp"      // send it as if there was no file; not in mailproc.tab
)

// A Command is a row of a file of commands.
type Command struct {
	Word Word
	Args []string // macros not expanded
	File string   // where it stands, below MailRoot

	// Mark names the command for [Progress]: it is made of what the row says, so that
	// it stays the same while the file around it is edited.
	Mark string

	err error // why it cannot be carried out: it waits until somebody mends it
}

// String returns the command for messages, without its arguments.
func (c Command) String() string {
	if c.File == "" {
		return string(c.Word)
	}
	return c.File + ": " + string(c.Word)
}

// Commands are what is to be done with mail to a recipient, in order.
type Commands struct {
	List []Command

	// Problems are rows that are skipped, or that only somebody who mends them gets
	// carried out, with file and row number, comments not counted.
	Problems []error

	rows int // also those that are skipped
}

// Discards reports whether there is a file of commands, and no row in it: all mail is
// thrown away, as with the reference.
func (c Commands) Discards() bool { return c.rows == 0 }

// ToMailbox reports whether the mail goes to the mailbox of the account, and nothing else
// is to be done with it.
func (c Commands) ToMailbox() bool {
	return c.rows == 1 && len(c.List) == 1 && len(c.Problems) == 0 && c.List[0].Word == Mailbox
}

// Send reports whether one of the commands sends mail to other hosts, which may take
// long.
func (c Commands) Send() bool {
	return slices.ContainsFunc(c.List, func(x Command) bool { return x.Word == SMTP || x.Word == SMTPRelay })
}

// The words that files may have.
var (
	inMailProc = []Word{External, Filter, Mailbox, Redirect, LRedirect, SMTPRelay}
	elsewhere  = []Word{External, Filter, Redirect, LRedirect, SMTPRelay, SMTP}
)

// maxRest bounds, in bytes, what is read of commands that are left of a message.
const maxRest = 1 << 20

// Rest returns the commands of a file that the reference has left of a message: those that
// it had not carried out (docs/reference/delivery.md 3.1), of a mailproc.tab or else of a
// custom domain or a command alias.
func Rest(r io.Reader, mailproc bool) (Commands, error) {
	allowed := elsewhere
	if mailproc {
		allowed = inMailProc
	}
	text, err := io.ReadAll(io.LimitReader(r, maxRest))
	if err != nil {
		return Commands{}, fmt.Errorf("commands: %w", err)
	}
	var c Commands
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) == "" || line[0] == '#' {
			continue
		}
		if problem := c.add("", tabfile.Split(line), allowed); problem != nil {
			c.Problems = append(c.Problems, fmt.Errorf("commands that are left: %w", problem))
		}
	}
	return c, nil
}

// ForAccount returns the commands for mail to an account: those of its domain, then its
// own. Where there is neither file the mail goes to the mailbox. The error is that of a
// file that cannot be read; the mail has to wait then.
func ForAccount(t mailroot.Tables, u mailroot.User) (Commands, error) {
	files, err := u.MailProcFiles()
	if err != nil {
		return Commands{}, fmt.Errorf("commands: %w", err)
	}
	c, exists, err := load(t, files, inMailProc)
	if err == nil && !exists {
		c.add("", []string{string(Mailbox)}, []Word{Mailbox})
	}
	return c, err
}

// FromFile returns the commands of a custom domain or a command alias, whose file is
// given by its path below MailRoot. A file that is gone meanwhile is an error: the next
// attempt finds out where the mail leads now.
func FromFile(t mailroot.Tables, file string) (Commands, error) {
	c, exists, err := load(t, []string{file}, elsewhere)
	if err == nil && !exists {
		err = fmt.Errorf("commands: %s is not there any more", file)
	}
	return c, err
}

// Check returns what is wrong with a row of a mailproc.tab, or of another file of
// commands; nil for nothing.
func Check(row []string, mailproc bool) error {
	var c Commands
	if mailproc {
		return c.add("", row, inMailProc)
	}
	return c.add("", row, elsewhere)
}

func load(t mailroot.Tables, files []string, allowed []Word) (c Commands, exists bool, err error) {
	for _, file := range files {
		rows, there, err := t.CommandRows(file)
		if err != nil {
			return Commands{}, false, fmt.Errorf("commands: %w", err)
		}
		exists = exists || there
		for i, fields := range rows {
			if problem := c.add(file, fields, allowed); problem != nil {
				c.Problems = append(c.Problems, fmt.Errorf("%s: row %d: %w", file, i+1, problem))
			}
		}
	}
	return c, exists, nil
}

// add adds a row. The error is what is wrong with it.
func (c *Commands) add(file string, fields []string, allowed []Word) error {
	c.rows++
	x := Command{Word: Word(strings.ToLower(fields[0])), Args: fields[1:], File: file}
	problem := x.check(allowed)
	if errors.As(problem, new(unknownError)) {
		return problem
	}
	if len(x.Args) > 0 && (x.Word == Mailbox || x.Word == SMTP) {
		x.Args, problem = nil, fmt.Errorf("what follows %s does not count", x.Word)
	} else {
		x.err = problem
	}
	x.Mark = c.mark(fields)
	c.List = append(c.List, x)
	return problem
}

// An unknownError is the error of a row that is skipped.
type unknownError struct{ word Word }

func (e unknownError) Error() string {
	return fmt.Sprintf("there is no command %q here; the row is skipped", string(e.word))
}

func (c Command) check(allowed []Word) error {
	if !slices.Contains(allowed, c.Word) {
		return unknownError{c.Word}
	}
	switch {
	case (c.Word == External || c.Word == Filter) && (len(c.Args) < 3 || c.Args[2] == ""):
		return fmt.Errorf("%s needs a priority, a time limit and a program", c.Word)
	case (c.Word == Redirect || c.Word == LRedirect) && len(c.Args) == 0:
		return fmt.Errorf("%s needs an address or a domain", c.Word)
	case c.Word == SMTPRelay && (len(c.Args) == 0 || strings.Trim(c.Args[0], "#; ") == ""):
		return fmt.Errorf("%s needs a host", c.Word)
	}
	return nil
}

// Joined returns the commands with redirections that follow each other made one, where
// there are more than so many commands: such a file is a list of addresses. A command
// that cannot be carried out stays alone.
func (c Commands) Joined(most int) Commands {
	if len(c.List) <= most {
		return c
	}
	joined := Commands{Problems: c.Problems, rows: c.rows}
	for _, x := range c.List {
		last := len(joined.List) - 1
		if last < 0 || joined.List[last].Word != x.Word || x.Word != Redirect && x.Word != LRedirect || x.err != nil || joined.List[last].err != nil {
			joined.List = append(joined.List, x)
			continue
		}
		before := joined.List[last]
		sum := sha256.Sum256([]byte(before.Mark + x.Mark))
		before.Args, before.Mark = slices.Concat(before.Args, x.Args), hex.EncodeToString(sum[:8])
		joined.List[last] = before
	}
	return joined
}

// mark returns the mark of a row, another one for each of several that are the same.
func (c *Commands) mark(fields []string) string {
	sum := sha256.Sum256([]byte(strings.Join(fields, "\t")))
	first := hex.EncodeToString(sum[:8])
	mark := first
	for n := 2; slices.ContainsFunc(c.List, func(x Command) bool { return x.Mark == mark }); n++ {
		mark = first + "-" + strconv.Itoa(n)
	}
	return mark
}

// program returns the words of the program of an external or a filter.
func (c Command) program() []string { return c.Args[2:] }

// nice returns the priority of the program: -1 is a lower one than the server's, 1 a
// higher one.
func (c Command) nice() int { return -5 * max(-1, min(1, mailroot.Atoi(c.Args[0]))) }

// maxTimeout is the longest that a row may ask for.
const maxTimeout = time.Hour

// timeout returns how long the program may take. 0 was not to wait for it at all, so
// that nobody knew what became of the message; here it is the usual time.
func (c Command) timeout(usual time.Duration) time.Duration {
	if seconds := mailroot.Atoi(c.Args[1]); seconds > 0 {
		return min(time.Duration(seconds)*time.Second, maxTimeout)
	}
	return usual
}
