package replay

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// script is a service that answers lines by heart, and keeps what it was sent.
func script(t *testing.T, greeting string, answers map[string]string) (addr string, got func() []string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan []string, 16)
	go func() {
		defer close(lines)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			var sent []string
			fmt.Fprint(conn, greeting)
			for r := bufio.NewScanner(conn); r.Scan(); {
				sent = append(sent, r.Text())
				answer, ok := answers[r.Text()]
				fmt.Fprint(conn, answer)
				if !ok {
					break
				}
			}
			conn.Close()
			lines <- sent
		}
	}()
	t.Cleanup(func() {
		l.Close()
		for range lines {
		}
	})
	return l.Addr().String(), func() []string { return <-lines }
}

func TestSMTPAndPOP3CountByTheClassOfTheReply(t *testing.T) {
	f := newFake(t)
	smtp, _ := script(t, "220-one\r\n220 two\r\n", map[string]string{
		"EHLO x": "250-a\r\n250 b\r\n", "BAD": "502 no\r\n", "QUIT": "221 bye\r\n",
	})
	pop3, _ := script(t, "+OK hello\r\n", map[string]string{"LIST": "+OK\r\n1 10\r\n..2\r\n.\r\n", "NO": "-ERR no\r\n"})
	f.services = map[string]string{"smtp": smtp, "pop3": pop3}
	got, err := play(t, f, `! smtp
< 221
> EHLO x
< 250
<| a
<| b
> BAD
< 250
> CLOSE
< EOF
! pop3
< +OK
> LIST
< +OK
<| 1 10
<| .2
> NO
< +OK
! ctrl
> noop
< +00000 OK
! back
> LIST
< -ERR
`)
	want := []string{"x.txt:8: BAD: want 250\n got 502 no", "x.txt:18: NO: want +OK\n got -ERR ", "x.txt:24: LIST: want -ERR\n got +OK 1 10 | .2"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("differences %q, error %v, want %q", got, err, want)
	}
}

func TestMessageIsSentAfterTheGoAheadOnly(t *testing.T) {
	for answer, want := range map[string][]string{
		"354 go\r\n": {"DATA", "..dot", "text", "."},
		"554 no\r\n": {"DATA", "NOOP"},
	} {
		f := newFake(t)
		addr, sent := script(t, "220 x\r\n", map[string]string{
			"DATA": answer, "..dot": "", "text": "",
			"NOOP": "250 x\r\n", // the dot ends it
		})
		f.services = map[string]string{"smtp": addr}
		text := "! smtp\n< 220\n> DATA\n>| .dot\n>| text\n>.\n< " + answer[:3] + "\n"
		if answer[0] == '5' {
			text += "> NOOP\n< 250\n> .\n"
			want = append(want, ".")
		}
		if got, err := play(t, f, text+"< EOF\n"); err != nil || len(got) > 0 {
			t.Errorf("%s: differences %q, error %v, want none", answer, got, err)
		}
		if got := sent(); !slices.Equal(got, want) {
			t.Errorf("%s: sent %q, want %q", answer, got, want)
		}
	}
}

func TestCredentials(t *testing.T) {
	s := &service{challenge: "<1896.697170952@postoffice.reston.mci.net>"}
	for _, test := range []struct{ line, want string }{
		{"AUTH PLAIN {plain tim tanstaaftanstaaf}", "AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm"},
		{"{b64 Username: x}", "VXNlcm5hbWU6IHg="},
		{"{cram tim tanstaaftanstaaf}", "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"}, // RFC 2195 2
		{"NOOP", "NOOP"},
	} {
		if got, err := s.fill(test.line); err != nil || got != test.want {
			t.Errorf("%s: %q, %v, want %q", test.line, got, err, test.want)
		}
	}
	s.challenge = "<1896.697170952@dbc.mtview.ca.us>"
	if got, err := s.fill("APOP {apop mrose tanstaaf}"); err != nil || got != "APOP mrose c4c9334bac560ecc979e58001b3e22fb" { // RFC 1939 7
		t.Errorf("APOP: %q, %v", got, err)
	}
	if _, err := s.fill("{other x}"); err == nil {
		t.Error("credentials of an unknown kind were filled in")
	}
}

func TestFingerComparesTheWholeAnswer(t *testing.T) {
	f := newFake(t)
	addr, _ := script(t, "one\r\ntwo\r\n", nil)
	f.services = map[string]string{"finger": addr}
	got, err := play(t, f, "! finger\n> x\n<| one\n<| two\n! finger\n> x\n<| one\n! finger\n> x\n")
	want := []string{
		"x.txt:6: finger x: want 1 rows\n got another: two",
		"x.txt:9: finger x: want 0 rows\n got another: one",
		"x.txt:9: finger x: want 0 rows\n got another: two",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("differences %q, error %v, want %q", got, err, want)
	}
}

func TestWaitCountsFiles(t *testing.T) {
	f := newFake(t)
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(f.dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := play(t, f, "! wait . 2\n=| 2\n! wait . 1\n=| 1\n")
	if want := []string{"x.txt:3: .: want 1 files\n got 2"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("differences %q, error %v, want %q", got, err, want)
	}
}
