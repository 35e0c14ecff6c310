package psync

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xmaild/xmaild/pkg/server/admin"
)

func TestMailIsFetchedAndDeletedThere(t *testing.T) {
	s, there := newSite(t), newScripted(t, mailText, "From: x@y.test\r\n\r\n\r\n.\r\n")
	s.link(there.addr, "CLR")
	s.fetch()
	all := s.wantTaken(2)
	if want := "Received: from a by b\r\nTo: bob@there.test\r\n\r\nText\r\n.dot\r\n..\r\n"; all[0].content() != want {
		t.Errorf("the message is %q, want %q after Received", all[0].text, want)
	}
	got := []string{all[0].From, all[0].Domain, strings.Join(all[0].to, " "), all[0].ID[:1], all[1].From}
	if d := cmp.Diff([]string{"eve@out.test", "here.test", "ann@here.test", "P", "x@y.test"}, got); d != "" {
		t.Errorf("the envelope (-want +got):\n%s", d)
	}
	if there.left() != 0 {
		t.Errorf("%d messages are left there, want none", there.left())
	}
	s.wantLine(fmt.Sprintf("SYNC=OK 2 %d 0 0", len(mailText)+len("From: x@y.test\r\n\r\n\r\n.\r\n")))
	if _, err := os.Stat(filepath.Join(s.dir, "msgsync", strings.ReplaceAll(there.addr, ":", "_"), "bob.uidb")); err == nil {
		t.Error("what was deleted is still remembered")
	}
	if entries, _ := os.ReadDir(filepath.Join(s.dir, locksDir)); len(entries) > 0 {
		t.Errorf("locks are left: %v", entries)
	}
}

func TestLeaveFetchesWhatIsNew(t *testing.T) {
	s, there := newSite(t), newScripted(t, mailText, mailText)
	s.link(there.addr, "CLR,Leave")
	s.fetch()
	s.wantTaken(2)
	for _, broken := range []string{"", "PASS", "STAT", "UIDL", "LIST", "QUIT"} {
		for _, hang := range []bool{false, true} {
			if broken != "" {
				there.refuse(broken, "-ERR not now\r\n", hang)
			}
			s.restart()
			s.fetch()
			s.wantTaken(0)
		}
	}
	there.on(nil)
	there.mu.Lock()
	there.mails = append(there.mails, letter{"new", mailText})
	there.mu.Unlock()
	s.restart()
	s.fetch()
	s.wantTaken(1)
	if there.left() != 3 {
		t.Errorf("%d messages are left there, want 3", there.left())
	}
}

func TestLeaveWantsUIDs(t *testing.T) {
	s, there := newSite(t), newScripted(t, mailText)
	there.refuse("UIDL", "-ERR what\r\n", false)
	s.link(there.addr, "CLR,Leave")
	s.fetch()
	s.wantTaken(0)
	s.wantLine("SYNC=EFAIL 0 0 0 0")
}

func TestServerWithoutUIDs(t *testing.T) {
	s, there := newSite(t), newScripted(t, mailText)
	there.refuse("UIDL", "-ERR what\r\n", false)
	s.link(there.addr, "CLR")
	s.fetch()
	s.wantTaken(1)
	if there.left() != 0 {
		t.Error("the message is left there")
	}
}

func TestUIDsThatTellNothingDeleteNothing(t *testing.T) {
	for name, uid := range map[string]func(int) string{
		"numbers": func(n int) string { return fmt.Sprint(n + 1) },
		"all one": func(int) string { return "x" },
	} {
		s, there := newSite(t), newScripted(t, mailText, mailText)
		set := func() {
			there.mu.Lock()
			defer there.mu.Unlock()
			for i := range there.mails {
				there.mails[i].uid = uid(i)
			}
		}
		set()
		s.link(there.addr, "CLR")
		there.refuse("QUIT", "", true) // nothing is deleted
		s.fetch()
		s.wantTaken(2)
		there.on(nil)
		there.mu.Lock()
		there.mails = there.mails[:1]
		there.mails = append(there.mails, letter{"", "Subject: another\r\n\r\n"})
		there.mu.Unlock()
		set()
		s.fetch()
		all := s.taken()
		if len(all) == 0 || !strings.Contains(all[len(all)-1].text, "another") {
			t.Errorf("UIDs that are %s: a new message was not fetched", name)
		}
	}
}

