package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRowsAreSplitAtQuoteTabQuote(t *testing.T) {
	for _, tt := range []struct {
		line string
		want []string // nil: no row
	}{
		{`"a"`, []string{"a"}},
		{`""`, []string{""}},
		{"\"a\"\t\"b\"", []string{"a", "b"}},
		{"\"\"\t\"\"", []string{"", ""}},
		{"\"say \"hi\" now\"\t\"U\"", []string{`say "hi" now`, "U"}},
		{"\"\"quoted\"\"\t\"\"\"", []string{`"quoted"`, `"`}},
		{"\"back\\\"\t\"b\"", []string{`back\`, "b"}},
		{"\"a\\\"b\"\t\"c\"", []string{`a\"b`, "c"}},
		{"\"\x83\x5c\"\t\"b\"", []string{"\x83\x5c", "b"}},
		{"", nil},
		{`"`, nil},
		{"plain", nil},
		{`"open`, nil},
		{`open"`, nil},
	} {
		got, ok := splitRow(tt.line)
		if ok != (tt.want != nil) || !cmp.Equal(got, tt.want) {
			t.Errorf("splitRow(%q) = %q, %v; want %q", tt.line, got, ok, tt.want)
		}
	}
}

var (
	userRows = shape{columns: []string{"domain", "user", "password", "type"}}
	textOnly = shape{text: true}
)

func render(t *testing.T, f format, s shape, terminal bool, lines ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := newListWriter(f, &out, s, terminal)
	for _, l := range lines {
		if err := w.line(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestListFormats(t *testing.T) {
	rows := []string{
		"\"example.org\"\t\"bob\"\t\"pa\"ss\\wo\x01rd\"\t\"U\"",
		"\"example.org\"\t\"jörg\"\t\"\"\t\"U\"",
		"\"example.org\"\t\"\x83\x5c\"\t\"x\x1b[2J\"\t\"M\"",
	}
	for _, tt := range []struct {
		name     string
		format   format
		shape    shape
		terminal bool
		lines    []string
		want     string
	}{
		{"raw rows go as they came", formatRaw, userRows, false, rows, strings.Join(rows, "\n") + "\n"},
		{"raw on a terminal shows controls and keeps tabs", formatRaw, userRows, true, rows[2:],
			"\"example.org\"\t\"\\x83\\\"\t\"x\\x1b[2J\"\t\"M\"\n"},
		{"raw without lines is nothing", formatRaw, userRows, false, nil, ""},
		{"tsv escapes backslash and controls", formatTSV, userRows, false, rows,
			"example.org\tbob\tpa\"ss\\\\wo\\x01rd\tU\nexample.org\tjörg\t\tU\nexample.org\t\\x83\\\\\tx\\x1b[2J\tM\n"},
		{"tsv of a file has one field a line", formatTSV, textOnly, false, []string{"\"smtp\"\t\"x\"", `a\b`}, "\"smtp\"\\x09\"x\"\na\\\\b\n"},
		{"json of rows", formatJSON, userRows, false, rows,
			"[\n" +
				`{"domain":"example.org","user":"bob","password":"pa\"ss\\wo\u0001rd","type":"U"},` + "\n" +
				`{"domain":"example.org","user":"jörg","password":"","type":"U"},` + "\n" +
				`{"domain":"example.org","user":{"base64":"g1w="},"password":"x\u001b[2J","type":"M"}` + "\n]\n"},
		{"json without rows", formatJSON, userRows, false, nil, "[]\n"},
		{"json of a file", formatJSON, textOnly, false, []string{"\"smtp\"\t\"x\"", "", "\xff"}, "[\n" + `"\"smtp\"\t\"x\"",` + "\n\"\",\n" + `{"base64":"/w=="}` + "\n]\n"},
		{"json of an unknown command", formatJSON, shape{}, false, []string{"\"a\"\t\"b\"", "text"}, "[\n[\"a\",\"b\"],\n\"text\"\n]\n"},
		{"json with more columns than known", formatJSON, shape{columns: []string{"name"}}, false, []string{"\"a\"\t\"b\""}, "[\n{\"name\":\"a\",\"field2\":\"b\"}\n]\n"},
		{"table", formatTable, userRows, false, rows, "" +
			"+-------------+-------+----------------+------+\n" +
			"| domain      | user  | password       | type |\n" +
			"+-------------+-------+----------------+------+\n" +
			"| example.org | bob   | pa\"ss\\wo\\x01rd | U    |\n" +
			"| example.org | jörg  |                | U    |\n" +
			"| example.org | \\x83\\ | x\\x1b[2J       | M    |\n" +
			"+-------------+-------+----------------+------+\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := render(t, tt.format, tt.shape, tt.terminal, tt.lines...)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestTablesShowEveryByteOfEveryRow(t *testing.T) {
	got := render(t, formatTable, shape{columns: []string{"name", "value"}}, false,
		"\"  lead and trail  \"\t\"\"", "\"漢字\"\t\"ok\"", "\"one\"", "\""+strings.Repeat("long ", 60)+"\"\t\"x\"")
	for _, want := range []string{"|   lead and trail  ", "| 漢字 ", "| one ", strings.Repeat("long ", 60)} {
		if !strings.Contains(got, want) {
			t.Errorf("the table has no %q:\n%s", want, got)
		}
	}
	if lines := strings.Count(got, "\n"); lines != 8 {
		t.Errorf("the table has %d lines, want 8: four rows, a header and three rules\n%s", lines, got)
	}
}

func TestJSONCanBeReadBackAndHoldsNoControls(t *testing.T) {
	var every strings.Builder
	for r := rune(1); r < 0x300; r++ {
		every.WriteRune(r)
	}
	every.WriteString("\u2028\U0001F600")
	got := render(t, formatJSON, textOnly, false, every.String())
	var back []string
	if err := json.Unmarshal([]byte(got), &back); err != nil || len(back) != 1 || back[0] != every.String() {
		t.Errorf("read back %q, %v; want %q", back, err, every.String())
	}
	for _, r := range strings.Trim(got, "[]\n") {
		if isControl(r) {
			t.Errorf("JSON holds the control character %U", r)
		}
	}
}

func TestControlCharactersAreMadeVisible(t *testing.T) {
	for _, tt := range []struct {
		in      string
		keepTab bool
		want    string
	}{
		{"plain", false, "plain"},
		{"a\tb", true, "a\tb"},
		{"a\tb", false, `a\x09b`},
		{"\x1b]0;title\x07", true, `\x1b]0;title\x07`},
		{"\x7f\x00\r\n", true, `\x7f\x00\x0d\x0a`},
		{"csi \u009b2J", true, `csi \u009b2J`},
		{"8-bit csi \x9b2J", true, `8-bit csi \x9b2J`},
		{"latin \xe9", true, "latin \xe9"},
		{"ütf8 €", true, "ütf8 €"},
	} {
		if got := visible(tt.in, tt.keepTab); got != tt.want {
			t.Errorf("visible(%q, %v) = %q, want %q", tt.in, tt.keepTab, got, tt.want)
		}
	}
}
