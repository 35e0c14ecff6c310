package tabfile

import (
	"strings"
	"testing"
)

// Vectors of docs/reference/tables.md, section 11, and control-protocol.md 2.6.
func TestMatch(t *testing.T) {
	tests := []struct {
		s, pattern string
		want       bool
	}{
		{"foobog", "foo*bog", true},
		{"foobogx", "foo*bog", false},
		{"homer.net", "*.homer.net", false},
		{"a.b.homer.net", "*.homer.net", true},
		{"", "*", true},
		{"", "?", false},
		{"", "", true},
		{"a", "", false},
		{"aec", "a[^b-d]c", true},
		{"acc", "a[^b-d]c", false},
		{"a*c", `a\*c`, true},
		{"abc", `a\*c`, false},
		{"a-c", "a[-]c", true},
		{"abc", "a[-]c", false},
		{"FooBog", "fOO*BOG", true},
		{".hid", "*", true},
		{"xytrips", "??trips", true},
		{"ztrips", "??trips", false},
		{"ab", "a[]b", false},
		{"a]b", "a[]b", false},
		{"ab", "a[^]b", false},
		{"axb", "a[^]b", true},
		{"a", "[", false},
		{"[", "[", false},
		{"a", "[a", false},
		{"a", "[^b", false},
		{"a", `[\`, false},
		{`a\`, `a\`, false},
		{`a\`, `a\\`, true},
		{"a", `*\`, false},
		{"]", `[\]]`, true},
		{"-", "[a-]", true},
		{"-", "[-a]", true},
		{"b", "[a-]", false},
		{"-", `[a\-c]`, true},
		{"b", `[a\-c]`, false},
		{"^", `[\^]`, true},
		{"^", "[a^]", true},
		{"abc", "abc[^x]", false},
		{"Q", "[a-z]", true},
		{"q", "[A-Z]", true},
		{"a", "[^A]", false},
		{"m", "[z-a]", false},
		{"*", "[*?]", true},
		{"a", "[*?]", false},
		{"aXbXc", "*x*c", true},
		{"mississippi", "*iss*ip*", true},
		{"mississippi", "*iss*sip", false},
		{"aab", "*ab", true},
		{"ab\xffc", "ab?c", true},
		{"é", "??", true},
		{"É", "é", false},
	}
	for _, tt := range tests {
		if got := Match(tt.pattern, tt.s); got != tt.want {
			t.Errorf("Match(%q, %q) = %v, want %v", tt.pattern, tt.s, got, tt.want)
		}
	}
}

func TestMatchCase(t *testing.T) {
	tests := []struct {
		s, pattern string
		want       bool
	}{
		{"a.tab", "*.tab", true},
		{"a.TAB", "*.tab", false},
		{"Q", "[a-z]", false},
		{"Q", "[A-Z]", true},
		{"a", "[^A]", true},
	}
	for _, tt := range tests {
		if got := MatchCase(tt.pattern, tt.s); got != tt.want {
			t.Errorf("MatchCase(%q, %q) = %v, want %v", tt.pattern, tt.s, got, tt.want)
		}
	}
}

// A matcher that tries every split of the string would not end here.
func TestMatchManyStars(t *testing.T) {
	pattern := strings.Repeat("*a", 200) + "*b"
	if Match(pattern, strings.Repeat("a", 4000)) {
		t.Errorf("a pattern that ends in b matched a string without one")
	}
	n := testing.AllocsPerRun(10, func() {
		if !Match("*a*B*[c-d]", "xxAxxbxxC") {
			t.Error("no match, want one")
		}
	})
	if n != 0 {
		t.Errorf("Match allocates %v times, want 0", n)
	}
}

func TestHasWildcard(t *testing.T) {
	for s, want := range map[string]bool{"": false, "a.b": false, "*": true, "a?b": true, "[a]": true, "a]": false, `a\b`: false} {
		if got := HasWildcard(s); got != want {
			t.Errorf("HasWildcard(%q) = %v, want %v", s, got, want)
		}
	}
}

func TestFold(t *testing.T) {
	for s, want := range map[string]string{"": "", "abc": "abc", "aBC@Z[": "abc@z[", "ÉÀ": "ÉÀ", "\xc1A": "\xc1a"} {
		if got := Fold(s); got != want {
			t.Errorf("Fold(%q) = %q, want %q", s, got, want)
		}
		if !EqualFold(s, want) {
			t.Errorf("EqualFold(%q, %q) = false, want true", s, want)
		}
	}
	if EqualFold("a", "b") || EqualFold("a", "aa") || EqualFold("é", "É") || EqualFold("@", "`") {
		t.Errorf("EqualFold found strings equal that differ in more than the case of ASCII letters")
	}
	lower := strings.Repeat("x", 100)
	if n := testing.AllocsPerRun(10, func() { Fold(lower) }); n != 0 {
		t.Errorf("Fold of a string in lower case allocates %v times, want 0", n)
	}
}