func TestCrashBetweenCommitAndDeletion(t *testing.T) {
	for _, step := range []string{"DELE 1", "DELE 2", "QUIT"} {
		s, there := newSite(t), newScripted(t, mailText, mailText)
		s.link(there.addr, "CLR")
		there.refuse(step, "", true)
		s.fetch()
		first := len(s.taken())
		there.on(nil)
		there.said("")
		s.restart()
		s.fetch()
		if second := len(s.taken()); first+second != 2 {
			t.Errorf("cut at %s: %d messages and then %d, want 2 in all", step, first, second)
		}
		if n := there.left(); n != 0 {
			t.Errorf("cut at %s: %d messages are left there, want none", step, n)
		}
		if retr := there.said("RETR"); len(retr) != 2-first {
			t.Errorf("cut at %s: %q, want %d messages", step, retr, 2-first)
		}
	}
}

func TestNothingIsDeletedThatIsNotDurable(t *testing.T) {
	s, there := newSite(t), newScripted(t, mailText, mailText)
	s.link(there.addr, "CLR")
	s.disk.fill(true)
	s.fetch()
	if said := there.said("DELE"); len(said) > 0 {
		t.Errorf("with a full disk the session says %q", said)
	}
	s.wantLine("SYNC=EFAIL 0 0 0 0")
	s.disk.fill(false)
	s.fetch()
	s.wantTaken(2)
}

func TestFullMailboxIsNotFetchedFor(t *testing.T) {
	s, there := newSite(t), newScripted(t, mailText, strings.Repeat("x\r\n", 1000))
	s.link(there.addr, "CLR")
	write(t, filepath.Join(s.dir, "domains", "here.test", "ann", "user.tab"), "\"MaxMBSize\"\t\"1\"\n")
	s.fetch()
	if d := cmp.Diff([]string{"RETR 1"}, there.said("RETR")); d != "" {
		t.Errorf("messages asked for (-want +got):\n%s", d)
	}
	s.wantTaken(1)
	s.wantLine(fmt.Sprintf("SYNC=OK 1 %d 1 3000", len(mailText)))
}

func TestTooBigMessagesStay(t *testing.T) {
	s, there := newSite(t, "MaxMessageSize", "1"), newScripted(t, strings.Repeat("x\r\n", 1000), mailText)
	s.link(there.addr, "CLR")
	s.fetch()
	s.wantTaken(1)
	if there.left() != 1 {
		t.Errorf("%d messages are left there, want the big one", there.left())
	}
}

func TestLinksThatChooseByTheMessage(t *testing.T) {
	text := "Return-Path: <>\r\nDelivered-To: bob@there.test\r\nTo: ann@there.test, nobody@there.test, carl@other.test\r\nCc: ann@THERE.test\r\n\r\n"
	for _, test := range []struct {
		domain, name, errors string
		want                 string // recipients; empty: it stays
		line                 string
	}{
		{"@here.test", "ann", "", "ann@here.test", "SYNC=OK 1 134 0 0"},
		{"@out.test", "ann", "", "", "SYNC=OK 0 0 1 134"},
		{"@out.test", "ann", "ann@here.test", "ann@here.test", "SYNC=OK 0 0 1 134"},
		{"?here.test,there.test", "x", "", "ann@here.test", "SYNC=OK 1 134 0 0"},
		{"?here.test,there.test,other.test", "x", "", "ann@here.test carl@here.test", "SYNC=OK 1 134 0 0"},
		{"?here.test", "x", "", "ann@here.test carl@here.test", "SYNC=OK 1 134 0 0"},
		{"?here.test,no.test", "x", "", "", "SYNC=OK 0 0 1 134"},
		{"?here.test,no.test", "x", "carl@here.test", "carl@here.test", "SYNC=OK 0 0 1 134"},
		{"&.here.test,there.test", "x", "", "ann@there.test.here.test", "SYNC=OK 1 134 0 0"},
		{"&.out.test,there.test", "x", "", "", "SYNC=OK 0 0 1 134"},
	} {
		t.Run(test.domain+test.errors, func(t *testing.T) {
			vars := []string{"FetchHdrTags", "To,Cc"}
			if test.errors != "" {
				vars = append(vars, "Pop3SyncErrorAccount", test.errors)
			}
			s, there := newSite(t, vars...), newScripted(t, text)
			for domain, name := range map[string]string{"here.test": "carl", "there.test.here.test": "ann"} {
				if domain != "here.test" {
					if err := s.admin.DomainAdd(t.Context(), domain); err != nil {
						t.Fatal(err)
					}
				}
				if err := s.admin.UserAdd(t.Context(), domain, name, "x", "U"); err != nil {
					t.Fatal(err)
				}
			}
			s.linkFor(test.domain, test.name, there.addr, "CLR")
			s.fetch()
			all := s.taken()
			if test.want == "" {
				if len(all) != 0 || there.left() != 1 {
					t.Errorf("%d messages were fetched and %d are left, want it to stay", len(all), there.left())
				}
			} else if len(all) != 1 || strings.Join(all[0].to, " ") != test.want || all[0].From != "" || there.left() != 0 {
				t.Errorf("fetched %+v, want one message from <> to %s", all, test.want)
			}
			s.wantLine(strings.ReplaceAll(test.line, "134", fmt.Sprint(len(text))))
		})
	}
}

