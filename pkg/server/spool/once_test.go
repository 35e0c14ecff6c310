package spool

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"testing"
	"time"
)

func TestAFileIsTakenOnceWhateverHappens(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	q, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	removed := 0
	broken := errors.New("read-only file system")
	failure := broken
	source := Source{Facts: "a 1 2 3", Time: time.Unix(-5, 0), Remove: func() error { removed++; return failure }}
	e := Envelope{ID: "L2", From: "ann@example.org", Recipients: []Recipient{{Address: "bob@example.org"}}}
	take := func() error {
		d, err := q.BeginOnce(source, e)
		if err != nil {
			return err
		}
		defer d.Abort()
		if _, err := io.WriteString(d, "Subject: x\r\n\r\n"); err != nil {
			return err
		}
		return d.Commit()
	}
	if err := take(); !errors.Is(err, broken) || q.Len() != 0 || q.Took(source) {
		t.Errorf("a file that cannot be removed: %v, %d messages; want its error and none", err, q.Len())
	}
	failure = nil
	if err := take(); err != nil || q.Len() != 1 || removed != 2 {
		t.Fatalf("the file: %v, %d messages, removed %d times; want it taken", err, q.Len(), removed)
	}
	if err := take(); !errors.Is(err, fs.ErrExist) || q.Len() != 1 {
		t.Errorf("the file again: %v, %d messages; want that it exists", err, q.Len())
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if q, err = Open(t.Context(), dir, Options{}); err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	other := source
	other.Facts = "a 1 2 4"
	if !q.Took(source) || q.Took(other) {
		t.Errorf("after a restart: took %v, another %v; want the one only", q.Took(source), q.Took(other))
	}
}
