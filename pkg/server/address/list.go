package address

import (
	"fmt"
	"strings"
)

// A Listed is an address in a field of a header, as To or Cc have it: what stands
// between angle brackets, or by itself, without comments and the name of a person.
// Its domain may be missing.
type Listed struct {
	Address    string
	Start, End int // where it stands in the value of the field
}

// List returns the addresses in the value of a field of a header, which may be folded
// (RFC 5322 3.4). Those of groups are among them. The first that is none is the
// error; the others are returned all the same.
func List(value string) ([]Listed, error) {
	l := lister{text: value}
	for l.at < len(value) {
		l.next()
	}
	l.end()
	return l.found, l.err
}

// A lister reads a list of addresses.
type lister struct {
	text  string
	at    int
	words []Listed // of the address at hand, outside of brackets
	angle *Listed  // what stood in brackets
	found []Listed
	err   error
}

// next reads a word, or what stands between words.
func (l *lister) next() {
	switch c := l.text[l.at]; c {
	case ' ', '\t', '\r', '\n':
		l.at++
	case '(':
		l.at = l.comment()
	case '<':
		start := l.at + 1
		l.at = l.until('>')
		inner := strings.TrimSuffix(l.text[start:l.at], ">")
		trimmed := strings.TrimSpace(inner)
		if i := strings.LastIndexByte(trimmed, ':'); strings.HasPrefix(trimmed, "@") && i >= 0 {
			trimmed = trimmed[i+1:] // a route, which nobody goes any more
		}
		start += strings.LastIndex(inner, trimmed)
		l.angle = &Listed{trimmed, start, start + len(trimmed)}
	case ',', ';':
		l.at++
		l.end()
	case ':': // what stood before is the name of a group
		l.at++
		l.words, l.angle = nil, nil
	default:
		l.word()
	}
}

// word reads up to what divides words. Quotes and brackets are part of it.
func (l *lister) word() {
	start := l.at
	for l.at < len(l.text) && strings.IndexByte(" \t\r\n(<,;:", l.text[l.at]) < 0 {
		switch l.text[l.at] {
		case '"':
			l.at = l.until('"')
		case '[':
			l.at = l.until(']')
		default:
			l.at++
		}
	}
	l.words = append(l.words, Listed{l.text[start:l.at], start, l.at})
}

// until returns where that is behind what closes something that opens here.
func (l *lister) until(closing byte) int {
	quoted := false
	for i := l.at + 1; i < len(l.text); i++ {
		switch c := l.text[i]; {
		case c == '\\':
			i++
		case c == closing && !quoted:
			return i + 1
		case c == '"':
			quoted = !quoted
		}
	}
	return len(l.text)
}

// comment returns where the comment has ended that begins here.
func (l *lister) comment() int {
	depth := 0
	for i := l.at; i < len(l.text); i++ {
		switch l.text[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(l.text)
}

// end ends the address at hand.
func (l *lister) end() {
	words, angle := l.words, l.angle
	l.words, l.angle = nil, nil
	switch {
	case angle != nil && angle.Address != "":
		l.found = append(l.found, *angle)
	case angle != nil || len(words) == 0:
	case len(words) == 1:
		l.found = append(l.found, words[0])
	default:
		if l.err == nil {
			l.err = fmt.Errorf("%q is no address", l.text[words[0].Start:words[len(words)-1].End])
		}
	}
}