func TestLinksThatAreNotForNow(t *testing.T) {
	s, there := newSite(t), newScripted(t, mailText)
	s.link(there.addr, "CLR")
	lock := filepath.Join(s.dir, locksDir, "bob@"+strings.ReplaceAll(there.addr, ":", "_")+".lock")
	write(t, lock, "7\x00")
	s.fetch()
	if said := there.said(""); len(said) > 0 {
		t.Errorf("a link that somebody has locked says %q", said)
	}
	if err := s.cleanLocks(); err != nil {
		t.Fatal(err)
	}
	if err := s.admin.LinkEnable(t.Context(), false, "here.test", "ann"); err != nil {
		t.Fatal(err)
	}
	s.fetch()
	if said := there.said(""); len(said) > 0 {
		t.Errorf("a link that is disabled says %q", said)
	}
	if err := s.admin.LinkEnable(t.Context(), true, "here.test", "ann"); err != nil {
		t.Fatal(err)
	}
	there.on(func(command string) (string, bool, bool) {
		if _, err := os.Stat(lock); command == "STAT" && err != nil {
			t.Errorf("no lock during a session: %v", err)
		}
		return "", false, false
	})
	s.fetch()
	s.wantTaken(1)
}

func TestLinkOfNobodyIsToldOf(t *testing.T) {
	s, there := newSite(t), newScripted(t, mailText)
	if err := s.admin.UserAdd(t.Context(), "here.test", "carl", "x", "U"); err != nil {
		t.Fatal(err)
	}
	s.linkFor("here.test", "carl", there.addr, "CLR")
	// The link outlives its account where the table is edited.
	text, err := os.ReadFile(filepath.Join(s.dir, "pop3links.tab"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.dir, "pop3links.tab"), strings.ReplaceAll(string(text), "carl", "gone"))
	if _, err := s.Root.Store.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.fetch()
	s.wantLine("SYNC=ENOUSER 0 0 0 0")
	if said := there.said(""); len(said) > 0 {
		t.Errorf("it says %q", said)
	}
}

func TestAPOP(t *testing.T) {
	for _, test := range []struct {
		options, greeting, refuse string
		want                      string // the words of the login
		fetched                   int
	}{
		{"APOP", "+OK <1@x.test>", "", "APOP", 1},
		{"APOP", "+OK <1@x.test>", "APOP", "APOP USER PASS", 1},
		{"APOP", "+OK", "", "USER PASS", 1},
		{"FAPOP", "+OK <1@x.test>", "", "APOP", 1},
		{"FAPOP", "+OK <1@x.test>", "APOP", "APOP", 0},
		{"FAPOP", "+OK hello", "", "", 0},
		{"FAPOP,STLS", "+OK <1@x.test>", "STLS", "APOP", 1},
		{"FAPOP,FSTLS", "+OK <1@x.test>", "STLS", "", 0},
		{"STLS", "+OK <1@x.test>", "STLS", "USER PASS", 1},
		{"CLR", "-ERR busy", "", "", 0},
	} {
		s, there := newSite(t), newScripted(t, mailText)
		there.greeting = test.greeting
		if test.refuse != "" {
			there.refuse(test.refuse, "-ERR no "+secret+"\r\n", false)
		}
		s.link(there.addr, test.options)
		s.fetch()
		s.wantTaken(test.fetched)
		var words []string
		for _, c := range there.said("") {
			switch word, _, _ := strings.Cut(c, " "); word {
			case "APOP", "USER", "PASS":
				words = append(words, word)
			}
		}
		if got := strings.Join(words, " "); got != test.want {
			t.Errorf("%s after %q, where %q is refused: the login is %q, want %q", test.options, test.greeting, test.refuse, got, test.want)
		}
	}
}

func TestPasswordsStayOutOfTheLog(t *testing.T) {
	s, there := newSite(t), newScripted(t, mailText)
	there.refuse("PASS", "-ERR wrong password "+secret+"\r\n", false)
	s.link(there.addr, "CLR")
	s.fetch()
	if log := s.logs.String(); strings.Contains(log, secret) || !strings.Contains(log, "wrong password *") {
		t.Errorf("the log is\n%s", log)
	}
}

