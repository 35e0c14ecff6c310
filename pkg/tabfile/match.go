package tabfile

import "strings"

// Match reports whether the whole of s matches pattern, without regard to the
// case of ASCII letters.
//
// In a pattern * stands for any run of bytes, also none, ? for one byte, [abc]
// for one byte of a class, which may hold ranges as in [a-z] and is negated by ^
// directly after the bracket, and \ takes the next byte as it is, inside a class
// too. A - at either end of a class stands for itself; ] always ends one. An
// empty class, one without its bracket, and a \ at the end match nothing.
//
// The time it takes is at most proportional to the product of both lengths,
// whatever the pattern, and it does not allocate.
func Match(pattern, s string) bool {
	return match(pattern, s, true)
}

// MatchCase is [Match] with regard to case.
func MatchCase(pattern, s string) bool {
	return match(pattern, s, false)
}

// match keeps one place to return to: the last star. What an earlier star
// swallowed never has to be given back, since the part between two stars was
// found at its first possible place.
func match(pattern, s string, fold bool) bool {
	p, i := 0, 0
	starP, starI := -1, 0
	for {
		if p < len(pattern) && pattern[p] == '*' {
			p++
			starP, starI = p, i
			continue
		}
		if i == len(s) {
			return p == len(pattern)
		}
		if p < len(pattern) {
			if next, ok := matchOne(pattern, p, s[i], fold); ok {
				p, i = next, i+1
				continue
			}
		}
		if starP < 0 {
			return false
		}
		starI++
		p, i = starP, starI
	}
}

// matchOne compares c with the element of pattern at p, which is no star, and
// returns where the next element begins.
func matchOne(pattern string, p int, c byte, fold bool) (next int, ok bool) {
	switch pattern[p] {
	case '?':
		return p + 1, true
	case '[':
		return matchClass(pattern, p+1, c, fold)
	case '\\':
		p++
		if p == len(pattern) {
			return p, false
		}
	}
	return p + 1, sameByte(pattern[p], c, fold)
}

// matchClass begins after the opening bracket.
func matchClass(pattern string, p int, c byte, fold bool) (next int, ok bool) {
	negated := false
	if p < len(pattern) && pattern[p] == '^' {
		negated = true
		p++
	}
	c = foldByte(c, fold)
	found := false
	for p < len(pattern) && pattern[p] != ']' {
		low, after, ok := classByte(pattern, p)
		if !ok {
			return p, false
		}
		high := low
		p = after
		if p+1 < len(pattern) && pattern[p] == '-' && pattern[p+1] != ']' {
			high, p, ok = classByte(pattern, p+1)
			if !ok {
				return p, false
			}
		}
		if foldByte(low, fold) <= c && c <= foldByte(high, fold) {
			found = true
		}
	}
	if p >= len(pattern) {
		return p, false
	}
	return p + 1, found != negated
}

// classByte reads one byte of a class, which may be escaped.
func classByte(pattern string, p int) (c byte, after int, ok bool) {
	if pattern[p] == '\\' {
		p++
		if p == len(pattern) {
			return 0, p, false
		}
	}
	return pattern[p], p + 1, true
}

// HasWildcard reports whether s contains a byte that makes it a pattern: *, ?
// or [.
func HasWildcard(s string) bool {
	return strings.ContainsAny(s, "*?[")
}

// Fold returns s with the ASCII capitals in lower case. All other bytes stay,
// and s itself is returned where nothing changes.
func Fold(s string) string {
	i := 0
	for i < len(s) && (s[i] < 'A' || s[i] > 'Z') {
		i++
	}
	if i == len(s) {
		return s
	}
	b := []byte(s)
	for ; i < len(b); i++ {
		b[i] = foldByte(b[i], true)
	}
	return string(b)
}

// EqualFold reports whether a and b are the same but for the case of ASCII
// letters.
func EqualFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if !sameByte(a[i], b[i], true) {
			return false
		}
	}
	return true
}

func sameByte(a, b byte, fold bool) bool {
	return a == b || fold && foldByte(a, true) == foldByte(b, true)
}

func foldByte(c byte, fold bool) byte {
	if fold && 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}
