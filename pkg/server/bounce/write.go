package bounce

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"io"
	"mime/quotedprintable"
	"strings"
	"unicode/utf8"
)

// WriteTo writes the notification, with lines that end in CRLF and dots that are not
// stuffed. It reads the message that it is about.
func (m *Message) WriteTo(w io.Writer) (int64, error) {
	c := &counter{w: w}
	b := bufio.NewWriterSize(c, 16<<10)
	b.WriteString(m.header()) // Flush has the error
	part := func(kind, text string) {
		encoding := ""
		if !plain(text) {
			encoding = "quoted-printable"
		}
		m.begin(b, kind, encoding)
		if encoding == "" {
			b.WriteString(strings.ReplaceAll(text, "\n", "\r\n"))
			return
		}
		q := quotedprintable.NewWriter(b)
		io.WriteString(q, text)
		q.Close()
	}
	part("text/plain; charset=utf-8", m.text())
	if m.global() {
		part("message/global-delivery-status", m.status())
	} else {
		part("message/delivery-status", m.status())
	}
	switch o := m.original; {
	case !o.there:
	case o.full:
		if err := m.copy(b); err != nil {
			return c.n, err
		}
	case isASCII(o.header), !utf8.ValidString(o.header):
		part("text/rfc822-headers", lines(o.header))
	default:
		part("message/global-headers", lines(o.header))
	}
	fmt.Fprintf(b, "\r\n--%s--\r\n", m.boundary)
	return c.n, b.Flush()
}

// begin begins a part.
func (m *Message) begin(b *bufio.Writer, kind, encoding string) {
	fmt.Fprintf(b, "\r\n--%s\r\nContent-Type: %s\r\n", m.boundary, kind)
	if encoding != "" {
		fmt.Fprintf(b, "Content-Transfer-Encoding: %s\r\n", encoding)
	}
	b.WriteString("\r\n")
}

// copy returns the message as a whole.
func (m *Message) copy(b *bufio.Writer) error {
	kind, encoding := "message/rfc822", ""
	if !isASCII(m.original.header) {
		kind = "message/global"
	}
	if m.original.eightBit {
		encoding = "8bit"
	}
	m.begin(b, kind, encoding)
	if _, err := m.n.Message.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("bounce: %w", err)
	}
	if _, err := io.Copy(b, io.LimitReader(m.n.Message, m.n.MaxReturn)); err != nil {
		return fmt.Errorf("bounce: %w", err)
	}
	return nil
}

// header returns the header of the notification, and the empty line.
func (m *Message) header() string {
	n := m.n
	var b strings.Builder
	line := func(name, value string) {
		if value = clean(value); !m.UTF8 {
			value = ascii(value)
		}
		fmt.Fprintf(&b, "%s: %s\r\n", name, short(value))
	}
	id := clean(n.ID)
	if id == "" {
		id = rand.Text()
	}
	line("Date", n.Time.Format(date))
	line("X-MessageId", "<"+n.Name+">")
	line("X-SmtpMessageId", "<"+n.MessageID+">")
	line("From", `"`+strings.Map(unquoted, n.Domain)+` PostMaster" <`+n.Postmaster+">")
	line("To", "<"+n.To+">")
	line("Subject", fmt.Sprintf("%s [%s] from [%s]", m.what(), n.Name, n.Domain))
	line("Message-ID", fmt.Sprintf("<%s.%x@%s>", strings.Map(idText, id), n.Time.UnixMicro(), strings.Map(idText, n.Domain)))
	if about := m.original.messageID(); about != "" {
		line("References", about)
	}
	line("Auto-Submitted", "auto-replied")
	line("X-MailerServer", n.Identity)
	line("X-MailerError", fmt.Sprintf("Message = [%s] Server = [%s]", n.Name, n.Domain))
	line("MIME-Version", "1.0")
	if m.EightBit {
		line("Content-Transfer-Encoding", "8bit")
	}
	fmt.Fprintf(&b, "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"%s\"\r\n", m.boundary)
	b.WriteString("\r\nThis is a report in MIME format.\r\n")
	return b.String()
}

// unquoted keeps from a quoted string what would end it.
func unquoted(r rune) rune {
	if r == '"' || r == '\\' {
		return '?'
	}
	return r
}

// idText keeps from a Message-ID what may not be in it.
func idText(r rune) rune {
	if r <= ' ' || r >= 0x7f || strings.ContainsRune("<>@()[]\\,;:\"", r) {
		return '-'
	}
	return r
}

// plain reports whether a text with lines that end in LF can be sent as it is.
func plain(text string) bool {
	if !isASCII(text) {
		return false
	}
	for line := range strings.Lines(text) {
		if len(line) > maxLine {
			return false
		}
	}
	return true
}

// A counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
