package obs

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

var tokyo = time.FixedZone("JST", 9*3600)

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) Set(t time.Time) { c.mu.Lock(); defer c.mu.Unlock(); c.now = t }

func TestPeriodStamp(t *testing.T) {
	tests := []struct {
		at    time.Time
		hours int
		want  string
	}{
		{time.Date(2026, 11, 21, 23, 26, 5, 0, tokyo), 24, "202611210000"}, // docs/reference/tables.md 11
		{time.Date(2026, 11, 21, 23, 26, 5, 0, time.UTC), 24, "202611210000"},
		{time.Date(2026, 11, 21, 0, 0, 0, 0, tokyo), 24, "202611210000"},
		{time.Date(2026, 11, 21, 23, 26, 5, 0, tokyo), 1, "202611212300"},
		{time.Date(2026, 11, 21, 23, 26, 5, 0, tokyo), 6, "202611211800"},
		{time.Date(1970, 1, 8, 1, 0, 0, 0, tokyo), 24 * 7, "197001080000"},
		{time.Date(1970, 1, 7, 23, 0, 0, 0, tokyo), 24 * 7, "197001010000"},
		{time.Date(1970, 1, 1, 15, 0, 0, 0, time.FixedZone("", -5*3600-1800)), 10, "197001011000"},
		{time.Date(1969, 12, 31, 23, 0, 0, 0, time.UTC), 24, "196912310000"},
	}
	for _, tt := range tests {
		if got := periodStamp(tt.at, time.Duration(tt.hours)*time.Hour); got != tt.want {
			t.Errorf("periodStamp(%v, %d hours) = %s, want %s", tt.at, tt.hours, got, tt.want)
		}
	}
}

func TestCtrlLogLines(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "yet", "logs")
	at := time.Date(2026, 11, 21, 23, 26, 5, 0, tokyo)
	l := NewCtrlLog(Options{Dir: dir, Clock: func() time.Time { return at }})
	defer l.Close()
	for _, status := range []string{"REQ", "AUTH"} {
		if err := l.Login(at, netip.MustParseAddr("::ffff:10.0.0.5"), "admin", status); err != nil {
			t.Fatalf("Login: %v", err)
		}
	}
	if err := l.Login(at, netip.MustParseAddr("2001:db8::1"), "x\"\t\"AUTH\n", "FAIL"); err != nil {
		t.Fatalf("Login: %v", err)
	}
	want := "\"10.0.0.5\"\t\"admin\"\t\"*\"\t\"2026-11-21 23:26:05\"\t\"REQ\"\n" +
		"\"10.0.0.5\"\t\"admin\"\t\"*\"\t\"2026-11-21 23:26:05\"\t\"AUTH\"\n" +
		"\"2001:db8::1\"\t\"x\\\"\\x09\\\"AUTH\\x0a\"\t\"*\"\t\"2026-11-21 23:26:05\"\t\"FAIL\"\n"
	if got := readFile(t, filepath.Join(dir, "ctrl-202611210000")); got != want {
		t.Errorf("log is\n%swant\n%s", got, want)
	}
}

func TestFieldsCannotBeForged(t *testing.T) {
	for _, s := range []string{`a"`, "a\tb", "a\nb", "a\r", `a\`, `"a\`, "\x1b[2J", "\x00", "\u009b2J", "é\"", "\x82\xa0\xff", "\xc2", `\"`, ""} {
		line := string(appendLine(nil, []string{"first", s, "last"}))
		body, found := strings.CutSuffix(line, "\n")
		if !found || strings.ContainsAny(body, "\n\r\x00\x1b\u009b") {
			t.Errorf("field %q is written as %q, want one line without control characters", s, line)
		}
		if got := tabfile.Split(body); len(got) != 3 || got[0] != "first" || got[2] != "last" {
			t.Errorf("field %q is written as %q and read as %q, want three fields", s, line, got)
		}
	}
	if got, want := string(appendLine(nil, []string{"é \x82\xa0"})), "\"é \x82\xa0\"\n"; got != want {
		t.Errorf("appendLine = %q, want the bytes as they are: %q", got, want)
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	c := &clock{now: time.Date(2026, 11, 21, 23, 59, 59, 0, tokyo)}
	l := NewTabLog("smtp", Options{Dir: dir, Clock: c.Now})
	defer l.Close()
	write(t, l, "old")
	c.Set(c.Now().Add(time.Second))
	write(t, l, "new")
	if got := readFile(t, filepath.Join(dir, "smtp-202611210000")); got != "\"old\"\n" {
		t.Errorf("log of the day before is %q, want the old line", got)
	}
	if got := readFile(t, filepath.Join(dir, "smtp-202611220000")); got != "\"new\"\n" {
		t.Errorf("log of the day is %q, want the new line", got)
	}
}

func TestModeOfNewFiles(t *testing.T) {
	dir := t.TempDir()
	at := time.Date(2026, 11, 21, 1, 0, 0, 0, time.UTC)
	for name, mode := range map[string]os.FileMode{"private": 0o600, "shared": 0o640} {
		o := Options{Dir: dir, Clock: func() time.Time { return at }}
		if mode != 0o600 {
			o.Mode = func() os.FileMode { return mode }
		}
		l := NewTabLog(name, o)
		write(t, l, "x")
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, name+"-202611210000"))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != mode && runtime.GOOS != "windows" {
			t.Errorf("log %s has mode %o, want %o", name, got, mode)
		}
	}
}

func TestAppendsToWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	at := time.Date(2026, 11, 21, 1, 0, 0, 0, time.UTC)
	path := filepath.Join(dir, "ctrl-202611210000")
	for before, want := range map[string]string{
		"":                "\"after\"\n",
		"\"before\"\n":    "\"before\"\n\"after\"\n",
		"\"before\"\t\"c": "\"before\"\t\"c\n\"after\"\n", // cut short by a full disk
	} {
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		l := NewTabLog("ctrl", Options{Dir: dir, Clock: func() time.Time { return at }})
		write(t, l, "after")
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if got := readFile(t, path); got != want {
			t.Errorf("log is %q, want %q", got, want)
		}
	}
}

func TestFollowsFilesThatWereMoved(t *testing.T) {
	dir := t.TempDir()
	c := &clock{now: time.Date(2026, 11, 21, 1, 0, 0, 0, time.UTC)}
	l := NewTabLog("ctrl", Options{Dir: dir, Clock: c.Now})
	defer l.Close()
	path := filepath.Join(dir, "ctrl-202611210000")
	for i, reopen := range []func(){l.Reopen, func() { c.Set(c.Now().Add(checkEvery)) }} {
		write(t, l, "before")
		if err := os.Rename(path, path+".moved"); err != nil {
			t.Fatal(err)
		}
		reopen()
		write(t, l, "after")
		if got := readFile(t, path); got != "\"after\"\n" {
			t.Errorf("case %d: after a move the log is %q, want the line after it", i, got)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		l.Reopen()
	}
}

func TestFailureIsReportedOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file where the folder should be
		t.Fatal(err)
	}
	var out bytes.Buffer
	l := NewTabLog("ctrl", Options{Dir: dir, Log: NewLog(&out, false)})
	defer l.Close()
	for range 3 {
		if err := l.Write("lost"); err == nil {
			t.Fatal("Write into a folder that is a file succeeded")
		}
	}
	if got := strings.Count(out.String(), "log lines are being lost"); got != 1 {
		t.Errorf("failure was reported %d times, want once:\n%s", got, out.String())
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	write(t, l, "kept")
	if !strings.Contains(out.String(), "lines=3") {
		t.Errorf("nothing says that three lines were lost:\n%s", out.String())
	}
}

func TestConcurrentLinesStayWhole(t *testing.T) {
	dir := t.TempDir()
	at := time.Date(2026, 11, 21, 1, 0, 0, 0, time.UTC)
	l := NewTabLog("ctrl", Options{Dir: dir, Clock: func() time.Time { return at }})
	defer l.Close()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 50 {
				if err := l.Write(fmt.Sprint(w), fmt.Sprint(i), strings.Repeat("x", 200)); err != nil {
					t.Error(err)
				}
				if i%10 == 0 {
					l.Reopen()
				}
			}
		})
	}
	wg.Wait()
	lines := strings.Split(strings.TrimSpace(readFile(t, filepath.Join(dir, "ctrl-202611210000"))), "\n")
	if len(lines) != 400 {
		t.Errorf("%d lines, want 400", len(lines))
	}
	for _, line := range lines {
		if f := tabfile.Split(line); len(f) != 3 || len(f[2]) != 200 {
			t.Fatalf("line %q has fields %q, want three", line, f)
		}
	}
}

func TestClosedLog(t *testing.T) {
	l := NewTabLog("ctrl", Options{Dir: t.TempDir()})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Write("x"); err == nil {
		t.Error("Write after Close succeeded")
	}
}

func TestNewLogLevels(t *testing.T) {
	for debug, want := range map[bool]string{false: "level=INFO msg=b\n", true: "level=DEBUG msg=a\nlevel=INFO msg=b\n"} {
		var out bytes.Buffer
		log := NewLog(&out, debug)
		log.Debug("a")
		log.Info("b")
		var got strings.Builder
		for line := range strings.Lines(out.String()) {
			_, rest, _ := strings.Cut(line, " ")
			got.WriteString(rest)
		}
		if got.String() != want {
			t.Errorf("NewLog(debug %v) wrote %q, want %q", debug, got.String(), want)
		}
		if log.Enabled(t.Context(), slog.LevelDebug) != debug {
			t.Errorf("NewLog(debug %v): Enabled(Debug) is %v", debug, !debug)
		}
	}
}

func write(t *testing.T, l *TabLog, field string) {
	t.Helper()
	if err := l.Write(field); err != nil {
		t.Fatalf("Write(%q): %v", field, err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
