package spool

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func takeOver(t *testing.T, q *Queue, due func(time.Time, int) time.Time) Takeover {
	t.Helper()
	taken, err := q.TakeOver(t.Context(), due)
	if err != nil {
		t.Fatal(err)
	}
	return taken
}

func lease(t *testing.T, q *Queue) *Lease {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	l, err := q.Lease(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func read(t *testing.T, r io.ReadCloser, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const oldMessage = "[192.0.2.7]:51234;[2001:db8::1]:25;Tue, 14 Nov 2023 22:13:20 +0100\r\nmail.test\r\nS1A2B\r\n" +
	"mail from:<a@x.test> SIZE=1 BODY=8BITMIME RET=HDRS ENVID=a+2Bb\r\nRCPT TO:<@relay.test:bob@y.test> NOTIFY=NEVER\r\n<<MAIL-DATA>>\r\n" +
	"X-AuthUser: ann:x.test\r\nSubject: x\r\n\r\n..dot\r\n...\r\nbare\nno end"

func TestOldMessageIsTakenOverWithItsFacts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	const name = "1700000000123.7f01.3e8.1a.host"
	write(t, filepath.Join(dir, "3/4/rsnd", name), oldMessage)
	slog := "[PeekTime] 1799990000 : a\n[PeekTime] 1799999999 : b\n<<\nErrCode   = -1\n>>"
	write(t, filepath.Join(dir, "3/4/slog", name), slog)
	write(t, filepath.Join(dir, "3/4/mprc", name), "\"smtprelay\"\t\"z.test\"\n")
	q, c := openQueue(t, dir)
	taken := takeOver(t, q, func(last time.Time, tries int) time.Time {
		if !last.Equal(time.Unix(1799999999, 0)) || tries != 2 {
			t.Errorf("last attempt at %v of %d, want 1799999999 of 2", last.Unix(), tries)
		}
		return c.now.Add(-time.Second)
	})
	if diff := cmp.Diff(Takeover{Messages: 1}, taken); diff != "" {
		t.Errorf("taken over (-want +got):\n%s", diff)
	}
	l := lease(t, q)
	at, err := time.Parse(time.RFC3339, "2023-11-14T22:13:20+01:00")
	if err != nil {
		t.Fatal(err)
	}
	want := Envelope{
		ID: "S1A2B", Time: at, Client: netip.MustParseAddrPort("192.0.2.7:51234"), Server: netip.MustParseAddrPort("[2001:db8::1]:25"),
		Domain: "mail.test", From: "a@x.test", Mail: "mail from:<a@x.test> SIZE=1 BODY=8BITMIME RET=HDRS ENVID=a+2Bb", Login: "ann:x.test",
		Body: "8BITMIME", Ret: "HDRS", EnvID: "a+b", Recipients: []Recipient{{Address: "@relay.test:bob@y.test", Notify: "NEVER"}},
	}
	if diff := cmp.Diff(want, l.Envelope, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }), cmp.Comparer(time.Time.Equal)); diff != "" {
		t.Errorf("envelope (-want +got):\n%s", diff)
	}
	if got, want := text(t, l.Open), "X-AuthUser: ann:x.test\r\nSubject: x\r\n\r\n.dot\r\n..\r\nbare\r\nno end\r\n"; got != want || l.Size() != int64(len(want)) {
		t.Errorf("message %q, size %d, want %q", got, l.Size(), want)
	}
	if l.Tries(0) != 2 || !l.Again {
		t.Errorf("%d attempts, again %v, want 2, true", l.Tries(0), l.Again)
	}
	if got, err := l.History(0); err != nil || got != slog+"\n" {
		t.Errorf("history %q, %v, want the old log", got, err)
	}
	commands, mailproc, err := l.Commands()
	if got := read(t, commands, err); !strings.Contains(got, "z.test") || !mailproc {
		t.Errorf("commands %q, of a mailproc.tab %v", got, mailproc)
	}
	for _, left := range []string{"rsnd", "slog"} {
		if names := files(t, filepath.Join(dir, "3/4", left)); len(names) > 0 {
			t.Errorf("%s still has %q", left, names)
		}
	}

	// Given up, it is where it was, under its name, and begins anew from there.
	n, err := l.Freeze(0, Attempt{Time: c.now, Reply: "550 no"})
	if err != nil || n != (Name{3, 4, name}) {
		t.Fatalf("frozen as %v, %v", n, err)
	}
	if err := q.CheckSubmit(n); !errors.Is(err, fs.ErrExist) {
		t.Errorf("submit while it is in the queue: %v, want %v", err, fs.ErrExist)
	}
	if err := l.End(map[int]Outcome{0: {State: StateFrozen}}); err != nil {
		t.Fatal(err)
	}
	tree := Tree{Dir: dir}
	frozen, err := tree.Message(n)
	if got, want := read(t, frozen, err), strings.Replace(oldMessage, "bare\nno end", "bare\r\nno end\r\n", 1); stripTime(got) != stripTime(want) {
		t.Errorf("frozen file:\n%q, want\n%q", got, want)
	}
	log, err := tree.Log(n)
	if got := read(t, log, err); !strings.HasPrefix(got, "Login = \"ann:x.test\"\n"+slog+"\n[PeekTime] 1800000000 : ") || !strings.HasSuffix(got, "SMTP-Error = \"550 no\"\n>>\n") {
		t.Errorf("log of the frozen message: %q", got)
	}
	if err := q.Submit(n); err != nil {
		t.Fatal(err)
	}
	l = lease(t, q)
	if l.Tries(0) != 0 || l.Recipients[0].Address != "@relay.test:bob@y.test" {
		t.Errorf("submitted to %q after %d attempts", l.Recipients[0].Address, l.Tries(0))
	}
	if _, _, err := l.Commands(); !errors.Is(err, ErrNotFound) {
		t.Errorf("commands of the submitted message: %v, want %v", err, ErrNotFound)
	}
	for _, err := range []error{q.Submit(n), q.CheckSubmit(n)} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("submit again: %v, want %v", err, ErrNotFound)
		}
	}
	if err := q.Submit(Name{File: "../x"}); !errors.Is(err, ErrName) {
		t.Errorf("submit of a path: %v, want %v", err, ErrName)
	}
}

