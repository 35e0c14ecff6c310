package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/ctrl/commands"
	"github.com/xmaild/xmaild/pkg/server/servertest/replay"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// TestEveryCommandIsHelpedCompletedAndRecorded walks the command table. Whoever adds a
// command adds exchanges of good and bad input to testdata/exchanges.
func TestEveryCommandIsHelpedCompletedAndRecorded(t *testing.T) {
	own := func(words ...string) string {
		p := &program{name: "ctrlclnt", stderr: &bytes.Buffer{}}
		var out bytes.Buffer
		root := p.newRoot(&out)
		root.SetArgs(words)
		if err := root.Execute(); err != nil {
			t.Errorf("ctrlclnt %s: %v", strings.Join(words, " "), err)
		}
		return out.String()
	}
	manual := strings.ReplaceAll(own("help", "--man"), `\-`, "-")
	recorded := recordedReplies(t)
	for _, c := range commands.All() {
		if c.Name != "help" { // which is a command of this program as well
			if help := own("help", c.Name); !strings.Contains(help, c.Meaning) || !strings.Contains(help, c.Usage()) {
				t.Errorf("%s: its help lacks its meaning or its grammar:\n%s", c.Name, help)
			}
			if !strings.Contains(manual, "\n.SS \""+c.Usage()+"\"\n") {
				t.Errorf("%s is not in the manual page", c.Name)
			}
			if completed := own("__complete", c.Name); !strings.HasPrefix(completed, c.Name) {
				t.Errorf("%s is not completed:\n%s", c.Name, completed)
			}
		}
		for i, arg := range c.Args {
			words := append([]string{"__complete", "--", c.Name}, make([]string, i+1)...)
			got := own(words...)
			for _, v := range arg.Values {
				if !strings.Contains("\n"+got, "\n"+v+"\n") {
					t.Errorf("%s: %s of %s is not completed:\n%s", c.Name, v, arg.Name, got)
				}
			}
		}
		r := recorded[c.Name]
		if r.good == 0 {
			t.Errorf("%s: no recorded exchange in which it succeeds", c.Name)
		}
		if anything := c.Min == 0 && c.Max < 0; r.bad == 0 && !anything {
			t.Errorf("%s: no recorded exchange in which it is refused", c.Name)
		}
	}
}

type replies struct{ good, bad int }

// recordedReplies counts how the commands of all recorded exchanges are answered.
// Refusals for want of a right are not counted: they say nothing of the command.
func recordedReplies(t *testing.T) map[string]replies {
	counts := map[string]replies{}
	for _, pattern := range []string{"../../testdata/conformance/control/*.txt", "../../testdata/exchanges/*.txt"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("no exchanges in %s: %v", pattern, err)
		}
		for _, name := range names {
			file, err := replay.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var sent []string // commands that are not answered yet
			for _, s := range file.Steps {
				switch {
				case s.Op == replay.Fresh || s.Op == replay.Restart || s.Op == replay.Connect:
					sent = nil
				case s.Op == replay.Send:
					fields := append(tabfile.Split(s.Text), "")
					sent = append(sent, strings.ToLower(fields[0]))
				case s.Op == replay.Reply && len(sent) > 0:
					c := counts[sent[0]]
					switch {
					case strings.HasPrefix(s.Text, "+"):
						c.good++
					case strings.HasPrefix(s.Text, "-") && s.Text != ctrl.CodeForbidden.String():
						c.bad++
					}
					counts[sent[0]] = c
					if s.Text != "+00101" { // of the upload there is another one
						sent = sent[1:]
					}
				}
			}
		}
	}
	return counts
}
