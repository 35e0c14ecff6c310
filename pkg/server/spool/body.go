package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// A Body reads the text of a message. It is for one goroutine.
type Body struct {
	*io.SectionReader
	file io.Closer // nil: the text is in memory
}

// Close ends the reading.
func (b *Body) Close() error {
	if b.file == nil {
		return nil
	}
	return b.file.Close()
}

// textBody returns a text that is in memory.
func textBody(text []byte) *Body {
	return &Body{io.NewSectionReader(bytes.NewReader(text), 0, int64(len(text))), nil}
}

// newBody returns the text in a file that was opened, or was not.
func newBody(f File, err error, start int64) (*Body, error) {
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("spool: %w", errors.Join(err, f.Close()))
	}
	return &Body{io.NewSectionReader(f, start, max(info.Size()-start, 0)), f}, nil
}

// remove removes a file that may be gone already.
func remove(fsys FS, name string) error {
	err := fsys.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
