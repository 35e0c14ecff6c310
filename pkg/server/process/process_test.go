//go:build unix

package process_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/filter"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/process"
	"github.com/xmaild/xmaild/pkg/server/program/programtest"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// A fixture is a MailRoot with ann@foo.test. It is the one who delivers, too, and
// remembers what it is told to do.
type fixture struct {
	t       *testing.T
	dir     string
	temp    string // for messages
	root    *mailroot.Root
	runner  *process.Runner
	log     bytes.Buffer
	did     []string         // actions that were carried out
	texts   []string         // what they got
	refuse  map[string]error // by the beginning of an action
	done    []string         // marks
	records int              // how often marks can still be recorded; below 0: any number
	copies  []process.Redirection
}

// start makes a MailRoot with files, in which a blank stands for a tab.
func start(t *testing.T, files map[string]string) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir(), temp: programtest.Dir(t), refuse: make(map[string]error), records: -1}
	all := map[string]string{"domains.tab": "foo.test\n", "mailusers.tab": "foo.test ann 0D0B 1 ann U\n"}
	for name, text := range files {
		all[name] = text
	}
	for name, text := range all {
		f.write(name, text)
	}
	var err error
	if f.root, err = mailroot.Open(t.Context(), f.dir, mailroot.Options{Log: slog.New(slog.NewTextHandler(&f.log, nil))}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.root.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(f.temp); err != nil || len(left) > 0 {
			t.Errorf("left in the folder of temporary files: %v, %v", left, err)
		}
	})
	f.runner = process.New(f.root, filter.New(f.root, filter.Options{TempDir: f.temp}), process.Options{})
	return f
}

func (f *fixture) write(name, text string) {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, " ", "\t")), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) act(m filter.Queued, format string, args ...any) error {
	did := fmt.Sprintf(format, args...)
	for begin, err := range f.refuse {
		if strings.HasPrefix(did, begin) {
			return err
		}
	}
	text, err := io.ReadAll(io.NewSectionReader(m.Text, 0, m.Text.Size()))
	if err != nil {
		f.t.Error(err)
	}
	f.did, f.texts = append(f.did, did), append(f.texts, string(text))
	return nil
}

func (f *fixture) Mailbox(_ context.Context, m filter.Queued) error { return f.act(m, "mailbox") }
func (f *fixture) Send(_ context.Context, m filter.Queued) error    { return f.act(m, "send") }
func (f *fixture) Relay(_ context.Context, m filter.Queued, hosts, options string) error {
	return f.act(m, "relay %s %s", hosts, options)
}
func (f *fixture) Redirect(_ context.Context, m filter.Queued, r process.Redirection) error {
	f.copies = append(f.copies, r)
	return f.act(m, "redirect %s", strings.Join(r.Targets, ","))
}
func (f *fixture) Failed(_ context.Context, m filter.Queued, c process.Command, why error) error {
	return f.act(m, "failed %s: %v", c.Word, why)
}
func (f *fixture) Ran(m filter.Queued, medium, program string) {
	if err := f.act(m, "ran %s %s", medium, filepath.Base(filepath.Dir(program))); err != nil {
		f.t.Error(err)
	}
}

func (f *fixture) Done(mark string) bool { return slices.Contains(f.done, mark) }
func (f *fixture) Record(_ context.Context, marks ...string) error {
	if f.records == 0 {
		return errDisk
	}
	f.records--
	f.done = append(f.done, marks...)
	return nil
}

var (
	errDisk  = errors.New("the disk is full")
	errLater = errors.New("451 try again later")
)

const text = "Subject: x\r\n\r\n.dot\r\n"

func message() filter.Queued {
	return filter.Queued{
		Envelope: spool.Envelope{
			ID: "S1F", Time: time.Date(2026, 11, 2, 4, 5, 6, 0, time.UTC), From: "s@far.example",
			Client: netip.MustParseAddrPort("192.0.2.7:4711"), Server: netip.MustParseAddrPort("10.0.0.1:25"), Domain: "mx.foo.test",
		},
		To: spool.Recipient{Address: "nick@foo.test"}, Key: "63a-0f", Text: io.NewSectionReader(strings.NewReader(text), 0, int64(len(text))),
	}
}

