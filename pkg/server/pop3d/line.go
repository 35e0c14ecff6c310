package pop3d

import (
	"bytes"
	"errors"
	"io"
)

const (
	smallLine = 512  // what a session that waits keeps room for
	maxLine   = 8192 // with its end; RFC 5034 lets credentials be long
)

var errLineTooLong = errors.New("a line is too long")

// A lineReader reads lines that end in LF, or in CRs and an LF.
type lineReader struct {
	src io.Reader
	buf []byte
	r   int // buf[r:] is not taken yet
}

// buffered reports whether a whole line is there already.
func (l *lineReader) buffered() bool { return bytes.IndexByte(l.buf[l.r:], '\n') >= 0 }

// pending reports whether anything is there already.
func (l *lineReader) pending() bool { return len(l.buf) > l.r }

// line returns the next line without its end. It is valid until the next call.
func (l *lineReader) line() ([]byte, error) {
	seen := 0
	for {
		if i := bytes.IndexByte(l.buf[l.r+seen:], '\n'); i >= 0 {
			line := l.buf[l.r : l.r+seen+i]
			l.r += seen + i + 1
			return bytes.TrimRight(line, "\r"), nil
		}
		seen = len(l.buf) - l.r
		if err := l.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads what is there to read, and waits for it.
func (l *lineReader) fill() error {
	if l.r > 0 {
		l.buf = l.buf[:copy(l.buf, l.buf[l.r:])]
		l.r = 0
	}
	switch {
	case len(l.buf) >= maxLine:
		return errLineTooLong
	case len(l.buf) == 0 && cap(l.buf) != smallLine:
		l.buf = make([]byte, 0, smallLine) // the room for a long line is not kept
	case len(l.buf) == cap(l.buf):
		l.buf = append(make([]byte, 0, min(4*cap(l.buf), maxLine)), l.buf...)
	}
	n, err := l.src.Read(l.buf[len(l.buf):cap(l.buf)])
	l.buf = l.buf[:len(l.buf)+n]
	if n > 0 {
		return nil
	}
	return err
}
