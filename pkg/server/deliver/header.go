package deliver

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"strings"
)

// maxHeader is how many bytes of a header are looked at. What follows is text.
const maxHeader = 1 << 20

// A field is a line of a header with those that continue it.
type field struct {
	name string // in canonical form; empty for what is none
	text string // as it stands in the message, line ends included
}

// value returns what stands after the colon, on one line.
func (f field) value() string {
	_, value, _ := strings.Cut(f.text, ":")
	return strings.Join(strings.Fields(value), " ")
}

// readHeader reads the header of a message, and leaves r where the empty line
// begins, or the text where there is none.
func readHeader(r *bufio.Reader) ([]field, error) {
	var fields []field
	total := 0
	for total < maxHeader {
		first, err := r.Peek(1)
		if err == io.EOF {
			return fields, nil
		}
		if err != nil {
			return fields, err
		}
		if first[0] == '\r' || first[0] == '\n' {
			return fields, nil
		}
		line, err := readLine(r, maxHeader-total)
		if err != nil && !errors.Is(err, io.EOF) {
			return fields, err
		}
		total += len(line)
		switch name, _, ok := strings.Cut(line, ":"); {
		case (first[0] == ' ' || first[0] == '\t') && len(fields) > 0:
			fields[len(fields)-1].text += line
		case ok && !strings.ContainsAny(strings.TrimRight(name, " \t"), " \t"):
			fields = append(fields, field{textproto.CanonicalMIMEHeaderKey(strings.TrimRight(name, " \t")), line})
		default:
			fields = append(fields, field{text: line})
		}
	}
	return fields, nil
}

// readLine reads a line, or the first part of one that has more than most bytes.
func readLine(r *bufio.Reader, most int) (string, error) {
	var line strings.Builder
	for line.Len() < most {
		part, err := r.ReadSlice('\n')
		line.Write(part)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line.String(), err
		}
	}
	return line.String(), nil
}

// rewrite copies a message with lines added on top and fields left out.
func rewrite(w io.Writer, message io.Reader, top []string, drop func(name string) bool) error {
	r := bufio.NewReaderSize(message, 32<<10)
	fields, err := readHeader(r)
	if err != nil {
		return err
	}
	b := bufio.NewWriterSize(w, 32<<10)
	for _, line := range top {
		fmt.Fprintf(b, "%s\r\n", line) // the error comes back from Flush
	}
	for _, f := range fields {
		if !drop(f.name) {
			b.WriteString(f.text)
		}
	}
	if _, err := io.Copy(b, r); err != nil {
		return err
	}
	return b.Flush()
}
