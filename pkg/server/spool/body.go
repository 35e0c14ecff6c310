package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// A Body reads the text of a message. It is for one goroutine.
type Body struct {
	*io.SectionReader
	file File
}

// Close ends the reading.
func (b *Body) Close() error { return b.file.Close() }

func openBody(fsys FS, name string, start int64) (*Body, error) {
	f, err := fsys.Modify(name)
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
