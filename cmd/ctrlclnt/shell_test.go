package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is left of a transaction when the server has ended the session is not done by
// itself.
func TestShellDoesNotGoOnWithATransactionThatIsLost(t *testing.T) {
	r := startTestRecorder(t)
	r.reply(t, "userdel", "refuse 5 it was silent for too long")
	name := filepath.Join(r.dir, "lines")
	lines := "begin\naliasadd d a u\nuserdel d u\ndomaindel d\ncommit\nbegin\nuserdel d u\nrollback\nuserdel d v\naliasdel d a\n"
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
	want := []string{
		"help", "begin", `aliasadd "d" "a" "u"`, `userdel "d" "u"`, // lost, and the rest is not sent
		"begin", `userdel "d" "u"`, // again
		`userdel "d" "v"`, `userdel "d" "v"`, `aliasdel "d" "a"`, "", // outside of a transaction it is sent again
	}
	if got := r.requests(t); got != strings.Join(want, "\n") {
		t.Errorf("sent\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	if n := strings.Count(stderr.String(), errGone.Error()); n != 4 {
		t.Errorf("told %d times that the transaction is lost, want 4:\n%s", n, stderr.String())
	}
}
