package deliver

import (
	"bufio"
	"io"
	"strings"
	"testing"
)

// TestALineWithoutEndIsNotReadAsHeader has a message of one line, which is longer than
// any header.
func TestALineWithoutEndIsNotReadAsHeader(t *testing.T) {
	const rest = maxHeader
	r := bufio.NewReader(strings.NewReader("Subject: " + strings.Repeat("x", maxHeader+rest)))
	fields, err := readHeader(r)
	if err != nil {
		t.Fatal(err)
	}
	if len(fields) != 1 || fields[0].name != "Subject" {
		t.Fatalf("%d fields, want that of the subject alone", len(fields))
	}
	if got, most := len(fields[0].text), maxHeader+r.Size(); got < maxHeader || got > most {
		t.Errorf("%d bytes were taken for the field, want %d to %d", got, maxHeader, most)
	}
	left, err := io.Copy(io.Discard, r)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(fields[0].text)+int(left), len("Subject: ")+maxHeader+rest; got != want {
		t.Errorf("%d bytes in all, want %d", got, want)
	}
}
