package replay

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	const text = `# a remark
! fresh
+ spool/1
+| line\x0d
+|
+ empty
- gone.tab
! conn noauth user bob pass wo#rd
> a\tb\\c\xff
>| .x
>~ .y
>.
< -00103 some text

< +00100 OK
<| "a"\t"b"
<~ "c*
<*
= cat dir/file
=| x
=|
= tree .
= none gone
! restart
< EOF
! wait spool 3
=| 1
! smtp
< 220 hello
! ctrl
`
	want := []Step{
		{Op: Fresh, Line: 2, Files: []NewFile{{Path: "spool/1", Content: []byte("line\r\n\n")}, {Path: "empty"}, {Path: "gone.tab", Remove: true}}},
		{Op: Connect, Line: 8, Conn: Conn{NoAuth: true, User: "bob", Pass: "wo#rd"}},
		{Op: Send, Line: 9, Text: "a\tb\\c\xff", Upload: []string{"..x", ".y"}, End: true},
		{Op: Reply, Line: 13, Text: "-00103"},
		{Op: Reply, Line: 15, Text: "+00100", Rows: []Row{{Line: 16, Text: "\"a\"\t\"b\""}, {Line: 17, Text: "\"c*", Pattern: true}}, Open: true},
		{Op: Cat, Line: 19, Text: "dir/file", Rows: []Row{{Line: 20, Text: "x"}, {Line: 21, Text: ""}}},
		{Op: Tree, Line: 22, Text: "."},
		{Op: None, Line: 23, Text: "gone"},
		{Op: Restart, Line: 24},
		{Op: Reply, Line: 25, Text: EOF},
		{Op: Wait, Line: 26, Text: "spool", Count: 3, Rows: []Row{{Line: 27, Text: "1"}}},
		{Op: Service, Line: 28, Text: "smtp"},
		{Op: Reply, Line: 29, Text: "220 hello"},
		{Op: Ctrl, Line: 30},
	}
	f, err := Parse("x.txt", text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, f.Steps); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
}

func TestParseBeginsFresh(t *testing.T) {
	f, err := Parse("x.txt", "> noop\n< +00000 OK\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Steps) != 3 || f.Steps[0].Op != Fresh {
		t.Errorf("steps are %+v, want a fresh server, a line and a reply", f.Steps)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{
		"what is this", "! dance", "! conn sideways", "! conn user", "> a\\q", "> a\\x4", "! fresh\n<| row", "<*", ">| x", "> a\n>.\n>.",
		"=| x", "= dog file", "= cat", "+| x", "> a\n+ file", "- a\n+| x", "> a\n- file", "! wait x", "! wait x y", "!",
	} {
		if f, err := Parse("x.txt", text); err == nil || !strings.HasPrefix(err.Error(), "x.txt:") {
			t.Errorf("Parse(%q) = %+v, %v, want an error that begins with the file and the line", text, f, err)
		}
	}
}

func TestEscapeIsUnescaped(t *testing.T) {
	for _, s := range []string{"", "a\tb", `\`, `\t`, "\x00\x1b\x7f", "é", "\r\n"} {
		if got, err := Unescape(Escape(s)); err != nil || got != s {
			t.Errorf("Unescape(Escape(%q)) = %q, %v", s, got, err)
		}
	}
}

// Every recording that we keep can be read, those of services to come too.
func TestParseRecordings(t *testing.T) {
	names, err := filepath.Glob("../../../../testdata/conformance/*/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, name := range names {
		if _, err := ParseFile(name); err != nil {
			t.Error(err)
		}
	}
}
