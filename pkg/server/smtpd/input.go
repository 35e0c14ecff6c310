package smtpd

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

const (
	idleBuffer = 512      // for commands; it grows for a long one and shrinks again
	dataBuffer = 32 << 10 // for messages, taken from a pool while one comes in
	maxCommand = 4 << 10  // octets of a command line, more than RFC 5321 4.5.3.1.4 and its extensions ask for
	maxSASL    = 12 << 10 // octets of a line of an AUTH exchange (RFC 4954 4)
)

// errLong says that a line is longer than it may be.
var errLong = errors.New("line too long")

// buffers are large buffers that no connection uses at the moment.
type buffers struct{ pool sync.Pool }

func (b *buffers) get() *[dataBuffer]byte {
	if p, ok := b.pool.Get().(*[dataBuffer]byte); ok {
		return p
	}
	return new([dataBuffer]byte)
}

func (b *buffers) put(p *[dataBuffer]byte) { b.pool.Put(p) }

// An input buffers what a client sends, in little memory while the client is idle.
type input struct {
	r      io.Reader
	buf    []byte
	at, to int // buf[at:to] is not read yet
	large  *buffers
	pooled *[dataBuffer]byte // of large
}

// buffered returns what is there without waiting. It is good until the next call.
func (in *input) buffered() []byte { return in.buf[in.at:in.to] }

// discard says that the first n buffered octets are read.
func (in *input) discard(n int) { in.at += n }

// fill waits for more input.
func (in *input) fill() error {
	switch {
	case in.at == in.to:
		in.at, in.to = 0, 0
		if in.pooled == nil && len(in.buf) != idleBuffer {
			in.buf = make([]byte, idleBuffer)
		}
	case in.to == len(in.buf) && in.at > 0:
		in.to = copy(in.buf, in.buf[in.at:in.to])
		in.at = 0
	}
	if in.to == len(in.buf) {
		in.buf = append(in.buf, make([]byte, len(in.buf))...)
	}
	n, err := in.r.Read(in.buf[in.to:])
	in.to += n
	if n > 0 {
		return nil // an error comes again
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// hasLine reports whether a whole line is buffered.
func (in *input) hasLine() bool { return bytes.IndexByte(in.buffered(), '\n') >= 0 }

// line reads a line and takes its end away: LF, and every CR before it. What it
// returns is good until the next call. Of a line that is longer than limit it
// reads the whole, in bounded memory, and returns errLong.
func (in *input) line(limit int) ([]byte, error) {
	long, searched := false, 0
	for {
		b := in.buffered()
		if i := bytes.IndexByte(b[searched:], '\n'); i >= 0 {
			line := b[:searched+i]
			in.discard(len(line) + 1)
			if long || len(line) >= limit {
				return nil, errLong
			}
			return bytes.TrimRight(line, "\r"), nil
		}
		searched = len(b)
		if len(b) >= limit {
			long, searched = true, 0
			in.discard(len(b))
		}
		if err := in.fill(); err != nil {
			return nil, err
		}
	}
}

// bulk takes a large buffer for a message, and gives it back.
func (in *input) bulk(on bool) {
	switch {
	case on && in.pooled == nil:
		in.pooled = in.large.get()
		in.to = copy(in.pooled[:], in.buffered()) // fits: commands are shorter
		in.at, in.buf = 0, in.pooled[:]
	case !on && in.pooled != nil:
		rest := in.buffered()
		buf := make([]byte, max(len(rest), idleBuffer))
		in.to = copy(buf, rest)
		in.at, in.buf = 0, buf
		in.large.put(in.pooled)
		in.pooled = nil
	}
}