// stripTime takes the time out of the first line, which is in the zone of the server.
func stripTime(file string) string {
	first, rest, _ := strings.Cut(file, "\r\n")
	return first[:strings.LastIndexByte(first, ';')] + rest
}

func TestFilesThatAreNoMessagesArePutAsideAndNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	write(t, filepath.Join(dir, "0/0/mess/1.rej"), "554 no\r\n")
	write(t, filepath.Join(dir, "0/0/mess/.hidden"), "x")
	write(t, filepath.Join(dir, "0/0/rsnd/2.empty"), "")
	write(t, filepath.Join(dir, "0/0/mess/3.good"), good)
	write(t, filepath.Join(dir, "0/0/rsnd/3.good"), strings.Replace(good, "Subject: x", "Subject: y", 1)) // another one
	write(t, filepath.Join(dir, "0/0/slog/4.orphan"), "x")
	write(t, filepath.Join(dir, "0/0/mprc/4.orphan"), "x")
	write(t, filepath.Join(dir, "0/0/temp/5.half"), "x")
	write(t, filepath.Join(dir, "0/0/froz/6.frozen"), good)
	write(t, filepath.Join(dir, "0/0/slog/6.frozen"), "x")
	write(t, filepath.Join(dir, "0/name/mess/7"), good)
	write(t, filepath.Join(dir, badDir, "0-0-mess-1.rej"), "of before")
	outside := filepath.Join(filepath.Dir(dir), "outside")
	write(t, outside, good)
	link := filepath.Join(dir, "0/0/mess/8.link")
	if err := os.Symlink(outside, link); err != nil {
		t.Fatal(err)
	}
	q, _ := openQueue(t, dir)
	bad := func(name string) string { return filepath.Join(dir, badDir, name) }
	want := Takeover{
		Messages: 1, Aside: []string{bad("0-0-mess-1.rej.2"), bad("0-0-rsnd-2.empty"), bad("0-0-rsnd-3.good")}, Left: []string{link},
	}
	if diff := cmp.Diff(want, takeOver(t, q, nil)); diff != "" {
		t.Errorf("taken over (-want +got):\n%s", diff)
	}
	if got := text(t, lease(t, q).Open); got != "Subject: x\r\n" {
		t.Errorf("message %q in the queue, want the good one", got)
	}
	for folder, want := range map[string][]string{
		"mess": {".hidden", "8.link"}, "rsnd": nil, "slog": {"6.frozen"}, "mprc": nil, "temp": nil, "froz": {"6.frozen"}, "../name/mess": {"7"},
	} {
		if diff := cmp.Diff(want, files(t, filepath.Join(dir, "0/0", folder))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", folder, diff)
		}
	}
	if diff := cmp.Diff(Takeover{Left: want.Left}, takeOver(t, q, nil)); diff != "" {
		t.Errorf("taken over again (-want +got):\n%s", diff)
	}
}

