package obs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// An auditClock is a clock that a test sets.
type auditClock struct{ now time.Time }

func (c *auditClock) read() time.Time { return c.now }

func newAudit(t *testing.T) (*Audit, *auditClock, string) {
	t.Helper()
	dir := t.TempDir()
	clock := &auditClock{time.Date(2031, 1, 31, 23, 30, 0, 123456789, time.FixedZone("x", -3600))}
	a := NewAudit(Options{Dir: dir, Clock: clock.read})
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a, clock, dir
}

func (a *Audit) since(t *testing.T, since time.Time) []string {
	t.Helper()
	commands := []string{}
	for e, err := range a.Since(since) {
		if err != nil {
			t.Fatal(err)
		}
		commands = append(commands, e.Command)
	}
	return commands
}

func TestAuditLinesAreQuotedAndStampedInUTC(t *testing.T) {
	a, _, dir := newAudit(t)
	want := AuditEntry{time.Time{}, "ad\"min", "192.0.2.1", "useradd", "d 'a b' *", "-00150"}
	if err := a.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := a.Write(AuditEntry{Administrator: "x\ty\nz", Command: "noop"}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "audit-203102"))
	if err != nil {
		t.Fatal(err)
	}
	lines := `"2031-02-01T00:30:00.123Z"` + "\t" + `"ad\"min"` + "\t" + `"192.0.2.1"` + "\t" + `"useradd"` + "\t" + `"d 'a b' *"` + "\t" + `"-00150"` + "\n" +
		`"2031-02-01T00:30:00.123Z"` + "\t" + `"x\x09y\x0az"` + "\t" + `""` + "\t" + `"noop"` + "\t" + `""` + "\t" + `""` + "\n"
	if diff := cmp.Diff(lines, string(text)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	want.Time = time.Date(2031, 2, 1, 0, 30, 0, 123e6, time.UTC)
	for e, err := range a.Since(want.Time) {
		if diff := cmp.Diff(want, e); diff != "" || err != nil {
			t.Errorf("read back: %v, -want +got\n%s", err, diff)
		}
		break
	}
	info, err := os.Stat(filepath.Join(dir, "audit-203102"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want that of the owner alone", info.Mode(), err)
	}
}

func TestAuditIsReadFromATimeOnOverMonths(t *testing.T) {
	a, clock, dir := newAudit(t)
	start := clock.now
	var all []string
	for i := range 4 {
		clock.now = start.AddDate(0, i, 0)
		name := fmt.Sprintf("c%d", i)
		if err := a.Write(AuditEntry{Command: name}); err != nil {
			t.Fatal(err)
		}
		all = append(all, name)
	}
	clock.now = start // a clock that is set back
	if err := a.Write(AuditEntry{Command: "back"}); err != nil {
		t.Fatal(err)
	}
	all = append(all, "back")
	if diff := cmp.Diff(all, a.since(t, time.Time{})); diff != "" {
		t.Errorf("all: -want +got\n%s", diff)
	}
	if diff := cmp.Diff(all[2:], a.since(t, start.AddDate(0, 1, 1))); diff != "" {
		t.Errorf("from the third: -want +got\n%s", diff)
	}
	if got := a.since(t, start.AddDate(1, 0, 0)); len(got) != 0 {
		t.Errorf("from a later time: %q, want none", got)
	}
	for name, text := range map[string]string{"audit-203109": "\"no line\"\n\"2031-09-01T00:00:00Z\"\t\"\"\t\"\"\t\"cut", "audit-old": "x", "audit-2031099": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(all, a.since(t, time.Time{})); diff != "" {
		t.Errorf("with other files: -want +got\n%s", diff)
	}
}

func TestLargeAuditIsReadFromItsEnd(t *testing.T) {
	a, clock, dir := newAudit(t)
	clock.now = time.Date(2031, 2, 1, 0, 0, 0, 0, time.UTC)
	const n = 5000
	for i := range n {
		clock.now = clock.now.Add(time.Second)
		if err := a.Write(AuditEntry{Command: fmt.Sprint(i), Arguments: strings.Repeat("x", 100)}); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(filepath.Join(dir, "audit-203102"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, from := range []int{0, 1, n / 3, n / 2, n - 1} {
		since := time.Date(2031, 2, 1, 0, 0, 1+from, 0, time.UTC)
		got := a.since(t, since)
		if len(got) != n-from || got[0] != fmt.Sprint(from) {
			t.Errorf("from entry %d: %d entries from %s on, want %d", from, len(got), got[0], n-from)
		}
		start, size, err := auditStart(f, since)
		if want := size * int64(from) / n; err != nil || want-start > 2*auditBlock {
			t.Errorf("entry %d: reading begins at %d of %d bytes (%v), want a place near %d", from, start, size, err, want)
		}
	}
}
