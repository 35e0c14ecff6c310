package filter

import "io"

// A lineWriter hands on a text with the line ends that the queue has, CR LF, and
// without what no message may hold: a CR or a LF alone ends a line, a NUL is dropped.
type lineWriter struct {
	w    io.Writer
	cr   bool // the last byte was a CR, which is held back
	open bool // a line has begun
}

// Write takes a part of the text.
func (l *lineWriter) Write(p []byte) (int, error) {
	out := make([]byte, 0, len(p)+len(p)/8+2)
	for _, c := range p {
		if c == 0 {
			continue
		}
		if c == '\n' || l.cr {
			out = append(out, '\r', '\n')
			l.open = false
		}
		if l.cr = c == '\r'; !l.cr && c != '\n' {
			out = append(out, c)
			l.open = true
		}
	}
	_, err := l.w.Write(out)
	return len(p), err
}

// Close ends the last line. It does not close what is behind it.
func (l *lineWriter) Close() error {
	if !l.cr && !l.open {
		return nil
	}
	_, err := io.WriteString(l.w, "\r\n")
	return err
}
