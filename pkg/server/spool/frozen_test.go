package spool

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const good = "[192.0.2.7]:51234;[198.51.100.1]:25;Tue, 14 Nov 2023 22:13:20 +0100\r\nmail.test\r\nS1A2B\r\n" +
	"MAIL FROM:<a@x.test> SIZE=1\r\nRCPT TO:<bob@y.test>\r\n<<MAIL-DATA>>\r\nSubject: x\r\n"

func TestEnvelopes(t *testing.T) {
	with := strings.NewReplacer
	for _, c := range []struct {
		text, from, to string
		ok             bool
	}{
		{good, "a@x.test", "bob@y.test", true},
		{strings.ReplaceAll(good, "\r\n", "\n"), "a@x.test", "bob@y.test", true},
		{with("MAIL FROM:<", "mail from: <", "RCPT TO:<", "rcpt to: <").Replace(good), "a@x.test", "bob@y.test", true},
		{with("<a@x.test>", "<>").Replace(good), "", "bob@y.test", true},
		{with("<a@x", "<@r,@s:a@x").Replace(good), "@r,@s:a@x.test", "bob@y.test", true},
		{with("<bob@y.test>", "<>").Replace(good), "", "", false},
		{with("<bob@y.test>", "bob@y.test").Replace(good), "", "", false},
		{with("MAIL FROM", "MAIL TO").Replace(good), "", "", false},
		{with("<<MAIL-DATA>>", "data").Replace(good), "", "", false},
		{with(";[198", " [198").Replace(good), "", "", false},
		{"", "", "", false},
		{strings.Repeat("x", 1<<20), "", "", false},
	} {
		from, to, err := readEnvelope(strings.NewReader(c.text))
		if (err == nil) != c.ok || from != c.from || to != c.to {
			t.Errorf("envelope of %.200q: %q to %q, %v, want %q to %q, readable %v", c.text, from, to, err, c.from, c.to, c.ok)
		}
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAttemptsAreCountedInTheLog(t *testing.T) {
	tree := Tree{Dir: t.TempDir()}
	write(t, filepath.Join(tree.Dir, "0/0/slog/x"), "[PeekTime] 100 : a\r\n<<\n[PeekTimes] 5 : b\n>>\n[PeekTime] bad : c\n"+
		strings.Repeat("y", 100_000)+"[PeekTime] 7 : z\n[PeekTime] 200 : d")
	f := Frozen{Name: Name{File: "x"}}
	tree.readLog(&f)
	if !f.Last.Equal(time.Unix(200, 0)) || f.Tries != 2 {
		t.Errorf("last attempt %v of %d, want %v of 2", f.Last, f.Tries, time.Unix(200, 0))
	}
}

func TestNoSpoolIsAnEmptySpool(t *testing.T) {
	for f, err := range (Tree{Dir: filepath.Join(t.TempDir(), "none")}).All() {
		t.Errorf("message %v, %v", f, err)
	}
}

func TestFrozenFilesThatAreNoMessagesAreNamed(t *testing.T) {
	tree := Tree{Dir: t.TempDir()}
	folder := filepath.Join(tree.Dir, "0/0/froz")
	write(t, filepath.Join(folder, "a"), strings.Replace(good, "<bob@y.test>", `<"b>ob"@y.test>`, 1))
	write(t, filepath.Join(folder, "b"), strings.Replace(good, "<bob@y.test>", "<b\xf6b@y.test>", 1))
	write(t, filepath.Join(folder, "none"), "x")
	var skipped, listed []string
	tree.Skipped = func(file string) { skipped = append(skipped, file) }
	for f, err := range tree.All() {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, f.To)
	}
	if want := []string{filepath.Join(folder, "none")}; !slices.Equal(skipped, want) {
		t.Errorf("named %q, want %q", skipped, want)
	}
	if want := []string{`"b>ob"@y.test`, "b\xf6b@y.test"}; !slices.Equal(listed, want) {
		t.Errorf("listed %q, want %q", listed, want)
	}
}

// TestLinksAreNoMessages: a name from the wire must not lead out of the spool,
// nor may a link in it.
func TestLinksAreNoMessages(t *testing.T) {
	tree := Tree{Dir: filepath.Join(t.TempDir(), "spool")}
	write(t, filepath.Join(tree.Dir, "0/0/froz/real"), good)
	outside := filepath.Join(filepath.Dir(tree.Dir), "outside")
	write(t, outside, good)
	if err := os.Symlink(outside, filepath.Join(tree.Dir, "0/0/froz/link")); err != nil {
		t.Fatal(err)
	}
	var names []string
	for f, err := range tree.All() {
		if err != nil {
			t.Error(err)
		}
		names = append(names, f.File)
	}
	if len(names) != 1 || names[0] != "real" {
		t.Errorf("messages %q, want real", names)
	}
	if err := tree.Delete(Name{File: "link"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("delete of a link: %v, want %v", err, ErrNotFound)
	}
	for _, name := range []string{"", ".", "..", "../froz/real", "a/b", `a\b`, "a\x00b", "x..y"} {
		for _, err := range []error{tree.Exists(Name{File: name}), tree.Delete(Name{File: name}), tree.Submit(Name{File: name})} {
			if !errors.Is(err, ErrName) {
				t.Errorf("%q: %v, want %v", name, err, ErrName)
			}
		}
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
}
