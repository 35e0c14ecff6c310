//go:build unix

package deliver_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/admin"
	"github.com/xmaild/xmaild/pkg/server/outbound"
	"github.com/xmaild/xmaild/pkg/server/program/programtest"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// write makes a file of the MailRoot, which counts at once.
func (f *fixture) write(name, text string) {
	f.t.Helper()
	path := filepath.Join(f.dir, filepath.FromSlash(name))
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.root.Store.Reload(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// set sets variables of server.tab, names and values in turn.
func (f *fixture) set(vars ...string) {
	f.t.Helper()
	for pair := range slices.Chunk(vars, 2) {
		if err := f.admin.SetServerVars(f.t.Context(), admin.Setting{Name: pair[0], Value: pair[1]}); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *fixture) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

func (f *fixture) sent() []string {
	f.net.mu.Lock()
	defer f.net.mu.Unlock()
	return slices.Sorted(slices.Values(f.net.sent))
}

var (
	later   = outbound.Result{State: outbound.Temporary, Code: 450, Reply: "450 later", Host: "mx.test"}
	refused = outbound.Result{State: outbound.Permanent, Code: 550, Enhanced: "5.1.1", Reply: "550 5.1.1 nobody", Host: "mx.test"}
)

func times[T any](n int, x T) []T {
	all := make([]T, n)
	for i := range all {
		all[i] = x
	}
	return all
}

// TestEditedFileOfCommandsForgetsNobody changes a file while a copy that it has ordered
// waits in the queue, and a command of it as well.
func TestEditedFileOfCommandsForgetsNobody(t *testing.T) {
	f := newFixture(t)
	f.net.results["old@slow.test"] = times(9, later)
	f.net.results["u1@foo.test"] = []outbound.Result{later}
	f.write("domains/foo.test/u1/mailproc.tab", "\"redirect\"\t\"old@slow.test\"\n\"smtprelay\"\t\"relay.test\"\n")
	f.put("Subject: x\r\n\r\n", "s@ext.test", "u1@foo.test")
	f.run(f.boxes())
	f.write("domains/foo.test/u1/mailproc.tab", "\"redirect\"\t\"new@far.test\"\n\"smtprelay\"\t\"relay.test\"\n")
	f.pass(time.Hour)
	f.open() // what was derived is known again after a restart
	f.run(f.boxes())
	if got, want := f.sent(), []string{"new@far.test", "u1@foo.test"}; !slices.Equal(got, want) {
		t.Errorf("sent to %q, want %q", got, want)
	}
}

// TestEditedFileOfCommandsTellsTheSender has a command fail for good that stands where
// another one was done before.
func TestEditedFileOfCommandsTellsTheSender(t *testing.T) {
	f := newFixture(t)
	f.net.results["u1@foo.test"] = []outbound.Result{later, refused}
	f.write("domains/foo.test/u1/mailproc.tab", "\"redirect\"\t\"out@far.test\"\n\"smtprelay\"\t\"relay.test\"\n")
	f.put("Subject: x\r\n\r\n", "u2@foo.test", "u1@foo.test")
	f.run(f.boxes())
	f.write("domains/foo.test/u1/mailproc.tab", "\"smtprelay\"\t\"relay.test\"\n\"mailbox\"\n")
	f.pass(time.Hour)
	f.run(f.boxes())
	if got := f.notices("u2"); len(got) != 1 || !strings.Contains(got[0], "550 5.1.1 nobody") {
		t.Errorf("the sender is told %q, want the reply of the host", got)
	}
	if got := f.mail("u1"); len(got) != 1 {
		t.Errorf("mailbox holds %q, want the message", got)
	}
}

// TestLongFilesOfCommands has more rows than a message can remember.
func TestLongFilesOfCommands(t *testing.T) {
	f := newFixture(t)
	var rows strings.Builder
	var want []string
	for n := range 40 {
		fmt.Fprintf(&rows, "\"redirect\"\t\"r%02d@far.test\"\n", n)
		want = append(want, fmt.Sprintf("r%02d@far.test", n))
	}
	f.write("cmdaliases/foo.test/all.tab", rows.String()+"\"lredirect\"\t\"z@far.test\"\n")
	f.put("Subject: x\r\n\r\n", "s@ext.test", "all@foo.test")
	f.run(f.boxes())
	if got := f.sent(); !slices.Equal(got, append(want, "z@far.test")) || f.queue.Len() != 0 {
		t.Errorf("sent to %q, and %d messages are queued", got, f.queue.Len())
	}
}

// TestTooLongFilesOfCommandsWait has so many programs that nobody could remember which of
// them have run: none is.
func TestTooLongFilesOfCommandsWait(t *testing.T) {
	f := newFixture(t)
	ran := filepath.Join(programtest.Dir(t), "ran")
	program := programtest.Script(t, ": >>"+ran+"\n")
	f.write("domains/foo.test/u1/mailproc.tab", strings.Repeat("\"external\"\t\"0\"\t\"9\"\t\""+program+"\"\t\"x\"\n", 30))
	f.put("Subject: x\r\n\r\n", "s@ext.test", "u1@foo.test")
	f.run(f.boxes())
	if _, err := os.Stat(ran); !errors.Is(err, os.ErrNotExist) || f.queue.Len() != 1 {
		t.Errorf("programs have run (%v), %d messages are queued; want none run and 1 queued", err, f.queue.Len())
	}
}

// TestWhatAProgramSpoilsIsKept has a program say that it has rewritten the message, and
// leave none, where what fails is not to be kept and filters are forgiven.
func TestWhatAProgramSpoilsIsKept(t *testing.T) {
	f := newFixture(t)
	f.set("RemoveSpoolErrors", "1", "FilterFailure", "accept")
	program := "\"" + programtest.Script(t, "echo nothing >\"$1\"\nexit 7\n") + "\"\t\"@@FILE\"\n"
	f.write("domains/foo.test/u1/mailproc.tab", "\"filter\"\t\"0\"\t\"9\"\t"+program+"\"mailbox\"\n")
	f.write("filters.out.tab", "\"*\"\t\"*\"\t\"0.0.0.0/0\"\t\"0.0.0.0/0\"\t\"out.tab\"\n")
	f.write("filters/out.tab", program)
	f.put("Subject: x\r\n\r\n", "s@ext.test", "u1@foo.test", "r@far.test")
	f.run(f.boxes())
	frozen, err := filepath.Glob(filepath.Join(f.dir, "spool", "*", "*", "froz", "*"))
	if err != nil || len(frozen) != 2 || f.queue.Len() != 0 {
		t.Errorf("frozen are %q (%v), %d are queued; want both frozen", frozen, err, f.queue.Len())
	}
	for _, name := range frozen {
		log, err := os.ReadFile(strings.Replace(name, "froz", "slog", 1))
		if err != nil || !strings.Contains(string(log), "without <<MAIL-DATA>>") {
			t.Errorf("the log of the frozen message says %q (%v), want what is wrong", log, err)
		}
	}
}

// TestStrangersAreNotToldOfProgramsAndFiles has mail expire that a program fails for.
func TestStrangersAreNotToldOfProgramsAndFiles(t *testing.T) {
	f := newFixture(t)
	f.set("ErrorsAdmin", "u9@foo.test", "TempErrorsAdmin", "u9@foo.test", "NotifyTryPattern", "1", "QueueLife", "2")
	program := programtest.Script(t, "echo inside knowledge\nexit 75\n")
	f.write("domains/foo.test/u1/mailproc.tab", "\"external\"\t\"0\"\t\"9\"\t\""+program+"\"\t\"x\"\n")
	f.put("Subject: x\r\n\r\n", "u2@foo.test", "u1@foo.test")
	f.run(f.boxes())
	f.pass(24 * time.Hour)
	f.run(f.boxes())
	f.run(f.boxes())
	for user, knows := range map[string]bool{"u2": false, "u9": true} {
		got := f.notices(user)
		if len(got) != 2 {
			t.Errorf("%s has %d notifications, want one of the delay and one of the failure: %q", user, len(got), got)
		}
		for _, text := range got {
			text = strings.ReplaceAll(text, "=\r\n", "")
			for _, inside := range []string{"inside knowledge", "mailproc.tab"} {
				if strings.Contains(text, inside) != knows {
					t.Errorf("%s is told of %s: %v, want %v:\n%s", user, inside, !knows, knows, text)
				}
			}
		}
	}
}

// TestBusyHostHurriesNoOtherCommand has a file of commands for two hosts, of which the
// first has as many connections as it may, and the other one wants the mail later.
func TestBusyHostHurriesNoOtherCommand(t *testing.T) {
	f := newFixture(t)
	f.net.results["u1@foo.test"] = []outbound.Result{{State: outbound.Busy, Reply: "busy", Untried: true}, later}
	f.write("domains/foo.test/u1/mailproc.tab", "\"smtprelay\"\t\"busy.test\"\n\"smtprelay\"\t\"grey.test\"\n")
	f.put("Subject: x\r\n\r\n", "u2@foo.test", "u1@foo.test")
	f.run(f.boxes())
	var waiting []spool.Item
	for item := range f.queue.Items(func(*spool.Item) bool { return true }) {
		waiting = append(waiting, item)
	}
	if len(waiting) != 1 || waiting[0].State != spool.Waiting || waiting[0].Tries != 1 || len(f.sent()) != 0 {
		t.Errorf("in the queue is %+v, sent is %q; want the message waiting after one attempt", waiting, f.sent())
	}
}

// TestListInThePlaceOfAnAccountSends has a message wait of which an account has redirected
// a copy, when a list gets its name.
func TestListInThePlaceOfAnAccountSends(t *testing.T) {
	f := newFixture(t)
	f.net.results["u1@foo.test"] = []outbound.Result{later}
	f.write("domains/foo.test/u1/mailproc.tab", "\"redirect\"\t\"u2@foo.test\"\n\"smtprelay\"\t\"grey.test\"\n")
	f.put("Subject: x\r\n\r\n", "s@ext.test", "u1@foo.test")
	f.run(f.boxes())
	err := f.admin.UserDel(t.Context(), "foo.test", "u1")
	if err == nil {
		err = f.admin.UserAdd(t.Context(), "foo.test", "u1", "x", "M")
	}
	if err == nil {
		err = f.admin.MemberAdd(t.Context(), "foo.test", "u1", "u3@foo.test", "RW")
	}
	if err != nil {
		t.Fatal(err)
	}
	f.pass(24 * time.Hour)
	f.run(f.boxes())
	if len(f.mail("u2")) != 1 || len(f.mail("u3")) != 1 || f.queue.Len() != 0 {
		t.Errorf("who the account redirected to has %d messages, a member %d, %d are queued; want 1, 1 and 0", len(f.mail("u2")), len(f.mail("u3")), f.queue.Len())
	}
}

func TestErrorsAdminIsToldOfCommandsThatFail(t *testing.T) {
	f := newFixture(t)
	f.set("ErrorsAdmin", "u9@foo.test")
	f.net.results["u1@foo.test"] = []outbound.Result{refused}
	f.write("domains/foo.test/u1/mailproc.tab", "\"smtprelay\"\t\"relay.test\"\n\"mailbox\"\n")
	f.put("Subject: x\r\n\r\n", "u2@foo.test", "u1@foo.test")
	f.run(f.boxes())
	f.run(f.boxes())
	for _, user := range []string{"u2", "u9"} {
		if got := f.notices(user); len(got) != 1 || !strings.Contains(got[0], "550 5.1.1 nobody") {
			t.Errorf("%s is told %q, want the reply of the host, once", user, got)
		}
	}
}

// TestSenderWhoAsksIsToldWhatCommandsHaveDone has files of commands of which few deliver.
func TestSenderWhoAsksIsToldWhatCommandsHaveDone(t *testing.T) {
	f := newFixture(t)
	f.net.results["u4@foo.test"] = []outbound.Result{refused}
	want := map[string]string{"u1": "", "u2": "expanded", "u3": "relayed", "u4": "failed", "u5": "delivered", "u6": "", "u7": "delivered"}
	for user, rows := range map[string]string{
		"u1": "", "u2": "\"redirect\"\t\"r@far.test\"\n", "u3": "\"smtprelay\"\t\"relay.test\"\n", "u4": "\"smtprelay\"\t\"relay.test\"\n",
		"u5": "\"redirect\"\t\"r@far.test\"\n\"mailbox\"\n", "u6": "\"filter\"\t\"0\"\t\"9\"\t\"" + programtest.Script(t, "exit 4\n") + "\"\n",
		"u7": "\"external\"\t\"0\"\t\"9\"\t\"true\"\n",
	} {
		f.write("domains/foo.test/"+user+"/mailproc.tab", rows)
	}
	for user := range want {
		e := spool.Envelope{ID: f.queue.NextID('S'), Time: f.clock(), From: "u9@foo.test", Recipients: []spool.Recipient{{Address: user + "@foo.test", Notify: "SUCCESS,FAILURE"}}}
		d, err := f.queue.Begin(e)
		if err == nil {
			_, err = io.WriteString(d, "Subject: x\r\n\r\n")
		}
		if err == nil {
			err = d.Commit()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	f.run(f.boxes())
	f.run(f.boxes())
	got := map[string]string{}
	for _, text := range f.notices("u9") {
		_, report, _ := strings.Cut(text, "Final-Recipient: rfc822; ")
		user, _, _ := strings.Cut(report, "@")
		_, action, _ := strings.Cut(report, "Action: ")
		action, _, _ = strings.Cut(action, "\r\n")
		got[user] += action
	}
	for user, action := range want {
		if got[user] != action {
			t.Errorf("of the mail to %s the sender is told %q, want %q", user, got[user], action)
		}
	}
}

// TestRedirectedMailFailsAsItsSenderWantsToKnow has copies that no host takes.
func TestRedirectedMailFailsAsItsSenderWantsToKnow(t *testing.T) {
	f := newFixture(t)
	cases := []struct{ rows, notify, want string }{
		{}, // u0 is told as ErrorsAdmin
		{"\"redirect\"\t", "", "failed"},
		{"\"redirect\"\t", "NEVER", ""},
		{"\"redirect\"\t", "SUCCESS", "expanded"},
		{"\"redirect\"\t", "SUCCESS,FAILURE", "expanded failed"},
		{"\"mailbox\"\n\"lredirect\"\t", "NEVER", ""},
	}
	for n, c := range cases {
		if n == 0 {
			continue
		}
		f.net.results[fmt.Sprintf("r%d@far.test", n)] = []outbound.Result{refused}
		f.write(fmt.Sprintf("domains/foo.test/u%d/mailproc.tab", n), fmt.Sprintf("%s\"r%d@far.test\"\n", c.rows, n))
		f.take(spool.Envelope{ID: f.queue.NextID('S'), Time: f.clock(), From: "u9@foo.test", Recipients: []spool.Recipient{
			{Address: fmt.Sprintf("u%d@foo.test", n), Notify: c.notify, ORcpt: fmt.Sprintf("rfc822;first%d@foo.test", n)},
		}}, "Subject: x\r\n\r\n")
	}
	for range 3 {
		f.run(f.boxes())
	}
	told := make([][]string, len(cases))
	for _, text := range f.notices("u9") {
		_, original, _ := strings.Cut(text, "Original-Recipient: rfc822; first")
		_, action, _ := strings.Cut(text, "Action: ")
		action, _, _ = strings.Cut(action, "\r\n")
		n, err := strconv.Atoi(original[:min(1, len(original))])
		if err != nil {
			t.Errorf("a notification does not say whom the message was for at first:\n%s", text)
			continue
		}
		told[n] = append(told[n], action)
	}
	for n, c := range cases {
		slices.Sort(told[n])
		if got := strings.Join(told[n], " "); got != c.want {
			t.Errorf("%q with NOTIFY=%s: the sender is told %q, want %q", c.rows, c.notify, got, c.want)
		}
	}
	if got := f.notices("u5"); len(got) != 1 || !strings.Contains(got[0], "Action: failed") {
		t.Errorf("the account in whose name mail is sent on is told %q, want of the failure", got)
	}
}
