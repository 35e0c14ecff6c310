package mailroot

import "github.com/xmaild/xmaild/pkg/tabfile"

// Nearest returns the one of names that s was probably meant to be, or "".
func Nearest(s string, names []string) string {
	for _, name := range names {
		if tabfile.EqualFold(s, name) {
			return name
		}
	}
	best, found := 3, ""
	for _, name := range names {
		if d := distance(tabfile.Fold(s), tabfile.Fold(name)); d < best && d < len(name)/3 {
			best, found = d, name
		}
	}
	return found
}

// distance is the number of bytes to insert, remove or replace to make a of b.
func distance(a, b string) int {
	before := make([]int, len(b)+1)
	now := make([]int, len(b)+1)
	for j := range before {
		before[j] = j
	}
	for i := range len(a) {
		now[0] = i + 1
		for j := range len(b) {
			d := before[j]
			if a[i] != b[j] {
				d = 1 + min(d, before[j+1], now[j])
			}
			now[j+1] = d
		}
		before, now = now, before
	}
	return before[len(b)]
}
