package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/ctrl/commands"
)

// What is left of a transaction when the server has ended the session is not done by
// itself.
func TestShellDoesNotGoOnWithATransactionThatIsLost(t *testing.T) {
	r := startTestRecorder(t)
	r.reply(t, "userdel", "refuse 5 it was silent for too long")
	told := runShellLines(t, r, "begin\naliasadd d a u\nuserdel d u\ndomaindel d\ncommit\nbegin\nuserdel d u\nrollback\nuserdel d v\naliasdel d a\n")
	want := []string{
		"help", "begin", `aliasadd "d" "a" "u"`, `userdel "d" "u"`, // lost, and the rest is not sent
		"begin", `userdel "d" "u"`, // again
		`userdel "d" "v"`, `userdel "d" "v"`, `aliasdel "d" "a"`, "", // outside of a transaction it is sent again
	}
	if got := r.requests(t); got != strings.Join(want, "\n") {
		t.Errorf("sent\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	if n := strings.Count(told, errGone.Error()); n != 4 {
		t.Errorf("told %d times that the transaction is lost, want 4:\n%s", n, told)
	}
}

// runShellLines has a shell run lines that are no person's, and returns what it told.
func runShellLines(t *testing.T, r *recorder, lines string) string {
	t.Helper()
	name := filepath.Join(r.dir, "lines")
	if err := os.WriteFile(name, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(filepath.Join(r.dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var stderr strings.Builder
	p := &program{name: "ctrlclnt", stdin: in, stdout: out, stderr: &stderr, lookup: environment("CTRL_PASSWORD=" + recorderPassword)}
	p.run([]string{"-s", r.plain, "-u", "admin", "shell"})
	return stderr.String()
}

// A line that is refused on this side spoils a transaction as one that the server refuses.
func TestShellCommitsNothingWithoutALineThatIsWrong(t *testing.T) {
	r := startTestRecorder(t)
	told := runShellLines(t, r, "begin\naliasadd d a u\nuserdel d\nuserdel d v\ncommit\nnoop\nuserdel d\nnoop\n")
	const want = "help\nbegin\naliasadd \"d\" \"a\" \"u\"\nrollback\nnoop\nnoop\n"
	if got := r.requests(t); got != want {
		t.Errorf("the server got\n%swant\n%s", got, want)
	}
	if n := strings.Count(told, errSpoiled.Error()); n != 2 {
		t.Errorf("told %d times that the transaction is spoiled, want 2:\n%s", n, told)
	}
}

// The server refuses a list between begin and commit, and with it the transaction.
func TestCompletionSpoilsNoTransaction(t *testing.T) {
	r := startTestRecorder(t)
	r.reply(t, "domainlist", "list", `"example.org"`)
	client, err := ctrl.Dial(t.Context(), r.plain, "admin", recorderPassword)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	s := &shell{p: &program{}, o: &options{}, client: client}
	userdel, _ := commands.Lookup("userdel")
	for _, step := range []struct {
		command string
		names   int
	}{{"noop", 1}, {"begin", 0}, {"rollback", 1}, {"begin", 0}, {"commit", 1}} {
		if err := s.run(t.Context(), []string{step.command}); err != nil {
			t.Fatalf("%s: %v", step.command, err)
		}
		if names := s.argument(t.Context(), userdel, nil, "exa"); len(names) != step.names {
			t.Errorf("after %s: %q fit, want %d", step.command, names, step.names)
		}
	}
	const ask = "domainlist \"exa*\"\n"
	if got, want := r.requests(t), "noop\n"+ask+"begin\nrollback\n"+ask+"begin\ncommit\n"+ask; got != want {
		t.Errorf("the server got\n%swant\n%s", got, want)
	}
}