// account runs the commands of ann@foo.test, and returns what was done since.
func (f *fixture) account() (process.Outcome, string) {
	f.t.Helper()
	u, ok := f.root.User("foo.test", "ann")
	if !ok {
		f.t.Fatal("no account")
	}
	commands, err := process.ForAccount(f.root.Tables, u)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.run(process.Job{Message: message(), Commands: commands, Account: "ann@foo.test"})
}

func (f *fixture) run(j process.Job) (process.Outcome, string) {
	f.did, f.texts = nil, nil
	o := f.runner.Run(f.t.Context(), j, f, f)
	return o, strings.Join(f.did, "; ")
}

// mailproc returns the file of commands of ann@foo.test.
func mailproc(text string) map[string]string {
	return map[string]string{"domains/foo.test/ann/mailproc.tab": text}
}

// script returns a program with a blank behind it, as in a row of a table.
func script(t *testing.T, text string) string { return programtest.Script(t, text) + " " }

func TestWithoutAFileMailGoesToTheMailbox(t *testing.T) {
	f := start(t, nil)
	if o, did := f.account(); o != (process.Outcome{}) || did != "mailbox" || f.texts[0] != text {
		t.Errorf("%+v, %q", o, did)
	}
	if o, did := f.account(); o != (process.Outcome{}) || did != "" {
		t.Errorf("once more, when all is done: %+v, %q", o, did)
	}
}

func TestFilesOfTheDomainAndOfTheUserRunOneAfterTheOther(t *testing.T) {
	for _, c := range []struct{ domain, user, want string }{
		{"redirect a@b.example", "mailbox", "redirect a@b.example; mailbox"}, // no line end: nothing is glued
		{"redirect a@b.example\n", "", "redirect a@b.example"},
		{"# nothing\n", "mailbox\n", "mailbox"},
		{"MAILBOX\n", "Redirect b.example other.example x@b.example\n", "mailbox; redirect ann@b.example,ann@other.example,x@b.example"},
		{"mailbox\n", "mailbox\n", "mailbox; mailbox"},
	} {
		f := start(t, map[string]string{"domains/foo.test/mailproc.tab": c.domain, "domains/foo.test/ann/mailproc.tab": c.user})
		if o, did := f.account(); o.Kind != process.Done || did != c.want {
			t.Errorf("%q and %q: %+v, %q, want %q", c.domain, c.user, o, did, c.want)
		}
	}
}

func TestWordsAndTheirArguments(t *testing.T) {
	for _, c := range []struct {
		what, rows string
		custom     bool
		kind       process.Kind
		want       string
		problems   int
	}{
		{"unknown words", "wait 5\n\"mailbx\"\nmailbox\n", false, process.Done, "mailbox", 2},
		{"nothing but unknown words", "wait 5\nmailbx\n", false, process.Defer, "", 2},
		{"nothing", "# mail to nobody\n\n", false, process.Drop, "", 0},
		{"smtp is for custom domains", "smtp\nmailbox\n", false, process.Done, "mailbox", 1},
		{"mailbox is for accounts", "mailbox\nsmtp\n", true, process.Done, "send", 1},
		{"mailbox takes nothing", "mailbox x\n", false, process.Done, "mailbox", 1},
		{"redirect to nobody", "redirect\nmailbox\n", false, process.Defer, "mailbox", 1},
		{"redirect to what is no address", "redirect a@b@c\nlredirect \"\"\nmailbox\n", false, process.Defer, "mailbox", 0},
		{"relay by nothing", "smtprelay \"\"\nmailbox\n", false, process.Defer, "mailbox", 1},
		{"relay by no macro", "smtprelay $(NONE)\nmailbox\n", false, process.Defer, "mailbox", 0},
		{"relay", "smtprelay #h1:26;h2 NeedTLS=2\n", false, process.Done, "relay #h1:26;h2 NeedTLS=2", 0},
		{"a program that is none", "external 0 10\nmailbox\n", false, process.Defer, "mailbox", 1},
	} {
		files := mailproc(c.rows)
		if c.custom {
			files = map[string]string{"custdomains/foo.test.tab": c.rows}
		}
		f := start(t, files)
		var o process.Outcome
		var did string
		commands, err := process.FromFile(f.root.Tables, "custdomains/foo.test.tab")
		if c.custom {
			o, did = f.run(process.Job{Message: message(), Commands: commands})
		} else {
			o, did = f.account()
			u, _ := f.root.User("foo.test", "ann")
			commands, err = process.ForAccount(f.root.Tables, u)
		}
		if err != nil {
			t.Fatal(err)
		}
		if o.Kind != c.kind || did != c.want || (o.Err != nil) != (c.kind == process.Defer) {
			t.Errorf("%s: %+v, %q; want %v, %q", c.what, o, did, c.kind, c.want)
		}
		if len(commands.Problems) != c.problems {
			t.Errorf("%s: problems %v, want %d", c.what, commands.Problems, c.problems)
		}
		if c.problems > 0 && !strings.Contains(f.log.String(), "row 1") {
			t.Errorf("%s: the log says nothing of row 1:\n%s", c.what, f.log.String())
		}
	}
	f := start(t, nil)
	if _, err := process.FromFile(f.root.Tables, "custdomains/none.tab"); err == nil {
		t.Error("a file that is gone is no error")
	}
}

