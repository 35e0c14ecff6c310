package lmail

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/xmaild/xmaild/pkg/server/address"
)

// maxHeader is how many bytes a header may have.
const maxHeader = 4 << 20

// ErrHeader is the error of a message whose header is too big.
var ErrHeader = fmt.Errorf("the header has more than %d bytes", maxHeader)

// Date is a time as headers have it.
func Date(t time.Time) string { return t.Format("Mon, 2 Jan 2006 15:04:05 -0700") }

// A Field is a field of a header.
type Field struct {
	Name string // without the colon, as it was written
	Text string // all of it, with its line ends
}

// Is reports whether the field has a name, in whatever case.
func (f Field) Is(names ...string) bool {
	for _, name := range names {
		if strings.EqualFold(f.Name, name) {
			return true
		}
	}
	return false
}

// Value returns what stands after the colon, folded as it is.
func (f Field) Value() string {
	_, value, _ := strings.Cut(f.Text, ":")
	return value
}

// ReadHeader reads the header of a message and leaves r where the text begins, after
// the empty line. Lines at the beginning as mailbox files have them ("From …") are
// left out. A message that does not begin with a field has none, and is text
// altogether. The error is ErrHeader, or one of the reader.
func ReadHeader(r *bufio.Reader) ([]Field, error) {
	var fields []Field
	var text []byte // of the last field
	end := func() []Field {
		if len(fields) > 0 {
			fields[len(fields)-1].Text = string(text)
		}
		return fields
	}
	for total := 0; ; {
		line, err := peekLine(r)
		if err != nil {
			return end(), err
		}
		begin := strings.TrimRight(line, "\r\n")
		name, _, colon := strings.Cut(begin, ":")
		name = strings.TrimRight(name, " \t")
		mailbox := false
		switch {
		case line == "":
			return end(), nil
		case begin == "":
			return end(), discard(r, len(line))
		case len(fields) == 0 && (strings.HasPrefix(line, "From ") || strings.HasPrefix(line, ">From ")) && strings.HasSuffix(line, "\n"):
			mailbox = true
		case (line[0] == ' ' || line[0] == '\t') && len(fields) > 0:
		case colon && isName(name):
			fields, text = append(end(), Field{Name: name}), nil
		default:
			return end(), nil
		}
		before := len(text)
		if text, err = appendLine(text, r, maxHeader-total); err != nil {
			return end(), err
		}
		total += len(text) - before
		if mailbox {
			text = text[:before]
		}
	}
}

// appendLine adds the next line to a text: the line alone, though it is longer than
// what the reader holds. It has most bytes at most.
func appendLine(text []byte, r *bufio.Reader, most int) ([]byte, error) {
	for {
		part, err := r.ReadSlice('\n')
		if most -= len(part); most < 0 {
			return text, ErrHeader
		}
		text = append(text, part...)
		switch {
		case err == nil, errors.Is(err, io.EOF):
			return text, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return text, err
		}
	}
}

// peekLine returns the next line, or as much of it as the reader holds.
func peekLine(r *bufio.Reader) (string, error) {
	for n := 1; ; n *= 2 {
		n = min(max(n, r.Buffered()), r.Size())
		p, err := r.Peek(n)
		if i := bytes.IndexByte(p, '\n'); i >= 0 {
			return string(p[:i+1]), nil
		}
		switch {
		case errors.Is(err, io.EOF) || err == nil && n == r.Size():
			return string(p), nil
		case err != nil:
			return "", err
		}
	}
}

func discard(r *bufio.Reader, n int) error {
	_, err := r.Discard(n)
	return err
}

func isName(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}

// A completion is what a message lacks that comes from a program.
type completion struct {
	domain string
	from   string // sender; empty: null
	time   time.Time
}

// write copies a message with lines that end in CR LF, addresses of its header that
// have a domain, and the fields that a message must have (RFC 5322 3.6).
func (c completion) write(w io.Writer, message io.Reader) error {
	r := bufio.NewReaderSize(message, 32<<10)
	fields, err := ReadHeader(r)
	if errors.Is(err, ErrHeader) {
		return malformed("%v", err)
	}
	if err != nil {
		return err
	}
	text := NewText(w)
	has := map[string]bool{}
	for _, f := range fields {
		has[strings.ToLower(f.Name)] = true
		if _, err := io.WriteString(text, c.qualified(f)); err != nil {
			return err
		}
	}
	from := c.from
	if from == "" {
		from = "MAILER-DAEMON@" + c.domain
	}
	for _, add := range []struct{ name, value string }{
		{"From", "<" + from + ">"},
		{"Date", Date(c.time)},
		{"Message-ID", "<" + rand.Text() + "@" + c.domain + ">"},
	} {
		if !has[strings.ToLower(add.name)] {
			fmt.Fprintf(text, "%s: %s\n", add.name, add.value) // the error comes back from Close
		}
	}
	if _, err := io.WriteString(text, "\n"); err != nil {
		return err
	}
	if _, err := io.Copy(text, r); err != nil {
		return err
	}
	return text.Close()
}

// qualified returns a field whose addresses have domains.
func (c completion) qualified(f Field) string {
	if !f.Is("From", "Sender", "Reply-To", "To", "Cc") || len(f.Text) > maxLine {
		return endLine(f.Text)
	}
	value := f.Value()
	list, _ := address.List(value) // what is no address stays
	for i := len(list) - 1; i >= 0; i-- {
		l := list[i]
		full := Qualify(l.Address, c.domain)
		if p, err := address.Parse(full); full != l.Address && err == nil && p.Plain() {
			value = value[:l.Start] + full + value[l.End:]
		}
	}
	return endLine(f.Text[:len(f.Text)-len(f.Value())] + value)
}

// endLine gives a field the line end that it lacks where the message ends with it.
func endLine(s string) string {
	if strings.HasSuffix(s, "\n") {
		return s
	}
	return s + "\n"
}

// A Text writes lines that end in CR LF, whatever ended them: LF, any number of CR
// before it, or a CR alone. Close ends the last line.
type Text struct {
	w     *bufio.Writer
	cr    bool // CRs wait for what follows
	lines bool // the last line has ended
}

// NewText returns a Text that writes to w.
func NewText(w io.Writer) *Text { return &Text{w: bufio.NewWriterSize(w, 16<<10), lines: true} }

// Write takes a part of the text.
func (t *Text) Write(p []byte) (int, error) {
	for _, c := range p {
		var err error
		switch {
		case c == '\r':
			t.cr = true
			continue
		case c == '\n':
			_, err = t.w.WriteString("\r\n")
			t.lines = true
		default:
			if t.cr {
				_, err = t.w.WriteString("\r\n") // Flush has the error too
			}
			err = errors.Join(err, t.w.WriteByte(c))
			t.lines = false
		}
		t.cr = false
		if err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// Close ends the last line and writes what is left. It does not close what is
// written to.
func (t *Text) Close() error {
	if t.cr || !t.lines {
		t.w.WriteString("\r\n") // Flush has the error
	}
	t.cr, t.lines = false, true
	return t.w.Flush()
}
