package main

import (
	"bufio"
	"encoding/base64"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// format is how the lines of a list are printed.
type format int

const (
	formatRaw format = iota
	formatTable
	formatTSV
	formatJSON
)

var formatNames = [...]string{"raw", "table", "tsv", "json"}

// A listWriter prints the lines of one list. A list that was cut short is
// flushed and not closed: what came before is printed, except in a table, and
// does not look complete where the format can tell.
type listWriter interface {
	line(s string) error
	flush() error
	close() error
}

// A shape is what is known of the lines of a list.
type shape struct {
	columns []string // of a list made of rows
	text    bool     // lines of a file: never split into fields
}

func newListWriter(f format, w io.Writer, s shape, terminal bool) listWriter {
	out := bufio.NewWriterSize(w, 32<<10)
	switch f {
	case formatTable:
		return &tableWriter{out: out, shape: s}
	case formatTSV:
		return &tsvWriter{out: out, shape: s}
	case formatJSON:
		return &jsonWriter{out: out, shape: s}
	}
	return &rawWriter{out: out, terminal: terminal}
}

// splitRow takes a row of a list apart: fields in double quotes with a TAB
// between. Quotes inside a value are not escaped on the wire, but a value
// never holds a TAB, so `"` TAB `"` separates two fields and nothing else does.
func splitRow(line string) (fields []string, ok bool) {
	if len(line) < 2 || line[0] != '"' || line[len(line)-1] != '"' {
		return nil, false
	}
	return strings.Split(line[1:len(line)-1], "\"\t\""), true
}

// fields splits a line as its list is built.
func (s shape) fields(line string) (fields []string, isRow bool) {
	if !s.text {
		if f, ok := splitRow(line); ok {
			return f, true
		}
	}
	return []string{line}, false
}

// rawWriter prints lines as they came. On a terminal control characters other
// than TAB are made visible, since a name must not move the cursor or worse.
type rawWriter struct {
	out      *bufio.Writer
	terminal bool
}

func (w *rawWriter) line(s string) error {
	if w.terminal {
		s = visible(s, true)
	}
	w.out.WriteString(s)
	return w.out.WriteByte('\n')
}

func (w *rawWriter) flush() error { return w.out.Flush() }
func (w *rawWriter) close() error { return w.out.Flush() }

// tsvWriter prints unquoted fields with a TAB between. In a field a backslash
// is \\ and a control character \xNN, so that a line always has the fields it seems to have.
type tsvWriter struct {
	out   *bufio.Writer
	shape shape
}

func (w *tsvWriter) line(s string) error {
	fields, _ := w.shape.fields(s)
	for i, f := range fields {
		if i > 0 {
			w.out.WriteByte('\t')
		}
		w.out.WriteString(visible(strings.ReplaceAll(f, `\`, `\\`), false))
	}
	return w.out.WriteByte('\n')
}

func (w *tsvWriter) flush() error { return w.out.Flush() }
func (w *tsvWriter) close() error { return w.out.Flush() }

// jsonWriter prints an array: of objects by column where the columns are
// known, of strings for the lines of a file, and of arrays of strings for the
// rows of a command this program does not know. A value that is not UTF-8 is
// the object {"base64": "…"} in place of a string.
type jsonWriter struct {
	out   *bufio.Writer
	shape shape
	n     int
	buf   []byte
}

func (w *jsonWriter) line(s string) error {
	b := w.buf[:0]
	if w.n == 0 {
		b = append(b, '[', '\n')
	} else {
		b = append(b, ',', '\n')
	}
	w.n++
	fields, isRow := w.shape.fields(s)
	switch {
	case !isRow:
		b = appendJSON(b, s)
	case w.shape.columns == nil:
		b = append(b, '[')
		for i, f := range fields {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, f)
		}
		b = append(b, ']')
	default:
		b = append(b, '{')
		for i, f := range fields {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, column(w.shape.columns, i))
			b = append(b, ':')
			b = appendJSON(b, f)
		}
		b = append(b, '}')
	}
	w.buf = b
	_, err := w.out.Write(b)
	return err
}

func (w *jsonWriter) flush() error { return w.out.Flush() }

func (w *jsonWriter) close() error {
	if w.n == 0 {
		w.out.WriteByte('[')
	}
	if w.n > 0 {
		w.out.WriteByte('\n')
	}
	w.out.WriteString("]\n")
	return w.out.Flush()
}

// column names field i of a row, also one that the command table does not know.
func column(columns []string, i int) string {
	if i < len(columns) {
		return columns[i]
	}
	return "field" + strconv.Itoa(i+1)
}

// appendJSON appends s as a JSON value. Every control character is escaped,
// also those that JSON would allow.
func appendJSON(b []byte, s string) []byte {
	if !utf8.ValidString(s) {
		b = append(b, `{"base64":"`...)
		b = base64.StdEncoding.AppendEncode(b, []byte(s))
		return append(b, `"}`...)
	}
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\t':
			b = append(b, '\\', 't')
		case isControl(r) || r == '\u2028' || r == '\u2029':
			b = append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// tableWriter draws a table when the list is complete. A line that is no row
// stands in the first column.
type tableWriter struct {
	out   *bufio.Writer
	shape shape
	rows  [][]string
}

func (w *tableWriter) line(s string) error {
	fields, _ := w.shape.fields(s)
	row := make([]string, len(fields))
	for i, f := range fields {
		row[i] = visible(f, false)
	}
	w.rows = append(w.rows, row)
	return nil
}

func (w *tableWriter) flush() error { return nil }

func (w *tableWriter) close() error {
	width := len(w.shape.columns)
	for _, r := range w.rows {
		width = max(width, len(r))
	}
	if width == 0 {
		return w.out.Flush()
	}
	header := make([]string, width)
	for i := range header {
		header[i] = column(w.shape.columns, i)
	}
	if w.shape.columns == nil && width == 1 {
		header[0] = "line"
	}
	// Values are shown to the byte: no trimming, no wrapping, no column hidden.
	t := tablewriter.NewTable(w.out,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{Symbols: tw.NewSymbols(tw.StyleASCII)})),
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithHeaderAlignment(tw.AlignLeft),
		tablewriter.WithRowAlignment(tw.AlignLeft),
		tablewriter.WithHeaderAutoWrap(tw.WrapNone),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithAutoHide(tw.Off),
	)
	t.Header(header)
	for _, r := range w.rows {
		for len(r) < width {
			r = append(r, "")
		}
		if err := t.Append(r); err != nil {
			return err
		}
	}
	if err := t.Render(); err != nil {
		return err
	}
	return w.out.Flush()
}

// visible replaces every control character by \xNN, or \uNNNN for those
// beyond ASCII; keepTab leaves TAB alone. The bytes 80 to 9f outside UTF-8 are
// controls to some terminals and are replaced too; other bytes stay.
func visible(s string, keepTab bool) string {
	clean := true
	for i := 0; i < len(s) && clean; i++ {
		clean = s[i] >= ' ' && s[i] < 0x7f || s[i] == '\t' && keepTab
	}
	if clean {
		return s
	}
	const hex = "0123456789abcdef"
	b := make([]byte, 0, len(s)+16)
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\t' && keepTab:
			b = append(b, '\t')
		case r == utf8.RuneError && n == 1 && s[i] < 0xa0, n == 1 && isControl(r):
			b = append(b, '\\', 'x', hex[s[i]>>4], hex[s[i]&15])
		case isControl(r):
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = append(b, s[i:i+n]...)
		}
		i += n
	}
	return string(b)
}

// isControl reports whether r is one of the C0 and C1 controls or DEL.
func isControl(r rune) bool { return r >= 0 && r < ' ' || r >= 0x7f && r < 0xa0 }
