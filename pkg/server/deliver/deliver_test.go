package deliver_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/admin"
	"github.com/xmaild/xmaild/pkg/server/deliver"
	"github.com/xmaild/xmaild/pkg/server/mailbox"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/outbound"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

func TestMailGoesToTheAccountsThatTheTablesNameNow(t *testing.T) {
	f := newFixture(t)
	if err := f.admin.AliasAdd(t.Context(), "foo.test", "sales", "u2"); err != nil {
		t.Fatal(err)
	}
	f.put("Subject: x\r\n\r\n.dot\r\n", "s@ext.test", "u1@foo.test", "Sales@FOO.test")
	f.run(f.boxes())
	for user, want := range map[string]string{
		"u1": "Return-Path: <s@ext.test>\r\nDelivered-To: u1@foo.test\r\nSubject: x\r\n\r\n.dot\r\n",
		"u2": "Return-Path: <s@ext.test>\r\nDelivered-To: u2@foo.test\r\nSubject: x\r\n\r\n.dot\r\n",
	} {
		if got := f.mail(user); !slices.Equal(got, []string{want}) {
			t.Errorf("mailbox of %s holds %q, want %q", user, got, want)
		}
	}
	if n := f.queue.Len(); n != 0 {
		t.Errorf("%d messages are still queued", n)
	}
}

