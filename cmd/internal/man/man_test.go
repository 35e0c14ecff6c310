package man

import (
	"errors"
	"strings"
	"testing"
)

func TestPage(t *testing.T) {
	var b strings.Builder
	p := New(&b, "prog", "1", "v1.2", "does a thing")
	p.Section("DESCRIPTION")
	p.Text("One line\n.dots and\n'quotes\n\n  kept \\ as\n  it is\nend")
	p.Subsection(`say "hi"`)
	p.Item("-o, --output word", "what it means")
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
	want := `.TH PROG 1 "" "prog v1.2"
.SH "NAME"
prog \- does a thing
.SH "DESCRIPTION"
One line
\&.dots and
\&'quotes
.PP
.nf
  kept \e as
  it is
.fi
end
.SS "say \(dqhi\(dq"
.TP
\fB\-o, \-\-output word\fR
what it means
`
	if b.String() != want {
		t.Errorf("written\n%swant\n%s", b.String(), want)
	}
}

func TestErrorsOfWritingAreKept(t *testing.T) {
	p := New(broken{}, "prog", "1", "", "")
	p.Text(strings.Repeat("text\n", 10000))
	if err := p.Flush(); err == nil {
		t.Error("no error")
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("full") }