// oracle matches by a table over all prefixes, with its own reading of classes.
func oracle(pattern, s string) bool {
	type element struct {
		star bool
		set  [256]bool
	}
	var elements []element
	for i := 0; i < len(pattern); i++ {
		var e element
		switch c := pattern[i]; c {
		case '*':
			e.star = true
		case '?':
			for b := range e.set {
				e.set[b] = true
			}
		case '\\':
			i++
			if i == len(pattern) {
				return false
			}
			e.set[pattern[i]] = true
		case '[':
			var members []int // a byte, or -1 for a - that is not escaped
			i++
			negated := i < len(pattern) && pattern[i] == '^'
			if negated {
				i++
			}
			for i < len(pattern) && pattern[i] != ']' {
				switch {
				case pattern[i] == '-':
					members = append(members, -1)
				case pattern[i] == '\\' && i+1 == len(pattern):
					return false
				case pattern[i] == '\\':
					i++
					members = append(members, int(pattern[i]))
				default:
					members = append(members, int(pattern[i]))
				}
				i++
			}
			if i == len(pattern) {
				return false
			}
			value := func(m int) int {
				if m < 0 {
					return '-'
				}
				return m
			}
			for j := 0; j < len(members); j++ {
				low := value(members[j])
				high := low
				if j+2 < len(members) && members[j+1] < 0 {
					high = value(members[j+2])
					j += 2
				}
				for b := low; b <= high; b++ {
					e.set[b] = true
				}
			}
			if negated {
				for b := range e.set {
					e.set[b] = !e.set[b]
				}
			}
		default:
			e.set[c] = true
		}
		elements = append(elements, e)
	}
	reach := make([]bool, len(s)+1)
	reach[0] = true
	for _, e := range elements {
		next := make([]bool, len(s)+1)
		for i := range reach {
			if e.star {
				next[i] = reach[i] || i > 0 && next[i-1]
			} else if i > 0 {
				next[i] = reach[i-1] && e.set[s[i-1]]
			}
		}
		reach = next
	}
	return reach[len(s)]
}

func FuzzMatch(f *testing.F) {
	for _, s := range [][2]string{
		{"foo*bog", "foobog"}, {"a[^b-d]c", "aec"}, {`a\*c`, "a*c"}, {"a[-]c", "a-c"}, {"*a*b*", "xaxbx"}, {"[", "["}, {`\`, `\`},
		{"[^]", "x"}, {"[]", ""}, {"[a-]", "-"}, {"[--a]", "."}, {`[\]-a]`, "^"}, {"??*", "ab"}, {"[Z-a]", "z"}, {"*[^x]", "abc"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 1000 || len(s) > 1000 {
			return
		}
		if got, want := MatchCase(pattern, s), oracle(pattern, s); got != want {
			t.Errorf("MatchCase(%q, %q) = %v, want %v", pattern, s, got, want)
		}
		if got, want := Match(pattern, s), oracle(Fold(pattern), Fold(s)); got != want {
			t.Errorf("Match(%q, %q) = %v, want %v", pattern, s, got, want)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if !Match("*.example.or[g-h]", "mail.customer-17.example.org") {
			b.Fatal("no match, want one")
		}
	}
}
