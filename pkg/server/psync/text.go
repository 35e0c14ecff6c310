package psync

import (
	"bufio"
	"errors"
	"io"
)

var errFlood = errors.New("the server sends more than it has announced")

// A text reads what follows the reply to RETR, and returns the message: lines end in
// CRLF, dots are unstuffed, and NUL is left out. It is io.EOF after the line with a
// single dot. That is CR LF . CR LF, so that mail which holds a dot between bare LFs
// does not end there and pretend to be replies; but where the server ends its own
// lines in LF, LF . LF.
type text struct {
	r     *bufio.Reader
	bare  bool  // lines of the server end in LF
	most  int64 // bytes that may come
	got   int64 // bytes of the message so far
	read  int64 // bytes that came
	state textState
	done  bool
	rest  []byte // was read and did not fit
}

type textState byte

const (
	lineStart textState = iota
	afterDot            // of a dot that begins a line
	afterDotCR
	afterCR
	inText
)

// Read reads the message.
func (t *text) Read(p []byte) (int, error) {
	n := copy(p, t.rest)
	t.rest = t.rest[n:]
	for n == 0 || n < len(p) && t.r.Buffered() > 0 {
		if t.done {
			break
		}
		c, err := t.r.ReadByte()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return n, err
		}
		if t.read++; t.read > t.most {
			return n, errFlood
		}
		var out [3]byte
		b := t.next(out[:0], c)
		t.got += int64(len(b))
		k := copy(p[n:], b)
		n += k
		t.rest = append(t.rest, b[k:]...)
	}
	if n == 0 && len(p) > 0 && t.done {
		return 0, io.EOF
	}
	return n, nil
}

// next returns what to add to the message after one more byte.
func (t *text) next(out []byte, c byte) []byte {
	switch t.state {
	case afterDot:
		switch {
		case c == '\r':
			t.state = afterDotCR
			return out
		case c == '\n' && t.bare:
			t.done = true
			return out
		}
		t.state = inText // the dot was there for this one
	case afterDotCR:
		if c == '\n' {
			t.done = true
			return out
		}
		out = append(out, '\r', '\n')
		t.state = inText
	case afterCR:
		if c == '\n' {
			t.state = lineStart
			return append(out, '\r', '\n')
		}
		if c == '\r' {
			return out
		}
		out = append(out, '\r', '\n')
		t.state = inText
	case lineStart:
		if c == '.' {
			t.state = afterDot
			return out
		}
	}
	switch c {
	case '\r':
		t.state = afterCR
		return out
	case '\n':
		t.state = inText
		if t.bare {
			t.state = lineStart
		}
		return append(out, '\r', '\n')
	case 0:
		t.state = inText
		return out
	}
	t.state = inText
	return append(out, c)
}

// drain reads the rest.
func (t *text) drain() error {
	_, err := io.Copy(io.Discard, t)
	return err
}
