package smtpd

import (
	"bytes"
	"io"
	"strings"
)

// A headerReader stands between a message that comes in and its draft. It counts
// what is to be known of the header, leaves out what a client may not say, and adds
// what is missing. Lines end in CR LF. It keeps no more of the message than the
// beginning of a line.
type headerReader struct {
	w io.Writer

	// missing returns fields to add at the end of the header. Nil: none.
	missing func(hasDate, hasID bool) string

	received int // fields of that name
	date, id bool

	line []byte // the beginning of a line that may be a field
	part headerPart
	drop bool // the field at hand is left out
	any  bool // there was a field
}

type headerPart byte

const (
	atLine  headerPart = iota // at the beginning of a line of the header
	inField                   // behind the name, or in a line that goes on with a field
	inBody
)

// maxName is how long the name of a field may be. RFC 5322 leaves room for less
// than 998.
const maxName = 256

// Write takes a part of the message.
func (h *headerReader) Write(p []byte) (int, error) {
	all := len(p)
	for len(p) > 0 {
		var n int
		var err error
		switch h.part {
		case inBody:
			n, err = len(p), h.put(p)
		case inField:
			n = len(p)
			if i := bytes.IndexByte(p, '\n'); i >= 0 {
				n, h.part = i+1, atLine
			}
			if !h.drop {
				err = h.put(p[:n])
			}
		default:
			n, err = h.begin(p)
		}
		if err != nil {
			return 0, err
		}
		p = p[n:]
	}
	return all, nil
}

// begin looks at the beginning of a line until it is clear what the line is.
func (h *headerReader) begin(p []byte) (n int, err error) {
	for n < len(p) {
		c := p[n]
		n++
		h.line = append(h.line, c)
		switch {
		case len(h.line) == 1 && (c == ' ' || c == '\t') && h.any:
			return n, h.field(h.drop)
		case !h.any && (string(h.line) == "From " || string(h.line) == ">From "):
			// As mailbox files have it. Below our Received it would end the header.
			h.line = append([]byte("X-Mailbox-Line: "), h.line...)
			err := h.field(false)
			h.any = false // no line goes on with it
			return n, err
		case c == ':' && isFieldName(h.line[:len(h.line)-1]):
			return n, h.field(h.note(string(h.line[:len(h.line)-1])))
		case c == '\n' || c == ':' || len(h.line) > maxName:
			return n, h.endHeader()
		}
	}
	return n, nil
}

// field goes on with the field whose beginning is in line.
func (h *headerReader) field(drop bool) error {
	h.part, h.drop, h.any = inField, drop, true
	line := h.line
	h.line = nil
	if drop {
		return nil
	}
	return h.put(line)
}

// note takes note of a field, and reports whether it is to be left out: X-AuthUser
// above the first Received would be believed to be ours by servers behind us.
func (h *headerReader) note(name string) (drop bool) {
	switch strings.ToLower(strings.TrimRight(name, " \t")) {
	case "received":
		h.received++
	case "date":
		h.date = true
	case "message-id":
		h.id = true
	case "x-authuser":
		return h.received == 0
	}
	return false
}

// endHeader ends the header with the line at hand: an empty one, or one that is no
// field, with which the text begins.
func (h *headerReader) endHeader() error {
	text := string(h.line)
	h.line, h.part = nil, inBody
	if fields := h.fields(); fields != "" {
		if text != "\r\n" {
			fields += "\r\n"
		}
		text = fields + text
	}
	return h.put([]byte(text))
}

func (h *headerReader) fields() string {
	if h.missing == nil {
		return ""
	}
	return h.missing(h.date, h.id)
}

// Close ends the message. It does not close the draft.
func (h *headerReader) Close() error {
	if h.part == inBody {
		return nil
	}
	if len(h.line) > 0 {
		return h.endHeader()
	}
	h.part = inBody
	return h.put([]byte(h.fields()))
}

func (h *headerReader) put(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	_, err := h.w.Write(p)
	return err
}

// isFieldName reports whether a name can be that of a field. Blanks before the
// colon, which old programs wrote, are no part of it.
func isFieldName(name []byte) bool {
	name = bytes.TrimRight(name, " \t")
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return len(name) > 0
}

// A lineWriter makes every line end CR LF, for texts that programs have changed.
// NUL is left out.
type lineWriter struct {
	w    io.Writer
	cr   bool // a CR is held back
	last byte
}

// Write takes a part of the text.
func (l *lineWriter) Write(p []byte) (int, error) {
	out := make([]byte, 0, len(p)+len(p)/8+2)
	for _, c := range p {
		switch {
		case c == '\n':
			out = append(out, '\r', '\n')
			l.cr = false
		case c == 0:
			continue
		default:
			if l.cr {
				out = append(out, '\r', '\n')
			}
			if l.cr = c == '\r'; !l.cr {
				out = append(out, c)
			}
		}
		l.last = c
	}
	_, err := l.w.Write(out)
	return len(p), err
}

// Close ends the last line. It does not close what is behind it.
func (l *lineWriter) Close() error {
	if l.last == 0 || l.last == '\n' {
		return nil
	}
	_, err := io.WriteString(l.w, "\r\n")
	return err
}
