package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// at gives a file a time, in seconds since 1970.
func at(t testing.TB, name string, seconds int64) {
	t.Helper()
	when := time.Unix(seconds, 0)
	if err := os.Chtimes(name, when, when); err != nil {
		t.Fatal(err)
	}
}

func openDrop(t testing.TB, s *Store, u mailroot.User) *Drop {
	t.Helper()
	d, err := s.Open(t.Context(), u, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// uids lists the messages of a drop.
func uids(d *Drop) []string {
	var all []string
	for i := range d.Len() {
		all = append(all, d.Message(i).UID)
	}
	return all
}

func readMessage(t testing.TB, d *Drop, i int) string {
	t.Helper()
	b, err := d.Open(i)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(b)
	if err := errors.Join(err, b.Close()); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestMessagesAreInTheOrderOfTheirTimes(t *testing.T) {
	root := newRoot(t, false)
	setVars(t, root)
	box := filepath.Join(annDir(root), "Maildir")
	for name, seconds := range map[string]int64{
		"new/c": 100, "new/b": 300, "new/a": 300, "cur/d:2,S": 200, "cur/e": 50, "cur/f:2,": 300,
	} {
		write(t, filepath.Join(box, name), strings.Repeat("x", int(seconds/100)))
		at(t, filepath.Join(box, name), seconds)
	}
	write(t, filepath.Join(box, "new", ".hidden"), "x")
	write(t, filepath.Join(box, "tmp", "unfinished"), "x")
	if err := os.MkdirAll(filepath.Join(box, "new", "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("c", filepath.Join(box, "new", "link")); err != nil {
		t.Fatal(err)
	}
	d := openDrop(t, New(root, Options{}), ann(t, root))
	if diff := cmp.Diff([]string{"e", "c", "d", "a", "b", "f"}, uids(d)); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if d.Len() != 6 || d.Bytes() != 12 {
		t.Errorf("%d messages of %d bytes, want 6 of 12", d.Len(), d.Bytes())
	}
	if m := d.Message(2); m.Size != 2 || d.Size(2) != 2 {
		t.Errorf("size %d, want 2", m.Size)
	}
}

func TestCurIsListedWhereAVariableSaysSo(t *testing.T) {
	for _, test := range []struct {
		level, server, user string
		want                []string
	}{
		{"0", "", "", []string{"a"}},
		{"1", "", "", []string{"a", "b"}},
		{"0", "1", "", []string{"a", "b"}},
		{"1", "0", "", []string{"a"}},
		{"0", "", "1", []string{"a", "b"}},
		{"1", "", "0", []string{"a"}},
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			root := newRoot(t, false)
			write(t, root.Path("server.tab"), fmt.Sprintf("\"CompatLevel\"\t\"%s\"\n", test.level))
			if test.server != "" {
				write(t, root.Path("server.tab"), fmt.Sprintf("\"CompatLevel\"\t\"%s\"\n\"Pop3ScanCur\"\t\"%s\"\n", test.level, test.server))
			}
			if _, err := root.Store.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			if test.user != "" {
				setVars(t, root, "\"Pop3ScanCur\"\t\""+test.user+"\"")
			}
			box := filepath.Join(annDir(root), "Maildir")
			for i, name := range []string{"new/a", "cur/b:2,S"} {
				write(t, filepath.Join(box, name), "x")
				at(t, filepath.Join(box, name), int64(i))
			}
			if diff := cmp.Diff(test.want, uids(openDrop(t, New(root, Options{}), ann(t, root)))); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUIDsAreAsTheProtocolWantsThem(t *testing.T) {
	allowed := regexp.MustCompile(`^[!-~]{1,70}$`)
	names := []string{
		"1700000000123.7f01.3e8.1a.host", "1700000000.M1P2.host,S=3", strings.Repeat("n", 70),
		strings.Repeat("n", 71), strings.Repeat("n", 72), "with blank", "with\ttab", "ümlaut", "\xff", ":2,S",
	}
	seen := map[string]string{}
	for i, name := range names {
		got := uid(name)
		if !allowed.MatchString(got) {
			t.Errorf("UID of %q is %q, which RFC 1939 does not allow", name, got)
		}
		if i < 3 && got != name {
			t.Errorf("UID of %q is %q, want the name", name, got)
		}
		if other, ok := seen[got]; ok {
			t.Errorf("%q and %q have the same UID %q", name, other, got)
		}
		seen[got] = name
		if i < len(names)-1 && uid(name+":2,FS") != got {
			t.Errorf("UID of %q changes with its flags", name)
		}
	}
}

func TestUIDsOfTheReferenceStay(t *testing.T) {
	name := "1700000000123.7f12ab345678.1a2b.3f.ip-172-31-12-34.ap-northeast-1.compute.internal"
	for _, file := range []string{name, name + ":2,S"} {
		if got := uid(file); got != name {
			t.Errorf("UID of %q is %q, want %q: clients have the message by that", file, got, name)
		}
	}
}

func TestFullDiskKeepsNobodyFromTheMailbox(t *testing.T) {
	root := newRoot(t, false)
	s := New(root, Options{FS: &fullFS{FS: tabfile.OS()}})
	openDrop(t, s, ann(t, root)).Close()
	if got := files(t, root.Path("pop3locks")); len(got) != 0 {
		t.Errorf("pop3locks holds %v after the session, want nothing", got)
	}
}

func TestASecondSessionIsRefused(t *testing.T) {
	root := newRoot(t, false)
	s := New(root, Options{})
	lock := root.Path("pop3locks/ann@example.test.lock")
	d, err := s.Open(t.Context(), ann(t, root), "session 7")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(lock); string(text) != "session 7\x00" {
		t.Errorf("lock file holds %q (%v), want the owner", text, err)
	}
	if _, err := s.Open(t.Context(), ann(t, root), ""); !errors.Is(err, ErrLocked) {
		t.Errorf("second session: %v, want ErrLocked", err)
	}
	if err := s.Deliver(t.Context(), ann(t, root), message("m", "x")); err != nil {
		t.Errorf("delivery during a session: %v", err)
	}
	d.Close()
	if _, err := os.Stat(lock); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("lock file after the session: %v, want none", err)
	}
	next := openDrop(t, s, ann(t, root))
	if next.Len() != 1 {
		t.Errorf("%d messages, want the one that came during the session before", next.Len())
	}
	d.Close()
	if _, err := s.Open(t.Context(), ann(t, root), ""); !errors.Is(err, ErrLocked) {
		t.Errorf("after a session was closed twice the next one is not alone: %v, want ErrLocked", err)
	}
}

func TestLockFilesOfADeadProcessBlockNobody(t *testing.T) {
	root := newRoot(t, false)
	lock := root.Path("pop3locks/ann@example.test.lock")
	write(t, lock, "1\x00")
	write(t, root.Path("pop3locks/README"), "mine")
	d, err := New(root, Options{}).Open(t.Context(), ann(t, root), "")
	if err != nil {
		t.Fatalf("session: %v", err)
	}
	d.Close()
	write(t, lock, "1\x00")
	if err := New(root, Options{}).CleanLocks(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"README": "mine"}, files(t, root.Path("pop3locks"))); diff != "" {
		t.Errorf("pop3locks (-want +got):\n%s", diff)
	}
	if err := os.RemoveAll(root.Path("pop3locks")); err != nil {
		t.Fatal(err)
	}
	if err := New(root, Options{}).CleanLocks(); err != nil {
		t.Errorf("without the folder: %v", err)
	}
	openDrop(t, New(root, Options{}), ann(t, root))
	if got := files(t, root.Path("pop3locks")); len(got) != 1 {
		t.Errorf("pop3locks holds %v, want the lock", got)
	}
}

func TestMessagesAreFoundWhereOtherProgramsMoveThem(t *testing.T) {
	root := newRoot(t, false)
	box := filepath.Join(annDir(root), "Maildir")
	for i, name := range []string{"a", "b", "c", "d"} {
		write(t, filepath.Join(box, "new", name), "text of "+name)
		at(t, filepath.Join(box, "new", name), int64(i))
	}
	d := openDrop(t, New(root, Options{}), ann(t, root))
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(filepath.Join(box, from), filepath.Join(box, to)); err != nil {
			t.Fatal(err)
		}
	}
	move("new/a", "cur/a:2,")
	if got := readMessage(t, d, 0); got != "text of a" {
		t.Errorf("moved message is %q", got)
	}
	move("cur/a:2,", "cur/a:2,S")
	if got := readMessage(t, d, 0); got != "text of a" {
		t.Errorf("flagged message is %q", got)
	}
	if err := os.Remove(filepath.Join(box, "new", "b")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Open(1); !errors.Is(err, ErrGone) {
		t.Errorf("removed message: %v, want ErrGone", err)
	}
	move("cur/a:2,S", "cur/a:2,RS")
	move("new/c", "cur/c:2,")
	if err := d.Delete(0, 1, 2); err != nil {
		t.Errorf("removal: %v", err)
	}
	if diff := cmp.Diff([]string{"d"}, slices.Collect(maps.Keys(files(t, filepath.Join(box, "new"))))); diff != "" {
		t.Errorf("new (-want +got):\n%s", diff)
	}
	if got := files(t, filepath.Join(box, "cur")); len(got) != 0 {
		t.Errorf("cur holds %v, want nothing", got)
	}
}

func TestAMessageSeenTwiceIsListedOnce(t *testing.T) {
	root := newRoot(t, false)
	box := filepath.Join(annDir(root), "Maildir")
	write(t, filepath.Join(box, "new", "m"), "x")
	write(t, filepath.Join(box, "cur", "m:2,S"), "x")
	write(t, filepath.Join(box, "cur", "n:2,"), "x")
	write(t, filepath.Join(box, "cur", "n:2,S"), "x")
	got := uids(openDrop(t, New(root, Options{}), ann(t, root)))
	slices.Sort(got)
	if diff := cmp.Diff([]string{"m", "n"}, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

func TestAListIsKeptUntilTheFolderChanges(t *testing.T) {
	root := newRoot(t, false)
	fsys := &countingFS{FS: osFS()}
	now := time.Now()
	s := New(root, Options{FS: fsys, Clock: func() time.Time { return now }})
	fresh := filepath.Join(annDir(root), "Maildir", "new")
	for i := range 10 {
		write(t, filepath.Join(fresh, fmt.Sprint(i)), "x")
	}
	look := func(want, reads, asks int) {
		t.Helper()
		fsys.reads, fsys.lstats = 0, 0
		d, err := s.Open(t.Context(), ann(t, root), "")
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if d.Len() != want || fsys.lstats != asks || fsys.reads != reads {
			t.Errorf("%d messages after %d reads of folders and %d looks at files, want %d, %d and %d",
				d.Len(), fsys.reads, fsys.lstats, want, reads, asks)
		}
	}
	now = now.Add(time.Minute)
	look(10, 2, 10)
	look(10, 0, 0)
	write(t, filepath.Join(fresh, "10"), "x")
	look(11, 1, 1)
	if err := os.Remove(filepath.Join(fresh, "3")); err != nil {
		t.Fatal(err)
	}
	look(10, 1, 0)
	now = now.Add(keepTime)
	look(10, 2, 10)
	s.lists.max = 5
	write(t, filepath.Join(fresh, "11"), "x")
	look(11, 2, 1) // both had to go
	if f, _ := s.lists.known(fresh); f != nil || s.lists.total > 5 || s.lists.total < 0 {
		t.Errorf("%d entries are remembered, want 5 at most", s.lists.total)
	}
}

// TestOwnChangesAreSeenWhateverTheTimesTell uses a clock by which every folder has
// rested for long.
func TestOwnChangesAreSeenWhateverTheTimesTell(t *testing.T) {
	root := newRoot(t, false)
	s := New(root, Options{Clock: func() time.Time { return time.Now().Add(time.Hour) }})
	folder := filepath.Join(annDir(root), "Maildir", "new")
	for i := range 3 {
		if err := s.Deliver(t.Context(), ann(t, root), message(fmt.Sprint("m", i), "x")); err != nil {
			t.Fatal(err)
		}
		at(t, folder, 1000) // as if nothing had changed
		d := openDrop(t, s, ann(t, root))
		if d.Len() != i+1 {
			t.Errorf("%d messages after delivery %d", d.Len(), i+1)
		}
		d.Close()
	}
	d := openDrop(t, s, ann(t, root))
	if err := d.Delete(0, 1); err != nil {
		t.Fatal(err)
	}
	d.Close()
	at(t, folder, 1000)
	if d := openDrop(t, s, ann(t, root)); d.Len() != 1 {
		t.Errorf("%d messages after the removal, want 1", d.Len())
	}
}

func TestOpeningEndsWithItsContext(t *testing.T) {
	root := newRoot(t, false)
	write(t, filepath.Join(annDir(root), "Maildir", "new", "m"), "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := New(root, Options{})
	if _, err := s.Open(ctx, ann(t, root), ""); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v, want context.Canceled", err)
	}
	openDrop(t, s, ann(t, root)) // it is not locked
}

func TestFilesOfTheReferenceAreUnstuffed(t *testing.T) {
	for _, test := range []struct{ stored, want string }{
		{"", ""},
		{".", "."},
		{"..", "."},
		{"...", ".."},
		{"A: b\n\r\n..\r\n...\r\n.x\r\n..", "A: b\n\r\n.\r\n..\r\n.x\r\n."},
		{"a..b\r\n\n..c", "a..b\r\n\n.c"},
		{strings.Repeat("..line\r\n", 20000), strings.Repeat(".line\r\n", 20000)},
		{strings.Repeat("\n..", 30000), strings.Repeat("\n.", 30000)},
	} {
		for _, reader := range []func(io.Reader) io.Reader{
			func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader,
		} {
			got, err := io.ReadAll(&unstuffer{src: reader(strings.NewReader(test.stored)), start: true})
			if err != nil || string(got) != test.want {
				t.Errorf("%.40q is read as %.40q (err %v), want %.40q", test.stored, got, err, test.want)
			}
		}
	}
	root := newRoot(t, false)
	box := filepath.Join(annDir(root), "Maildir", "new")
	for i, name := range []string{"1700000000123.7f01.3e8.1a.host.example", "S1A2B.host", "1700000000.M1P2.host"} {
		write(t, filepath.Join(box, name), "..\r\n")
		at(t, filepath.Join(box, name), int64(i))
	}
	d := openDrop(t, New(root, Options{}), ann(t, root))
	for i, want := range []string{".\r\n", "..\r\n", "..\r\n"} {
		if got := readMessage(t, d, i); got != want {
			t.Errorf("%s is %q, want %q", d.Message(i).UID, got, want)
		}
	}
}

func TestNamesOfTheReferenceAreKnown(t *testing.T) {
	for name, want := range map[string]bool{
		"1700000000123.7f01.3e8.1a.host":          true,
		"1700000000123.7f01.3e8.1a.host:2,S":      true,
		"1700000000123.7f01.3e8.1a.mail.host.org": true,
		"1700000000123.7f01.3e8.1a.":              false,
		"1700000000123.7f01.3e8.host":             false,
		"170000000012.7f01.3e8.1a.host":           false,
		"17000000001234.7f01.3e8.1a.host":         false,
		"1700000000123.7F01.3e8.1a.host":          false,
		"1700000000123..3e8.1a.host":              false,
		"1700000000123":                           false,
		"":                                        false,
	} {
		if got := isStuffed(name); got != want {
			t.Errorf("isStuffed(%q) = %v, want %v", name, got, want)
		}
	}
}
