package smtpd

import "bytes"

// A dataScanner reads the text after DATA. It alone decides where that ends, at
// CR LF . CR LF and nowhere else, and hands go-smtp a text in which there is
// nothing left to disagree on: after the first octet that may not be in a message
// (a bare CR, a bare LF, a NUL) nothing more of the text is handed over but its
// end, and the message is refused then.
type dataScanner struct {
	state  scanState
	bad    bool // the message is to be refused
	inLine bool // what was handed over does not end in CR LF
}

type scanState byte

const (
	lineStart scanState = iota // after CR LF, and at the beginning
	afterDot                   // of a dot that begins a line
	afterDotCR
	afterCR
	inText
)

// maxGrowth is by how much what scan hands over may be longer than what it reads.
const maxGrowth = 8

// scan reads src and appends to dst, whose capacity must exceed its length by
// len(src) and maxGrowth, what go-smtp is to read. It returns how many octets it
// read: fewer than all only where the text has ended.
func (s *dataScanner) scan(dst, src []byte) (out []byte, read int, end bool) {
	for i := 0; i < len(src); i++ {
		if s.state == inText || s.state == lineStart && src[i] != '.' {
			if n := ordinary(src[i:]); n > 0 {
				dst = s.emit(dst, src[i:i+n]...)
				if s.state, i = inText, i+n; i == len(src) {
					break
				}
			}
		}
		c := src[i]
		switch {
		case c == '\r':
			switch s.state {
			case afterDot:
				s.state = afterDotCR
			case afterDotCR, afterCR:
				s.bad, s.state = true, afterCR
			default:
				s.state = afterCR
			}
			continue
		case c == '\n':
			switch s.state {
			case afterDotCR:
				return s.end(dst), i + 1, true
			case afterCR:
				dst = s.emit(dst, '\r', '\n')
				s.inLine = s.inLine && s.bad
				s.state = lineStart
			default:
				s.bad, s.state = true, inText
			}
			continue
		case c == 0 || s.state == afterCR || s.state == afterDotCR:
			s.bad = true
		}
		switch {
		case s.state == lineStart && c == '.':
			s.state = afterDot
			continue
		case s.state == afterDot:
			dst = s.emit(dst, '.', c)
		default:
			dst = s.emit(dst, c)
		}
		s.state = inText
	}
	return dst, len(src), false
}

// window is how far ordinary looks, so that a text in which nothing is does not
// make it look at everything again and again.
const window = 512

// ordinary returns how many octets src begins with that are none of CR, LF and NUL, of
// more than a window not all.
func ordinary(src []byte) int {
	src = src[:min(len(src), window)]
	for _, c := range []byte{'\r', '\n', 0} {
		if n := bytes.IndexByte(src, c); n >= 0 {
			src = src[:n]
		}
	}
	return len(src)
}

func (s *dataScanner) emit(dst []byte, b ...byte) []byte {
	if s.bad {
		return dst
	}
	s.inLine = true
	return append(dst, b...)
}

func (s *dataScanner) end(dst []byte) []byte {
	if s.inLine {
		dst = append(dst, '\r', '\n')
	}
	return append(dst, '.', '\r', '\n')
}

// A chunkScanner does to the octets of BDAT what go-smtp needs to read them as the
// text of DATA: it doubles the dots at the beginning of lines. What may not be in a
// message is found as by dataScanner, but cannot end anything here, where the
// client says how long the message is.
type chunkScanner struct {
	bad    bool
	cr     bool // the last octet is a CR
	inLine bool // what was handed over does not end in CR LF
}

// scan reads src and appends to dst, whose capacity must exceed its length by
// twice len(src) and maxGrowth.
func (s *chunkScanner) scan(dst, src []byte) []byte {
	for i := 0; i < len(src); i++ {
		if !s.cr {
			if n := ordinary(src[i:]); n > 0 {
				if !s.bad && !s.inLine && src[i] == '.' {
					dst = append(dst, '.')
				}
				if !s.bad {
					dst, s.inLine = append(dst, src[i:i+n]...), true
				}
				if i += n; i == len(src) {
					break
				}
			}
		}
		c := src[i]
		if c == 0 || s.cr != (c == '\n') {
			s.bad = true
		}
		s.cr = c == '\r'
		switch {
		case s.bad, s.cr:
			continue
		case c == '\n':
			dst = append(dst, '\r', '\n')
			s.inLine = false
			continue
		case c == '.' && !s.inLine:
			dst = append(dst, '.')
		}
		dst = append(dst, c)
		s.inLine = true
	}
	return dst
}

// end appends the end of the text. A message need not end in CR LF to be sent in
// chunks, but is stored so.
func (s *chunkScanner) end(dst []byte) []byte {
	if s.cr {
		s.bad = true
	}
	if s.inLine {
		dst = append(dst, '\r', '\n')
	}
	return append(dst, '.', '\r', '\n')
}
