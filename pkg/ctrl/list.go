package ctrl

import (
	"bytes"
	"strings"
)

// maxListLine is how many bytes of a file's line go into one line of a list;
// clients of the reference have buffers of that size.
const maxListLine = 2046

// A ListWriter writes the lines of a list. It is good only during the call it was
// passed to. After an error all its methods return that error.
type ListWriter struct {
	w     lineSink
	rows  int
	err   error
	buf   []byte
	start func() // announces the list, once

	rowFilter func([]string) []string // nil: rows are sent as they are
}

// lineSink is where a ListWriter writes complete lines; *bufio.Writer is one.
type lineSink interface{ Write(p []byte) (int, error) }

// Row writes a row: each field in double quotes, a TAB between them. Nothing is
// escaped: that is the protocol, and what existing clients read. A TAB, CR, LF or
// NUL, which no field can hold, is written as "?"; other control characters go out
// as they are.
func (w *ListWriter) Row(fields ...string) error {
	if w.rowFilter != nil {
		if fields = w.rowFilter(fields); fields == nil {
			return w.err
		}
	}
	b := w.buf[:0]
	for i, f := range fields {
		if i > 0 {
			b = append(b, '\t')
		}
		b = append(b, '"')
		from := len(b)
		b = append(b, f...)
		for j, c := range b[from:] {
			if c <= '\r' && (c == '\t' || c == '\r' || c == '\n' || c == 0) {
				b[from+j] = '?'
			}
		}
		b = append(b, '"')
	}
	if len(fields) == 0 {
		b = append(b, `""`...)
	}
	return w.write(b)
}

// Line writes a line of a file as it is, without CRs and LFs at its end. One of
// more than 2046 bytes is written as several lines, and so is one with an LF inside.
func (w *ListWriter) Line(s string) error {
	if s = strings.TrimRight(s, "\r\n"); s == "" {
		return w.write(w.buf[:0])
	}
	return w.Text([]byte(s))
}

// Text writes the lines of a file, as [ListWriter.Line] does. It does not tell
// whether the last line has an end; an empty text has no line, unlike Line("").
func (w *ListWriter) Text(content []byte) error {
	for len(content) > 0 && w.err == nil {
		line, rest, _ := bytes.Cut(content, []byte{'\n'})
		content = rest
		w.line(bytes.TrimRight(line, "\r"))
	}
	return w.err
}

func (w *ListWriter) line(line []byte) {
	for {
		piece := line[:min(len(line), maxListLine)]
		line = line[len(piece):]
		b := w.buf[:0]
		if len(piece) > 0 && piece[0] == '.' {
			b = append(b, '.')
		}
		w.write(append(b, piece...))
		if len(line) == 0 || w.err != nil {
			return
		}
	}
}

// write sends one line, to which it adds the end.
func (w *ListWriter) write(b []byte) error {
	if w.err != nil {
		return w.err
	}
	if w.rows == 0 {
		w.start()
	}
	w.rows++
	b = append(b, '\r', '\n')
	w.buf = b
	_, w.err = w.w.Write(b)
	return w.err
}