func TestFrozenMessageIsAsTheReferenceWritesIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	q, c := openQueue(t, dir)
	e := sample
	e.Domain, e.Ret, e.EnvID, e.Mail = "mail.test", "FULL", "a=b", "MAIL FROM:<other@x.test>"
	e.Login, e.Account = "ann", "ann@x.test\n[PeekTime] 1 : forged"
	put(t, q, e, "Subject: x\r\n\r\n.dot\r\n..\r\n")
	l := lease(t, q)
	if err := l.End(map[int]Outcome{0: {State: StateQueued, Until: c.now, Note: "451 later"}, 1: {State: StateQueued, Until: c.now, Note: "452 full"}}); err != nil {
		t.Fatal(err)
	}
	l = lease(t, q)
	if err := l.End(map[int]Outcome{0: {State: StateQueued, Until: c.now, Free: true, Note: "busy"}, 1: {State: StateQueued, Until: c.now, Free: true, Note: "busy"}}); err != nil {
		t.Fatal(err) // that is no attempt
	}
	l = lease(t, q)
	var names []Name
	for place := range l.Recipients {
		n, err := l.Freeze(place, Attempt{
			Time: c.now, Error: "Bad\r\nthings", Info: "mx.test", Text: "SMAIL\n[PeekTime] 1 : forged\n>>",
			Reply: "550-first\r\n550 \x1b[31mred\nSMTP-Server = \"x\"", Server: "mx.test",
		})
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, n)
		if again, err := l.Freeze(place, Attempt{Time: c.now, Reply: "550 no"}); err != nil || again != n {
			t.Errorf("frozen again as %v, %v; want %v", again, err, n)
		}
	}
	if names[0] == names[1] {
		t.Fatalf("two recipients are frozen as %v", names[0])
	}
	n, err := l.Freeze(1, Attempt{
		Time: c.now, Error: "Bad\r\nthings", Info: "mx.test", Text: "SMAIL\n[PeekTime] 1 : forged\n>>",
		Reply: "550-first\r\n550 \x1b[31mred\nSMTP-Server = \"x\"", Server: "mx.test",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.End(map[int]Outcome{0: {State: StateFrozen}, 1: {State: StateFrozen}}); err != nil {
		t.Fatal(err)
	}
	tree := Tree{Dir: dir}
	f, err := tree.Message(n)
	want := "[192.0.2.7]:5123;[127.0.0.1]:0;" + e.Time.Local().Format("Mon, 2 Jan 2006 15:04:05 -0700") + "\r\nmail.test\r\nS2\r\n" +
		"MAIL FROM:<a@x.test> BODY=8BITMIME RET=FULL ENVID=a+3Db\r\nRCPT TO:<täg@foo.test> NOTIFY=NEVER ORCPT=rfc822;x@y\r\n<<MAIL-DATA>>\r\n" +
		"Subject: x\r\n\r\n..dot\r\n...\r\n"
	if got := read(t, f, err); got != want {
		t.Errorf("frozen file:\n%q, want\n%q", got, want)
	}
	log, err := tree.Log(n)
	want = "Login = \"ann\"\nAccount = \"ann@x.test?[PeekTime] 1 : forged\"\n[PeekTime] 1800000000 : T\n<<\nErrCode   = -1\nErrString = Delivery error\n452 full\n>>\n" +
		"[PeekTime] 1800000000 : T\n<<\nErrCode   = -1\nErrString = Bad??things\nErrInfo   = mx.test\nSMAIL\n [PeekTime] 1 : forged\n >>\n" +
		"SMTP-Error = \"550-first\r\n550 ?[31mred\r\n SMTP-Server = 'x'\"\nSMTP-Server = \"mx.test\"\n>>\n"
	if got := read(t, log, err); got != strings.ReplaceAll(want, " T\n", " "+c.now.Local().Format(treeTime)+"\n") {
		t.Errorf("log:\n%q, want\n%q", got, want)
	}
	var listed []Frozen
	for f, err := range tree.All() {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, f)
	}
	if len(listed) != 2 {
		t.Fatalf("listed %+v, want two messages", listed)
	}
	for _, f := range listed {
		if f.Name == n && (f.From != "a@x.test" || f.To != "täg@foo.test" || f.Tries != 2 || !f.Last.Equal(c.now) || f.Login != "ann" || !strings.HasPrefix(f.Account, "ann@x.test?")) {
			t.Errorf("listed as %+v", f)
		}
	}
	if err := tree.Delete(names[0]); err != nil {
		t.Errorf("delete: %v", err)
	}
	c.now = c.now.Add(time.Hour)
	if err := q.Submit(n); err != nil {
		t.Fatal(err)
	}
	l = lease(t, q)
	back := l.Envelope
	if back.Login != "ann" || !strings.HasPrefix(back.Account, "ann@x.test?") || !back.Back.Equal(c.now) {
		t.Errorf("submitted as %+v", back)
	}
	if back.From != "a@x.test" || back.Ret != "FULL" || back.EnvID != "a=b" || back.Body != "8BITMIME" || back.Recipients[0] != (Recipient{Address: "täg@foo.test", Notify: "NEVER", ORcpt: "rfc822;x@y"}) {
		t.Errorf("submitted as %+v", back)
	}
	if got := text(t, l.Open); got != "Subject: x\r\n\r\n.dot\r\n..\r\n" {
		t.Errorf("text %q came back", got)
	}
}

