package mailbox

import (
	"bytes"
	"errors"
	"io"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A Body is a message that is being read: as it was received, apart from the line
// ends of the reference's files, which are both LF and CRLF.
type Body struct {
	io.Reader
	file tabfile.File
	size int64
}

// newBody reads the file of a message.
func newBody(f tabfile.File, name string) (*Body, error) {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("the message is not a file")
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	b := &Body{Reader: f, file: f, size: info.Size()}
	if isStuffed(name) {
		b.Reader = &unstuffer{src: f, start: true}
	}
	return b, nil
}

// Size returns the size of the file.
func (b *Body) Size() int64 { return b.size }

// Close closes the file.
func (b *Body) Close() error { return b.file.Close() }

// isStuffed reports whether the reference has written a file, which keeps messages
// with the dots doubled that begin lines. Its names are thirteen digits (ms since
// 1970), three hexadecimal numbers and a host, with dots between them
// (docs/reference/delivery.md 1.2).
func isStuffed(name string) bool {
	digits := func(s string, hex bool) int {
		for i := range len(s) {
			if c := s[i]; c < '0' || c > '9' && (!hex || c < 'a' || c > 'f') {
				return i
			}
		}
		return len(s)
	}
	n := digits(name, false)
	if n != 13 {
		return false
	}
	for range 3 {
		if n >= len(name) || name[n] != '.' {
			return false
		}
		name = name[n+1:]
		if n = digits(name, true); n == 0 {
			return false
		}
	}
	return len(name) > n+1 && name[n] == '.'
}

// An unstuffer takes away one of two dots that begin a line.
type unstuffer struct {
	src   io.Reader
	start bool // the next byte begins a line
	data  []byte
	err   error // of src
	buf   [32 << 10]byte
}

func (u *unstuffer) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	// A dot that begins a line is looked at together with what follows.
	for u.err == nil && (len(u.data) == 0 || len(u.data) == 1 && u.start) {
		n := copy(u.buf[:], u.data)
		var m int
		m, u.err = u.src.Read(u.buf[n:])
		u.data = u.buf[:n+m]
	}
	if len(u.data) == 0 {
		return 0, u.err
	}
	if u.start && len(u.data) > 1 && u.data[0] == '.' && u.data[1] == '.' {
		u.data = u.data[1:]
	}
	end := len(u.data)
	if i := bytes.Index(u.data, []byte("\n.")); i >= 0 {
		end = i + 1
	}
	n := copy(p, u.data[:end])
	u.start = u.data[n-1] == '\n'
	u.data = u.data[n:]
	return n, nil
}