func TestOpenLinesGetNoPasswordAtLevel1(t *testing.T) {
	for options, want := range map[string]int{"APOP": 0, "STLS": 0, "CLR": 1, "CLR,STLS": 1} {
		s, there := newSite(t, "CompatLevel", "1"), newScripted(t, mailText)
		there.greeting = "+OK"
		there.refuse("STLS", "-ERR\r\n", false)
		s.hosts["far.test"] = netip.MustParseAddr("192.0.2.1")
		s.link("far.test"+there.addr[strings.LastIndex(there.addr, ":"):], options)
		s.fetch()
		if got := len(there.said("PASS")); got != want {
			t.Errorf("%s: the password was sent %d times, want %d", options, got, want)
		}
		s.taken()
	}
}

// TestLockThatCannotBeRemovedIsRemovedLater has a disk that refuses it for a while: a
// folder that is not empty is in the place of the lock.
func TestLockThatCannotBeRemovedIsRemovedLater(t *testing.T) {
	s, there := newSite(t), newScripted(t, mailText, mailText)
	s.link(there.addr, "CLR")
	lock := filepath.Join(s.dir, locksDir, "bob@"+strings.ReplaceAll(there.addr, ":", "_")+".lock")
	there.on(func(command string) (string, bool, bool) {
		if command != "QUIT" {
			return "", false, false
		}
		if err := os.Remove(lock); err != nil {
			t.Error(err)
		}
		write(t, filepath.Join(lock, "x"), "")
		return "", true, true // nothing is deleted there
	})
	s.fetch()
	there.on(nil)
	s.wantTaken(2)
	s.fetch()
	if there.left() != 2 {
		t.Error("the lock does not keep others away")
	}
	if err := os.Remove(filepath.Join(lock, "x")); err != nil {
		t.Fatal(err)
	}
	s.fetch()
	s.wantTaken(0)
	if n := there.left(); n != 0 {
		t.Errorf("%d messages are left there, want none: nobody holds the lock", n)
	}
}

func TestTenThousandMessagesThatStayAreCheap(t *testing.T) {
	s, there := newSite(t), newScripted(t)
	for n := range 10_000 {
		there.mails = append(there.mails, letter{fmt.Sprintf("a-uid-of-some-length-%d", n), mailText})
	}
	s.link(there.addr, "CLR,Leave")
	var known strings.Builder
	for n := range 9_998 {
		fmt.Fprintf(&known, "a-uid-of-some-length-%d\n", n)
	}
	file := filepath.Join(s.dir, "msgsync", strings.ReplaceAll(there.addr, ":", "_"), "bob.uidb")
	write(t, file, known.String())
	s.fetch()
	s.wantTaken(2)
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	there.said("")
	s.fetch()
	want := []string{"USER bob", "PASS " + secret, "STAT", "UIDL", "QUIT"}
	if d := cmp.Diff(want, there.said("")); d != "" {
		t.Errorf("commands where nothing is new (-want +got):\n%s", d)
	}
	after, err := os.Stat(file)
	if err != nil || !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
		t.Errorf("the file was written anew though nothing has come (%v)", err)
	}
}

func TestMemoryForgetsWhatIsLongGone(t *testing.T) {
	s, there := newSite(t), newScripted(t, mailText)
	s.link(there.addr, "CLR,Leave")
	var old strings.Builder
	for n := range 2 * manyStale {
		fmt.Fprintf(&old, "old-%d\r\n", n)
	}
	file := filepath.Join(s.dir, "msgsync", strings.ReplaceAll(there.addr, ":", "_"), "bob.uidb")
	write(t, file, old.String()+"cut of")
	s.fetch()
	s.wantTaken(1)
	if text, err := os.ReadFile(file); string(text) != "uid-0\n" {
		t.Errorf("the file has %d bytes (%v), want the one UID that is there", len(text), err)
	}
}

