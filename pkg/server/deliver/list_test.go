package deliver_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/admin"
	"github.com/xmaild/xmaild/pkg/server/deliver"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// TestServerThatDiesInTheMiddleOfAListRepeatsFew looks at what is on disk while the
// second hundred members of one domain are being sent to.
func TestServerThatDiesInTheMiddleOfAListRepeatsFew(t *testing.T) {
	f := newFixture(t)
	if err := f.admin.UserAdd(t.Context(), "foo.test", "news", "x", "M"); err != nil {
		t.Fatal(err)
	}
	for n := range 250 {
		if err := f.admin.MemberAdd(t.Context(), "foo.test", "news", fmt.Sprintf("m%d@else.test", n), "R"); err != nil {
			t.Fatal(err)
		}
	}
	answer := make(chan struct{})
	f.net.calls, f.net.hold = make(chan int), map[string]chan struct{}{"else.test": answer}
	f.put("Subject: x\r\n\r\n", "s@ext.test", "news@foo.test")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		deliver.New(f.parts(f.boxes()), deliver.Options{Workers: 1, Host: "mx.test"}).Run(ctx)
		close(done)
	}()
	for sent, want := range []int{250, 150, 50} {
		<-f.net.calls // what came before is on disk
		after := filepath.Join(t.TempDir(), "spool")
		if err := os.CopyFS(after, os.DirFS(filepath.Join(f.dir, "spool"))); err != nil {
			t.Fatal(err)
		}
		q, err := spool.Open(t.Context(), after, spool.Options{Clock: f.clock})
		if err != nil {
			t.Fatal(err)
		}
		left := 0
		for range q.Items(func(i *spool.Item) bool { return strings.HasSuffix(i.Recipient, "@else.test") }) {
			left++
		}
		if left != want {
			t.Errorf("after %d hundred members %d are left; want %d", sent, left, want)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		answer <- struct{}{}
	}
	cancel()
	<-done
}

