package sendmail

import (
	"bufio"
	"errors"
	"io"
)

// A dotReader ends where a line has a dot and nothing else.
type dotReader struct {
	r    *bufio.Reader
	left []byte // of the line at hand
	mid  bool   // the next part goes on with a line
	done bool
}

func (d *dotReader) Read(p []byte) (int, error) {
	if len(d.left) == 0 {
		if d.done {
			return 0, io.EOF
		}
		line, err := d.r.ReadSlice('\n')
		if text := string(line); !d.mid && (text == ".\n" || text == ".\r\n") || !d.mid && err != nil && text == "." {
			d.done = true
			return 0, io.EOF
		}
		d.mid = errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !d.mid && len(line) == 0 {
			return 0, err
		}
		d.left = line
	}
	n := copy(p, d.left)
	d.left = d.left[n:]
	return n, nil
}

// skipSpool leaves the reader where the message of a spool file begins.
func skipSpool(r *bufio.Reader) error {
	for {
		line, err := r.ReadString('\n')
		if line == "<<MAIL-DATA>>\r\n" || line == "<<MAIL-DATA>>\n" {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return errors.New("there is no line <<MAIL-DATA>>")
		}
		if err != nil {
			return err
		}
	}
}

// A sourceReader remembers which error was one of reading.
type sourceReader struct {
	r   io.Reader
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}
