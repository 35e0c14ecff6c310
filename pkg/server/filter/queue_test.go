//go:build unix

package filter

import (
	"context"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/program/programtest"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// accounts are tables with ann@foo.test, who has the alias nick.
var accounts = map[string]string{
	"domains.tab": "foo.test\n", "aliasdomain.tab": "bar.test foo.test\n", "mailusers.tab": "foo.test ann 0D0B 1 ann U\n",
	"aliases.tab": "foo.test nick ann\n",
}

// queueTables adds tables to those of the accounts.
func queueTables(more map[string]string) map[string]string {
	all := make(map[string]string)
	for _, tables := range []map[string]string{accounts, more} {
		for name, text := range tables {
			all[name] = text
		}
	}
	return all
}

// everything is a row for all mail.
const everything = "* * 0.0.0.0/0 0.0.0.0/0 "

func queued(text string) Queued {
	return Queued{
		Envelope: spool.Envelope{
			ID: "S1F", Time: time.Date(2026, 11, 2, 4, 5, 6, 0, time.UTC), From: "s@far.example", Mail: "MAIL FROM:<s@far.example> SIZE=9",
			Client: netip.MustParseAddrPort("192.0.2.7:4711"), Server: netip.MustParseAddrPort("10.0.0.1:25"), Domain: "mx.foo.test",
		},
		To: spool.Recipient{Address: "nick@bar.test"}, Key: "63a-0f", Text: io.NewSectionReader(strings.NewReader(text), 0, int64(len(text))),
	}
}

// filtered runs the filters on a message.
func (f *fixture) filtered(ctx context.Context, kind string, m Queued) (Decision, Queued, string) {
	f.t.Helper()
	c := f.Copy(m)
	d := c.Filter(ctx, kind)
	after := c.Message()
	text, err := io.ReadAll(io.NewSectionReader(after.Text, 0, after.Text.Size()))
	if err != nil {
		f.t.Error(err)
	}
	if err := c.Close(); err != nil {
		f.t.Error(err)
	}
	return d, after, string(text)
}

func TestQueueFiltersGetTheSpoolFileOfTheReferenceAndItsMacros(t *testing.T) {
	stamp := queued(text).Time.Local().Format("Mon, 2 Jan 2006 15:04:05 -0700")
	out := programtest.Dir(t)
	show := programtest.Script(t, `out=$1; shift; cp "$1" $out/file; cp "$2" $out/temp; shift 2; printf '%s|' "$@" >$out/args`)
	row := show + " " + out + " @@FILE @@TMPFILE $(FROM) @@RCPT @@RFROM @@RRCPT @@LOCALADDR @@REMOTEADDR @@MSGREF @@MSGID @@USERAUTH $(NONE) [$(FROM),$(RCPT)]\n"
	f := start(t, Options{}, queueTables(map[string]string{"in": everything + "f.tab\n", "filters/f.tab": row}))
	head := "[192.0.2.7]:4711;[10.0.0.1]:25;" + stamp + "\r\nmx.foo.test\r\nS1F\r\n"
	bare := queued(text)
	bare.Client, bare.Server, bare.Domain, bare.Mail, bare.From, bare.Login = netip.AddrPort{}, netip.AddrPort{}, "", "", "ann@bar.test", "bob"
	null := queued(text)
	null.From, null.To.Address, null.Mail = "", "x@other.example", "MAIL FROM:<>"
	for _, c := range []struct {
		m          Queued
		args, file string
	}{
		{queued(text), "s@far.example|nick@bar.test|s@far.example|ann@foo.test|[10.0.0.1]:25|[192.0.2.7]:4711|S1F|63a-0f|-||[s@far.example,nick@bar.test]|",
			head + "MAIL FROM:<s@far.example> SIZE=9\r\nRCPT TO:<nick@bar.test>\r\n"},
		{bare, "ann@bar.test|nick@bar.test|ann@foo.test|ann@foo.test|[127.0.0.1]:0|[127.0.0.1]:0|S1F|63a-0f|bob||[ann@bar.test,nick@bar.test]|",
			"[127.0.0.1]:0;[127.0.0.1]:0;" + stamp + "\r\nlocaldomain\r\nS1F\r\nMAIL FROM:<ann@bar.test>\r\nRCPT TO:<nick@bar.test>\r\n"},
		{null, "|x@other.example||x@other.example|[10.0.0.1]:25|[192.0.2.7]:4711|S1F|63a-0f|-||[,x@other.example]|",
			head + "MAIL FROM:<>\r\nRCPT TO:<x@other.example>\r\n"},
	} {
		if d, _, got := f.filtered(t.Context(), In, c.m); d != (Decision{}) || got != text {
			t.Errorf("%+v with %q, want that the message passes", d, got)
		}
		if got := programtest.Read(t, out+"/args"); got != c.args {
			t.Errorf("the filter got\n%s\nwant\n%s", got, c.args)
		}
		want := c.file + "<<MAIL-DATA>>\r\n" + text
		for _, name := range []string{"file", "temp"} {
			if got := programtest.Read(t, filepath.Join(out, name)); got != want {
				t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
			}
		}
	}
	if f.log.Len() > 0 {
		t.Errorf("the log:\n%s", f.log.String())
	}
}

func TestRowsSelectTheFilters(t *testing.T) {
	six := queued(text)
	six.Client, six.Server = netip.MustParseAddrPort("[2001:db8::7]:4711"), netip.MustParseAddrPort("[2001:db8:1::1]:25")
	mapped := queued(text)
	mapped.Client = netip.MustParseAddrPort("[::ffff:192.0.2.7]:4711")
	inside := queued(text)
	inside.From = "Nick@BAR.test"
	null := queued(text)
	null.From = ""
	local := queued(text)
	local.Client, local.Server = netip.AddrPort{}, netip.AddrPort{}
	for _, c := range []struct {
		what, row string
		m         Queued
		want      bool
	}{
		{"all", everything, queued(text), true}, {"all, IPv6", everything, six, true}, {"all, mapped", everything, mapped, true}, {"all, null sender", everything, null, true},
		{"sender", "*@FAR.example * 0.0.0.0/0 0.0.0.0/0 ", queued(text), true}, {"other sender", "*@near.example * 0.0.0.0/0 0.0.0.0/0 ", queued(text), false},
		{"the null sender has no domain", "*@* * 0.0.0.0/0 0.0.0.0/0 ", null, false},
		{"account of the sender", "ann@foo.test * 0.0.0.0/0 0.0.0.0/0 ", inside, true}, {"alias of the sender", "nick@* * 0.0.0.0/0 0.0.0.0/0 ", inside, false},
		{"account of the recipient", "* ann@foo.test 0.0.0.0/0 0.0.0.0/0 ", queued(text), true}, {"alias of the recipient", "* nick@* 0.0.0.0/0 0.0.0.0/0 ", queued(text), false},
		{"network of the client", "* * 192.0.2.0/24 0.0.0.0/0 ", queued(text), true}, {"the same, mapped", "* * 192.0.2.0/24 0.0.0.0/0 ", mapped, true},
		{"other network", "* * 192.0.3.0/24 0.0.0.0/0 ", queued(text), false}, {"one host", "* * 192.0.2.7 0.0.0.0/0 ", queued(text), true},
		{"network of the server", "* * 0.0.0.0/0 10.0.0.0/8 ", queued(text), true}, {"other address of the server", "* * 0.0.0.0/0 10.0.0.2/32 ", queued(text), false},
		{"IPv6 client", "* * 2001:db8::/48 ::/0 ", six, true}, {"other IPv6 client", "* * 2001:db8:2::/48 ::/0 ", six, false},
		{"IPv4 network for IPv6", "* * 192.0.2.0/24 0.0.0.0/0 ", six, false}, {"made here", "* * 127.0.0.0/8 127.0.0.1/32 ", local, true},
	} {
		f := start(t, Options{}, queueTables(map[string]string{"out": c.row + "f.tab\n", "filters/f.tab": programtest.Script(t, "exit 4") + "\n"}))
		if d, _, _ := f.filtered(t.Context(), Out, c.m); (d.Action == Drop) != c.want {
			t.Errorf("%s: %v, want the filter to run: %v", c.what, d.Action, c.want)
		}
		if d, _, _ := f.filtered(t.Context(), In, c.m); d != (Decision{}) {
			t.Errorf("%s: the other table gives %+v", c.what, d)
		}
	}
}

func TestFilesOfFiltersRunInOrderAndOnce(t *testing.T) {
	out := filepath.Join(programtest.Dir(t), "out")
	say := programtest.Script(t, `printf '%s ' "$1" >>`+out+`; exit ${2:-0}`)
	f := start(t, Options{}, queueTables(map[string]string{
		"in":               everything + "b.tab\n" + everything + "a.tab\n" + everything + "b.tab\n" + everything + "stop.tab\n" + everything + "never.tab\n",
		"filters/a.tab":    "# comment\n\n" + say + " a1\n" + say + " a2 1\n",
		"filters/b.tab":    say + " b1 7\n" + say + " b2 32", // without a line end, and without a file
		"filters/stop.tab": say + " s1 16\n" + say + " s2\n", "filters/never.tab": say + " n\n",
	}))
	if d, _, got := f.filtered(t.Context(), In, queued(text)); d != (Decision{}) || got != text {
		t.Errorf("%+v with %q", d, got)
	}
	if got, want := programtest.Read(t, out), "b1 b2 a1 a2 s1 "; got != want {
		t.Errorf("ran %q, want %q", got, want)
	}
}

func TestQueueExitStatus(t *testing.T) {
	for _, c := range []struct {
		script, vars string
		want         Decision
		second       bool // the next filter runs
	}{
		{"exit 0", "", Decision{}, true}, {"exit 1", "", Decision{}, true}, {"exit 3", "", Decision{}, true}, {"exit 16", "", Decision{}, false}, {"exit 17", "", Decision{}, false},
		{"exit 4", "", Decision{Action: Drop}, false}, {"exit 20", "", Decision{Action: Drop}, false},
		{"exit 5", "", Decision{Action: Freeze}, false}, {"exit 21", "", Decision{Action: Freeze}, false},
		{"exit 5", "RemoveSpoolErrors 1\n", Decision{Action: Drop}, false}, {"exit 4", "RemoveSpoolErrors 1\n", Decision{Action: Drop}, false},
		{"exit 6", "", Decision{Action: Reject, Reason: refused}, false}, {"exit 22", "", Decision{Action: Reject, Reason: refused}, false},
		{`printf 'No,\tthanks \r\nmore\n' >"$1.rej"; exit 6`, "", Decision{Action: Reject, Reason: "No,?thanks"}, false},
		{`printf 'a\033[2J\377\303\244' >"$1.rej"; exit 22`, "", Decision{Action: Reject, Reason: "a?[2J?ä"}, false},
		{`: >"$1.rej"; exit 6`, "", Decision{Action: Reject, Reason: refused}, false}, {`ln -s /etc/passwd "$1.rej"; exit 6`, "", Decision{Action: Reject, Reason: refused}, false},
		{`mkfifo "$1.rej"; exit 6`, "", Decision{Action: Reject, Reason: refused}, false},
		{`head -c 5000 /dev/zero | tr '\0' x >"$1.rej"; exit 6`, "", Decision{Action: Reject, Reason: strings.Repeat("x", 510)}, false},
		{`echo unused >"$1.rej"`, "", Decision{}, true}, {"exit 7", "", Decision{}, true}, {"exit 23", "", Decision{}, false},
	} {
		ran := filepath.Join(programtest.Dir(t), "ran")
		f := start(t, Options{}, queueTables(map[string]string{"in": everything + "f.tab\n", "server.tab": c.vars,
			"filters/f.tab": programtest.Script(t, c.script) + " @@FILE\n" + programtest.Script(t, `[ -e "$1.rej" ] && exit 4; : >`+ran) + " @@FILE\n"}))
		if d, _, got := f.filtered(t.Context(), In, queued(text)); d != c.want || got != text {
			t.Errorf("%s: %+v with %q, want %+v", c.script, d, got, c.want)
		}
		if _, err := os.Stat(ran); (err == nil) != c.second {
			t.Errorf("%s: the next filter ran: %v, want %v", c.script, err == nil, c.second)
		}
	}
}

func TestFilterThatAsksForAnotherAttemptIsNamed(t *testing.T) {
	program := programtest.Script(t, "echo why; exit 75")
	f := start(t, Options{}, queueTables(map[string]string{"filters.in.tab": everything + "a.tab\n", "filters/a.tab": program + "\n"}))
	d, _, _ := f.filtered(t.Context(), In, queued(text))
	if d.Action != Defer || !strings.Contains(d.Err.Error(), program) || !strings.Contains(d.Err.Error(), "why") {
		t.Errorf("%+v, want it deferred, with the program and what it printed", d)
	}
}

// TestNotificationsAreNotRefused has a filter refuse a notification of this server, which
// nobody would learn of.
func TestNotificationsAreNotRefused(t *testing.T) {
	for status, want := range map[string]string{"6": "refused, second", "22": "refused"} {
		dir := programtest.Dir(t)
		f := start(t, Options{}, queueTables(map[string]string{
			"filters.in.tab": everything + "a.tab\n",
			"filters/a.tab": programtest.Script(t, "printf refused >>"+dir+"/ran; exit "+status) + "\n" +
				programtest.Script(t, "printf ', second' >>"+dir+"/ran") + "\n",
		}))
		m := queued(text)
		m.ID, m.From, m.Mail = "X1F", "", ""
		if d, _, _ := f.filtered(t.Context(), In, m); d != (Decision{}) {
			t.Errorf("status %s: %+v, want it to pass", status, d)
		}
		if got := programtest.Read(t, dir+"/ran"); got != want {
			t.Errorf("status %s: filters %q were run, want %q", status, got, want)
		}
	}
}

func TestQueueFiltersRewriteTheMessage(t *testing.T) {
	upper := programtest.Script(t, `sed -i s/dot/DOT/ "$1"; exit 7`) + " @@FILE\n"
	for _, c := range []struct{ what, table, text, from, mail, to string }{
		{"one", upper, "Subject: x\r\n\r\n.DOT\r\n", "", "", ""},
		{"one after the other", upper + programtest.Script(t, `grep -q DOT "$1" || exit 4; sed -i 's/^Subject:/X-New: 1\nSubject:/' "$1"; exit 7`) + " @@FILE\n",
			"X-New: 1\r\nSubject: x\r\n\r\n.DOT\r\n", "", "", ""},
		{"without saying so", programtest.Script(t, `sed -i s/dot/DOT/ "$1"; rm "$1"`) + " @@FILE\n" + programtest.Script(t, `grep -q dot "$1" || exit 4`) + " @@FILE\n", text, "", "", ""},
		{"line ends of another system", programtest.Script(t, `tr -d '\r' <"$1" >"$1.x"; printf 'a\rb\000c' >>"$1.x"; mv "$1.x" "$1"; exit 7`) + " @@FILE\n",
			text + "a\r\nbc\r\n", "", "MAIL FROM:<s@far.example> SIZE=9", ""},
		{"sender", programtest.Script(t, `sed -i 's/^MAIL FROM.*/mail from:<other@far.example> BODY=8BITMIME\r/' "$1"; exit 7`) + " @@FILE\n" +
			programtest.Script(t, `[ "$1" = other@far.example ] && grep -q '^mail from:<other@far.example> BODY=8BITMIME' "$2" || exit 4`) + " @@FROM @@FILE\n",
			text, "other@far.example", "mail from:<other@far.example> BODY=8BITMIME", ""},
		{"null sender", programtest.Script(t, `sed -i 's/^MAIL FROM.*/MAIL FROM:<>/' "$1"; exit 7`) + " @@FILE\n", text, "-", "MAIL FROM:<>", ""},
		{"recipient", programtest.Script(t, `sed -i 's/^RCPT TO.*/RCPT TO: <new@far.example>/' "$1"; exit 7`) + " @@FILE\n" + upper, "Subject: x\r\n\r\n.DOT\r\n", "", "", "new@far.example"},
		{"fails afterwards", upper + programtest.Script(t, `sed -i s/DOT/bad/ "$1"; exit 255`) + " @@FILE\n", "Subject: x\r\n\r\n.DOT\r\n", "", "", ""},
	} {
		f := start(t, Options{}, queueTables(map[string]string{"in": everything + "f.tab\n", "filters/f.tab": c.table}))
		d, m, got := f.filtered(t.Context(), In, queued(text))
		want := queued(text)
		for _, field := range []struct {
			to    *string
			value string
		}{{&want.From, c.from}, {&want.Mail, c.mail}, {&want.To.Address, c.to}} {
			if field.value != "" {
				*field.to = strings.TrimPrefix(field.value, "-")
			}
		}
		if d != (Decision{}) || got != c.text || m.From != want.From || m.Mail != want.Mail || m.To != want.To {
			t.Errorf("%s: %+v, from %q, %q, to %q with\n%q, want\n%q", c.what, d, m.From, m.Mail, m.To.Address, got, c.text)
		}
	}
}

// TestQueueFilterThatFails has what goes wrong with programs. Where it is forgiven the
// message goes on as it was before; what says that it is rewritten and is no message
// is kept for the administrator then.
func TestQueueFilterThatFails(t *testing.T) {
	seven := func(script string) string { return programtest.Script(t, script+"; exit 7") + " @@FILE" }
	for _, c := range []struct {
		what, command string
		forgiven      Action
		next          bool // where it is forgiven, the next filter runs
	}{
		{"missing", "/nonexistent/filter", Pass, true}, {"not a program", "/etc/passwd", Pass, true}, {"255", programtest.Script(t, "exit 255"), Pass, true},
		{"a signal", programtest.Script(t, "kill -9 $$"), Pass, false}, {"dies half-way", programtest.Script(t, `sed -i s/dot/DOT/ "$1"; kill -9 $$`) + " @@FILE", Pass, false},
		{"hanging", "!timeo=1 " + programtest.Script(t, `sed -i s/dot/DOT/ "$1"; sleep 600 & wait`) + " @@FILE", Pass, true},
		{"75", programtest.Script(t, "exit 75"), Defer, false},
		{"file gone", seven(`rm "$1"`), Freeze, false}, {"file cut", seven(`: >"$1"`), Freeze, false}, {"message cut", seven(`sed -i '/MAIL-DATA/q' "$1"`), Freeze, false},
		{"no marker", seven(`sed -i /MAIL-DATA/d "$1"`), Freeze, false}, {"line missing", seven(`sed -i 1d "$1"`), Freeze, false}, {"line added", seven(`sed -i '1i new' "$1"`), Freeze, false},
		{"no sender", seven(`sed -i 's/^MAIL FROM.*/MAIL FROM: x@y/' "$1"`), Freeze, false}, {"bad sender", seven(`sed -i 's/^MAIL FROM.*/MAIL FROM:<a@@b>/' "$1"`), Freeze, false},
		{"no recipient", seven(`sed -i 's/^RCPT TO.*/RCPT TO:<>/' "$1"`), Freeze, false}, {"a link in its place", seven(`rm "$1" && ln -s /etc/passwd "$1"`), Freeze, false},
		{"a pipe in its place", seven(`rm "$1" && mkfifo "$1"`), Freeze, false}, {"far larger", seven(`head -c 20000000 /dev/zero >>"$1"`), Freeze, false},
	} {
		for _, policy := range []string{"accept", "defer"} {
			t.Run(c.what+", "+policy, func(t *testing.T) {
				t.Parallel()
				out := programtest.Dir(t)
				f := start(t, Options{}, queueTables(map[string]string{
					"in": everything + "f.tab\n", "filters/f.tab": c.command + "\n" + programtest.Script(t, `cp "$1" `+out+"/file") + " @@FILE\n",
					"server.tab": "FilterFailure " + policy + "\n",
				}))
				want := c.forgiven
				if policy == "defer" {
					want = Defer
				}
				d, _, got := f.filtered(t.Context(), In, queued(text))
				if d.Action != want || (d.Err == nil) != (want == Pass) || got != text {
					t.Errorf("%+v with %q; want %v and the message as it was", d, got[:min(len(got), 100)], want)
				}
				b, err := os.ReadFile(out + "/file")
				if ran := err == nil; ran != (c.next && policy == "accept") {
					t.Errorf("the next filter ran: %v", ran)
				} else if ran && !strings.HasSuffix(string(b), "\r\n<<MAIL-DATA>>\r\n"+text) {
					t.Errorf("the next filter got\n%s", b[:min(len(b), 1000)])
				}
				if !strings.Contains(f.log.String(), "filter") {
					t.Errorf("the log says nothing:\n%s", f.log.String())
				}
			})
		}
	}
}

func TestFileOfFiltersThatIsNotThere(t *testing.T) {
	for vars, want := range map[string]Action{"": Pass, "CompatLevel 1\n": Defer, "FilterFailure defer\n": Defer} {
		for _, file := range []string{"none.tab", "../server.tab"} {
			f := start(t, Options{}, queueTables(map[string]string{"in": everything + file + "\n", "server.tab": vars}))
			if d, _, _ := f.filtered(t.Context(), In, queued(text)); d.Action != want {
				t.Errorf("%s with %q: %+v, want %v", file, vars, d, want)
			}
			if !strings.Contains(f.log.String(), "filters cannot be run") {
				t.Errorf("the log says nothing:\n%s", f.log.String())
			}
		}
	}
}

func TestMachineThatCannotRunQueueFiltersDefers(t *testing.T) {
	tables := queueTables(map[string]string{"in": everything + "f.tab\n", "filters/f.tab": programtest.Script(t, "sleep 600") + " @@FILE\n"})
	f := start(t, Options{}, tables)
	f.o.TempDir = "/nonexistent"
	if d, _, _ := f.filtered(t.Context(), In, queued(text)); d.Action != Defer || d.Err == nil {
		t.Errorf("without a folder for the message: %+v", d)
	}
	f = start(t, Options{}, tables)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if d, _, _ := f.filtered(ctx, In, queued(text)); d.Action != Defer {
		t.Errorf("when the server stops: %+v", d)
	}
}

func TestFiltersThatNeedNoFileCopyNothing(t *testing.T) {
	f := start(t, Options{}, queueTables(map[string]string{"in": everything + "f.tab\n", "filters/f.tab": "true @@FROM\n"}))
	f.o.TempDir = "/nonexistent"
	if d, _, _ := f.filtered(t.Context(), In, queued(text)); d != (Decision{}) {
		t.Errorf("%+v", d)
	}
}

// TestProgramWithoutTheFile has what one program has left, which counts for nobody else.
func TestProgramWithoutTheFile(t *testing.T) {
	mess := programtest.Script(t, `sed -i s/dot/DOT/ "$1"; echo mess >"$1.rej"`) + " @@FILE\n"
	for status, want := range map[string]Decision{"7": {}, "6": {Action: Reject, Reason: refused}} {
		f := start(t, Options{}, queueTables(map[string]string{"in": everything + "f.tab\n", "filters/f.tab": mess + programtest.Script(t, "exit "+status) + " @@FROM\n"}))
		if d, _, got := f.filtered(t.Context(), In, queued(text)); d != want || got != text {
			t.Errorf("status %s: %+v with %q, want %+v and the message as it was", status, d, got, want)
		}
	}
}

func TestFlagsAndTheLogOfQueueFilters(t *testing.T) {
	no := programtest.Script(t, "exit 20")
	f := start(t, Options{}, queueTables(map[string]string{
		"in":            everything + "f.tab\n",
		"filters/f.tab": "!aex " + no + " a\n!wlex,timeo=3 " + no + "\n!timeo=1 sleep 600\n/nonexistent/x\n!aex=0\ntrue a@@b $(RRCPT)\n!aex=0,wlex=0 " + no + " @@MSGID\n",
	}))
	m := queued(text)
	m.Login, m.WhiteList = "ann", true
	if d, _, _ := f.filtered(t.Context(), In, m); d.Action != Drop {
		t.Errorf("%+v", d)
	}
	m = queued(text)
	if d, _, _ := f.filtered(t.Context(), In, m); d.Action != Drop {
		t.Errorf("%+v", d)
	}
	files, err := filepath.Glob(f.logs + "/filters-*")
	if err != nil || len(files) != 1 {
		t.Fatalf("log files %v, %v", files, err)
	}
	line := func(info, exec, exit, words string) string {
		return `"` + strings.Join([]string{"s@far.example", "ann@foo.test", "10.0.0.1", "192.0.2.7", "2026-11-22 04:00:00", "in", info, exec, exit, words}, "\"\t\"") + "\"\n"
	}
	want := line("EXCL", "-1", "-1", no+";a;") + line("WLISTED", "-1", "-1", no+";") + line("", "-5", "-1", "sleep;600;") + line("", "-114", "-1", "/nonexistent/x;") +
		line("", "0", "0", "true;a@@b;ann@foo.test;") + line("", "0", "20", no+";63a-0f;") + line("", "0", "20", no+";a;")
	if got := programtest.Read(t, files[0]); got != want {
		t.Errorf("the filters log:\n%swant\n%s", got, want)
	}
}
