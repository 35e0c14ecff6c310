package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A screen is what a program shows on a terminal.
type screen struct {
	t      *testing.T
	master *os.File
	in     *bufio.Reader
	text   strings.Builder
}

// want reads until text was shown.
func (s *screen) want(text string) {
	s.t.Helper()
	s.master.SetReadDeadline(time.Now().Add(20 * time.Second))
	for !strings.Contains(s.text.String(), text) {
		b, err := s.in.ReadByte()
		if err != nil {
			s.t.Fatalf("waiting for %q: %v; the screen shows\n%q", text, err, s.text.String())
		}
		s.text.WriteByte(b)
	}
	_, rest, _ := strings.Cut(s.text.String(), text)
	s.text.Reset()
	s.text.WriteString(rest)
}

// startOnTerminal runs ctrlclnt on a terminal.
func startOnTerminal(t *testing.T, r *recorder, args ...string) (*screen, *exec.Cmd, *os.File) {
	t.Helper()
	master, tty := openPTY(t)
	cmd := exec.Command("ctrlclnt", args...)
	cmd.Env = append(os.Environ(), "GORACE="+noRaceSleep, "CTRL_SERVER="+r.plain, "CTRL_USER=admin", "CTRL_PASSWORD="+recorderPassword)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return &screen{t: t, master: master, in: bufio.NewReader(master)}, cmd, tty
}

func TestShellCompletesAndDrawsTables(t *testing.T) {
	r := startTestRecorder(t)
	r.reply(t, "domainlist", "list", `"example.org"`)
	r.reply(t, "userlist", "list", "\"example.org\"\t\"bob\"\t\"pw\"\t\"U\"", "\"example.org\"\t\"boris\"\t\"pw\"\t\"U\"")
	r.reply(t, "userdel", "refuse 157 no such user")
	s, cmd, tty := startOnTerminal(t, r, "shell")
	s.want("admin@127.0.0.1> ")

	fmt.Fprint(s.master, "userli\texa\t\r")
	s.want("userlist example.org ")
	s.want("| domain      | user  | password | type |")
	s.want("| example.org | boris |")
	s.want("> ")

	// Names of users, and the grammar where several fit.
	fmt.Fprint(s.master, "userdel example.org b\t")
	s.want("userdel example.org bo")
	fmt.Fprint(s.master, "\t")
	s.want("bob  boris")
	s.want("userdel domain user    (now: user)")
	fmt.Fprint(s.master, "b\r")
	s.want("-00157 no such user")
	s.want("> ")

	// The line before, and help.
	fmt.Fprint(s.master, "\x1b[A\r")
	s.want("userdel example.org bob")
	s.want("-00157 no such user")
	fmt.Fprint(s.master, "help noop\r")
	s.want("Does nothing, successfully.")
	s.want("> ")
	fmt.Fprint(s.master, "exit\r")
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if !echoes(t, tty) {
		t.Error("the terminal does not echo afterwards")
	}
	want := "help\n" + `domainlist "exa*"
userlist "example.org"
userlist "example.org" "b*"
userlist "example.org" "bo*"
userdel "example.org" "bob"
userdel "example.org" "bob"
`
	if got := r.requests(t); got != want {
		t.Errorf("the server got\n%swant\n%s", got, want)
	}
}

func TestSignalInTheShellRestoresTheTerminal(t *testing.T) {
	r := startTestRecorder(t)
	s, cmd, tty := startOnTerminal(t, r, "shell")
	s.want("admin@127.0.0.1> ")
	if echoes(t, tty) {
		t.Error("the terminal echoes at the prompt, beside the shell")
	}
	cmd.Process.Signal(os.Interrupt)
	cmd.Wait()
	if !echoes(t, tty) {
		t.Error("the terminal does not echo afterwards")
	}
}

func TestImportDrawsABarOnATerminal(t *testing.T) {
	r := startTestRecorder(t)
	file := filepath.Join(r.dir, "domains.csv")
	var b strings.Builder
	for i := range 500 {
		fmt.Fprintf(&b, "d%d.example\n", i)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	s, cmd, _ := startOnTerminal(t, r, "import", "domains", file)
	s.want("500/500 100%")
	s.want("0 failed")
	s.want("\r\x1b[K")
	s.want("500 domains done, 0 failed in")
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
	s, cmd, _ = startOnTerminal(t, r, "import", "-q", "domains", file)
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if n := s.in.Buffered(); n != 0 {
		t.Errorf("-q shows %d bytes", n)
	}
}