func TestFloodsHarmTheirLinkOnly(t *testing.T) {
	endless := strings.Repeat("1 x\r\n", 1<<17)
	for name, refuse := range map[string][2]string{
		"line":    {"STAT", strings.Repeat("+OK ", 1<<16)},
		"UIDL":    {"UIDL", "+OK\r\n" + endless},
		"LIST":    {"LIST", "+OK\r\n" + endless},
		"message": {"RETR", "+OK\r\n" + strings.Repeat(strings.Repeat("text", 100)+"\r\n", 1<<16)},
		"STAT":    {"STAT", "+OK 99999999999999999999 1\r\n"},
		"garbage": {"STAT", "\x16\x03\x01\r\n"},
		"numbers": {"UIDL", "+OK\r\n-1 x\r\n.\r\n"},
	} {
		s, bad, good := newSite(t), newScripted(t), newScripted(t, mailText)
		for range 20 {
			bad.mails = append(bad.mails, letter{fmt.Sprint("u", len(bad.mails)), mailText})
		}
		bad.refuse(refuse[0], refuse[1], false)
		s.link(bad.addr, "CLR")
		s.link(good.addr, "CLR")
		s.fetch()
		s.wantTaken(1)
		if bad.left() != 20 {
			t.Errorf("%s: %d messages are left there, want 20", name, bad.left())
		}
		lines := s.lines()
		if got := strings.Join(lines, "; "); !strings.Contains(got, "SYNC=EFAIL") || !strings.Contains(got, "SYNC=OK 1") {
			t.Errorf("%s: log %q, want one failure and one message", name, got)
		}
	}
}

func TestServersThatHangAreGivenUp(t *testing.T) {
	for _, step := range []string{"USER", "STAT", "UIDL", "RETR", "DELE", "QUIT"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			s, there := newSite(t), newScripted(t, mailText)
			s.o.Timeout = time.Second // for the steps before, too
			reply := ""
			if step == "RETR" {
				reply = "+OK\r\nSubject: half\r\n\r\n"
			}
			there.refuse(step, reply, false)
			s.link(there.addr, "CLR")
			s.fetch()
			all := s.lines()
			if !strings.HasPrefix(all[0], "SYNC=EFAIL") {
				t.Errorf("a server that hangs at %s: %q, want a failure", step, all)
			}
			want := 0
			if step == "DELE" || step == "QUIT" {
				want = 1
			}
			s.wantTaken(want)
		})
	}
}

func TestServersThatDripAreGivenUp(t *testing.T) {
	c := &deadlineConn{}
	p := &paced{Conn: c, timeout: time.Minute, began: time.Now().Add(-time.Hour)}
	for _, test := range []struct {
		bytes int64
		late  bool
	}{{0, true}, {leastRate * 60, true}, {leastRate * 3600, false}} {
		p.bytes = test.bytes
		if _, err := p.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if late := c.last.Before(time.Now()); late != test.late {
			t.Errorf("after an hour and %d bytes the time is over: %v, want %v", test.bytes, late, test.late)
		}
		if c.last.After(time.Now().Add(time.Minute)) {
			t.Errorf("after %d bytes the deadline is %v, want a minute at most", test.bytes, time.Until(c.last))
		}
	}
}

func TestLinksThatFailRest(t *testing.T) {
	s, there := newSite(t), newScripted(t, mailText)
	s.o.Interval = time.Minute
	there.refuse("PASS", "-ERR\r\n", false)
	s.link(there.addr, "CLR")
	tries := func(asked bool) int {
		s.pass(t.Context(), asked)
		s.sessions.Wait()
		return len(there.said("PASS"))
	}
	got := []int{tries(false), tries(false), tries(false), tries(true)}
	if d := cmp.Diff([]int{1, 1, 0, 1}, got); d != "" {
		t.Errorf("tries of a link that fails (-want +got):\n%s", d)
	}
	there.on(nil)
	tries(true)
	s.wantTaken(1)
	if got := tries(false); got != 1 {
		t.Errorf("a link that works again is tried %d times, want once", got)
	}
}

func TestLoopsEnd(t *testing.T) {
	s, there := newSite(t), newScripted(t, strings.Repeat("Received: from a by b\r\n", leastHops+1)+"\r\n")
	s.link(there.addr, "CLR")
	s.fetch()
	s.wantTaken(0)
	if there.left() != 1 {
		t.Error("a message that goes in circles was deleted")
	}
}

func TestAdminTakesOptionsOfLinks(t *testing.T) {
	s := newSite(t)
	n := admin.NewLink{Domain: "here.test", Name: "ann", Host: "x.test", RemoteName: "b", Password: "x", Options: "POP3S,Verify=0,Leave"}
	if err := s.admin.LinkAdd(t.Context(), n); err != nil {
		t.Errorf("LinkAdd: %v", err)
	}
	n.Host, n.Options = "y.test", "Verify=yes"
	if err := s.admin.LinkAdd(t.Context(), n); err == nil {
		t.Error("LinkAdd takes Verify=yes")
	}
}

// A deadlineConn tells the deadlines of reads.
type deadlineConn struct {
	net.Conn
	last time.Time
}

func (c *deadlineConn) SetReadDeadline(t time.Time) error { c.last = t; return nil }
func (c *deadlineConn) Read(p []byte) (int, error)        { return len(p), nil }