// TestListsAndAccountsAreClosedWhateverWayMailCame: nobody has asked who may write to
// a list where the mail did not come by SMTP.
func TestListsAndAccountsAreClosedWhateverWayMailCame(t *testing.T) {
	f := newFixture(t)
	for _, list := range []string{"inner", "outer"} {
		if err := f.admin.UserAdd(t.Context(), "foo.test", list, "x", "M"); err != nil {
			t.Fatal(err)
		}
		if err := f.admin.SetUserVars(t.Context(), "foo.test", list, admin.Setting{Name: "ClosedML", Value: "1"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range []struct{ list, member, perms string }{
		{"inner", "u1@foo.test", "RW"}, {"inner", "boss@else.test", "A"}, {"outer", "inner@foo.test", "R"}, {"outer", "u2@foo.test", "W"},
	} {
		if err := f.admin.MemberAdd(t.Context(), "foo.test", m.list, m.member, m.perms); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.admin.SetUserVars(t.Context(), "foo.test", "u3", admin.Setting{Name: "ReceiveEnable", Value: "0"}); err != nil {
		t.Fatal(err)
	}
	f.put("Subject: a stranger's\r\n\r\n", "", "inner@foo.test", "u3@foo.test")
	f.put("Subject: of a member\r\n\r\n", "u1@foo.test", "inner@foo.test")
	f.put("Subject: by the other list\r\n\r\n", "u2@foo.test", "outer@foo.test")
	f.run(f.boxes())
	var got []string
	for _, text := range f.mail("u1") {
		_, subject, _ := strings.Cut(text, "\r\nSubject: ")
		subject, _, _ = strings.Cut(subject, "\r\n")
		got = append(got, subject)
	}
	slices.Sort(got)
	if want := []string{"by the other list", "of a member"}; !slices.Equal(got, want) {
		t.Errorf("the member of the closed list got %q, want %q", got, want)
	}
	if n := len(f.mail("u3")); n != 0 {
		t.Errorf("an account that takes no mail has got %d messages", n)
	}
}

// TestListThatWasMadeByHand has a member twice, and a sender that is none.
func TestListThatWasMadeByHand(t *testing.T) {
	f := newFixture(t)
	if err := f.admin.UserAdd(t.Context(), "foo.test", "news", "x", "M"); err != nil {
		t.Fatal(err)
	}
	table := filepath.Join(f.dir, "domains", "foo.test", "news", "mlusers.tab")
	if err := os.WriteFile(table, []byte("# members\n\"a@else.test\"\t\"R\"\n\"A@Else.test\"\t\"RW\"\n\"nobody\"\t\"R\"\n\"b@else.test\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.admin.SetUserVars(t.Context(), "foo.test", "news", admin.Setting{Name: "ListSender", Value: "the boss"}); err != nil {
		t.Fatal(err)
	}
	f.put("Subject: x\r\n\r\n", "u1@foo.test", "news@foo.test")
	f.run(f.boxes())
	if want := []string{"a@else.test", "b@else.test"}; !slices.Equal(f.net.sent, want) || f.net.from != "u1@foo.test" {
		t.Errorf("sent to %q from %q, want %q from u1@foo.test", f.net.sent, f.net.from, want)
	}
}

// TestListsWithinEachOtherSendOneCopyEach has lists that are members of each other:
// there are 65 ways from one to the others.
func TestListsWithinEachOtherSendOneCopyEach(t *testing.T) {
	f := newFixture(t)
	const lists = 5
	for n := range lists {
		if err := f.admin.UserAdd(t.Context(), "foo.test", fmt.Sprint("list", n), "x", "M"); err != nil {
			t.Fatal(err)
		}
	}
	for n := range lists {
		members := []string{"u1@foo.test"}
		for m := range lists {
			if m != n {
				members = append(members, fmt.Sprintf("list%d@foo.test", m))
			}
		}
		for _, member := range members {
			if err := f.admin.MemberAdd(t.Context(), "foo.test", fmt.Sprint("list", n), member, "RW"); err != nil {
				t.Fatal(err)
			}
		}
	}
	for n := 1; n <= 2; n++ { // it may be sent again
		f.put("Subject: x\r\nMessage-ID: <1@x>\r\n\r\n", "u2@foo.test", "list0@foo.test")
		f.run(f.boxes())
		if got := len(f.mail("u1")); got != n*lists {
			t.Errorf("a member of %d lists has %d copies, want one from each", lists, got)
		}
		if got := len(f.notices("u2")); got < n || got > n*lists {
			t.Errorf("the sender was told %d times of circles, want once for a list at most", got)
		}
	}
}

// TestMessagesOfOneNumberAreNotTakenForEachOther has numbers that come again, as after a
// power cut.
func TestMessagesOfOneNumberAreNotTakenForEachOther(t *testing.T) {
	f := newFixture(t)
	if err := f.admin.UserAdd(t.Context(), "foo.test", "news", "x", "M"); err != nil {
		t.Fatal(err)
	}
	if err := f.admin.MemberAdd(t.Context(), "foo.test", "news", "u1@foo.test", "RW"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		f.take(spool.Envelope{ID: "S7", Time: f.clock(), From: "u2@foo.test", Recipients: []spool.Recipient{{Address: "news@foo.test"}}}, "Subject: x\r\n\r\n")
	}
	f.run(f.boxes())
	if got := len(f.mail("u1")); got != 2 {
		t.Errorf("the member has %d messages, want both", got)
	}
}

// TestRedirectionsToEachOtherSendOneCopyEach has accounts that keep a copy and redirect
// to all others.
func TestRedirectionsToEachOtherSendOneCopyEach(t *testing.T) {
	f := newFixture(t)
	const accounts = 5
	for n := range accounts {
		text := ""
		for m := range accounts {
			if m != n {
				text += fmt.Sprintf("\t\"u%d@foo.test\"", m)
			}
		}
		name := filepath.Join(f.dir, "cmdaliases", "foo.test", fmt.Sprintf("team%d.tab", n))
		text = "\"redirect\"\t\"u9@foo.test\"" + strings.ReplaceAll(text, "u", "team") + "\n"
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for n := 1; n <= 2; n++ {
		f.put("Subject: x\r\nMessage-ID: <1@x>\r\n\r\n", "u8@foo.test", "team0@foo.test")
		f.run(f.boxes())
		if got := len(f.mail("u9")); got != n*accounts {
			t.Errorf("whom %d accounts redirect to has %d copies, want %d", accounts, got, n*accounts)
		}
		if got := len(f.notices("u8")); got < n || got > n*accounts {
			t.Errorf("the sender was told %d times of circles, want %d to %d", got, n, n*accounts)
		}
	}
}
