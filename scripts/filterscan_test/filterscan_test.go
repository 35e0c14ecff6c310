//go:build unix

// Package filterscan_test runs scripts/filter-scan as the server does: by the filters of
// the queue and those of the session, with scanners that tests make and with those of
// this machine.
package filterscan_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/filter"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/program"
	"github.com/xmaild/xmaild/pkg/server/program/programtest"
	"github.com/xmaild/xmaild/pkg/server/spool"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// script puts filter-scan where everybody may run it.
func script(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../filter-scan")
	if err != nil {
		t.Fatal(err)
	}
	return programtest.Write(t, programtest.Dir(t), "filter-scan", string(text))
}

// runner returns the filters of a MailRoot in which filter-scan is one for all mail, in
// the queue and in the session. FILE stands for the macro.
func runner(t *testing.T, args ...string) *filter.Runner {
	t.Helper()
	row, err := tabfile.JoinCells(append([]string{"!timeo=100", script(t)}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	row = strings.ReplaceAll(row, `"FILE"`, `"@@FILE"`) + "\n"
	dir, temp := t.TempDir(), programtest.Dir(t)
	if err := os.Mkdir(filepath.Join(dir, "filters"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"filters.in.tab": "\"*\"\t\"*\"\t\"0.0.0.0/0\"\t\"0.0.0.0/0\"\t\"scan.tab\"\n", "filters/scan.tab": row, "filters.post-data.tab": row,
		"server.tab": "\"FilterFailure\"\t\"accept\"\n", // nothing passes because of it
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root, err := mailroot.Open(t.Context(), dir, mailroot.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := root.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
			t.Errorf("left in the folder of temporary files: %v, %v", left, err)
		}
	})
	return filter.New(root, filter.Options{TempDir: temp})
}

func reader(text string) *io.SectionReader {
	return io.NewSectionReader(strings.NewReader(text), 0, int64(len(text)))
}

// queue scans a message in the queue, and returns what is left of it.
func queue(t *testing.T, r *filter.Runner, text string) (filter.Decision, string) {
	t.Helper()
	c := r.Copy(filter.Queued{
		Envelope: spool.Envelope{ID: "S1", Time: time.Now(), From: "s@far.example"}, To: spool.Recipient{Address: "ann@foo.test"}, Key: "1", Text: reader(text),
	})
	d := c.Filter(t.Context(), filter.In)
	m := c.Message()
	got, err := io.ReadAll(io.NewSectionReader(m.Text, 0, m.Text.Size()))
	if err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	return d, string(got)
}

const text = "Subject: x\r\n\r\n.dot\r\n<<MAIL-DATA>>\r\n\xff\r\n"

func TestExitCodesOfScanners(t *testing.T) {
	all := strings.Fields("-a 0,2-4 -d 10 -f 11 -b 12,20-30 -l 13 -w 14 -r No_thanks FILE")
	for _, c := range []struct {
		args, scanner string
		want          filter.Action
		text          string
	}{
		{"all", "exit 0", filter.Pass, text}, {"all", "exit 2", filter.Pass, text}, {"all", "exit 4", filter.Pass, text}, {"all", "exit 5", filter.Defer, text},
		{"all", "exit 1", filter.Defer, text}, {"all", "exit 10", filter.Drop, text}, {"all", "exit 11", filter.Freeze, text}, {"all", "exit 12", filter.Reject, text},
		{"all", "exit 20", filter.Reject, text}, {"all", "exit 30", filter.Reject, text}, {"all", "exit 31", filter.Defer, text}, {"all", "exit 19", filter.Defer, text},
		{"all", "exit 13", filter.Defer, text}, {"all", "exit 255", filter.Defer, text}, {"all", "exit 126", filter.Defer, text}, {"all", "kill -9 $$", filter.Defer, text},
		{"all", `{ printf 'X-New: 1\n'; cat; } 2>&1; exit 14`, filter.Pass, "X-New: 1\r\n" + text}, {"all", "exit 14", filter.Defer, text},
		{"all", `echo noise; cat >/dev/null; echo noise >&2`, filter.Pass, text},
		{"FILE", "exit 0", filter.Pass, text}, {"FILE", "exit 1", filter.Defer, text}, {"-a 1 FILE", "exit 0", filter.Defer, text}, {"-a 255 FILE", "exit 255", filter.Pass, text},
		{"-a 1 -d 1 -l 1 FILE", "exit 1", filter.Defer, text}, {"-a 1 -d 1 FILE", "exit 1", filter.Drop, text}, {"-a 1 -a 2 FILE", "exit 1", filter.Pass, text},
		{"-a 126 FILE", "exit 126", filter.Defer, text}, {"-a 0- FILE", "exit 0", filter.Defer, text}, {"-a x FILE", "exit 0", filter.Defer, text}, {"-a 5-1 FILE", "exit 5", filter.Defer, text},
		{"-a 0,,1 FILE", "exit 0", filter.Defer, text}, {"-z FILE", "exit 0", filter.Defer, text}, {"-S -d 1 FILE", "exit 0", filter.Defer, text}, {"/nonexistent", "exit 0", filter.Defer, text},
	} {
		args := strings.Fields(c.args)
		if c.args == "all" {
			args = all
		}
		scanner := programtest.Script(t, c.scanner)
		d, got := queue(t, runner(t, append(args, scanner, "a b")...), text)
		if d.Action != c.want || got != c.text {
			t.Errorf("%s, %s: %+v with %q; want %v with %q", c.args, c.scanner, d, got, c.want, c.text)
		}
		if want := "No_thanks"; d.Action == filter.Reject && d.Reason != want {
			t.Errorf("%s: reason %q, want %q", c.scanner, d.Reason, want)
		}
	}
	if d, _ := queue(t, runner(t, "FILE", "/nonexistent/scanner"), text); d.Action != filter.Defer || !strings.Contains(d.Err.Error(), "ended with 127") {
		t.Errorf("a scanner that is not there: %+v", d)
	}
	if d, _ := queue(t, runner(t, "FILE"), text); d.Action != filter.Defer {
		t.Errorf("no scanner at all: %+v", d)
	}
}

func TestScannersGetTheMessageAlone(t *testing.T) {
	for what, c := range map[string]struct {
		script string
		args   []string
	}{
		"input": {`cat >"$1"`, nil}, "file": {`cat "$2" >"$1"; [ "$3" = "a b" ] && [ -z "$4" ]`, []string{"{}", "a b", ""}},
	} {
		out := filepath.Join(programtest.Dir(t), "out")
		d, _ := queue(t, runner(t, append([]string{"FILE", programtest.Script(t, c.script), out}, c.args...)...), text)
		if d != (filter.Decision{}) {
			t.Errorf("%s: %+v", what, d)
		}
		if got := programtest.Read(t, out); got != text {
			t.Errorf("%s: the scanner got %q, want %q", what, got, text)
		}
	}
}

// TestNoFurtherFilters looks at the exit status itself.
func TestNoFurtherFilters(t *testing.T) {
	file := filepath.Join(programtest.Dir(t), "message")
	for args, want := range map[string]int{"-n": 16, "-n -w 0": 23, "-n -d 0": 4, "-w 0": 7, "-S -b 0": 3} {
		if err := os.WriteFile(file, []byte("1\r\n<<MAIL-DATA>>\r\n"+text), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, 0o666); err != nil {
			t.Fatal(err)
		}
		r, err := program.Program{Path: script(t), Args: append(strings.Fields(args), file, "cat")}.Run(t.Context())
		if err != nil || r.Exit != want {
			t.Errorf("%s: %v, %v; want %d", args, r, err, want)
		}
	}
	r, err := program.Program{Path: script(t), Args: []string{"-h"}, MaxOutput: 1000}.Run(t.Context())
	if err != nil || !r.OK() || !strings.HasPrefix(string(r.Output), "usage: filter-scan ") {
		t.Errorf("-h: %v, %v, %q", r, err, r.Output)
	}
}

func TestSession(t *testing.T) {
	m := filter.Message{
		HasFrom: true, From: "s@far.example", Recipient: "ann@foo.test", Mail: "MAIL FROM:<s@far.example>", Domain: "mx.foo.test", ID: "S1", Time: time.Now(),
		Local: netip.MustParseAddrPort("10.0.0.1:25"), Remote: netip.MustParseAddrPort("192.0.2.7:4711"), Recipients: []spool.Recipient{{Address: "ann@foo.test"}},
	}
	for _, c := range []struct {
		args, scanner string
		reject, later bool
		reply         string
	}{
		{"-S -b 1 FILE", "exit 0", false, false, ""}, {"-S -b 1 FILE", "exit 1", true, false, "554 5.7.1 The message was refused by a scanner"},
		{"-S -b 1 -r 550_x FILE", "exit 1", true, false, "554 5.7.1 550_x"}, {"-S -b 1 FILE", "exit 2", false, true, ""}, {"-S -l 1 FILE", "exit 1", false, true, ""},
		{"-S -d 1 FILE", "exit 0", false, true, ""},
	} {
		v := runner(t, append(strings.Fields(c.args), programtest.Script(t, c.scanner))...).PostData(t.Context(), m, reader(text))
		if v.Reject != c.reject || v.Defer != c.later || v.Reply != c.reply || v.NewBody != nil {
			t.Errorf("%s, %s: %+v", c.args, c.scanner, v)
		}
	}
	v := runner(t, "-S", "-b", "1", "-r", "452 4.3.0 Not now", "FILE", programtest.Script(t, "exit 1")).PostData(t.Context(), m, reader(text))
	if !v.Reject || v.Reply != "452 4.3.0 Not now" {
		t.Errorf("a reason with a code of its own: %+v", v)
	}
}

// scanner returns a scanner of this machine, or skips the test.
func scanner(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip("needs " + name)
	}
	return path
}

const virus = "This text is the virus of a test."

func attachment(content string) string {
	return "From: <s@far.example>\r\nTo: <ann@foo.test>\r\nSubject: x\r\nDate: Sun, 22 Nov 2026 04:05:06 +0000\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: application/octet-stream; name=\"x.bin\"\r\n" +
		"Content-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte(content)) + "\r\n--b--\r\n"
}

// TestClamAV has a virus in an attachment, which ClamAV finds only in what it knows for
// a message.
func TestClamAV(t *testing.T) {
	clamscan := scanner(t, "clamscan")
	signatures := programtest.Write(t, programtest.Dir(t), "test.ndb", "Test.Virus:0:*:"+hex.EncodeToString([]byte(virus))+"\n")
	for _, form := range []string{"-", "{}"} {
		r := runner(t, "-b", "1", "-r", "A virus was found", "FILE", clamscan, "--no-summary", "--database="+signatures, form)
		if d, _ := queue(t, r, attachment("harmless")); d != (filter.Decision{}) {
			t.Errorf("%s: without a virus: %+v", form, d)
		}
		if d, _ := queue(t, r, attachment(virus)); d != (filter.Decision{Action: filter.Reject, Reason: "A virus was found"}) {
			t.Errorf("%s: with a virus: %+v", form, d)
		}
	}
	r := runner(t, "-b", "1", "FILE", clamscan, "--no-summary", "--database=/nonexistent", "-")
	if d, _ := queue(t, r, attachment(virus)); d.Action != filter.Defer {
		t.Errorf("without signatures: %+v, want it deferred", d)
	}
}

// TestBogofilter trains a database, and has a message of each kind judged by it.
func TestBogofilter(t *testing.T) {
	bogofilter := scanner(t, "bogofilter")
	dir := programtest.Dir(t)
	spam, ham := "Subject: viagra lottery winner\r\n\r\nviagra lottery winner prince casino\r\n", "Subject: minutes meeting\r\n\r\nminutes meeting agenda budget monday\r\n"
	for flag, text := range map[string]string{"-s": spam, "-n": ham} {
		for range 3 {
			r, err := program.Program{Path: bogofilter, Args: []string{flag, "-d", dir}, Stdin: strings.NewReader(text), MaxOutput: 1000}.Run(t.Context())
			if err != nil || !r.OK() {
				t.Fatalf("train %s: %v, %v: %s", flag, r, err, r.Output)
			}
		}
	}
	r := runner(t, "-a", "1,2", "-f", "0", "FILE", bogofilter, "-d", dir)
	if d, _ := queue(t, r, spam); d.Action != filter.Freeze {
		t.Errorf("spam: %+v, want it frozen", d)
	}
	if d, got := queue(t, r, ham); d != (filter.Decision{}) || got != ham {
		t.Errorf("ham: %+v", d)
	}
	r = runner(t, "-a", "1,2", "-f", "0", "FILE", bogofilter, "-d", "/nonexistent")
	if d, _ := queue(t, r, ham); d.Action != filter.Defer {
		t.Errorf("without a database: %+v, want it deferred", d)
	}
}

// TestSpamAssassin has the message rewritten, with headers that tell what it is.
func TestSpamAssassin(t *testing.T) {
	spamassassin := scanner(t, "spamassassin")
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	args := []string{"-L", "-x", "--cf=body TEST_SPAM /lottery winner/", "--cf=score TEST_SPAM 10", "--cf=report_safe 0"}
	if r, err := (program.Program{Path: spamassassin, Args: args, Stdin: strings.NewReader(text), MaxOutput: 1000}).Run(ctx); err != nil || !r.OK() {
		t.Skipf("spamassassin has no rules here: %v, %v: %s", r, err, r.Output)
	}
	r := runner(t, append([]string{"-w", "0", "FILE", spamassassin}, args...)...)
	for body, want := range map[string]string{"Hello.": "X-Spam-Status: No", "You are the lottery winner": "X-Spam-Status: Yes"} {
		d, got := queue(t, r, "From: <s@far.example>\r\nSubject: x\r\n\r\n"+body+"\r\n")
		if d != (filter.Decision{}) || !strings.Contains(got, want) || !strings.HasSuffix(got, "\r\n\r\n"+body+"\r\n") || strings.Contains(strings.ReplaceAll(got, "\r\n", ""), "\n") {
			t.Errorf("%s: %+v with\n%s", body, d, got)
		}
	}
}

// TestSpamc has a daemon of SpamAssassin judge messages, as the page about filters shows.
// When the daemon is gone they wait.
func TestSpamc(t *testing.T) {
	spamc := scanner(t, "spamc")
	spamd, err := exec.LookPath("/usr/sbin/spamd")
	if err != nil {
		spamd = scanner(t, "spamd")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	args := []string{"-L", "-x", "-m", "1", "-i", "127.0.0.1", "-p", port, "--cf=body TEST_SPAM /lottery winner/", "--cf=score TEST_SPAM 10", "--cf=report_safe 0"}
	if os.Geteuid() == 0 {
		args = append(args, "-u", "nobody")
	}
	daemon := exec.Command(spamd, args...)
	daemon.Dir, daemon.Env = "/", []string{"PATH=/usr/bin:/bin"}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- daemon.Wait() }()
	stop := sync.OnceFunc(func() {
		_ = daemon.Process.Signal(os.Interrupt) // it has ended
		<-ended
	})
	t.Cleanup(stop)
	r := runner(t, "-w", "0", "FILE", spamc, "-x", "-d", "127.0.0.1", "-p", port)
	message := func(body string) string { return "From: <s@far.example>\r\nSubject: x\r\n\r\n" + body + "\r\n" }
	until := time.Now().Add(60 * time.Second)
	for {
		d, got := queue(t, r, message("Hello."))
		if d.Action == filter.Pass && strings.Contains(got, "X-Spam-Status: No") {
			break
		}
		if d.Action != filter.Defer || time.Now().After(until) {
			t.Skipf("spamd does not run here: %+v with %q", d, got)
		}
	}
	if d, got := queue(t, r, message("You are the lottery winner")); d.Action != filter.Pass || !strings.Contains(got, "X-Spam-Status: Yes") {
		t.Errorf("spam: %+v with %q", d, got)
	}
	stop()
	if d, got := queue(t, r, message("Hello.")); d.Action != filter.Defer || got != message("Hello.") {
		t.Errorf("without the daemon: %+v with %q, want it deferred", d, got)
	}
}
