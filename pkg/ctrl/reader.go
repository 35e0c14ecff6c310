package ctrl

import (
	"bytes"
	"errors"
	"io"
)

var errLineTooLong = errors.New("line too long")

// A lineReader reads lines of bounded length. Unlike a bufio.Reader it finds a
// line too long as soon as it is, not when a buffer is full.
type lineReader struct {
	src        io.Reader
	buf        []byte
	start, end int  // what was read and not yet returned
	flooded    bool // the last read left no room
}

// maxReadAhead is how far the buffer grows for a sender who waits for no reply.
const maxReadAhead = 32 << 10

// buffered returns how many bytes wait in the buffer.
func (r *lineReader) buffered() int { return r.end - r.start }

// hasLine reports whether a whole line waits in the buffer.
func (r *lineReader) hasLine() bool { return bytes.IndexByte(r.buf[r.start:r.end], '\n') >= 0 }

// line returns the next line without its LF and the CRs before it, good until the
// next call. A line of more than limit bytes is errLineTooLong, after which the
// reader is lost; a last line without an end is io.EOF.
func (r *lineReader) line(limit int) ([]byte, error) {
	searched := 0
	for {
		if i := bytes.IndexByte(r.buf[r.start+searched:r.end], '\n'); i >= 0 {
			i += searched
			line := bytes.TrimRight(r.buf[r.start:r.start+i], "\r")
			r.start += i + 1
			if len(line) > limit {
				return nil, errLineTooLong
			}
			return line, nil
		}
		searched = r.end - r.start
		if searched > limit+1 { // it may be the CR that is one over
			return nil, errLineTooLong
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads once, and makes room for it.
func (r *lineReader) fill() error {
	if r.start > 0 && (r.start == r.end || r.end == len(r.buf)) {
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	}
	if r.end == len(r.buf) || r.flooded && len(r.buf) < maxReadAhead {
		r.buf = append(r.buf, make([]byte, max(len(r.buf), 4096))...)
	}
	r.flooded = false
	for range 100 {
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		if n > 0 {
			r.flooded = r.end == len(r.buf)
			return nil // an error will come again
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// peek reads once more with read, not from the source.
func (r *lineReader) peek(read func([]byte) (int, error)) error {
	src := r.src
	r.src = readerFunc(read)
	defer func() { r.src = src }()
	return r.fill()
}
