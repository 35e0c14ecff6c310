package ctrl

import (
	"strings"
	"testing"
)

func TestRepliesToCommands(t *testing.T) {
	w := startServer(t, nil).login(t)
	for _, c := range []struct{ line, want string }{
		{"noop", "+00000 OK"},
		{"NoOp", "+00000 OK"},
		{`"noop"`, "+00000 OK"},
		{`"noop"xyz`, "+00000 OK"},
		{"\tnoop\t\t", "+00000 OK"},
		{"noop\x00rubbish", "+00000 OK"},
		{"noop\r\r", "+00000 OK"},
		{"noop ", "-00103 "},
		{"", "-00103 "},
		{"\t\t", "-00103 "},
		{`""`, "-00103 "},
		{"#!TLS", "-00103 "},
		{"quit\tx", "-00103 "},
		{"args\ta\t\"\"\t\"b \\\" c\"\td", `+00000 OK ["a" "" "b \" c" "d"]`},
		{"args\t\"é\"\t\"\xff\"", `+00000 OK ["é" "\xff"]`},
		{"badupload", "-00214 "},
	} {
		w.send(c.line)
		if got := w.line(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%q: got %q, want %q...", c.line, got, c.want)
		}
	}
	w.send("quit")
	w.wantLines("+00000 OK")
	w.wantEOF()
}