func TestTreeHasAsManyFoldersAsAreAskedFor(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	for _, c := range []struct{ asked, want int }{{8, 11}, {0, 11}, {7, 7}, {0, 11}, {23, 23}, {1, 2}, {0, 23}} {
		q, err := Open(t.Context(), dir, Options{Levels: c.asked})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := q.levels(); err != nil || got != c.want {
			t.Errorf("%d levels where %d are asked for, %v; want %d", got, c.asked, err, c.want)
		}
		put(t, q, letter("ann", "a", "b", "c"), "text")
		if _, err := q.FreezeAll(t.Context(), anything); err != nil {
			t.Fatal(err)
		}
		for f, err := range (Tree{Dir: dir}).All() {
			if err != nil || f.Level0 >= c.want || f.Level1 >= c.want {
				t.Errorf("with %d levels a message is frozen as %v, %v", c.want, f.Name, err)
			}
			if err := (Tree{Dir: dir}).Delete(f.Name); err != nil {
				t.Error(err)
			}
		}
		q.Close()
	}
}

func TestNamesOfTheTreeLeadBackToTheQueue(t *testing.T) {
	q, _ := openQueue(t, filepath.Join(t.TempDir(), "spool"))
	for range 100 {
		key := q.newKey(time.Now())
		n := frozenName(key, 7, levels, "mail.test")
		found := liveNames(n, nil)
		if len(found) != 2 || found[1] != (liveName{key, 7}) {
			t.Fatalf("%s is frozen as %v, which leads to %v", key, n, found)
		}
		if n.Level0 >= levels || n.Level1 >= levels {
			t.Errorf("%s is frozen in %d/%d", key, n.Level0, n.Level1)
		}
	}
	for _, parent := range []string{q.newKey(time.Now()), takenKey(Name{3, 4, "1700000000123.7f01.3e8.1a.host"})} {
		key := parent + derivedMark + "0.2"
		q.live[key] = &message{key: key}
		n := frozenName(key, 3, levels, "mail.test")
		if found := liveNames(n, q.digests()); len(found) != 3 || found[1] != (liveName{key, 3}) {
			t.Errorf("%s is frozen as %v, which leads to %v", key, n, found)
		}
		if other := frozenName(key, 4, levels, "mail.test"); other.File == n.File {
			t.Errorf("two recipients of %s are frozen as %v", key, n)
		}
		delete(q.live, key)
	}
	for _, file := range []string{"1700000000123.7f01.3e8.1a.host-1", "x", "-", "a b", "ö", strings.Repeat("x", 250), "1700000000123.7f01.3e8.1a.host-1 "} {
		n := Name{3, 4, file}
		key := takenKey(n)
		back, ok := takenName(key)
		if !ok || back.Level0 != 3 || back.Level1 != 4 || isKeyText(file) && len(file) < 200 && back.File != file {
			t.Errorf("%q has the key %s, which is %v, %v", file, key, back, ok)
		}
		if other := takenKey(Name{4, 3, file}); other == key {
			t.Errorf("%q has the same key in two leaves", file)
		}
		if len(key) > 200 || !isKeyText(key) {
			t.Errorf("%q has the key %q", file, key)
		}
	}
	for in, want := range map[string]string{"mail.test": "mail.test", "": "localhost", "../x": "localhost", "a..b": "a.b", "a/b.c": "c"} {
		if got := nameHost(in); got != want {
			t.Errorf("host %q is named %q, want %q", in, got, want)
		}
	}
}

