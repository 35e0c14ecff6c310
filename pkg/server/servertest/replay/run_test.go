package replay

import (
	"bufio"
	"crypto/md5"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fake is a server that knows a few commands by heart.
type fake struct {
	t        *testing.T
	dir      string
	l        net.Listener
	services map[string]string
	starts   []string
	uploaded []string
}

const fakeToken = "<123.4@127.0.0.1>"

func newFake(t *testing.T) *fake {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{t: t, dir: t.TempDir(), l: l}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f.serve(conn)
		}
	}()
	return f
}

func (f *fake) Addr() string { return f.l.Addr().String() }
func (f *fake) Dir() string  { return f.dir }

func (f *fake) ServiceAddr(name string) string { return f.services[name] }

func (f *fake) Fresh(files []NewFile) error   { return f.start("fresh", files) }
func (f *fake) Restart(files []NewFile) error { return f.start("restart", files) }

func (f *fake) start(how string, files []NewFile) error {
	f.starts = append(f.starts, how)
	return Apply(f.dir, files)
}

func (f *fake) serve(conn net.Conn) {
	defer conn.Close()
	say := func(lines ...string) { fmt.Fprint(conn, strings.Join(lines, "\r\n")+"\r\n") }
	r := bufio.NewScanner(conn)
	next := func() string { r.Scan(); return r.Text() }
	say("+00000 " + fakeToken + " XMail 1.27 CTRL Server; now")
	digest := fmt.Sprintf("\"admin\"\t\"#%x\"", md5.Sum([]byte(fakeToken+"secretpw")))
	if got := next(); got != digest && got != "\"admin\"\t\"secretpw\"" {
		say("-00105 no")
		return
	}
	say("+00000 OK")
	for r.Scan() {
		switch r.Text() {
		case "quit":
			say("+00000 OK")
			return
		case "noop":
			say("+00000 OK")
		case "list":
			say("+00100 OK", `"a"`, "..b", `"LastLoginTimeDate"`+"\t"+`"now"`, ".")
		case "filelist":
			say("+00100 OK", "b", "a", ".")
		case "put":
			say("+00101 OK")
			f.uploaded = nil
			for line := next(); line != "."; line = next() {
				f.uploaded = append(f.uploaded, line)
			}
			say("+00000 OK")
		case "drop":
			return
		default:
			say("-00103 what?")
		}
	}
}

// notes is a Reporter that remembers.
type notes struct{ lines []string }

func (n *notes) Helper() {}
func (n *notes) Errorf(format string, args ...any) {
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

func play(t *testing.T, target Target, text string) ([]string, error) {
	t.Helper()
	f, err := Parse("x.txt", text)
	if err != nil {
		t.Fatal(err)
	}
	var n notes
	err = f.Run(t.Context(), target, &n)
	return n.lines, err
}

func TestRunOfWhatComesAsRecorded(t *testing.T) {
	f := newFake(t)
	for _, dir := range []string{"sub/deep", "gone/too"} {
		if err := os.MkdirAll(filepath.Join(f.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	got, err := play(t, f, `+ sub/file
+| one
+|
+| two\x0d
- gone
> noop
< +00000 OK
> list
< +00100 OK
<| "a"
<| .b
<| "LastLoginTimeDate"\t"then"
> list
< +00100 OK
<~ "*
<~ *.b*
<*
> filelist
< +00100 OK
<| a
<| b
> put
>| .dot
>| x
>.
< +00101 OK
< +00000 OK
> nothing
>| never sent
>.
< -00103 no
> noop\x0d\x0anoop
< +00000
< +00000
> quit
< +00000 OK
> noop
< +00000 OK
= cat sub/file
=| one
=| two
= tree sub
=| deep/
=| file
= none sub/nothing
= none gone
! conn pass wrong
< -00105 no
! restart
! conn plain
< +00000 OK
> drop
< EOF
`)
	if err != nil || len(got) != 0 {
		t.Errorf("differences %q, error %v, want none", got, err)
	}
	if want := []string{"fresh", "restart"}; !slices.Equal(f.starts, want) {
		t.Errorf("the server was started %q, want %q", f.starts, want)
	}
	if want := []string{"..dot", "x"}; !slices.Equal(f.uploaded, want) {
		t.Errorf("the upload was %q, want %q", f.uploaded, want)
	}
}

func TestRunReportsFileAndLine(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{
		{"> noop\n< -00103 no\n", []string{"x.txt:2: noop: want -00103\n got +00000 OK"}},
		{"> list\n< +00100 OK\n<| \"b\"\n", []string{
			"x.txt:3: list: want \"b\"\n got \"a\"",
			"x.txt:2: list: want 1 rows\n got another: .b",
			"x.txt:2: list: want 1 rows\n got another: \"LastLoginTimeDate\"\\t\"now\"",
		}},
		{"> filelist\n< +00100 OK\n<| a\n<| b\n<| c\n", []string{"x.txt:5: filelist: want c\n got no row"}},
		{"! fresh\n= cat none\n= none .\n", []string{"x.txt:2: cat none: open DIR/none: no such file or directory", "x.txt:3: . is there, want nothing"}},
		{"+ a\n+| x\n= cat a\n=| y\n= tree .\n", []string{"x.txt:4: a: want y\n got x", "x.txt:5: .: want 0 rows\n got another: a"}},
		{"> filelist\n< +00100 OK\n<~ a*b\n<~ *c\n", []string{"x.txt:4: filelist: want *c\n got a", "x.txt:3: filelist: want a*b\n got b"}},
		{"> noop\n< EOF\n", []string{"x.txt:2: want the connection closed\n got +00000 OK"}},
	}
	for _, tt := range tests {
		f := newFake(t)
		got, err := play(t, f, tt.text)
		for i := range got {
			got[i] = strings.ReplaceAll(got[i], f.dir, "DIR")
		}
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s\nreported %q, %v\nwant %q", tt.text, got, err, tt.want)
		}
	}
}

func TestRunStopsWhereTheRestIsMeaningless(t *testing.T) {
	tests := []struct{ text, want string }{
		{"> noop\n< +00000 OK\n> drop\n< +00000 OK\n", "x.txt:4: want +00000: the server closed the connection"},
		{"> noop\n>| x\n>.\n< +00101 OK\n", "x.txt:4: an upload on one side only: the replies that follow mean nothing"},
		{"< +00000 OK\n", "x.txt:1: a reply without a connection"},
	}
	for _, tt := range tests {
		if _, err := play(t, newFake(t), tt.text); err == nil || err.Error() != tt.want {
			t.Errorf("%s\nerror %v, want %s", tt.text, err, tt.want)
		}
	}
	if _, err := play(t, newFake(t), "! smtp\n"); !errors.Is(err, ErrNoService) {
		t.Errorf("a step of another service: %v, want %v", err, ErrNoService)
	}
}
