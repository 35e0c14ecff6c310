package bounce

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
	"unicode/utf8"
)

// What is read of the message at most, in bytes, apart from RET=FULL.
const (
	maxHeader = 64 << 10
	maxExtra  = 32 << 10
	maxLine   = 998 // RFC 5322 2.1.1
)

// An original is what is known of the message that a notice is about.
type original struct {
	there  bool
	header string // as it is, lines end in CRLF; without the empty line
	extra  string // lines of the body, for people

	full     bool // it is returned as a whole
	eightBit bool // of what is returned as a whole
}

// look reads what is needed of the message.
func look(n Notice) (o original, err error) {
	o.there = true
	if _, err := n.Message.Seek(0, io.SeekStart); err != nil {
		return o, fmt.Errorf("bounce: %w", err)
	}
	b := bufio.NewReaderSize(n.Message, 8<<10)
	if o.header, err = readHeader(b); err != nil {
		return o, fmt.Errorf("bounce: %w", err)
	}
	if n.ExtraLines > 0 && !strings.EqualFold(n.Ret, "HDRS") {
		if o.extra, err = readLines(b, n.ExtraLines); err != nil {
			return o, fmt.Errorf("bounce: %w", err)
		}
	}
	if !strings.EqualFold(n.Ret, "FULL") || !anyFailed(n.Recipients) {
		return o, nil
	}
	if _, err := n.Message.Seek(0, io.SeekStart); err != nil {
		return o, fmt.Errorf("bounce: %w", err)
	}
	o.full, o.eightBit, err = returnable(n.Message, n.MaxReturn)
	if err != nil {
		return o, fmt.Errorf("bounce: %w", err)
	}
	return o, nil
}

// anyFailed reports whether RET counts: it is about failures (RFC 3461 4.3).
func anyFailed(all []Recipient) bool {
	for _, r := range all {
		if r.Action == Failed {
			return true
		}
	}
	return false
}

// readHeader reads the header with its lines, up to maxHeader.
func readHeader(b *bufio.Reader) (string, error) {
	var header strings.Builder
	for start := true; ; {
		part, err := b.ReadSlice('\n')
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return "", err
		}
		if start && len(bytes.TrimRight(part, "\r\n")) == 0 {
			return header.String(), nil // the empty line, or the end
		}
		if header.Len()+len(part) <= maxHeader {
			header.Write(part)
		}
		start = err == nil
		if errors.Is(err, io.EOF) {
			return header.String(), nil
		}
	}
}

// readLines reads so many lines, up to maxExtra.
func readLines(b *bufio.Reader, count int) (string, error) {
	var lines strings.Builder
	for count > 0 && lines.Len() < maxExtra {
		part, err := b.ReadSlice('\n')
		lines.Write(part[:min(len(part), maxExtra-lines.Len())])
		switch {
		case err == nil:
			count--
		case errors.Is(err, io.EOF):
			return lines.String(), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", err
		}
	}
	return lines.String(), nil
}

// returnable reports whether a message is short enough, and such that it can be
// within another (RFC 2045 2.8), and whether it has bytes beyond ASCII.
func returnable(r io.Reader, most int64) (ok, eightBit bool, err error) {
	b := bufio.NewReaderSize(r, 16<<10)
	size, line, last := int64(0), 0, byte('\n')
	for {
		c, err := b.ReadByte()
		if errors.Is(err, io.EOF) {
			return last != '\r', eightBit, nil
		}
		if err != nil {
			return false, false, err
		}
		size++
		line++
		switch {
		case c == '\n' && last != '\r', c != '\n' && last == '\r', c == 0, size > most, line > maxLine+2:
			return false, false, nil
		case c == '\n':
			line = 0
		case c >= utf8.RuneSelf:
			eightBit = true
		}
		last = c
	}
}

// field returns the value of a field of the header, on one line; empty where there is
// none.
func (o original) field(name string) string {
	var value strings.Builder
	found := false
	for line := range strings.Lines(o.header) {
		if more := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"); more && found {
			value.WriteString(" " + strings.TrimSpace(line))
			continue
		}
		if found {
			break
		}
		is, first, ok := strings.Cut(line, ":")
		if found = ok && strings.EqualFold(strings.TrimRight(is, " \t"), name); found {
			value.WriteString(strings.TrimSpace(first))
		}
	}
	return strings.TrimSpace(value.String())
}

// isNotice reports whether the message is a notification itself, of whatever server.
// One of the reference is known by X-MailerError, where that counts those of its own
// (docs/reference/delivery.md 5.1): two servers could tell each other for ever that
// their notifications fail.
func (o original) isNotice() bool {
	if o.field("X-MailerError") != "" {
		return true
	}
	kind, params, err := mime.ParseMediaType(o.field("Content-Type"))
	return err == nil && kind == "multipart/report" && strings.EqualFold(params["report-type"], "delivery-status")
}

// messageID returns the Message-ID, or nothing where it is not one to repeat.
func (o original) messageID() string {
	id := o.field("Message-ID")
	if len(id) < 3 || len(id) > 250 || id[0] != '<' || id[len(id)-1] != '>' || !isASCII(id) ||
		strings.ContainsFunc(id[1:len(id)-1], func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '<' || r == '>' }) {
		return ""
	}
	return id
}
