package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLinesOfABatchAreSplit(t *testing.T) {
	for _, tt := range []struct {
		line string
		want []string
	}{
		{`useradd example.org bob pw U`, []string{"useradd", "example.org", "bob", "pw", "U"}},
		{`  useradd   a  `, []string{"useradd", "a"}},
		{`a "b c" d`, []string{"a", "b c", "d"}},
		{`a "" d`, []string{"a", "", "d"}},
		{`a "say \"hi\"" d`, []string{"a", `say "hi"`, "d"}},
		{`a "\"" d`, []string{"a", `"`, "d"}},
		{`a b"c d"`, []string{"a", `b"c`, `d"`}},
		{`a b\ c\d 'e f'`, []string{"a", `b\`, `c\d`, "'e", "f'"}},
		{`a $b *`, []string{"a", "$b", "*"}},
		// With a TAB it is the syntax of the wire.
		{"a\tb c\t\"d e\"\t\"f\\\"g\"", []string{"a", "b c", "d e", `f"g`}},
		{"\"a\"\t\t\"\"\tb\\", []string{"a", "", `b\`}},
	} {
		got, err := splitLine(tt.line)
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: error %v, -want +got\n%s", tt.line, err, diff)
		}
	}
	for _, line := range []string{`a "b`, `a "b"c`, `a "b\"`, `"`} {
		if got, err := splitLine(line); err == nil {
			t.Errorf("%s: split into %q, want an error", line, got)
		}
	}
}

func TestCommentsAndBlankLinesOfABatch(t *testing.T) {
	lines := parseBatch("\ufeff# one\r\n\r\nnoop\r\n \t# two\n\t\nnosuch x\nnoop", false)
	type line struct {
		N    int
		Args []string
		Bad  bool
	}
	var got []line
	for _, l := range lines {
		got = append(got, line{l.n, l.args, l.err != nil})
	}
	want := []line{{3, []string{"noop"}, false}, {6, []string{"nosuch", "x"}, false}, {7, []string{"noop"}, false}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestLineRanges(t *testing.T) {
	for want, numbers := range map[string][]int{"": nil, "3": {3}, "3-4": {3, 4}, "1, 3-5, 7": {1, 3, 4, 5, 7}} {
		if got := lineRanges(numbers); got != want {
			t.Errorf("%v: %q, want %q", numbers, got, want)
		}
	}
}
