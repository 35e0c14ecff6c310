package spool

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// treeTime is how the reference writes times (docs/reference/delivery.md 1.3).
const treeTime = "Mon, 2 Jan 2006 15:04:05 -0700"

// An Attempt is what an attempt at a recipient came to, as the log of a message
// tells it (docs/reference/delivery.md 1.6). What is empty is left out. The texts may
// be a stranger's.
type Attempt struct {
	Time   time.Time
	Code   int    // number of the error, below 0; 0: -1
	Error  string // the error in a few words; empty: Delivery error
	Info   string // what it is about
	Text   string // what was tried, a line or more
	Reply  string // of the other server, a line or more
	Server string // that gave the reply
}

// maxHistory bounds, in bytes, how much of a log is read and copied: its end is.
const maxHistory = 128 << 10

// maxReply bounds, in bytes, a text of an attempt.
const maxReply = 4 << 10

// String returns the attempt as it stands in a log of the reference, with lines that
// end in LF.
func (a Attempt) String() string {
	var b strings.Builder
	b.WriteString(peekLine(a.Time))
	b.WriteString("<<\n")
	code, text := a.Code, treeText(a.Error)
	if code >= 0 {
		code = -1
	}
	if text == "" {
		text = "Delivery error"
	}
	fmt.Fprintf(&b, "ErrCode   = %d\nErrString = %s\n", code, text)
	if a.Info != "" {
		fmt.Fprintf(&b, "ErrInfo   = %s\n", treeText(a.Info))
	}
	for line := range treeLines(a.Text) {
		if line != "" {
			b.WriteString(logLine(line) + "\n")
		}
	}
	if a.Reply != "" {
		fmt.Fprintf(&b, "SMTP-Error = \"%s\"\n", logReply(a.Reply))
	}
	if a.Server != "" {
		fmt.Fprintf(&b, "SMTP-Server = \"%s\"\n", strings.ReplaceAll(treeText(a.Server), `"`, "'"))
	}
	b.WriteString(">>\n")
	return b.String()
}

// What a log says of who sent a message, before the first attempt. The reference writes
// no such lines, and passes over them.
const (
	loginLine   = "Login = "
	accountLine = "Account = "
)

// origin returns these lines for a message of the queue.
func (e Envelope) origin() string {
	var b strings.Builder
	for _, line := range [][2]string{{loginLine, e.Login}, {accountLine, e.Account}} {
		if line[1] != "" {
			fmt.Fprintf(&b, "%s\"%s\"\n", line[0], treeText(line[1]))
		}
	}
	return b.String()
}

// readOrigin reads them, where they are there.
func readOrigin(b *bufio.Reader) (login, account string) {
	for _, line := range []struct {
		word string
		to   *string
	}{{loginLine, &login}, {accountLine, &account}} {
		if head, _ := b.Peek(len(line.word)); string(head) != line.word {
			continue
		}
		if text, err := b.ReadString('\n'); err == nil {
			*line.to = unquote(text[len(line.word):])
		}
	}
	return login, account
}

func unquote(value string) string {
	return treeText(strings.TrimSuffix(strings.TrimPrefix(strings.TrimRight(value, "\r\n"), "\""), "\""))
}

// peekTime begins the line that begins an attempt.
const peekTime = "[PeekTime] "

// peekLine is the line that begins an attempt.
func peekLine(t time.Time) string {
	return fmt.Sprintf(peekTime+"%d : %s\n", t.Unix(), t.Local().Format(treeTime))
}

// treeText is a text as one line.
func treeText(s string) string {
	return printable(strings.ToValidUTF8(strings.TrimSpace(cut(s)), "?"))
}

func cut(s string) string { return s[:min(len(s), maxReply)] }

// treeLines yields the lines of a text.
func treeLines(s string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for line := range strings.SplitSeq(strings.ReplaceAll(cut(s), "\r", ""), "\n") {
			if line = treeText(line); !yield(line) {
				return
			}
		}
	}
}

// logLine keeps a line from being read as one that means something in a log.
func logLine(line string) string {
	for _, word := range []string{"[PeekTime]", "<<", ">>", "SMTP-Error", "SMTP-Server", "Err"} {
		if strings.HasPrefix(line, word) {
			return " " + line
		}
	}
	return line
}

// logReply joins the lines of a reply as the reference does. Those after the first
// begin with the code, or a blank.
func logReply(reply string) string {
	var b strings.Builder
	for line := range treeLines(reply) {
		switch {
		case b.Len() == 0:
		case line == "":
			continue
		case len(line) > 3 && isDigits(line[:3]):
			b.WriteString("\r\n")
		default:
			b.WriteString("\r\n ")
		}
		b.WriteString(line)
	}
	return strings.ReplaceAll(b.String(), `"`, "'")
}

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// History returns what there is to tell of the attempts before at the recipient of
// that place, as the reference's log of a message has it: at most the last 128 KiB.
// It is what a notification shows.
func (l *Lease) History(place int) (string, error) {
	f, err := l.q.fs.Open(filepath.Join(l.q.dir, l.m.key+logSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("spool: %w", err)
	}
	text, err := tail(f, maxHistory)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("spool: log of message %s: %w", l.m.key, err)
	}
	return history(text, l.Recipients[place].Address), nil
}

// tail reads the last lines of a file, at most so many bytes.
func tail(f interface {
	io.Reader
	Stat() (fs.FileInfo, error)
}, most int64) (string, error) {
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	b := bufio.NewReader(f)
	if over := info.Size() - most; over > 0 {
		if _, err := io.CopyN(io.Discard, b, over); err != nil {
			return "", err
		}
		for inside := true; inside; { // to the end of a line
			_, err := b.ReadSlice('\n')
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				return "", nil
			}
			inside = err != nil
		}
	}
	text, err := io.ReadAll(io.LimitReader(b, most))
	return string(text), err
}

// history picks what concerns an address from the log of a live message. Its lines
// are "TIME <ADDRESS> NOTE"; before those, a message that was taken over has the log
// that the reference wrote.
func history(text, address string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		stamp, rest, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		at, err := time.Parse(time.RFC3339, stamp)
		if err != nil || !strings.HasPrefix(rest, "<") {
			b.WriteString(strings.TrimRight(line, "\n") + "\n")
			continue
		}
		if note, ok := strings.CutPrefix(rest, "<"+address+"> "); ok && !strings.HasPrefix(note, untried) {
			b.WriteString(Attempt{Time: at, Text: note}.String())
		}
	}
	return b.String()
}
