package filter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/server/program"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// A Queued is a message of the queue on its way to one recipient.
type Queued struct {
	spool.Envelope // Recipients does not count

	To   spool.Recipient
	Key  string            // of the message in the queue: the macro MSGID
	Text *io.SectionReader // without doubled dots
}

// isNotification reports whether it is a notification of this server, which alone gives
// names that begin so (docs/reference/delivery.md 1.3).
func (m Queued) isNotification() bool { return strings.HasPrefix(m.ID, "X") }

// A Copy is a message of the queue that programs look at and may change, for one
// recipient in one attempt at delivery. What is in the queue stays as it is. It is for
// one goroutine, and nothing is copied until a program asks for a file.
type Copy struct {
	r     *Runner
	m     Queued
	w     *work // nil: nobody has asked yet
	given bool  // the program that was run last got the file
	temps int
}

// Copy returns a copy of a message, which the caller closes. m.Text must be good until
// then.
func (r *Runner) Copy(m Queued) *Copy { return &Copy{r: r, m: m} }

// Message returns the message as programs have left it: its text, and the sender and
// the recipient, which they may change as well. The text is good until Close, and until
// the next program is run.
func (c *Copy) Message() Queued { return c.m }

// Close removes all that there is of the copy.
func (c *Copy) Close() error {
	if c.w == nil {
		return nil
	}
	w := c.w
	c.w = nil
	w.dropBody()
	return w.folder.Remove()
}

// A Program is a program to be run on a copy.
type Program struct {
	Words   []string // the program and its arguments, macros not expanded
	Timeout time.Duration
	Nice    int // as in [program.Program]

	// Vars are macros besides those of every message: FROM, RCPT, MSGID, MSGREF,
	// LOCALADDR, REMOTEADDR, USERAUTH, FILE and TMPFILE
	// (docs/reference/delivery.md 3.2).
	Vars map[string]string
}

// Run runs a program on the copy, and returns its words as it got them. The error says
// why there is no exit status that means anything; 255 is none.
func (c *Copy) Run(ctx context.Context, p Program) (result program.Result, words []string, err error) {
	vars := c.Macros()
	for name, value := range p.Vars {
		vars[name] = value
	}
	if err := c.files(p.Words, vars); err != nil {
		return program.Result{}, p.Words, localError{err}
	}
	words = program.Expand(p.Words, vars)
	if c.w != nil {
		c.w.made = false // whatever it does with the file, the next one gets a good one
	}
	result, err = run(ctx, program.Program{Path: words[0], Args: words[1:], Timeout: p.Timeout, Nice: p.Nice, MaxOutput: maxSaid})
	return result, words, err
}

// maxSaid is how many bytes of what a program prints are kept for the log.
const maxSaid = 300

// Ended describes how a program has ended, and the beginning of what it has printed,
// for logs.
func Ended(result program.Result) string {
	if said := strings.TrimSpace(string(result.Output)); said != "" {
		return fmt.Sprintf("%v, after printing %q", result, said)
	}
	return result.String()
}

// Macros returns the macros of every message but those that are files.
func (c *Copy) Macros() map[string]string {
	user := c.m.Login
	if user == "" {
		user = "-"
	}
	return map[string]string{
		"FROM": c.m.From, "RCPT": c.m.To.Address, "MSGID": c.m.Key, "MSGREF": c.m.ID, "USERAUTH": user,
		"LOCALADDR": addrPort(peer(c.m.Server)), "REMOTEADDR": addrPort(peer(c.m.Client)),
	}
}

// files makes the files that the words of a program ask for.
func (c *Copy) files(words []string, vars map[string]string) error {
	wanted := func(name string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return word == "@@"+name || strings.Contains(word, "$("+name+")") })
	}
	file, temp := wanted("FILE"), wanted("TMPFILE")
	c.given = file
	if !file && !temp {
		return nil
	}
	if c.w == nil {
		w, err := c.r.newWork(c.head(), c.m.Text)
		if err != nil {
			return err
		}
		w.repair = true
		c.w = w
	}
	if file {
		if err := c.w.prepare(); err != nil {
			return err
		}
		vars["FILE"] = c.w.path()
	}
	if temp {
		c.temps++
		name := fmt.Sprintf("copy-%d.xtmp", c.temps)
		if err := c.w.write(name); err != nil {
			return err
		}
		vars["TMPFILE"] = c.w.folder.Path(name)
	}
	return nil
}

// head are the lines before the message in a file of the reference
// (docs/reference/delivery.md 1.3), without the last one.
func (c *Copy) head() []byte {
	domain := c.m.Domain
	if domain == "" {
		domain = "localdomain"
	}
	mail := c.m.Mail
	if path, ok := parseLine(mail, "MAIL FROM:"); !ok || path.String() != c.m.From {
		mail = "MAIL FROM:<" + c.m.From + ">"
	}
	var b bytes.Buffer
	for _, line := range []string{
		addrPort(peer(c.m.Client)) + ";" + addrPort(peer(c.m.Server)) + ";" + c.m.Time.Local().Format("Mon, 2 Jan 2006 15:04:05 -0700"),
		domain, c.m.ID, mail, "RCPT TO:<" + c.m.To.Address + ">",
	} {
		b.WriteString(clean(line) + "\r\n")
	}
	return b.Bytes()
}

// peer returns an address of the message, that of this machine where it has none.
func peer(a netip.AddrPort) netip.AddrPort {
	if !a.IsValid() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
	}
	return a
}

// headLines is how many lines stand before the message, the last one included.
const headLines = 6

// take makes the copy what a program has left in the file.
func (c *Copy) take() error {
	if !c.given {
		return nil // what lies there is of a program before
	}
	head, err := c.w.take()
	if err != nil {
		return err
	}
	lines := strings.Split(strings.ReplaceAll(string(head), "\r\n", "\n"), "\n")
	if len(lines) != headLines+1 {
		return fmt.Errorf("it has left %d lines where there are %d before the message", len(lines)-1, headLines)
	}
	before := strings.Split(string(c.w.head), "\r\n")
	m := c.m
	if line := lines[3]; line != before[3] {
		path, ok := parseLine(line, "MAIL FROM:")
		if !ok || clean(line) != line {
			return errors.New("line 4 of what it has left is no MAIL line")
		}
		m.Mail, m.From = line, path.String()
	}
	if line := lines[4]; line != before[4] {
		path, ok := parseLine(line, "RCPT TO:")
		if !ok || path.IsNull() {
			return errors.New("line 5 of what it has left is no RCPT line")
		}
		m.To.Address = path.String()
	}
	m.Text = c.w.message()
	c.m = m
	c.w.head = append(c.head(), dataMarker+"\r\n"...)
	c.w.made = false
	return nil
}

func parseLine(line, command string) (address.Path, bool) {
	if len(line) < len(command) || !strings.EqualFold(line[:len(command)], command) {
		return address.Path{}, false
	}
	path, _, err := address.ParsePath(line[len(command):])
	return path, err == nil
}

// reason returns why a program refuses the message, for its sender.
func (c *Copy) reason() string {
	if !c.given {
		return refused
	}
	line := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(c.w.reason(), "?"))
	if line = strings.TrimSpace(line); line == "" {
		return refused
	}
	return line
}