func TestRedirectedNotificationStaysOne(t *testing.T) {
	f := start(t, map[string]string{"custdomains/.tab": "lredirect b.example\nredirect c.example\n"})
	commands, err := process.FromFile(f.root.Tables, "custdomains/.tab")
	if err != nil {
		t.Fatal(err)
	}
	m := message()
	m.From = ""
	if o, _ := f.run(process.Job{Message: m, Commands: commands}); o.Kind != process.Done || len(f.copies) != 2 {
		t.Fatalf("%+v with %d copies", o, len(f.copies))
	}
	for _, c := range f.copies {
		if c.From != "" {
			t.Errorf("the copy for %s has the sender %q, want the null sender", c.Targets, c.From)
		}
	}
}

func TestRedirections(t *testing.T) {
	f := start(t, mailproc("redirect x@b.example b.example $(RRCPT)\nlredirect @@FROM\n"))
	if o, _ := f.account(); o.Kind != process.Done || len(f.copies) != 2 {
		t.Fatalf("%+v with %d copies", o, len(f.copies))
	}
	f2 := start(t, map[string]string{"custdomains/.tab": "lredirect b.example [$(RRCPT)]@c.example\n"})
	commands, err := process.FromFile(f2.root.Tables, "custdomains/.tab")
	if err != nil {
		t.Fatal(err)
	}
	if o, _ := f2.run(process.Job{Message: message(), Commands: commands}); o.Kind != process.Defer {
		t.Errorf("a macro that is empty in a custom domain: %+v, want it deferred", o)
	}
	for i, c := range []struct {
		got     process.Redirection
		targets string
		from    string
		list    bool
	}{
		{f.copies[0], "x@b.example ann@b.example ann@foo.test", "s@far.example", false},
		{f.copies[1], "s@far.example", "ann@foo.test", true},
	} {
		if strings.Join(c.got.Targets, " ") != c.targets || c.got.From != c.from || c.got.List != c.list || c.got.By != "ann@foo.test" || c.got.Mark == "" {
			t.Errorf("copy %d: %+v", i, c.got)
		}
	}
	if f.copies[0].Written[1] != "b.example" || f.copies[0].Mark == f.copies[1].Mark {
		t.Errorf("copies %+v", f.copies)
	}
}

func TestCustomDomainsAreProcessedForTheirRecipients(t *testing.T) {
	f := start(t, map[string]string{"cmdaliases/foo.test/nick.tab": "lredirect b.example\nredirect @@RCPT\nsmtp"})
	commands, err := process.FromFile(f.root.Tables, "cmdaliases/foo.test/nick.tab")
	if err != nil {
		t.Fatal(err)
	}
	o, did := f.run(process.Job{Message: message(), Commands: commands})
	if o.Kind != process.Done || did != "redirect nick@b.example; redirect nick@foo.test; send" {
		t.Errorf("%+v, %q", o, did)
	}
	if r := f.copies[0]; r.From != "nick@foo.test" || !r.List || r.By != "nick@foo.test" {
		t.Errorf("%+v", r)
	}
}

// TestWhatHasSucceededIsNotRepeated has the cases of docs/reference/delivery.md 3.5.
func TestWhatHasSucceededIsNotRepeated(t *testing.T) {
	f := start(t, mailproc("smtprelay h\nmailbox\nredirect a@b.example\n"))
	f.refuse["relay"] = errLater
	if o, did := f.account(); o.Kind != process.Defer || !errors.Is(o.Err, errLater) || did != "mailbox; redirect a@b.example" {
		t.Errorf("first: %+v, %q", o, did)
	}
	if o, did := f.account(); o.Kind != process.Defer || did != "" {
		t.Errorf("second: %+v, %q", o, did)
	}
	clear(f.refuse)
	if o, did := f.account(); o.Kind != process.Done || did != "relay h " {
		t.Errorf("third: %+v, %q", o, did)
	}
}

