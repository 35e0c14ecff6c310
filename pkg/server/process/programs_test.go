//go:build unix

package process_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/process"
	"github.com/xmaild/xmaild/pkg/server/program/programtest"
)

func TestProgramsGetMacrosAndTheMessage(t *testing.T) {
	out := programtest.Dir(t)
	show := script(t, `out=$1; cp "$2" $out/file; cp "$3" $out/temp; rm "$3"; shift 3; printf '%s|' "$@" >$out/args; printf '%s %s' "$(id -u)" "$PWD" >$out/as`)
	args := show + out + " @@FILE @@TMPFILE $(FROM) @@RCPT [$(RRCPT)] @@MSGID @@MSGREF @@LOCALADDR @@REMOTEADDR @@USERAUTH \\$(FROM)\n"
	for _, c := range []struct {
		word    string
		account bool
	}{{"external", true}, {"filter", true}, {"filter", false}} {
		rows := c.word + " 0 20 " + args
		f := start(t, map[string]string{"domains/foo.test/ann/mailproc.tab": rows, "custdomains/foo.test.tab": rows})
		var o process.Outcome
		real := "ann@foo.test"
		if c.account {
			o, _ = f.account()
		} else {
			real = ""
			commands, err := process.FromFile(f.root.Tables, "custdomains/foo.test.tab")
			if err != nil {
				t.Fatal(err)
			}
			o, _ = f.run(process.Job{Message: message(), Commands: commands})
		}
		if o.Kind != process.Done {
			t.Errorf("%s: %+v", c.word, o)
		}
		want := "s@far.example|nick@foo.test|[" + real + "]|63a-0f|S1F|[10.0.0.1]:25|[192.0.2.7]:4711|-|$(FROM)|"
		if got := programtest.Read(t, out+"/args"); got != want {
			t.Errorf("%s got\n%s\nwant\n%s", c.word, got, want)
		}
		for _, name := range []string{"file", "temp"} {
			if got := programtest.Read(t, filepath.Join(out, name)); !strings.HasSuffix(got, "\r\nMAIL FROM:<s@far.example>\r\nRCPT TO:<nick@foo.test>\r\n<<MAIL-DATA>>\r\n"+text) {
				t.Errorf("%s of %s is\n%s", name, c.word, got)
			}
		}
		if got := programtest.Read(t, out+"/as"); strings.HasPrefix(got, "0 ") {
			t.Errorf("%s ran as root", c.word)
		}
	}
}

func TestPriorityOfPrograms(t *testing.T) {
	out := filepath.Join(programtest.Dir(t), "out")
	// The program may begin before its priority is set: it waits until it is.
	f := start(t, mailproc("external -1 20 "+script(t, `for i in 1 2 3 4 5 6 7 8 9 10; do [ "$(nice)" = 5 ] && break; sleep 0.1; done; nice >`+out)+"x\n"))
	if o, _ := f.account(); o.Kind != process.Done {
		t.Fatalf("%+v", o)
	}
	if got := programtest.Read(t, out); got != "5\n" {
		t.Errorf("a program of lower priority runs at %q, want 5", got)
	}
}

