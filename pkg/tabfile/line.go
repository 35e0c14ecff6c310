package tabfile

import (
	"errors"
	"fmt"
	"strings"
)

// ErrUnwritable is the error of a value that no line can hold: one with a
// control character, or one that begins with a double quote and ends in a
// backslash.
var ErrUnwritable = errors.New("value cannot be written in a table")

// Cut returns the first field of line and what follows it. It reports false
// when there is no field left. It allocates only for a field that contains \".
//
// A NUL ends the line. line is expected without its line end.
func Cut(line string) (field, rest string, ok bool) {
	start := 0
	for start < len(line) && line[start] == '\t' {
		start++
	}
	line = line[start:]
	if i := strings.IndexByte(line, '\t'); i >= 0 {
		field, rest = line[:i], line[i+1:]
	} else {
		field = line
	}
	if i := strings.IndexByte(field, 0); i >= 0 {
		field, rest = field[:i], ""
	}
	if field == "" {
		return "", "", false
	}
	if field[0] == '"' {
		field = unquote(field)
	}
	return field, rest, true
}

// unquote takes a field that begins with a quote.
func unquote(field string) string {
	s := field[1:]
	escaped := false
	end := len(s)
	for i := 0; i < len(s); i++ {
		if s[i] != '"' {
			continue
		}
		if i == 0 || s[i-1] != '\\' {
			end = i
			break
		}
		escaped = true
	}
	s = s[:end]
	if !escaped {
		return s
	}
	return strings.ReplaceAll(s, `\"`, `"`)
}

// Split returns the fields of line, which is expected without its line end.
// A line of nothing but tabs has none.
func Split(line string) []string {
	return AppendSplit(nil, line)
}

// AppendSplit appends the fields of line to dst and returns the result. With
// room in dst it allocates only for fields that contain \".
func AppendSplit(dst []string, line string) []string {
	for {
		field, rest, ok := Cut(line)
		if !ok {
			return dst
		}
		dst = append(dst, field)
		line = rest
	}
}

// Field returns field i of line, counted from 0, and whether there is one.
func Field(line string, i int) (string, bool) {
	for ; ; i-- {
		field, rest, ok := Cut(line)
		if !ok {
			return "", false
		}
		if i <= 0 {
			return field, true
		}
		line = rest
	}
}

// IsComment reports whether a line is a comment. Blanks before the # make it a
// record.
func IsComment(line string) bool {
	return line != "" && line[0] == '#'
}

// TrimEnd returns line without the CR and LF bytes at its end.
func TrimEnd(line string) string {
	return strings.TrimRight(line, "\r\n")
}

// Quote returns s between double quotes, with those inside it escaped. Of a
// value that ends in a backslash the result is not read back as s; see [Cell].
func Quote(s string) string {
	return string(appendQuoted(make([]byte, 0, len(s)+2), s))
}

func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for {
		i := strings.IndexByte(s, '"')
		if i < 0 {
			break
		}
		dst = append(dst, s[:i]...)
		dst = append(dst, '\\', '"')
		s = s[i+1:]
	}
	dst = append(dst, s...)
	return append(dst, '"')
}

// Join returns a line of quoted fields. It is for values of which it is known
// that they can be written; [JoinCells] checks them.
func Join(fields ...string) string {
	n := 0
	for _, f := range fields {
		n += len(f) + 3
	}
	dst := make([]byte, 0, n)
	for i, f := range fields {
		if i > 0 {
			dst = append(dst, '\t')
		}
		dst = appendQuoted(dst, f)
	}
	return string(dst)
}

// Cell returns s as it is written in a table, so that [Split] and the readers
// of the reference give s back: quoted, or as it is where s ends in a backslash,
// which inside quotes would escape the closing one. A value that cannot be
// written is an error that wraps [ErrUnwritable].
func Cell(s string) (string, error) {
	dst, err := AppendCell(make([]byte, 0, len(s)+2), s)
	if err != nil {
		return "", err
	}
	return string(dst), nil
}

// AppendCell appends what [Cell] returns to dst.
func AppendCell(dst []byte, s string) ([]byte, error) {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == 0x7f {
			return dst, fmt.Errorf("%w: control character 0x%02x", ErrUnwritable, c)
		}
	}
	if !strings.HasSuffix(s, `\`) {
		return appendQuoted(dst, s), nil
	}
	if s[0] == '"' {
		return dst, fmt.Errorf("%w: it begins with a quote and ends in a backslash", ErrUnwritable)
	}
	return append(dst, s...), nil
}

// JoinCells returns a line of the fields, each as [Cell] writes it. A first
// field that would turn the line into a comment is an error as well.
func JoinCells(fields ...string) (string, error) {
	var dst []byte
	for i, f := range fields {
		if i > 0 {
			dst = append(dst, '\t')
		}
		var err error
		if dst, err = AppendCell(dst, f); err != nil {
			return "", err
		}
	}
	if len(dst) > 0 && dst[0] == '#' {
		return "", fmt.Errorf("%w: a first field that begins with # and ends in a backslash", ErrUnwritable)
	}
	return string(dst), nil
}
