package tabfile

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// Vectors of docs/reference/tables.md, section 11, and control-protocol.md 2.2.
func TestSplit(t *testing.T) {
	tests := []struct {
		line string
		want []string
	}{
		{"\"a\"\t\t\"b\"", []string{"a", "b"}},
		{"\"a\"\t\"\"\t\"b\"", []string{"a", "", "b"}},
		{"\t\"a\"\t", []string{"a"}},
		{"\"a b\\\"c\"x\ty", []string{`a b"c`, "y"}},
		{" \"a\"\t1", []string{` "a"`, "1"}},
		{"\"abc\t\"d\"", []string{"abc", "d"}},
		{"\"a\\\"\t\"b\"", []string{`a"`, "b"}},
		{`"C:\\x\n"`, []string{`C:\\x\n`}},
		{`"a""b"`, []string{"a"}},
		{"   ", []string{"   "}},
		{"", nil},
		{"\t\t", nil},
		{`"noop"xyz`, []string{"noop"}},
		{`"noop`, []string{"noop"}},
		{"noop ", []string{"noop "}},
		{`"abc\"`, []string{`abc"`}},
		{`abc\`, []string{`abc\`}},
		{`"`, []string{""}},
		{`"a\\"b"`, []string{`a\"b`}},
		{"userlist\t\t", []string{"userlist"}},
		{"a\tb\x00c\td", []string{"a", "b"}},
		{"a\t\x00c", []string{"a"}},
		{"\"a\x00\"\tb", []string{"a"}},
		{"a\rb\tc", []string{"a\rb", "c"}},
		{"\xef\xbb\xbf\"a\"", []string{"\xef\xbb\xbf\"a\""}},
		{"\"\x83\x5c\"\t\x83\x5c", []string{"\x83\"", "\x83\x5c"}},
		{`it's "so"`, []string{`it's "so"`}},
	}
	for _, tt := range tests {
		if got := Split(tt.line); !slices.Equal(got, tt.want) {
			t.Errorf("Split(%q) = %q, want %q", tt.line, got, tt.want)
		}
		for i := range len(tt.want) + 1 {
			got, ok := Field(tt.line, i)
			if ok != (i < len(tt.want)) || ok && got != tt.want[i] {
				t.Errorf("Field(%q, %d) = %q, %v, want field %d of %q", tt.line, i, got, ok, i, tt.want)
			}
		}
	}
}

func TestAppendSplitDoesNotAllocate(t *testing.T) {
	const line = "\"example.org\"\t\"alice\"\t\"1512\"\t17\t\"alice\"\t\"U\""
	dst := make([]string, 0, 6)
	n := testing.AllocsPerRun(100, func() { dst = AppendSplit(dst[:0], line) })
	if n != 0 {
		t.Errorf("AppendSplit allocates %v times for a plain line, want 0", n)
	}
	if n := testing.AllocsPerRun(100, func() { Field(line, 4) }); n != 0 {
		t.Errorf("Field allocates %v times for a plain line, want 0", n)
	}
}

func TestTrimEnd(t *testing.T) {
	for line, want := range map[string]string{"a\n": "a", "a\r\n": "a", "a\r\r\n": "a", "a\rb\n": "a\rb", "a": "a", "\n": ""} {
		if got := TrimEnd(line); got != want {
			t.Errorf("TrimEnd(%q) = %q, want %q", line, got, want)
		}
	}
}

func TestIsComment(t *testing.T) {
	for line, want := range map[string]bool{"# x": true, "#": true, "": false, " # x": false, "\"#x\"": false} {
		if got := IsComment(line); got != want {
			t.Errorf("IsComment(%q) = %v, want %v", line, got, want)
		}
	}
}

func TestQuote(t *testing.T) {
	for s, want := range map[string]string{
		"":           `""`,
		"a b":        `"a b"`,
		`say "hi" \`: `"say \"hi\" \"`,
		`\d`:         `"\d"`,
		"#x":         `"#x"`,
		"\xe3\x81":   "\"\xe3\x81\"",
	} {
		if got := Quote(s); got != want {
			t.Errorf("Quote(%q) = %q, want %q", s, got, want)
		}
	}
	if got, want := Join("a", `b"`, ""), "\"a\"\t\"b\\\"\"\t\"\""; got != want {
		t.Errorf("Join = %q, want %q", got, want)
	}
}

func TestCellIsReadBack(t *testing.T) {
	tests := []struct{ value, cell string }{
		{"", `""`},
		{"plain", `"plain"`},
		{`a"b`, `"a\"b"`},
		{`a\"b`, `"a\\"b"`},
		{`C:\dir\`, `C:\dir\`},
		{`\`, `\`},
		{`a"b\`, `a"b\`},
		{`"`, `"\""`},
		{`\\`, `\\`},
		{"\x83\x5c", "\x83\x5c"},
		{" a ", `" a "`},
		{"päss$#", `"päss$#"`},
	}
	for _, tt := range tests {
		got, err := Cell(tt.value)
		if err != nil || got != tt.cell {
			t.Errorf("Cell(%q) = %q, %v, want %q", tt.value, got, err, tt.cell)
		}
		if back := Split(got); len(back) != 1 || back[0] != tt.value {
			t.Errorf("Split(Cell(%q)) = %q, want the value", tt.value, back)
		}
	}
}

func TestCellRefusesWhatNoLineCanHold(t *testing.T) {
	for _, s := range []string{"a\tb", "a\rb", "a\n", "\x00", "\x1b[2J", "\x7f", `"a\`, `"\`} {
		if got, err := Cell(s); !errors.Is(err, ErrUnwritable) {
			t.Errorf("Cell(%q) = %q, %v, want ErrUnwritable", s, got, err)
		}
	}
	if got, err := JoinCells(`#a\`, "b"); !errors.Is(err, ErrUnwritable) {
		t.Errorf(`JoinCells("#a\", "b") = %q, %v, want ErrUnwritable: it would be a comment`, got, err)
	}
	got, err := JoinCells("#a", `#b\`)
	if want := "\"#a\"\t#b\\"; err != nil || got != want {
		t.Errorf("JoinCells = %q, %v, want %q", got, err, want)
	}
}

func TestErrorNamesFileAndLine(t *testing.T) {
	tests := []struct {
		err  *Error
		want string
	}{
		{&Error{"smtprelay.tab", 3, `bad netmask "255.0.255"`}, `smtprelay.tab:3: bad netmask "255.0.255"`},
		{&Error{File: "domains.tab", Msg: "missing"}, "domains.tab: missing"},
	}
	for _, tt := range tests {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("Error() = %q, want %q", got, tt.want)
		}
	}
}

// referenceSplit follows the words of docs/reference/tables.md 1.2 byte by byte.
func referenceSplit(line string) []string {
	if i := strings.IndexByte(line, 0); i >= 0 {
		line = line[:i]
	}
	var fields []string
	for _, part := range strings.Split(line, "\t") {
		if part == "" {
			continue
		}
		if part[0] != '"' {
			fields = append(fields, part)
			continue
		}
		var b strings.Builder
		for i := 1; i < len(part) && part[i] != '"'; i++ {
			if part[i] == '\\' && i+1 < len(part) && part[i+1] == '"' {
				i++
			}
			b.WriteByte(part[i])
		}
		fields = append(fields, b.String())
	}
	return fields
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{
		"\"a\"\t\t\"b\"", "\t\"a b\\\"c\"x\ty\t", "\"a\\\"\t\"b\"", `"C:\\x\n"`, `"a""b"`, "", "   ", "\x00", "a\tb\x00c",
		`x\`, `"x\`, "#c\\", "\"\x83\x5c\"", `\\"`, "\r", "\"\tb", `"\\"`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, want := Split(s), referenceSplit(s)
		if !slices.Equal(got, want) {
			t.Fatalf("Split(%q) = %q, the reference's reader reads %q", s, got, want)
		}
		if cell, err := Cell(s); err == nil {
			if back := referenceSplit(cell); len(back) != 1 || back[0] != s {
				t.Errorf("Cell(%q) = %q, which the reference reads as %q", s, cell, back)
			}
		} else if !errors.Is(err, ErrUnwritable) {
			t.Errorf("Cell(%q): %v, want ErrUnwritable", s, err)
		}
		if line, err := JoinCells(got...); err == nil {
			if back := referenceSplit(line); !slices.Equal(back, got) || IsComment(line) {
				t.Errorf("JoinCells(%q) = %q, which the reference reads as %q", got, line, back)
			}
		}
	})
}

func BenchmarkAppendSplit(b *testing.B) {
	const line = "\"example.org\"\t\"alice\"\t\"1512\"\t17\t\"alice\"\t\"U\""
	dst := make([]string, 0, 6)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendSplit(dst[:0], line)
	}
}