func TestExitStatusOfPrograms(t *testing.T) {
	refused := "Message rejected by server filters"
	for _, c := range []struct {
		word, script, vars string
		want               process.Outcome // but for Err
		mailbox            bool            // the next command runs
	}{
		{"external", "exit 0", "", process.Outcome{}, true},
		{"external", "exit 16", "", process.Outcome{Kind: process.Stop}, false},
		{"external", "exit 4", "", process.Outcome{}, true}, {"external", "exit 20", "", process.Outcome{}, true}, {"external", "exit 1", "", process.Outcome{}, true},
		{"external", "exit 1", "CompatLevel 1\n", process.Outcome{Kind: process.Defer}, false},
		{"external", "exit 16", "CompatLevel 1\n", process.Outcome{Kind: process.Stop}, false},
		{"external", "exit 75", "", process.Outcome{Kind: process.Defer}, false}, {"external", "exit 255", "", process.Outcome{Kind: process.Defer}, false},
		{"external", "kill -9 $$", "", process.Outcome{Kind: process.Defer}, false},
		{"filter", "exit 0", "", process.Outcome{}, true}, {"filter", "exit 1", "CompatLevel 1\n", process.Outcome{}, true},
		{"filter", "exit 16", "", process.Outcome{Kind: process.Stop}, false}, {"filter", "exit 17", "", process.Outcome{Kind: process.Stop}, false},
		{"filter", "exit 4", "", process.Outcome{Kind: process.Drop}, false}, {"filter", "exit 20", "", process.Outcome{Kind: process.Drop}, false},
		{"filter", "exit 5", "", process.Outcome{Kind: process.Freeze}, false}, {"filter", "exit 21", "RemoveSpoolErrors 1\n", process.Outcome{Kind: process.Drop}, false},
		{"filter", "exit 6", "", process.Outcome{Kind: process.Reject, Reason: refused}, false},
		{"filter", `echo No thanks >"$1.rej"; exit 22`, "", process.Outcome{Kind: process.Reject, Reason: "No thanks"}, false},
		{"filter", `rm "$1"; exit 7`, "", process.Outcome{Kind: process.Freeze}, false},
		{"filter", `rm "$1"; exit 7`, "CompatLevel 1\n", process.Outcome{Kind: process.Defer}, false},
		{"filter", "exit 75", "", process.Outcome{Kind: process.Defer}, false}, {"filter", "exit 255", "", process.Outcome{Kind: process.Defer}, false},
		{"filter", "kill -9 $$", "", process.Outcome{Kind: process.Defer}, false},
	} {
		f := start(t, map[string]string{"domains/foo.test/ann/mailproc.tab": c.word + " 0 20 " + script(t, c.script) + "@@FILE\nmailbox\n", "server.tab": c.vars})
		o, did := f.account()
		if (o.Err != nil) != (o.Kind == process.Defer || o.Kind == process.Freeze && strings.Contains(c.script, "rm")) {
			t.Errorf("%s %s: %v with error %v", c.word, c.script, o.Kind, o.Err)
		}
		o.Err = nil
		if o != c.want || strings.Contains(did, "mailbox") != c.mailbox {
			t.Errorf("%s %s, %q: %+v, %q; want %+v and the mailbox %v", c.word, c.script, c.vars, o, did, c.want, c.mailbox)
		}
	}
}

func TestProgramThatCannotRunDefers(t *testing.T) {
	for _, word := range []string{"external", "filter"} {
		for what, row := range map[string]string{"missing": "0 5 /nonexistent/x a\n", "without arguments": "0 5 /nonexistent/x\n", "not a program": "0 5 /etc/passwd a\n", "hanging": "0 1 " + script(t, "sleep 600 & wait") + "a\n"} {
			f := start(t, mailproc(word+" "+row+"mailbox\n"))
			if o, did := f.account(); o.Kind != process.Defer || o.Err == nil || did != "" {
				t.Errorf("%s, %s: %+v, %q; want it deferred", word, what, o, did)
			}
			if !strings.Contains(f.log.String(), "command waits") {
				t.Errorf("%s, %s: the log says\n%s", word, what, f.log.String())
			}
		}
	}
}

func TestLogTellsWhatAProgramHasPrintedThatFails(t *testing.T) {
	for _, word := range []string{"external", "filter"} {
		f := start(t, mailproc(word+" 0 5 "+script(t, `printf 'no \033[2Jdatabase\n' >&2; head -c 100000 /dev/zero; exit 75`)+"a\n"))
		if o, _ := f.account(); o.Kind != process.Defer || !strings.Contains(o.Err.Error(), `no \x1b[2Jdatabase`) || len(o.Err.Error()) > 2000 {
			t.Errorf("%s: %+v", word, o)
		}
	}
}

// TestTimeLimitOfZero is not to wait, with the reference: there a filter of that kind
// loses every message.
func TestTimeLimitOfZero(t *testing.T) {
	f := start(t, mailproc("filter 0 0 "+script(t, `sed -i s/dot/DOT/ "$1"; exit 7`)+"@@FILE\nexternal 0 -1 true\nmailbox\n"))
	if o, did := f.account(); o.Kind != process.Done || !strings.HasSuffix(did, "mailbox") || !strings.Contains(f.texts[len(f.texts)-1], "DOT") {
		t.Errorf("%+v, %q with %q", o, did, f.texts)
	}
}

// TestStopIsKept has a program that wants no further commands while one before it
// waits: the others are not carried out later either.
func TestStopIsKept(t *testing.T) {
	f := start(t, mailproc("smtprelay h\nexternal 0 20 "+script(t, "exit 16")+"a\nmailbox\n"))
	f.refuse["relay"] = errLater
	if o, did := f.account(); o.Kind != process.Defer || !strings.HasPrefix(did, "ran EXTRN") || strings.Contains(did, "mailbox") {
		t.Errorf("first: %+v, %q", o, did)
	}
	clear(f.refuse)
	if o, did := f.account(); o.Kind != process.Done || did != "relay h " {
		t.Errorf("second: %+v, %q", o, did)
	}
}

