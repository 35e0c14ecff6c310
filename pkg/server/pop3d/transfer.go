package pop3d

import (
	"bufio"
	"bytes"
	"io"
	"sync"
)

// allLines asks for the whole message.
const allLines = -1

// Messages are read in pieces: small ones where the message is small.
const (
	smallPiece = 16 << 10
	largePiece = 128 << 10
)

var (
	smallPieces = sync.Pool{New: func() any { return new([smallPiece]byte) }}
	largePieces = sync.Pool{New: func() any { return new([largePiece]byte) }}
)

// transfer sends a message and the dot that ends it: lines end in CRLF, dots that
// begin a line are doubled. With lines, only the header and so many lines of the
// body are sent. size says about how long the message is.
func transfer(w *bufio.Writer, r io.Reader, size int64, lines int) error {
	t := transmitter{w: w, start: true, lines: lines}
	var err error
	if size <= smallPiece {
		buf := smallPieces.Get().(*[smallPiece]byte)
		err = t.copy(r, buf[:])
		smallPieces.Put(buf)
	} else {
		buf := largePieces.Get().(*[largePiece]byte)
		err = t.copy(r, buf[:])
		largePieces.Put(buf)
	}
	if err != nil {
		return err
	}
	return t.end()
}

// A transmitter writes a message as RFC 1939 wants it. Most messages need no change
// and pass in large pieces.
type transmitter struct {
	w     *bufio.Writer
	start bool // the next byte begins a line
	cr    bool // the last byte was CR
	lines int  // of the body that are still to come, or allLines
	body  bool // the header has ended
	begun int  // length of a line that an earlier piece has begun
	done  bool
}

func (t *transmitter) copy(r io.Reader, buf []byte) error {
	for !t.done {
		n, err := r.Read(buf)
		if n > 0 {
			if err := t.piece(buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// piece writes the next piece of the message, b, which is not empty.
func (t *transmitter) piece(b []byte) error {
	sent := 0 // b[:sent] is written
	if t.start && b[0] == '.' {
		t.w.WriteByte('.')
	}
	for line := 0; ; { // b[line:] is the line being looked at
		n := bytes.IndexByte(b[line:], '\n')
		if n < 0 {
			t.begun += len(b) - line
			break
		}
		end := line + n
		crlf := end > 0 && b[end-1] == '\r' || end == 0 && t.cr
		if !crlf {
			t.w.Write(b[sent:end])
			t.w.WriteByte('\r')
			sent = end
		}
		length := t.begun + n
		if t.lines != allLines && t.last(length == 0 || length == 1 && crlf) {
			t.done, t.start = true, true
			_, err := t.w.Write(b[sent : end+1])
			return err
		}
		t.begun = 0
		line = end + 1
		if line == len(b) {
			break
		}
		if b[line] == '.' {
			t.w.Write(b[sent:line])
			t.w.WriteByte('.')
			sent = line
		}
	}
	t.start, t.cr = b[len(b)-1] == '\n', b[len(b)-1] == '\r'
	_, err := t.w.Write(b[sent:])
	return err
}

// last counts a line that has ended, and reports whether it is the last one wanted.
func (t *transmitter) last(blank bool) bool {
	if !t.body {
		t.body = blank
		return t.body && t.lines == 0
	}
	t.lines--
	return t.lines == 0
}

// end ends a last line that has no end, and the message.
func (t *transmitter) end() error {
	switch {
	case t.start:
	case t.cr:
		t.w.WriteByte('\n')
	default:
		t.w.WriteString("\r\n")
	}
	_, err := t.w.WriteString(".\r\n")
	return err
}