func TestCommandThatFailsForGoodIsToldToTheSenderAndTheRestGoesOn(t *testing.T) {
	f := start(t, mailproc("smtprelay h\nmailbox\n"))
	f.refuse["relay"] = process.Permanent{Err: errors.New("550 no")}
	f.refuse["failed"] = errDisk
	if o, did := f.account(); o.Kind != process.Defer || !errors.Is(o.Err, errDisk) || did != "mailbox" {
		t.Errorf("while the sender cannot be told: %+v, %q", o, did)
	}
	delete(f.refuse, "failed")
	if o, did := f.account(); o.Kind != process.Done || o.Failed != 1 || did != "failed smtprelay: 550 no" {
		t.Errorf("%+v, %q", o, did)
	}
	if o, did := f.account(); o.Kind != process.Done || did != "" {
		t.Errorf("again: %+v, %q", o, did)
	}
}

func TestProgressThatCannotBeKeptHoldsTheRest(t *testing.T) {
	f := start(t, mailproc("redirect a@b.example\nmailbox\n"))
	f.records = 0
	if o, did := f.account(); o.Kind != process.Defer || !errors.Is(o.Err, errDisk) || did != "redirect a@b.example" {
		t.Errorf("%+v, %q", o, did)
	}
	f.records = 1
	if o, did := f.account(); o.Kind != process.Defer || did != "redirect a@b.example; mailbox" {
		t.Errorf("%+v, %q", o, did)
	}
}

func TestEditsOfTheFileLeaveWhatWasDoneDone(t *testing.T) {
	f := start(t, mailproc("redirect a@b.example\nsmtprelay h\nredirect a@b.example\n"))
	f.refuse["relay"] = errLater
	if o, did := f.account(); o.Kind != process.Defer || did != "redirect a@b.example; redirect a@b.example" {
		t.Fatalf("%+v, %q", o, did)
	}
	f2 := start(t, mailproc("mailbox\nredirect a@b.example\nsmtprelay h2\n"))
	u, _ := f2.root.User("foo.test", "ann")
	commands, err := process.ForAccount(f2.root.Tables, u)
	if err != nil {
		t.Fatal(err)
	}
	f2.done = f.done
	if o, did := f2.run(process.Job{Message: message(), Commands: commands, Account: "ann@foo.test"}); o.Kind != process.Done || did != "mailbox; relay h2 " {
		t.Errorf("%+v, %q", o, did)
	}
}

func TestFilesAreReadAtEachAttempt(t *testing.T) {
	f := start(t, mailproc("redirect a@b.example\n"))
	for _, c := range []struct{ rows, want string }{
		{"redirect a@b.example\n", "redirect a@b.example"}, {"redirect other@b.example\nmailbox\n", "redirect other@b.example; mailbox"}, {"", "mailbox"},
	} {
		if c.rows != "" {
			f.write("domains/foo.test/ann/mailproc.tab", c.rows)
		} else if err := os.Remove(filepath.Join(f.dir, "domains/foo.test/ann/mailproc.tab")); err != nil {
			t.Fatal(err)
		}
		if _, err := f.root.Store.Reload(t.Context()); err != nil { // does not wait for the file to rest
			t.Fatal(err)
		}
		f.done = nil
		if o, did := f.account(); o.Kind != process.Done || did != c.want {
			t.Errorf("%q: %+v, %q, want %q", c.rows, o, did, c.want)
		}
	}
}

func TestServerThatStops(t *testing.T) {
	f := start(t, mailproc("mailbox\n"))
	u, _ := f.root.User("foo.test", "ann")
	commands, err := process.ForAccount(f.root.Tables, u)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if o := f.runner.Run(ctx, process.Job{Message: message(), Commands: commands, Account: "ann@foo.test"}, f, f); o.Kind != process.Defer || !errors.Is(o.Err, context.Canceled) || f.did != nil {
		t.Errorf("%+v, %q", o, f.did)
	}
}