// TestFilterRunsAgainForWhatIsLeft has a rewritten message, whose commands of the second
// attempt get it rewritten too. What was done is not repeated.
func TestFilterRunsAgainForWhatIsLeft(t *testing.T) {
	count := filepath.Join(programtest.Dir(t), "count")
	counting := script(t, `echo >>`+count+`; sed -i s/dot/DOT/ "$1"; exit 7`)
	f := start(t, mailproc("redirect a@b.example\nfilter 0 20 "+counting+"@@FILE\nexternal 0 20 "+script(t, `grep -q DOT "$1" || exit 75; echo >>`+count+"x")+"@@FILE\nmailbox\nsmtprelay h\nfilter 0 20 "+counting+"@@FILE\n"))
	f.refuse["mailbox"], f.refuse["relay"] = errLater, errLater
	if o, _ := f.account(); o.Kind != process.Defer {
		t.Fatalf("first: %+v", o)
	}
	clear(f.refuse)
	o, did := f.account()
	if o.Kind != process.Done || !strings.HasSuffix(did, "mailbox; relay h ") || strings.Contains(did, "redirect") || strings.Contains(did, "EXTRN") {
		t.Errorf("second: %+v, %q", o, did)
	}
	for i, got := range f.texts {
		if want := strings.ReplaceAll(text, "dot", "DOT"); got != want {
			t.Errorf("%s got %q, want %q", f.did[i], got, want)
		}
	}
	if got, want := programtest.Read(t, count), "\n\n\n"; got != want {
		t.Errorf("the filters ran %d times, want %d: twice, then the one that others follow", len(got), len(want))
	}
	if got := programtest.Read(t, count+"x"); got != "\n" {
		t.Errorf("the external ran %d times, want once", len(got))
	}
}

func TestFiltersOfTheQueueRunBeforeCommands(t *testing.T) {
	const all = "* * 0.0.0.0/0 0.0.0.0/0 f.tab\n"
	out := filepath.Join(programtest.Dir(t), "out")
	count := script(t, `echo "$1" >>`+out+`; sed -i "s/^Subject:/X-$1: 1\nSubject:/" "$2"; exit 7`)
	f := start(t, map[string]string{
		"filters.in.tab": all, "filters.out.tab": strings.ReplaceAll(all, "f.tab", "g.tab"),
		"filters/f.tab": count + "in @@FILE\n", "filters/g.tab": count + "out @@FILE\n",
		"domains/foo.test/ann/mailproc.tab": "redirect a@b.example\nexternal 0 20 true @@FROM\nmailbox\nsmtprelay h\nsmtprelay h2\n",
	})
	if o, did := f.account(); o.Kind != process.Done || did != "redirect a@b.example; ran EXTRN .; mailbox; relay h ; relay h2 " {
		t.Errorf("%+v, %q", o, did)
	}
	if got := programtest.Read(t, out); got != "in\nout\n" {
		t.Errorf("filters ran: %q, want each once", got)
	}
	for i, want := range []string{text, "X-in: 1\r\n" + text, "X-in: 1\r\n" + text, "X-in: 1\r\nX-out: 1\r\n" + text, "X-in: 1\r\nX-out: 1\r\n" + text} {
		if f.texts[i] != want {
			t.Errorf("%s got %q, want %q", f.did[i], f.texts[i], want)
		}
	}
}

func TestFilterOfTheQueueThatRefusesEndsTheFile(t *testing.T) {
	for status, want := range map[string]process.Kind{"4": process.Drop, "5": process.Freeze, "6": process.Reject, "75": process.Defer} {
		f := start(t, map[string]string{
			"filters.out.tab": "* * 0.0.0.0/0 0.0.0.0/0 f.tab\n", "filters/f.tab": script(t, "exit "+status) + "\n",
			"domains/foo.test/ann/mailproc.tab": "redirect a@b.example\nsmtprelay h\nmailbox\n",
		})
		did := "redirect a@b.example"
		if want == process.Defer {
			did += "; mailbox"
		}
		if o, got := f.account(); o.Kind != want || got != did {
			t.Errorf("status %s: %+v, %q; want %v, %q", status, o, got, want, did)
		}
	}
}