// TestDiskThatFillsAtTheSixthRecipient restarts the server in between, since what
// was delivered must not be forgotten by it.
func TestDiskThatFillsAtTheSixthRecipient(t *testing.T) {
	f := newFixture(t)
	f.disk.setRoom(5)
	var to []string
	for n := range 10 {
		to = append(to, fmt.Sprintf("u%d@foo.test", n))
	}
	f.put("Subject: x\r\n\r\n", "", to...)
	f.run(f.boxes())
	count := func() (n int, most int) {
		for i := range 10 {
			got := len(f.mail(fmt.Sprint("u", i)))
			n, most = n+got, max(most, got)
		}
		return n, most
	}
	if n, most := count(); n != 5 || most != 1 {
		t.Errorf("%d messages were delivered, %d to one user; want 5 and 1", n, most)
	}
	// Users read and remove their mail: only the queue knows who had it.
	for i := range 5 {
		for _, name := range must(filepath.Glob(filepath.Join(f.dir, "domains", "foo.test", fmt.Sprint("u", i), "Maildir", "new", "*"))) {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	f.disk.setRoom(-1)
	f.mu.Lock()
	f.now = f.now.Add(time.Hour)
	f.mu.Unlock()
	f.open()
	f.run(f.boxes())
	if n, most := count(); n != 5 || most != 1 || f.queue.Len() != 0 {
		t.Errorf("the other five: %d messages, %d to one user, %d queued; want 5, 1 and 0", n, most, f.queue.Len())
	}
}

func must(names []string, err error) []string {
	if err != nil {
		panic(err)
	}
	return names
}

// dies delivers, and the server dies before it can tell the queue.
type dies struct {
	deliver.Mailboxes
	cancel context.CancelFunc
}

func (d dies) Deliver(ctx context.Context, u mailroot.User, m mailbox.Message) error {
	err := d.Mailboxes.Deliver(ctx, u, m)
	d.cancel()
	<-ctx.Done()
	if err == nil {
		err = ctx.Err()
	}
	return err
}

func TestMessageDeliveredBeforeTheServerDiedIsNotDeliveredTwice(t *testing.T) {
	f := newFixture(t)
	f.put("Subject: x\r\n\r\n", "s@ext.test", "u1@foo.test")
	ctx, cancel := context.WithCancel(t.Context())
	deliver.New(f.parts(dies{f.boxes(), cancel}), deliver.Options{Workers: 1, Host: "mx.test"}).Run(ctx)
	if got := f.mail("u1"); len(got) != 1 || f.queue.Len() != 1 {
		t.Fatalf("before the restart: %d messages in the mailbox, %d in the queue; want 1 and 1", len(got), f.queue.Len())
	}
	// Meanwhile another program has marked it as read.
	for _, name := range must(filepath.Glob(filepath.Join(f.dir, "domains", "foo.test", "u1", "Maildir", "new", "*"))) {
		to := strings.Replace(name, "/new/", "/cur/", 1) + ":2,S"
		if err := os.Rename(name, to); err != nil {
			t.Fatal(err)
		}
	}
	f.open()
	f.run(f.boxes())
	if got := f.mail("u1"); len(got) != 1 || f.queue.Len() != 0 {
		t.Errorf("after it: %d messages in the mailbox, %d in the queue; want 1 and 0", len(got), f.queue.Len())
	}
}

// stops delivers to u1, and the server stops when it comes to u2.
type stops struct {
	deliver.Mailboxes
	cancel context.CancelFunc
}

func (s stops) Deliver(ctx context.Context, u mailroot.User, m mailbox.Message) error {
	if u.Name == "u2" {
		s.cancel()
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Mailboxes.Deliver(ctx, u, m)
}

func TestWhoHasTheMessageWhenTheServerStopsDoesNotGetItAgain(t *testing.T) {
	f := newFixture(t)
	f.put("Subject: x\r\n\r\n", "s@ext.test", "u1@foo.test", "u2@foo.test", "u3@foo.test")
	ctx, cancel := context.WithCancel(t.Context())
	deliver.New(f.parts(stops{f.boxes(), cancel}), deliver.Options{Workers: 1, Host: "mx.test"}).Run(ctx)
	// u1 reads the message and removes it: only the queue knows who had it.
	for _, name := range must(filepath.Glob(filepath.Join(f.dir, "domains", "foo.test", "u1", "Maildir", "new", "*"))) {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	f.open()
	f.run(f.boxes())
	for user, want := range map[string]int{"u1": 0, "u2": 1, "u3": 1} {
		if got := len(f.mail(user)); got != want {
			t.Errorf("after the next start %s got %d messages, want %d", user, got, want)
		}
	}
}

func TestMailThatCannotBeDeliveredNowStaysInTheQueue(t *testing.T) {
	f := newFixture(t)
	f.net.results["x@elsewhere.test"] = []outbound.Result{{State: outbound.Temporary, Code: 450, Reply: "450 4.2.0 greylisted", Host: "mx.elsewhere.test"}}
	f.put("Subject: x\r\n\r\n", "s@ext.test", "x@elsewhere.test", "y@Elsewhere.test", "u3@foo.test")
	if err := f.admin.SetUserVars(t.Context(), "foo.test", "u3", admin.Setting{Name: "MaxMBSize", Value: "1"}); err != nil {
		t.Fatal(err)
	}
	full := filepath.Join(f.dir, "domains", "foo.test", "u3", "Maildir", "cur", "1.x.y:2,S")
	if err := os.WriteFile(full, make([]byte, 2048), 0o600); err != nil {
		t.Fatal(err)
	}
	f.run(f.boxes())
	if n := f.queue.Len(); n != 1 || !slices.Equal(f.net.sent, []string{"y@Elsewhere.test"}) {
		t.Fatalf("%d messages are queued, sent to %q; want 1, and the one recipient that was taken", n, f.net.sent)
	}
	logs := must(filepath.Glob(filepath.Join(f.dir, "spool", "live", "*.log")))
	if len(logs) != 1 {
		t.Fatalf("logs of messages: %q, want one", logs)
	}
	log, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<x@elsewhere.test> mx.elsewhere.test: 450 4.2.0 greylisted", "<u3@foo.test> mailbox: the mailbox is full"} {
		if !strings.Contains(string(log), want) {
			t.Errorf("log of the message lacks %q:\n%s", want, log)
		}
	}
	f.mu.Lock()
	f.now = f.now.Add(time.Hour)
	f.mu.Unlock()
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	f.run(f.boxes())
	if n := f.queue.Len(); n != 0 || len(f.net.sent) != 2 || len(f.mail("u3")) != 1 {
		t.Errorf("an hour later %d messages are queued, sent to %q, %d in the mailbox", n, f.net.sent, len(f.mail("u3")))
	}
}

func TestMailThatCanNeverBeDeliveredIsFrozen(t *testing.T) {
	f := newFixture(t)
	f.net.results["x@elsewhere.test"] = []outbound.Result{{State: outbound.Permanent, Code: 550, Reply: "550 5.1.1 no such user", Host: "mx.elsewhere.test"}}
	f.put("Subject: x\r\n\r\n", "", "gone@foo.test", "x@elsewhere.test", "u1@foo.test")
	f.run(f.boxes())
	var frozen []string
	for m, err := range f.admin.Frozen(t.Context(), admin.FrozenFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		frozen = append(frozen, m.To)
	}
	slices.Sort(frozen)
	if want := []string{"gone@foo.test", "x@elsewhere.test"}; !slices.Equal(frozen, want) || f.queue.Len() != 0 || len(f.mail("u1")) != 1 {
		t.Errorf("frozen are %q, %d queued, %d delivered; want %q, 0 and 1", frozen, f.queue.Len(), len(f.mail("u1")), want)
	}
}

func TestListSendsOneCopyToItsMembers(t *testing.T) {
	f := newFixture(t)
	if err := f.admin.UserAdd(t.Context(), "foo.test", "news", "x", "M"); err != nil {
		t.Fatal(err)
	}
	for member, perms := range map[string]string{"u1@foo.test": "RW", "u2@foo.test": "W", "x@else.test": "R"} {
		if err := f.admin.MemberAdd(t.Context(), "foo.test", "news", member, perms); err != nil {
			t.Fatal(err)
		}
	}
	f.put("Subject: x\r\nReply-To: s@ext.test\r\nList-Id: <old>\r\nprecedence: bulk\r\nX-Long: a\r\n b\r\n\r\nReply-To: body\r\n", "s@ext.test", "news@foo.test")
	f.run(f.boxes())
	want := "Return-Path: <s@ext.test>\r\nDelivered-To: u1@foo.test\r\nDelivered-To: news@foo.test\r\nReply-To: news@foo.test\r\n" +
		"List-Id: <news.foo.test>\r\nList-Post: <mailto:news@foo.test>\r\nList-Unsubscribe: <mailto:postmaster@foo.test?subject=unsubscribe%20news@foo.test>\r\n" +
		"Precedence: list\r\nSubject: x\r\nX-Long: a\r\n b\r\n\r\nReply-To: body\r\n"
	if got := f.mail("u1"); !slices.Equal(got, []string{want}) {
		t.Errorf("a member got %q, want %q", got, want)
	}
	if !slices.Equal(f.net.sent, []string{"x@else.test"}) || len(f.mail("u2")) != 0 || f.queue.Len() != 0 {
		t.Errorf("sent to %q, %d in the mailbox of a member who only writes, %d queued", f.net.sent, len(f.mail("u2")), f.queue.Len())
	}
}

// TestListHeaderHoldsWhateverTheListIsCalled has a route before the address, as the
// reference puts it there for a gateway.
func TestListHeaderHoldsWhateverTheListIsCalled(t *testing.T) {
	f := newFixture(t)
	if err := f.admin.UserAdd(t.Context(), "foo.test", "r&d", "x", "M"); err != nil {
		t.Fatal(err)
	}
	if err := f.admin.MemberAdd(t.Context(), "foo.test", "r&d", "u1@foo.test", "RW"); err != nil {
		t.Fatal(err)
	}
	f.put("Subject: x\r\n\r\n", "s@ext.test", "@gw.test:r&d@foo.test")
	f.run(f.boxes())
	want := "Reply-To: r&d@foo.test\r\nList-Id: <r&d.foo.test>\r\nList-Post: <mailto:r%26d@foo.test>\r\n" +
		"List-Unsubscribe: <mailto:postmaster@foo.test?subject=unsubscribe%20r%26d@foo.test>\r\n"
	if got := f.mail("u1"); len(got) != 1 || !strings.Contains(got[0], want) {
		t.Errorf("a member got %q, want %q in it", got, want)
	}
}

func TestListsThatContainEachOtherEnd(t *testing.T) {
	f := newFixture(t)
	for list, member := range map[string]string{"one": "two@foo.test", "two": "one@foo.test"} {
		if err := f.admin.UserAdd(t.Context(), "foo.test", list, "x", "M"); err != nil {
			t.Fatal(err)
		}
		for _, m := range []string{member, "u1@foo.test"} {
			if err := f.admin.MemberAdd(t.Context(), "foo.test", list, m, "RW"); err != nil {
				t.Fatal(err)
			}
		}
	}
	f.put("Subject: x\r\n\r\n", "", "one@foo.test")
	f.run(f.boxes())
	var frozen []string
	for m, err := range f.admin.Frozen(t.Context(), admin.FrozenFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		frozen = append(frozen, m.To)
	}
	if len(f.mail("u1")) != 2 || !slices.Equal(frozen, []string{"one@foo.test"}) || f.queue.Len() != 0 {
		t.Errorf("a member of both got %d messages, frozen are %q, %d queued; want 2, one@foo.test and 0", len(f.mail("u1")), frozen, f.queue.Len())
	}
}

// notices returns the notifications in the mailbox of a user.
func (f *fixture) notices(user string) []string {
	f.t.Helper()
	return slices.DeleteFunc(f.mail(user), func(text string) bool { return !strings.Contains(text, "multipart/report") })
}

func TestSenderIsToldOnceOfWhatHasFailed(t *testing.T) {
	f := newFixture(t)
	f.net.results["x@elsewhere.test"] = []outbound.Result{{State: outbound.Permanent, Code: 550, Enhanced: "5.1.1", Reply: "550 5.1.1 no such user", Host: "mx.elsewhere.test", Addr: "192.0.2.25:25"}}
	if err := f.admin.SetServerVars(t.Context(), admin.Setting{Name: "ErrorsAdmin", Value: "u2@foo.test"}); err != nil {
		t.Fatal(err)
	}
	f.put("Subject: lost\r\n\r\n", "u1@foo.test", "x@elsewhere.test")
	f.run(f.boxes())
	for _, user := range []string{"u1", "u2"} {
		got := f.notices(user)
		if len(got) != 1 || !strings.Contains(got[0], "550 5.1.1 no such user") || !strings.HasPrefix(got[0], "Return-Path: <>\r\n") {
			t.Errorf("notifications of %s are %q, want one with the reply of the host, from the null sender", user, got)
		}
		if text := strings.Join(got, ""); !strings.Contains(text, "Server:    <mx.elsewhere.test> [192.0.2.25]") {
			t.Errorf("the address of the host is not told of: %q", text)
		}
		// The administrator sees what was logged, the attempt included that has failed.
		if logged := strings.Contains(strings.Join(got, ""), `SMTP-Error = "550 5.1.1 no such user"`); logged != (user == "u2") {
			t.Errorf("the log of the message in what %s gets: %t in %q", user, logged, got)
		}
	}
	if f.queue.Len() != 0 {
		t.Errorf("%d messages are queued", f.queue.Len())
	}
}

func TestSenderWhoAsksIsToldOfTheDelivery(t *testing.T) {
	f := newFixture(t)
	e := spool.Envelope{ID: f.queue.NextID('S'), Time: f.clock(), From: "u1@foo.test", EnvID: "env", Recipients: []spool.Recipient{
		{Address: "u2@foo.test", Notify: "SUCCESS,FAILURE"}, {Address: "u3@foo.test", Notify: "NEVER"}, {Address: "x@else.test", Notify: "SUCCESS"},
	}}
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
	f.run(f.boxes())
	got := f.notices("u1")
	text := strings.Join(got, "")
	if len(got) != 2 || !strings.Contains(text, "Action: delivered") || !strings.Contains(text, "Action: relayed") || strings.Contains(text, "u3@foo.test") {
		t.Errorf("notifications are %q, want one of the delivery to u2 and one of the relaying to else.test", got)
	}
}

// TestQueueIsKeptAsLongAsTheVariablesSay has a MailRoot at CompatLevel 1, whose
// default is five days.
func TestQueueIsKeptAsLongAsTheVariablesSay(t *testing.T) {
	f := newFixture(t)
	busy := outbound.Result{State: outbound.Temporary, Code: 450, Reply: "450 later", Host: "mx.elsewhere.test"}
	f.net.results["x@elsewhere.test"] = slices.Repeat([]outbound.Result{busy}, 100)
	f.put("Subject: late\r\n\r\n", "", "x@elsewhere.test")
	came := f.clock()
	attempts := func() int {
		f.net.mu.Lock()
		defer f.net.mu.Unlock()
		return 100 - len(f.net.results["x@elsewhere.test"])
	}
	at := []time.Duration{}
	for f.queue.Len() > 0 && attempts() < 100 {
		before := attempts()
		f.run(f.boxes())
		if attempts() > before {
			at = append(at, f.clock().Sub(came))
		}
		f.mu.Lock()
		f.now = f.now.Add(5 * time.Minute)
		f.mu.Unlock()
	}
	want := []time.Duration{0, 5 * time.Minute, 15 * time.Minute, 35 * time.Minute, 75 * time.Minute}
	if len(at) < len(want) || !slices.Equal(at[:len(want)], want) {
		t.Errorf("the first attempts were at %v, want %v", at[:min(len(at), len(want))], want)
	}
	if last := at[len(at)-1]; last < 120*time.Hour || last > 124*time.Hour {
		t.Errorf("the last attempt was after %v, want five days and no more than a wait", last)
	}

	// What is put back has five days again.
	for frozen := range (spool.Tree{Dir: filepath.Join(f.dir, "spool")}).All() {
		if err := f.queue.Submit(frozen.Name); err != nil {
			t.Fatal(err)
		}
	}
	f.run(f.boxes())
	if f.queue.Len() != 1 {
		t.Errorf("%d messages in the queue after the first attempt at what was put back, want 1", f.queue.Len())
	}
}

// TestNoticeOfADelaySaysUntilWhenMailIsTried has mail that was put back into the queue.
func TestNoticeOfADelaySaysUntilWhenMailIsTried(t *testing.T) {
	f := newFixture(t)
	f.net.results["x@elsewhere.test"] = []outbound.Result{{State: outbound.Temporary, Code: 450, Reply: "450 later", Host: "mx.elsewhere.test"}}
	if err := f.admin.SetServerVars(t.Context(), admin.Setting{Name: "NotifyTryPattern", Value: "1"}, admin.Setting{Name: "QueueLife", Value: "48"}); err != nil {
		t.Fatal(err)
	}
	f.take(spool.Envelope{ID: "S1", Time: f.clock().Add(-1000 * time.Hour), Back: f.clock(), From: "u1@foo.test", Recipients: []spool.Recipient{{Address: "x@elsewhere.test"}}},
		"Subject: late\r\n\r\n")
	want := "Will-Retry-Until: " + f.clock().Add(48*time.Hour).Format("Mon, 2 Jan 2006 15:04:05 -0700") + "\r\n"
	f.run(f.boxes())
	f.run(f.boxes())
	if got := f.notices("u1"); len(got) != 1 || !strings.Contains(got[0], want) {
		t.Errorf("notifications are %q, want one with %q", got, want)
	}
}

// TestExpiredMailIsGivenUp has a host that never takes the message.
func TestExpiredMailIsGivenUp(t *testing.T) {
	f := newFixture(t)
	busy := outbound.Result{State: outbound.Temporary, Code: 450, Enhanced: "4.2.0", Reply: "450 4.2.0 later", Host: "mx.elsewhere.test"}
	for range deliver.DefaultTries {
		f.net.results["x@elsewhere.test"] = append(f.net.results["x@elsewhere.test"], busy)
	}
	if err := f.admin.SetServerVars(t.Context(), admin.Setting{Name: "NotifyTryPattern", Value: "2"}, admin.Setting{Name: "QueueSchedule", Value: ""},
		admin.Setting{Name: "QueueLife", Value: "0"}); err != nil {
		t.Fatal(err)
	}
	f.put("Subject: late\r\n\r\n", "u1@foo.test", "x@elsewhere.test")
	for range deliver.DefaultTries {
		f.run(f.boxes())
		f.mu.Lock()
		f.now = f.now.Add(24 * time.Hour)
		f.mu.Unlock()
	}
	f.run(f.boxes())
	got := f.notices("u1")
	delayed, failed := 0, 0
	for _, text := range got {
		if strings.Contains(text, "Action: delayed") {
			delayed++
		}
		if strings.Contains(text, "Action: failed") {
			failed++
		}
	}
	if delayed != 1 || failed != 1 || f.queue.Len() != 0 || len(f.net.sent) != 0 {
		t.Errorf("%d notifications of a delay, %d of the failure, %d queued; want 1, 1 and 0", delayed, failed, f.queue.Len())
	}
}

func TestMailIsProcessedAsTheFilesOfCommandsSay(t *testing.T) {
	f := newFixture(t)
	for name, text := range map[string]string{
		"domains/foo.test/u1/mailproc.tab": "\"mailbox\"\n\"redirect\"\t\"u2@foo.test\"\t\"out@else.test\"\n",
		"domains/foo.test/u3/mailproc.tab": "\"redirect\"\t\"u4@foo.test\"\n",
		"domains/foo.test/u4/mailproc.tab": "\"redirect\"\t\"u3@foo.test\"\n",
		"cmdaliases/foo.test/robot.tab":    "\"redirect\"\t\"u5@foo.test\"\n",
		"custdomains/cust.test.tab":        "\"lredirect\"\t\"u6@foo.test\"\n\"smtp\"\n",
	} {
		name = filepath.Join(f.dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.put("Subject: x\r\n\r\n", "u7@foo.test", "u1@foo.test", "robot@foo.test", "any@cust.test", "u3@foo.test")
	f.run(f.boxes())
	for user, want := range map[string]string{
		"u1": "Return-Path: <u7@foo.test>\r\nDelivered-To: u1@foo.test\r\nSubject: x\r\n\r\n",
		"u2": "Return-Path: <u7@foo.test>\r\nDelivered-To: u2@foo.test\r\nX-Deliver-To: u1@foo.test\r\nSubject: x\r\n\r\n",
		"u5": "Return-Path: <u7@foo.test>\r\nDelivered-To: u5@foo.test\r\nX-Deliver-To: robot@foo.test\r\nSubject: x\r\n\r\n",
		"u6": "Return-Path: <any@cust.test>\r\nDelivered-To: u6@foo.test\r\nX-Deliver-To: any@cust.test\r\nSubject: x\r\n\r\n",
	} {
		if got := f.mail(user); !slices.Equal(got, []string{want}) {
			t.Errorf("mailbox of %s holds %q, want %q", user, got, want)
		}
	}
	if want := []string{"any@cust.test", "out@else.test"}; !slices.Equal(slices.Sorted(slices.Values(f.net.sent)), want) {
		t.Errorf("sent to %q, want %q", f.net.sent, want)
	}
	// The two that redirect to each other end with a notification.
	if got := f.notices("u7"); len(got) != 1 || !strings.Contains(got[0], "Mail loop detected") {
		t.Errorf("notifications are %q, want one of the loop", got)
	}
	if f.queue.Len() != 0 {
		t.Errorf("%d messages are queued", f.queue.Len())
	}
}

// TestSlowDomainKeepsUpNoOther has more mail for a domain that does not answer than
// there are workers.
func TestSlowDomainKeepsUpNoOther(t *testing.T) {
	f := newFixture(t)
	slow := make(chan struct{})
	f.net.hold = map[string]chan struct{}{"slow.test": slow}
	const messages = 50
	for n := range messages {
		f.put("Subject: x\r\n\r\n", "s@ext.test", fmt.Sprintf("r%d@slow.test", n), fmt.Sprintf("r%d@d%d.test", n, n%7))
	}
	d := deliver.New(f.parts(f.boxes()), deliver.Options{Workers: 2, Destinations: 3, PerDomain: 2})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() { d.Run(ctx); close(done) }()
	count := func() int {
		f.net.mu.Lock()
		defer f.net.mu.Unlock()
		return len(f.net.sent)
	}
	for count() < messages {
		select {
		case <-t.Context().Done():
			t.Fatalf("%d messages were sent while one domain is slow, want %d", count(), messages)
		case <-time.After(time.Millisecond):
		}
	}
	close(slow)
	for f.queue.Len() > 0 {
		select {
		case <-t.Context().Done():
			t.Fatalf("%d messages are left", f.queue.Len())
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	<-done
	if got := count(); got != 2*messages {
		t.Errorf("%d messages were sent, want %d", got, 2*messages)
	}
}

// TestScheduleIsThatOfTheReference has the worked cases of docs/reference/delivery.md 1.5.
func TestScheduleIsThatOfTheReference(t *testing.T) {
	for _, c := range []struct {
		s    deliver.Schedule
		want []int // seconds of the first attempts
	}{
		{deliver.Schedule{}, []int{0, 480, 990, 1531, 2105, 2714, 3361}},
		{deliver.Schedule{Base: time.Minute, Ratio: 4}, []int{0, 60, 135, 228, 344, 489, 670, 896}},
		{deliver.Schedule{Ratio: -1}, []int{0, 480, 960, 1440}},
	} {
		got := []int{0}
		at := time.Duration(0)
		for n := 1; n < len(c.want); n++ {
			at += c.s.Wait(n)
			got = append(got, int(at/time.Second))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v: attempts at %v, want %v", c.s, got, c.want)
		}
	}
}