// FuzzOldMessages reads what may be in a file, and what it writes of it again.
func FuzzOldMessages(f *testing.F) {
	f.Add([]byte(oldMessage))
	f.Add([]byte(good))
	f.Add([]byte(strings.Replace(good, "<a@x.test>", "<\"a>b\"@x.test> ENVID=+", 1) + "\r\n.\r\r\n\n..."))
	f.Add([]byte("a;b;c\n\n\nMAIL FROM:<@r:a@b>\nRCPT TO:<x>\n<<MAIL-DATA>>\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		s, err := readSpoolFile(bytes.NewReader(file))
		if err != nil {
			if !errors.Is(err, errUnloadable) {
				t.Fatalf("%v", err)
			}
			return
		}
		var body bytes.Buffer
		n, err := s.WriteTo(&body)
		if err != nil || n != int64(body.Len()) {
			t.Fatalf("wrote %d of %d bytes: %v", n, body.Len(), err)
		}
		var again bytes.Buffer
		if err := writeSpoolFile(&again, s.Envelope, s.Recipients[0], bytes.NewReader(body.Bytes())); err != nil {
			t.Fatal(err)
		}
		b, err := readSpoolFile(bytes.NewReader(again.Bytes()))
		if err != nil {
			t.Fatalf("%q was written, and cannot be read: %v", again.String(), err)
		}
		if b.From != s.From || b.Recipients[0].Address != s.Recipients[0].Address || b.EnvID != s.EnvID || b.Ret != s.Ret || b.Body != s.Body {
			t.Errorf("envelope %+v came back as %+v", s.Envelope, b.Envelope)
		}
		var back bytes.Buffer
		if _, err := b.WriteTo(&back); err != nil || !bytes.Equal(back.Bytes(), body.Bytes()) {
			t.Errorf("text %q came back as %q, %v", body.String(), back.String(), err)
		}
	})
}
