package server_test

import (
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server"
	"github.com/xmaild/xmaild/pkg/server/program/programtest"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// everything is a row of filters.in.tab or filters.out.tab for a file.
func everything(file string) string { return row("*", "*", "0.0.0.0/0", "0.0.0.0/0", file) }

// outgoing is a filter that does what the subject says.
const outgoing = `
subject=$(sed -n 's/^Subject: \([a-z]*\).*/\1/p' "$1" | head -n 1)
case $subject in
rewrite) sed 's/^text of .*/rewritten\r/' "$1" > "$1.new" && cat "$1.new" > "$1" && rm "$1.new" && exit 7; exit 75 ;;
reject) echo "not from here" > "$1.rej"; exit 6 ;;
drop) exit 4 ;;
freeze) exit 5 ;;
kill) [ -e "$2/killed" ] || { : > "$2/killed"; kill -9 $$; } ;;
spoil) echo nothing > "$1"; exit 7 ;;
esac
exit 0
`

func TestFiltersOfMailThatLeaves(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the filter is a shell script")
	}
	m := newMesh(t)
	a := m.site("a.test", []string{"ann"}, map[string]string{
		"filters.out.tab": everything("out.tab"), "filters/out.tab": row(programtest.Script(t, outgoing), "@@FILE", programtest.Dir(t)),
	})
	b := m.site("b.test", []string{"ben"}, nil)
	for _, subject := range []string{"pass", "rewrite", "reject", "drop", "freeze", "kill", "spoil"} {
		a.submit("ann@a.test", "ben@b.test", text(subject))
	}
	r := m.report(a.arrived("ann", 1)[0])
	if !strings.Contains(r.text, "not from here") || r.recipients[0].Get("Status") != "5.7.1" {
		t.Errorf("the sender is told %q, status %q, want the reason of the filter and 5.7.1", r.text, r.recipients[0].Get("Status"))
	}
	// By the filter that was killed, and by the one that spoils.
	m.waitFor("two that wait", func() bool { return strings.Count(a.Log(), "delivery is deferred") >= 2 })
	m.pass(30 * time.Minute)
	got := b.arrived("ben", 3)
	if all := strings.Join(m.subjects(got), " "); all != "kill pass rewrite" {
		t.Errorf("ben has %s, want kill, pass and rewrite", all)
	}
	for _, content := range got {
		if m.parsed(content).Header.Get("Subject") == "rewrite" && !strings.HasSuffix(content, "\r\n\r\n.dot\r\nrewritten\r\n") {
			t.Errorf("the message is not as the filter has left it: %q", content)
		}
	}
	// What a program spoils waits; the administrator is told by the log.
	m.waitFor("the frozen messages", func() bool { return len(a.frozen()) == 2 && a.waiting() == 1 })
}

// frozen are the messages that are kept for the administrator.
func (s *site) frozen() []string {
	s.m.t.Helper()
	names, err := filepath.Glob(filepath.Join(s.Dir, "spool", "*", "*", "froz", "*"))
	if err != nil {
		s.m.t.Fatal(err)
	}
	return names
}

// TestFilterSeesWhatOneRecipientGets rewrites mail for one of two recipients.
func TestFilterSeesWhatOneRecipientGets(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the filter is a shell script")
	}
	m := newMesh(t)
	program := programtest.Script(t, `
case $2 in
bob@*) sed 's/^text of .*/for bob\r/' "$1" > "$1.new" && cat "$1.new" > "$1" && rm "$1.new" && exit 7 ;;
esac
exit 0
`)
	a := m.site("a.test", []string{"ann"}, map[string]string{
		"filters.out.tab": everything("out.tab"), "filters/out.tab": row(program, "@@FILE", "@@RCPT"),
	})
	b := m.site("b.test", []string{"ben", "bob"}, nil)
	if err := a.trySubmit("ann@a.test", text("both"), "ben@b.test", "bob@b.test"); err != nil {
		t.Fatal(err)
	}
	m.wantBody(b.arrived("ben", 1)[0], "both")
	if got := b.arrived("bob", 1)[0]; !strings.HasSuffix(got, "\r\nfor bob\r\n") {
		t.Errorf("bob has %q, want it rewritten for him", got)
	}
	m.settle()
}

// TestSlowFilterIsKilledAndTheMessageWaits has a filter that never ends, and leaves
// children behind.
func TestSlowFilterIsKilledAndTheMessageWaits(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the filter is a shell script")
	}
	m := newMesh(t)
	first := programtest.Dir(t)
	program := programtest.Script(t, `
[ -e "$2/once" ] && exit 0
: > "$2/once"
sleep 600 & echo $! > "$2/child"
wait
`)
	s := m.site("a.test", []string{"ann"}, map[string]string{
		"filters.in.tab": everything("in.tab"), "filters/in.tab": row("!timeo=1", program, "@@FILE", first),
	}, servertest.Config(func(c *server.Config) { c.FilterLog = true }))
	s.receive("x@ext.test", "ann@a.test", text("patient"))
	s.deferredOnce()
	m.wantBody(s.arrived("ann", 1)[0], "patient")
	child := strings.TrimSpace(programtest.Read(t, filepath.Join(first, "child")))
	m.waitFor("the end of the child "+child, func() bool {
		stat, err := filepath.Glob("/proc/" + child + "/fd")
		return err == nil && len(stat) == 0 || runtime.GOOS != "linux"
	})
	m.settle()
}
