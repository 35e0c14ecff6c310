//go:build unix

package examples_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// A shownCommand is a command in a page of the manual, and what it prints there.
type shownCommand struct {
	line   int
	text   string
	output string
}

// shownCommands returns the lines of a page that begin with blanks and a $, each with the
// indented ones below it. There are to be no other examples.
func shownCommands(t *testing.T, page string) []shownCommand {
	t.Helper()
	var all []shownCommand
	open := false
	for i, line := range strings.Split(page, "\n") {
		text := strings.TrimLeft(line, " ")
		indented := len(line)-len(text) >= 4
		command, isCommand := strings.CutPrefix(text, "$ ")
		switch {
		case indented && isCommand:
			all = append(all, shownCommand{line: i + 1, text: command})
			open = true
		case indented && open:
			all[len(all)-1].output += text + "\n"
		case indented || strings.HasPrefix(text, "```"):
			t.Errorf("line %d is an example, and not below a command that is run: %s", i+1, line)
		default:
			open = false
		}
	}
	return all
}

// TestQueuePage runs the commands of docs/queue.md, and wants of each what the page
// shows below it.
func TestQueuePage(t *testing.T) {
	server := servertest.Start(t)
	run := func(command string) (string, error) {
		c := exec.Command("sh", "-c", command)
		c.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "CTRL_SERVER="+server.Addr,
			"CTRL_USER="+servertest.User, "CTRL_PASSWORD="+servertest.Password, "HOME="+t.TempDir())
		out, err := c.CombinedOutput()
		return string(out), err
	}
	for _, command := range []string{
		"domainadd example.org", "useradd example.org ann annpw U", "useradd example.org bob bobpw U", "smtpfwdadd '*' 127.0.0.1:1",
	} {
		if out, err := run("ctrlclnt " + command); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	}
	for _, message := range [][]string{
		{"ann@example.org", "annpw", "prince@spam.example", "x@far.example", "y@far.example"},
		{"ann@example.org", "annpw", "prince@spam.example", "x@else.example"},
		{"ann@example.org", "annpw", "ann@example.org", "mother@home.example"},
		{"bob@example.org", "bobpw", "bob@example.org", "x@far.example"},
		{"bob@example.org", "bobpw", "bob@example.org", "z@home.example"},
	} {
		if err := send(server.SMTP, message); err != nil {
			t.Fatal(err)
		}
	}
	commands := shownCommands(t, read(t, "../../docs/queue.md"))
	if len(commands) < 20 {
		t.Fatalf("the page shows %d commands, want them all", len(commands))
	}
	for _, c := range commands {
		out, err := run(c.text)
		if err != nil {
			t.Errorf("line %d: %s: %v\n%s", c.line, c.text, err, out)
			continue
		}
		pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(c.output), "…", ".*") + "$"
		var got strings.Builder
		for line := range strings.Lines(out) {
			got.WriteString(strings.TrimLeft(line, " "))
		}
		if !regexp.MustCompile(pattern).MatchString(got.String()) {
			t.Errorf("line %d: %s prints\n%swant\n%s", c.line, c.text, got.String(), c.output)
		}
	}
}
