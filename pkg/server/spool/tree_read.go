package spool

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/xmaild/xmaild/pkg/server/address"
)

// errUnloadable is the error of a file of the reference's tree that holds no message.
var errUnloadable = errors.New("not a message of the queue")

// A spoolFile is a file of the reference that is being read: its envelope, and then
// the message.
type spoolFile struct {
	Envelope
	text *bufio.Reader // dots stuffed
}

// readSpoolFile reads the lines before the message. An error that is errUnloadable
// says that there is no message; others that it could not be read.
func readSpoolFile(r io.Reader) (*spoolFile, error) {
	b := bufio.NewReaderSize(r, 16<<10)
	var lines [6]string
	for i := range lines {
		line, err := b.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("%w: line %d is cut off or too long", errUnloadable, i+1)
		case err != nil:
			return nil, err
		}
		lines[i] = strings.TrimRight(string(line), "\r\n")
	}
	if lines[5] != mailData {
		return nil, fmt.Errorf("%w: line 6 is not %s", errUnloadable, mailData)
	}
	s := &spoolFile{text: b}
	if err := s.origin(lines[0]); err != nil {
		return nil, err
	}
	s.Domain, s.ID = treeText(lines[1]), treeText(lines[2])
	if err := s.sender(lines[3]); err != nil {
		return nil, err
	}
	if err := s.recipient(lines[4]); err != nil {
		return nil, err
	}
	s.login()
	return s, nil
}

// origin reads "[CLIENT]:PORT;[SERVER]:PORT;TIME".
func (s *spoolFile) origin(line string) error {
	fields := strings.FieldsFunc(line, func(r rune) bool { return r == ';' })
	if len(fields) < 3 {
		return fmt.Errorf("%w: line 1 has less than three fields", errUnloadable)
	}
	s.Client, s.Server = parseSocket(fields[0]), parseSocket(fields[1])
	s.Time, _ = time.Parse(treeTime, strings.TrimSpace(fields[2])) // the name of the file may know it
	return nil
}

// parseSocket reads "[IP]:PORT"; what is not one is no address.
func parseSocket(s string) netip.AddrPort {
	ip, rest, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(s), "["), "]:")
	if !ok {
		return netip.AddrPort{}
	}
	addr, err := netip.ParseAddr(ip)
	port, err2 := strconv.ParseUint(rest, 10, 16)
	if err != nil || err2 != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(port))
}

// sender reads the MAIL line and those of its parameters that count later.
func (s *spoolFile) sender(line string) error {
	path, ok := cutCommand(line, "MAIL FROM:")
	if !ok {
		return fmt.Errorf("%w: line 4 is not a MAIL line", errUnloadable)
	}
	from, params, ok := cutPath(path)
	if !ok {
		return fmt.Errorf("%w: line 4 has no address", errUnloadable)
	}
	if p, _, err := address.ParsePath("<" + from + ">"); err == nil && len(p.Route) > 0 {
		from = p.String() // the way back need not be the way here (RFC 5321, C)
	}
	s.From, s.Mail = from, printable(strings.ToValidUTF8(line, "?"))
	s.UTF8 = !isASCII(from)
	for name, value := range params {
		switch name {
		case "BODY":
			s.Body = strings.ToUpper(value)
		case "SMTPUTF8":
			s.UTF8 = true
		case "RET":
			s.Ret = strings.ToUpper(value)
		case "ENVID":
			s.EnvID = fromXtext(value)
		}
	}
	return nil
}

// recipient reads the RCPT line. A source route stays as it is.
func (s *spoolFile) recipient(line string) error {
	path, ok := cutCommand(line, "RCPT TO:")
	if !ok {
		return fmt.Errorf("%w: line 5 is not a RCPT line", errUnloadable)
	}
	to, params, ok := cutPath(path)
	if !ok || to == "" {
		return fmt.Errorf("%w: line 5 has no address", errUnloadable)
	}
	r := Recipient{Address: to}
	for name, value := range params {
		switch name {
		case "NOTIFY":
			r.Notify = strings.ToUpper(value)
		case "ORCPT":
			kind, original, _ := strings.Cut(value, ";")
			r.ORcpt = kind + ";" + fromXtext(original)
		}
	}
	s.UTF8 = s.UTF8 || !isASCII(to)
	s.Recipients = []Recipient{r}
	return nil
}

// login finds who sent the message. A header X-AuthUser is the server's own where it
// comes before everything that a client sent (docs/reference/services.md 1.12).
func (s *spoolFile) login() {
	if !strings.HasPrefix(s.ID, "S") {
		return
	}
	const header = "X-AuthUser: "
	head, _ := s.text.Peek(len(header) + 512) // as much as there is
	line, _, ended := bytes.Cut(head, []byte("\n"))
	if name, ok := bytes.CutPrefix(line, []byte(header)); ok && ended {
		s.Login = treeText(string(name))
	}
}

func cutCommand(line, command string) (rest string, ok bool) {
	if len(line) < len(command) || !strings.EqualFold(line[:len(command)], command) {
		return "", false
	}
	return line[len(command):], true
}

// cutPath divides what follows MAIL FROM: or RCPT TO: into the path without its
// brackets and the parameters, names in upper case. A path that is none of SMTP is
// taken as the reference does, to the first closing bracket.
func cutPath(s string) (path string, params map[string]string, ok bool) {
	open := strings.IndexByte(s, '<')
	if open < 0 {
		return "", nil, false
	}
	path, rest, ok := strings.Cut(s[open+1:], ">")
	if _, after, err := address.ParsePath(s[open:]); err == nil {
		rest = after
		path = strings.TrimRight(strings.TrimSuffix(s[open+1:], after), " ")
		path = strings.TrimSuffix(path, ">")
		ok = true
	}
	path = strings.TrimSpace(path)
	if !ok || len(path) > maxReply || !utf8.ValidString(path) || strings.ContainsFunc(path, unicode.IsControl) {
		return "", nil, false
	}
	params = make(map[string]string)
	// The line is kept as text; what was no text is not to part words here only.
	for word := range strings.FieldsSeq(printable(strings.ToValidUTF8(rest, "?"))) {
		name, value, _ := strings.Cut(word, "=")
		params[strings.ToUpper(name)] = treeText(value)
	}
	return path, params, true
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// fromXtext decodes a value of a parameter; what is no code stays.
func fromXtext(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '+' && i+2 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return treeText(b.String())
}

// WriteTo writes the message as the live queue keeps it: dots that were stuffed are
// not, and lines end in CRLF, which programs may have written otherwise.
func (s *spoolFile) WriteTo(w io.Writer) (n int64, err error) {
	out := bufio.NewWriterSize(w, 16<<10)
	write := func(p []byte) {
		k, _ := out.Write(p) // Flush has the error
		n += int64(k)
	}
	start, last := true, byte('\n')
	for {
		part, err := s.text.ReadSlice('\n')
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return n, err
		}
		if start && bytes.HasPrefix(part, []byte("..")) {
			part = part[1:]
		}
		if len(part) > 0 {
			before := last
			if len(part) > 1 {
				before = part[len(part)-2]
			}
			last = part[len(part)-1]
			if last == '\n' && before != '\r' {
				write(part[:len(part)-1])
				part = []byte("\r\n")
			}
			write(part)
		}
		start = err == nil
		if errors.Is(err, io.EOF) {
			break
		}
	}
	if last != '\n' {
		write([]byte("\r\n"))
	}
	return n, out.Flush()
}
