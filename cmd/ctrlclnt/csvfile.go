package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// readRows reads the rows of a file. The error is of the whole file; a row that
// cannot be used has the verdict invalid.
//
// Fields are separated by commas, semicolons or TABs, whichever comes first in the
// first line, and quoted as in RFC 4180. A first record of names of columns is
// a header. Users without a header and with semicolons are in the form of the
// reference's MkUsers (docs/reference/tables.md 8.2), which knows no quotes.
func readRows(k *kind, content []byte) ([]*row, error) {
	if bytes.HasPrefix(content, []byte("\xff\xfe")) || bytes.HasPrefix(content, []byte("\xfe\xff")) {
		return nil, errors.New("it is UTF-16; save it as UTF-8")
	}
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	first := firstLine(content)
	comma := separator(first)
	names := k.header(first, comma)
	if names == nil && comma == ';' && k.name == "users" {
		return readMkUsers(k, content), nil
	}
	r := csv.NewReader(bytes.NewReader(content))
	r.Comma, r.Comment, r.FieldsPerRecord, r.ReuseRecord = comma, '#', -1, true
	columns := names
	if columns == nil {
		columns = k.positions
	}
	if columns == nil {
		for _, c := range k.columns {
			columns = append(columns, c.name)
		}
	}
	if err := k.complete(columns); err != nil {
		return nil, err
	}
	var rows []*row
	for {
		record, err := r.Read()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			if pe, ok := errors.AsType[*csv.ParseError](err); ok {
				return nil, fmt.Errorf("line %d: %w", pe.Line, pe.Err)
			}
			return nil, err
		}
		if names != nil {
			names = nil // the header itself
			continue
		}
		line, _ := r.FieldPos(0)
		if blank(record) {
			continue
		}
		rows = append(rows, k.row(line, columns, record))
	}
}

// firstLine returns the first line that is neither blank nor a comment.
func firstLine(content []byte) string {
	for line := range bytes.Lines(content) {
		s := strings.TrimRight(string(line), "\r\n")
		if strings.TrimSpace(s) != "" && s[0] != '#' {
			return s
		}
	}
	return ""
}

// separator returns what stands between the fields of a line.
func separator(line string) rune {
	quoted := false
	for _, r := range line {
		switch r {
		case '"':
			quoted = !quoted
		case ',', ';', '\t':
			if !quoted {
				return r
			}
		}
	}
	return ','
}

// header returns the columns that the first line names, or nil where it is no header.
func (k *kind) header(line string, comma rune) []string {
	r := csv.NewReader(strings.NewReader(line))
	r.Comma = comma
	record, err := r.Read()
	if err != nil {
		return nil
	}
	names := make([]string, len(record))
	known := 0
	for i, name := range record {
		c, ok := k.column(name)
		if ok {
			known++
		}
		names[i] = c.name
		if !ok {
			names[i] = strings.TrimSpace(name)
		}
	}
	// A column more, for people, makes no header a row: but the first must be known.
	if _, ok := k.column(record[0]); !ok || known < (len(record)+1)/2 {
		return nil
	}
	return names
}

// complete reports a header that cannot be used.
func (k *kind) complete(columns []string) error {
	seen := map[string]bool{}
	for _, name := range columns {
		c, ok := k.column(name)
		if !ok {
			return fmt.Errorf("the header names a column %q; there are %s", name, k.columnNames())
		}
		if seen[c.name] {
			return fmt.Errorf("the header names the column %s twice", c.name)
		}
		seen[c.name] = true
	}
	for _, c := range k.columns {
		if !c.optional && !seen[c.name] {
			return fmt.Errorf("the header lacks the column %s; there are %s", c.name, k.columnNames())
		}
	}
	return nil
}

// row makes a row of a record.
func (k *kind) row(line int, columns, record []string) *row {
	r := &row{line: line, values: map[string]string{}}
	for i, value := range record {
		if i >= len(columns) {
			if value != "" {
				r.invalid(fmt.Sprintf("%d fields, more than the columns %s", len(record), strings.Join(columns, ", ")))
			}
			continue
		}
		c, _ := k.column(columns[i])
		if !c.free {
			value = strings.TrimSpace(value)
		}
		r.values[c.name] = value
	}
	for _, c := range k.columns {
		if !c.optional && !c.free && r.values[c.name] == "" {
			r.invalid("no " + c.name)
			break
		}
		if _, ok := r.values[c.name]; !ok && !c.optional {
			r.invalid("no " + c.name)
			break
		}
	}
	// As in the arguments of useradd, which is not what these columns are.
	if t := r.values["real-name"]; len(record) == 4 && columns[3] == "real-name" && (t == "U" || t == "M") {
		r.invalid(fmt.Sprintf("the fourth column is the real name, and that is %q here: name the columns in a header", t))
	}
	r.describe(k)
	return r
}

// invalid gives a row that verdict, unless it has one.
func (r *row) invalid(text string) {
	if r.verdict == "" {
		r.verdict, r.text = verdictInvalid, text
	}
}

// blank reports whether a record has nothing in it.
func blank(record []string) bool {
	for _, f := range record {
		if strings.TrimSpace(f) != "" {
			return false
		}
	}
	return true
}

// readMkUsers reads domain;username;password;real-name;homepage. The last two may be
// missing, and fields after them are ignored as the reference does.
func readMkUsers(k *kind, content []byte) []*row {
	var rows []*row
	n := 0
	for line := range bytes.Lines(content) {
		n++
		s := strings.TrimRight(string(line), "\r\n")
		if strings.TrimSpace(s) == "" || s[0] == '#' {
			continue
		}
		fields := strings.Split(s, ";")
		rows = append(rows, k.row(n, k.positions, fields[:min(len(fields), len(k.positions))]))
	}
	return rows
}
