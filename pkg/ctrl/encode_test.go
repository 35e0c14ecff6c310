package ctrl

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEncodeLine(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"noop"}, `"noop"`},
		{[]string{"useradd", "d", "u", "", "U"}, "\"useradd\"\t\"d\"\t\"u\"\t\"\"\t\"U\""},
		{[]string{"x", `say "hi"`}, "\"x\"\t\"say \\\"hi\\\"\""},
		{[]string{"x", `a\`, "b"}, "\"x\"\ta\\\t\"b\""},
		{[]string{"x", `\`}, "\"x\"\t\\"},
		{[]string{"x", `a"b\`}, "\"x\"\ta\"b\\"},
		{[]string{"x", `a\"b`}, `"x"` + "\t" + `"a\\"b"`},
		{[]string{"x", "#$ é\xff"}, "\"x\"\t\"#$ é\xff\""},
	} {
		got, err := EncodeLine(c.args...)
		if err != nil || got != c.want {
			t.Errorf("EncodeLine(%q) = %q, %v, want %q", c.args, got, err, c.want)
		}
		if diff := cmp.Diff(c.args, split(got)); diff != "" {
			t.Errorf("%q is read otherwise: -want +got\n%s", got, diff)
		}
	}
}

func TestEncodeLineRefuses(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "the command line is empty"},
		{[]string{""}, "the command is empty"},
		{[]string{"a\tb"}, "the command has a TAB in it"},
		{[]string{"a", "b\n"}, "argument 1 has a line feed in it"},
		{[]string{"a", "b", "\r"}, "argument 2 has a CR in it"},
		{[]string{"a", "b\x00"}, "argument 1 has a NUL in it"},
		{[]string{"a", `"b\`}, `argument 1 begins with " and ends in \, which a command line cannot express`},
		{[]string{"a", strings.Repeat("x", MaxLine)}, "the command line has 4098 bytes, more than 4092"},
	} {
		_, err := EncodeLine(c.args...)
		if _, ok := errors.AsType[*ArgError](err); !ok || err.Error() != c.want {
			t.Errorf("EncodeLine(%.20q): %v, want %s", c.args, err, c.want)
		}
	}
}

func TestSplitRow(t *testing.T) {
	for line, want := range map[string][]string{
		``:                          nil,
		`"a"`:                       {"a"},
		"\"a\"\t\"\"\t\"b c\"":      {"a", "", "b c"},
		"\"Quote\"\t\"say \"hi\"\"": {"Quote", `say "hi"`},
		"\"a\"b\"\t\"c\\\"":         {`a"b`, `c\`},
		"plain\t1\t\"x":             {"plain", "1", "x"},
		"\t\ta\t\tb":                {"a", "b"},
	} {
		if diff := cmp.Diff(want, SplitRow(line)); diff != "" {
			t.Errorf("%q: -want +got\n%s", line, diff)
		}
	}
}

func FuzzEncodeLine(f *testing.F) {
	f.Add("noop", "", "")
	f.Add("useradd", `say "hi"`, `a\`)
	f.Add("x", `\"`, `"\`)
	f.Add("#!TLS", "a\tb", "\r\n\x00")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		args := []string{a, b, c}
		line, err := EncodeLine(args...)
		if err != nil {
			return
		}
		if strings.ContainsAny(line, "\r\n\x00") {
			t.Errorf("%q of %q is not one line", line, args)
		}
		if diff := cmp.Diff(args, split(line)); diff != "" {
			t.Errorf("%q: -want +got\n%s", line, diff)
		}
	})
}

func TestCodesHaveTheirForms(t *testing.T) {
	for code, want := range map[Code]string{CodeOK: "+00000", CodeUserExists: "-00013", CodeTooBig: "-00268", 12345: "-12345"} {
		if got := code.String(); got != want {
			t.Errorf("code %d is %q, want %q", int(code), got, want)
		}
	}
	if got, want := Code(999).Text(), "error 999"; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
	err := error(&Error{Code: CodeNoDomain})
	if got, want := err.Error(), "-00059 the domain is not handled here"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
	if !errors.Is(&Error{CodeNoDomain, "other text"}, err) || errors.Is(err, ErrLogin) {
		t.Error("errors.Is does not go by the code")
	}
	for code, text := range codeTexts {
		if text == "" || text[0] < 'a' && !strings.HasPrefix(text, "TLS") {
			t.Errorf("text of %v: %q", code, text)
		}
	}
}
