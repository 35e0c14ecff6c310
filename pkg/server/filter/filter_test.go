//go:build unix

package filter

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/obs"
	"github.com/xmaild/xmaild/pkg/server/program/programtest"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// A fixture is a runner of a MailRoot with filters.
type fixture struct {
	*Runner
	t         *testing.T
	temp, out string // for messages, and for what scripts write
	logs      string
	log       bytes.Buffer
}

// start makes a MailRoot with tables of filters, in which a blank stands for a tab.
func start(t *testing.T, o Options, tables map[string]string) *fixture {
	t.Helper()
	f := &fixture{t: t, temp: programtest.Dir(t), out: programtest.Dir(t), logs: t.TempDir()}
	dir := t.TempDir()
	for name, text := range tables {
		if !strings.Contains(name, ".") {
			name = "filters." + name + ".tab"
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, " ", "\t")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root, err := mailroot.Open(t.Context(), dir, mailroot.Options{Log: slog.New(slog.NewTextHandler(&f.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	tabLog := obs.NewTabLog("filters", obs.Options{Dir: f.logs})
	t.Cleanup(func() {
		if err := root.Close(); err != nil {
			t.Error(err)
		}
		if err := tabLog.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(f.temp); err != nil || len(left) > 0 {
			t.Errorf("left in the folder of temporary files: %v, %v", left, err)
		}
	})
	o.TempDir, o.Filters = f.temp, tabLog
	o.Clock = func() time.Time { return time.Date(2026, 11, 22, 4, 0, 0, 0, time.Local) }
	f.Runner = New(root, o)
	return f
}

func message() Message {
	return Message{
		From: "s@far.example", HasFrom: true, Recipient: "nick@foo.test", RealRecipient: "ann@foo.test",
		Local: netip.MustParseAddrPort("10.0.0.1:25"), Remote: netip.MustParseAddrPort("[::ffff:192.0.2.7]:4711"),
		Helo: "pc;5\t", Domain: "mx.foo.test", ID: "S1F", Mail: "MAIL FROM:<s@far.example> SIZE=9",
		Recipients: []spool.Recipient{{Address: "nick@foo.test", Real: "ann@foo.test"}, {Address: "x@other.example"}},
		Time:       time.Date(2026, 11, 22, 4, 5, 6, 0, time.UTC),
	}
}

const text = "Subject: x\r\n\r\n.dot\r\n"

// post runs the filters on a message and returns the verdict with what they made of it.
func (f *fixture) post(ctx context.Context, m Message, text string) (Verdict, string) {
	f.t.Helper()
	v := f.PostData(ctx, m, io.NewSectionReader(strings.NewReader(text), 0, int64(len(text))))
	if v.NewBody == nil {
		return v, text
	}
	b, err := io.ReadAll(v.NewBody)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := v.NewBody.Close(); err != nil {
		f.t.Error(err)
	}
	return v, string(b)
}

func TestFiltersGetTheFileOfTheReferenceAndItsMacros(t *testing.T) {
	out := programtest.Dir(t)
	show := programtest.Script(t, `out=$1; shift; cp "$1" $out/file; shift; printf '%s|' "$@" >$out/args`)
	args := " " + show + " " + out + " @@FILE $(FROM) @@CRCPT @@RRCPT @@LOCALADDR @@REMOTEADDR @@MSGREF @@USERAUTH $(NONE) [$(CRCPT),$(RRCPT)]\n"
	f := start(t, Options{}, map[string]string{"post-data": "!timeo=20" + args, "pre-data": args[1:], "post-rcpt": args[1:]})
	const head = "pc?5?;[192.0.2.7]:4711;mx.foo.test;[10.0.0.1]:25;Sun, 22 Nov 2026 04:05:06 +0000;[xmaild ESMTP Server]\r\n" +
		"mx.foo.test\r\nS1F\r\nMAIL FROM:<s@far.example> SIZE=9\r\n"
	const rcpt = "RCPT TO:<nick@foo.test> {ra=ann@foo.test}\r\nRCPT TO:<x@other.example> {ra=x@other.example}\r\n"
	none := message()
	none.HasFrom, none.From, none.RealRecipient, none.User, none.Recipients = false, "", "", "bob@foo.test", nil
	null := message()
	null.From, null.Recipient, null.RealRecipient = "", "", ""
	for _, c := range []struct {
		what       string
		run        func() Verdict
		args, file string
	}{
		{"post-data", func() Verdict { v, _ := f.post(t.Context(), message(), text); return v },
			"s@far.example|nick@foo.test|ann@foo.test|[10.0.0.1]:25|[192.0.2.7]:4711|S1F|-||[nick@foo.test,ann@foo.test]|", head + rcpt + "<<MAIL-DATA>>\r\n" + text},
		{"pre-data", func() Verdict { return f.PreData(t.Context(), null) }, "|-|-|[10.0.0.1]:25|[192.0.2.7]:4711|S1F|-||[-,-]|", head + rcpt},
		{"post-rcpt", func() Verdict { return f.PostRcpt(t.Context(), none) },
			"-|nick@foo.test|nick@foo.test|[10.0.0.1]:25|[192.0.2.7]:4711|S1F|bob@foo.test||[nick@foo.test,nick@foo.test]|", head},
	} {
		if v := c.run(); v != (Verdict{}) {
			t.Errorf("%s: %+v, want that the message passes", c.what, v)
		}
		if got := programtest.Read(t, out+"/args"); got != c.args {
			t.Errorf("%s got\n%s\nwant\n%s", c.what, got, c.args)
		}
		if got := programtest.Read(t, out+"/file"); got != c.file {
			t.Errorf("the file of %s is\n%s\nwant\n%s", c.what, got, c.file)
		}
	}
	if f.log.Len() > 0 {
		t.Errorf("the log:\n%s", f.log.String())
	}
}

func TestNoTableCostsNothing(t *testing.T) {
	f := start(t, Options{}, map[string]string{"post-rcpt": "# no row\n"})
	f.o.TempDir = "/nonexistent"
	for _, kind := range []string{PostRcpt, PreData, PostData} {
		if f.Any(kind) {
			t.Errorf("there are filters %s", kind)
		}
	}
	v, got := f.post(t.Context(), message(), text)
	if v != (Verdict{}) || got != text || f.PreData(t.Context(), message()) != (Verdict{}) || f.PostRcpt(t.Context(), message()) != (Verdict{}) {
		t.Errorf("%+v, %q", v, got)
	}
}

func TestExitStatus(t *testing.T) {
	for _, c := range []struct {
		script string
		reject bool
		reply  string
		second bool // the next filter runs
	}{
		{"exit 0", false, "", true}, {"exit 1", false, "", true}, {"exit 7", false, "", true}, {"exit 16", false, "", false}, {"exit 17", false, "", false},
		{"exit 3", true, "", false}, {"exit 19", true, "", false}, {"exit 255", false, "", true}, {"kill -9 $$", false, "", false},
		{`printf '554 5.7.1 No, thanks\r\nmore\n' >"$1.rej"; exit 3`, true, "554 5.7.1 No, thanks", false},
		{`echo 450 later >"$1.rej"; exit 19`, true, "450 later", false},
		{`echo 554 unused >"$1.rej"; exit 0`, false, "", true},
		{`printf '550 a\033[2Jb\303\244\n' >"$1.rej"; exit 3`, true, "550 a?[2Jb?", false},
		{`: >"$1.rej"; exit 3`, true, "", false}, {`echo 250 fine >"$1.rej"; exit 3`, true, "", false}, {`echo 55 x >"$1.rej"; exit 3`, true, "", false},
		{`echo 550-more >"$1.rej"; exit 3`, true, "", false}, {`echo no code >"$1.rej"; exit 3`, true, "", false}, {`mkdir "$1.rej"; exit 3`, true, "", false},
		{`ln -s /etc/passwd "$1.rej"; exit 3`, true, "", false}, {`mkfifo "$1.rej"; exit 3`, true, "", false},
		{`{ printf '550 '; head -c 5000 /dev/zero | tr '\0' x; } >"$1.rej"; exit 3`, true, "550 " + strings.Repeat("x", 506), false},
	} {
		ran := filepath.Join(programtest.Dir(t), "ran")
		table := programtest.Script(t, c.script) + " @@FILE\n" + programtest.Script(t, `[ -e "$1.rej" ] && exit 3; : >`+ran) + " @@FILE\n"
		f := start(t, Options{}, map[string]string{"post-rcpt": table})
		v := f.PostRcpt(t.Context(), message())
		if v.Reject != c.reject || v.Reply != c.reply || v.Defer {
			t.Errorf("%s: %+v, want reject %v with %q", c.script, v, c.reject, c.reply)
		}
		if _, err := os.Stat(ran); (err == nil) != c.second {
			t.Errorf("%s: the next filter ran: %v, want %v", c.script, err == nil, c.second)
		}
	}
}

func TestFailureIsForgivenOrDefersTheMessage(t *testing.T) {
	for _, c := range []struct {
		what, command string
		next          bool // where it is forgiven, the next filter runs
	}{
		{"missing", "/nonexistent/filter", true}, {"not a program", "/etc/passwd", true}, {"255", programtest.Script(t, "exit 255"), true},
		{"a signal", programtest.Script(t, "kill -9 $$"), false}, {"hanging", "!timeo=1 " + programtest.Script(t, "sleep 600 & wait"), true},
		{"file gone", programtest.Script(t, `rm "$1"`) + " @@FILE", true},
		{"file cut", programtest.Script(t, `: >"$1"`) + " @@FILE", true},
		{"message cut", programtest.Script(t, `sed -i '/MAIL-DATA/q' "$1"`) + " @@FILE", true},
		{"no marker", programtest.Script(t, `echo hello >"$1"`) + " @@FILE", true},
		{"a link in its place", programtest.Script(t, `rm "$1" && ln -s /etc/passwd "$1"`) + " @@FILE", true},
		{"a pipe in its place", programtest.Script(t, `rm "$1" && mkfifo "$1"`) + " @@FILE", true},
		{"a folder in its place", programtest.Script(t, `rm "$1" && mkdir -p "$1/a/b"`) + " @@FILE", true},
		{"far larger", programtest.Script(t, `head -c 20000000 /dev/zero >>"$1"`) + " @@FILE", true},
		{"dies half-way", programtest.Script(t, `sed -i s/dot/DOT/ "$1"; kill -9 $$`) + " @@FILE", false},
		{"hangs half-way", "!timeo=1 " + programtest.Script(t, `sed -i s/dot/DOT/ "$1"; sleep 600`) + " @@FILE", true},
	} {
		for _, policy := range []string{"accept", "defer"} {
			t.Run(c.what+", "+policy, func(t *testing.T) {
				t.Parallel()
				out := programtest.Dir(t)
				f := start(t, Options{}, map[string]string{
					"post-data":  c.command + "\n" + programtest.Script(t, `cp "$1" `+out+"/file") + " @@FILE\n",
					"server.tab": "FilterFailure " + policy + "\n",
				})
				v, got := f.post(t.Context(), message(), text)
				if v.Defer != (policy == "defer") || v.Reject || got != text {
					t.Errorf("%s, %s: %+v with %q; want the message as it was", c.what, policy, v, got[:min(len(got), 100)])
				}
				b, err := os.ReadFile(out + "/file")
				if ran := err == nil; ran != (c.next && policy == "accept") {
					t.Errorf("%s, %s: the next filter ran: %v", c.what, policy, ran)
				} else if ran && !strings.HasSuffix(string(b), "\r\n<<MAIL-DATA>>\r\n"+text) {
					t.Errorf("%s: the next filter got\n%s", c.what, b[:min(len(b), 1000)])
				}
				if !strings.Contains(f.log.String(), "filter failed") {
					t.Errorf("%s: the log says nothing:\n%s", c.what, f.log.String())
				}
			})
		}
	}
}

func TestProgramAsksForAnotherAttempt(t *testing.T) {
	f := start(t, Options{}, map[string]string{"post-data": programtest.Script(t, "exit 75") + "\n", "server.tab": "FilterFailure accept\n"})
	if v, _ := f.post(t.Context(), message(), text); !v.Defer || v.Reject {
		t.Errorf("status 75: %+v, want it deferred", v)
	}
}

func TestFailurePolicyIsOfTheLevel(t *testing.T) {
	for vars, want := range map[string]bool{"": false, "CompatLevel 1\n": true, "CompatLevel 1\nFilterFailure accept\n": false} {
		f := start(t, Options{}, map[string]string{"pre-data": "/nonexistent/filter\n", "server.tab": vars})
		if v := f.PreData(t.Context(), message()); v.Defer != want {
			t.Errorf("%q: %+v, want deferred %v", vars, v, want)
		}
	}
}

func TestMachineThatCannotRunFiltersDefers(t *testing.T) {
	f := start(t, Options{}, map[string]string{"post-data": "true\n"})
	f.o.TempDir = "/nonexistent"
	if v, _ := f.post(t.Context(), message(), text); !v.Defer {
		t.Errorf("without a folder for the message: %+v", v)
	}
	f = start(t, Options{}, map[string]string{"post-data": "sleep 600\n"})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if v, _ := f.post(ctx, message(), text); !v.Defer {
		t.Errorf("when the server stops: %+v", v)
	}
}

func TestFloodOfOutputIsDropped(t *testing.T) {
	f := start(t, Options{}, map[string]string{"post-data": programtest.Script(t, "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2; exit 3\n") + "\n"})
	if v, _ := f.post(t.Context(), message(), text); !v.Reject {
		t.Errorf("%+v, want it refused", v)
	}
}

func TestFiltersChangeTheMessage(t *testing.T) {
	upper := programtest.Script(t, `sed -i s/dot/DOT/ "$1"`) + " @@FILE\n"
	header := programtest.Script(t, `sed -i 's/^Subject:/X-New: 1\r\nSubject:/' "$1"; exit 7`) + " @@FILE\n"
	replace := programtest.Script(t, `grep -q DOT "$1" || exit 3; { sed '/MAIL-DATA/q' "$1"; printf 'Subject: new\n\nbody'; } >"$1.tmp" && mv "$1.tmp" "$1"`) + " @@FILE\n"
	inPlace := programtest.Script(t, `touch -r "$1" "$1.ref"; printf 'X' | dd of="$1" bs=1 seek=$(($(wc -c <"$1") - 3)) conv=notrunc 2>/dev/null; touch -r "$1.ref" "$1"`) + " @@FILE\n"
	touch := programtest.Script(t, `touch "$1"; sed -i 's/^RCPT/rcpt/' "$1"`) + " @@FILE\n"
	for _, c := range []struct{ what, table, want string }{
		{"one", upper, "Subject: x\r\n\r\n.DOT\r\n"},
		{"one after the other", upper + header, "X-New: 1\r\nSubject: x\r\n\r\n.DOT\r\n"},
		{"a file in its place", upper + replace, "Subject: new\n\nbody"},
		{"failing after a good one", upper + programtest.Script(t, `sed -i s/DOT/bad/ "$1"; exit 255`) + " @@FILE\n", "Subject: x\r\n\r\n.DOT\r\n"},
		{"skipped afterwards", upper + "!aex " + programtest.Script(t, `exit 3`) + "\n", "Subject: x\r\n\r\n.DOT\r\n"},
		{"only the envelope", touch, ""},
		{"nothing", "true\n", ""},
		{"as it was again", upper + programtest.Script(t, `sed -i s/DOT/dot/ "$1"`) + " @@FILE\n", text},
		{"in place", inPlace, "Subject: x\r\n\r\n.doX\r\n"},
	} {
		f := start(t, Options{}, map[string]string{"post-data": c.table})
		m := message()
		m.User = "ann"
		v, got := f.post(t.Context(), m, text)
		if want := c.want != ""; (v.NewBody != nil) != want || v.Reject || v.Defer {
			t.Errorf("%s: %+v, want a new message: %v", c.what, v, want)
		}
		if c.want != "" && got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
	f := start(t, Options{}, map[string]string{"post-data": upper + programtest.Script(t, "exit 3") + "\n"})
	if v, _ := f.post(t.Context(), message(), text); !v.Reject || v.NewBody != nil {
		t.Errorf("changed and then refused: %+v", v)
	}
}

func TestLargeMessagesAreNotHeldInMemory(t *testing.T) {
	f := start(t, Options{}, map[string]string{"post-data": programtest.Script(t, `echo end >>"$1"`) + " @@FILE\n"})
	const size = 64 << 20
	body := io.NewSectionReader(zeros{}, 0, size)
	v := f.PostData(t.Context(), message(), body)
	if v.NewBody == nil {
		t.Fatalf("%+v", v)
	}
	n, err := io.Copy(io.Discard, v.NewBody)
	if err != nil || n != size+4 {
		t.Errorf("%d bytes, %v; want %d", n, err, size+4)
	}
	if err := v.NewBody.Close(); err != nil {
		t.Error(err)
	}
}

// zeros is a message of nothing else.
type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

func TestFlagsAndTheFiltersLog(t *testing.T) {
	no := programtest.Script(t, "exit 3")
	for _, c := range []struct {
		flags       string
		user, white bool
		reject      bool
	}{
		{"!aex", true, false, false}, {"!aex", false, false, true}, {"!aex=0", true, false, true}, {"!aex=1", true, false, false},
		{"!wlex", false, true, false}, {"!wlex", true, false, true}, {"!wlex=0,aex=0", true, true, true}, {"!aex,wlex,timeo=5", false, true, false},
		{"!timeo=5,unknown=1", true, true, true}, {"!", true, true, true},
	} {
		f := start(t, Options{}, map[string]string{"pre-data": c.flags + " " + no + "\n"})
		m := message()
		m.WhiteListed = c.white
		if c.user {
			m.User = "ann@foo.test"
		}
		if v := f.PreData(t.Context(), m); v.Reject != c.reject {
			t.Errorf("%s, user %v, listed %v: %+v", c.flags, c.user, c.white, v)
		}
	}
	f := start(t, Options{}, map[string]string{
		"post-data": "!aex " + no + " a\n!wlex " + no + "\n!timeo=1 sleep 600\n/nonexistent/x\n!aex=0\ntrue a@@b $(FROM)\n",
		"post-rcpt": "true\n",
	})
	m := message()
	m.User, m.WhiteListed = "ann", true
	f.post(t.Context(), m, text)
	f.PostRcpt(t.Context(), m)
	files, err := filepath.Glob(f.logs + "/filters-*")
	if err != nil || len(files) != 1 {
		t.Fatalf("log files %v, %v", files, err)
	}
	line := func(rcpt, kind, info, exec, exit, words string) string {
		return `"` + strings.Join([]string{"s@far.example", rcpt, "10.0.0.1", "192.0.2.7", "2026-11-22 04:00:00", kind, info, exec, exit, words}, "\"\t\"") + "\"\n"
	}
	want := line("*", "post-data", "EXCL", "-1", "-1", no+";a;") + line("*", "post-data", "WLISTED", "-1", "-1", no+";") +
		line("*", "post-data", "", "-5", "-1", "sleep;600;") + line("*", "post-data", "", "-114", "-1", "/nonexistent/x;") +
		line("*", "post-data", "", "0", "0", "true;a@@b;s@far.example;") + line("nick@foo.test", "post-rcpt", "", "0", "0", "true;")
	if got := programtest.Read(t, files[0]); got != want {
		t.Errorf("the filters log:\n%swant\n%s", got, want)
	}
}
