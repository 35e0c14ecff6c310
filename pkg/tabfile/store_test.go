package tabfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// usersSchema is a table like the reference's accounts.
var usersSchema = &Schema{
	Columns: 3,
	Bare:    1 << 2,
	Check: func(fields []string) error {
		if !isNumber(fields[2]) {
			return fmt.Errorf("bad number %q", fields[2])
		}
		return nil
	},
	Indexes: []Index{
		{Name: "user", Key: func(f []string) (string, bool) { return Fold(f[0]) + "\t" + Fold(f[1]), true }},
		{Name: "id", Key: func(f []string) (string, bool) { return fmt.Sprintf("%020s", f[2]), true }},
	},
	Keep: true,
}

var plainSchema = &Schema{Columns: 1}

// quick are the times of a store under test.
var quick = times{rest: 20 * time.Millisecond, idle: 20 * time.Millisecond, longest: time.Second, trash: time.Minute}

func testOptions(root string, fsys FS) Options {
	return Options{
		Root: root, FS: fsys,
		Tables: map[string]*Schema{"users.tab": usersSchema, "relay.tab": plainSchema},
		SchemaOf: func(name string) *Schema {
			if filepath.Base(name) == "user.tab" {
				return plainSchema
			}
			return nil
		},
		Log:   slog.New(slog.DiscardHandler),
		times: quick,
	}
}

func openStore(t *testing.T, root string) *Store {
	t.Helper()
	s, err := Open(context.Background(), testOptions(root, OS()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // a second Close says so
	return s
}

func writeTestFile(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func wantFile(t *testing.T, root, name, want string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s holds %q, want %q", name, got, want)
	}
}

func addUser(domain, user string, id int) func(*Tx) error {
	return func(tx *Tx) error {
		return tx.Table("users.tab").Append(domain, user, fmt.Sprint(id))
	}
}

func mustUpdate(t *testing.T, s *Store, f func(*Tx) error) {
	t.Helper()
	if err := s.Update(context.Background(), f); err != nil {
		t.Fatal(err)
	}
}

func TestUpdateShowsInFileBeforeItReturns(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "# who\r\n\"a.org\"\t\"ann\"\t1\r\n\r\n\"a.org\"\t\"bob\"\t2")
	s := openStore(t, root)
	mustUpdate(t, s, addUser("a.org", `q"uote`, 3))
	wantFile(t, root, "users.tab",
		"# who\r\n\"a.org\"\t\"ann\"\t1\r\n\r\n\"a.org\"\t\"bob\"\t2\r\n\"a.org\"\t\"q\\\"uote\"\t3\r\n")
	mustUpdate(t, s, func(tx *Tx) error {
		users := tx.Table("users.tab")
		row, ok := users.First("user", "a.org\tann")
		if !ok {
			return errors.New("ann is not found")
		}
		if err := users.Replace(row, "a.org", "anna", "1"); err != nil {
			return err
		}
		row, _ = users.First("user", "a.org\tbob")
		return users.Delete(row)
	})
	wantFile(t, root, "users.tab",
		"# who\r\n\"a.org\"\t\"anna\"\t1\r\n\r\n\"a.org\"\t\"q\\\"uote\"\t3\r\n")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, journalDir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("journal after a clean stop: %v, want none", err)
	}
}

func TestFailedTransactionChangesNothing(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	s := openStore(t, root)
	refused := errors.New("refused")
	err := s.Update(context.Background(), func(tx *Tx) error {
		if err := tx.Table("users.tab").Append("a.org", "bob", "2"); err != nil {
			return err
		}
		if _, ok := tx.Table("users.tab").First("user", "a.org\tbob"); !ok {
			t.Error("a transaction does not see its own row")
		}
		return refused
	})
	if !errors.Is(err, refused) {
		t.Errorf("Update returned %v, want %v", err, refused)
	}
	err = s.Try(context.Background(), addUser("a.org", "bob", 2))
	if err != nil {
		t.Errorf("Try returned %v, want nil", err)
	}
	if n := s.Table("users.tab").Len(); n != 1 {
		t.Errorf("table has %d rows, want 1", n)
	}
	wantFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
}

func TestMissingTableRefusesRows(t *testing.T) {
	s := openStore(t, t.TempDir())
	if s.Table("users.tab").Exists() {
		t.Error("a table without a file exists")
	}
	err := s.Update(context.Background(), addUser("a.org", "ann", 1))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("adding to a missing table: %v, want fs.ErrNotExist", err)
	}
}

func TestVanishedTableKeepsItsRowsForLookUps(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	s := openStore(t, root)
	if err := os.Remove(filepath.Join(root, "users.tab")); err != nil {
		t.Fatal(err)
	}
	err := s.Update(context.Background(), addUser("a.org", "bob", 2))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("adding to a vanished table: %v, want fs.ErrNotExist", err)
	}
	if _, ok := s.Table("users.tab").First("user", "a.org\tann"); !ok {
		t.Error("rows of a vanished table are gone for look-ups")
	}
}

func TestTransactionMakesAndRemovesFolders(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	writeTestFile(t, root, "domains/a.org/x", "")
	s := openStore(t, root)
	makeBob := func(tx *Tx) error {
		err := tx.MakeTree("domains/a.org/bob", []string{"Maildir", "Maildir/new"},
			map[string][]byte{"user.tab": []byte("\"RealName\"\t\"Bob\"\n")})
		if err != nil {
			return err
		}
		return tx.Table("users.tab").Append("a.org", "bob", "2")
	}
	mustUpdate(t, s, makeBob)
	wantFile(t, root, "domains/a.org/bob/user.tab", "\"RealName\"\t\"Bob\"\n")
	if err := s.Update(context.Background(), makeBob); !errors.Is(err, fs.ErrExist) {
		t.Errorf("making a folder twice: %v, want fs.ErrExist", err)
	}
	vars, err := s.File("domains/a.org/bob/user.tab", plainSchema)
	if err != nil || vars.Len() != 1 {
		t.Errorf("user.tab has %d rows, err %v, want 1", vars.Len(), err)
	}
	removeBob := func(tx *Tx) error { return tx.RemoveTree("domains/a.org/bob") }
	mustUpdate(t, s, removeBob)
	if _, err := os.Stat(filepath.Join(root, "domains/a.org/bob")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed folder: %v, want none", err)
	}
	if vars, err = s.File("domains/a.org/bob/user.tab", plainSchema); err != nil || vars.Exists() {
		t.Errorf("user.tab of a removed folder: exists %v, err %v", vars.Exists(), err)
	}
	mustUpdate(t, s, func(tx *Tx) error { return tx.MakeTree("domains/a.org/bob", nil, nil) })
	mustUpdate(t, s, removeBob)
}

func TestEditByHandIsTaken(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n\"a.org\"\t\"old\"\t2\n")
	s := openStore(t, root)
	writeTestFile(t, root, "users.tab", "# edited\n\"a.org\"\t\"ann\"\t1\n\"b.org\"\t\"new\"\t7\n")
	if _, err := s.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the edit", func() bool {
		_, ok := s.Table("users.tab").First("user", "b.org\tnew")
		return ok
	})
	mustUpdate(t, s, addUser("a.org", "bob", 8))
	wantFile(t, root, "users.tab", "# edited\n\"a.org\"\t\"ann\"\t1\n\"b.org\"\t\"new\"\t7\n\"a.org\"\t\"bob\"\t8\n")
	if last, _ := s.Table("users.tab").Last("id"); last.Field(1) != "bob" {
		t.Errorf("greatest id is %q's, want bob's", last.Field(1))
	}
	wantFile(t, root, "tmp/users.tab.before", "\"a.org\"\t\"ann\"\t1\n\"a.org\"\t\"old\"\t2\n")
}

func TestBrokenEditKeepsLastGoodContentAndChangesGoOnTop(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	s := openStore(t, root)
	broken := "\"a.org\"\t\"ann\"\t1\n\"a.org\"\t\"eve\"\tx\n"
	writeTestFile(t, root, "users.tab", broken)
	waitFor(t, "the report of the broken edit", func() bool {
		p := s.Problems()
		return len(p) > 0 && p[0].Error() == `users.tab:2: bad number "x"`
	})
	mustUpdate(t, s, addUser("a.org", "bob", 2))
	if n := s.Table("users.tab").Len(); n != 2 {
		t.Errorf("table has %d rows, want ann and bob", n)
	}
	wantFile(t, root, "users.tab", broken)
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n\"a.org\"\t\"eve\"\t5\n")
	waitFor(t, "the mended edit", func() bool {
		_, ok := s.Table("users.tab").First("user", "a.org\teve")
		return ok
	})
	if err := s.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	wantFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n\"a.org\"\t\"eve\"\t5\n\"a.org\"\t\"bob\"\t2\n")
	if p := s.Problems(); len(p) != 0 {
		t.Errorf("problems after mending: %v, want none", p)
	}
}

func TestCloseWritesChangesIntoBrokenEdit(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n\"a.org\"\t\"eve\"\t5\n")
	s := openStore(t, root)
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\nbroken\n")
	waitFor(t, "the report of the broken edit", func() bool { return len(s.Problems()) > 0 })
	mustUpdate(t, s, addUser("a.org", "bob", 2))
	mustUpdate(t, s, func(tx *Tx) error {
		row, _ := tx.Table("users.tab").First("user", "a.org\teve")
		return tx.Table("users.tab").Replace(row, "a.org", "eve", "6")
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantFile(t, root, "users.tab",
		"\"a.org\"\t\"ann\"\t1\nbroken\n\"a.org\"\t\"bob\"\t2\n\"a.org\"\t\"eve\"\t6\n")
}

func TestUnreadableRowsAreSkippedAndKept(t *testing.T) {
	root := t.TempDir()
	text := "\"a.org\"\t\"ann\"\t1\n\"short\"\n\"a.org\"\t\"\x82\xa0\"\t2\n"
	writeTestFile(t, root, "users.tab", text)
	s := openStore(t, root)
	if p := s.Problems(); len(p) != 1 || p[0].Line != 2 {
		t.Errorf("problems: %v, want one in line 2", p)
	}
	mustUpdate(t, s, addUser("a.org", "bob", 3))
	wantFile(t, root, "users.tab", text+"\"a.org\"\t\"bob\"\t3\n")
}

func TestUploadOfTableIsReadFirst(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\nold nonsense\n")
	s := openStore(t, root)
	upload := func(text string) error {
		return s.Update(context.Background(), func(tx *Tx) error { return tx.WriteFile("users.tab", []byte(text)) })
	}
	var problem *Error
	if err := upload("\"a.org\"\t\"ann\"\t1\n\"x\"\n"); !errors.As(err, &problem) || problem.Line != 2 {
		t.Errorf("upload of a broken row: %v, want an error in line 2", err)
	}
	if err := upload("# nobody\n"); !errors.As(err, &problem) {
		t.Errorf("upload that leaves no row: %v, want a refusal", err)
	}
	if err := upload("\"b.org\"\t\"bea\"\t1\nold nonsense\n"); err != nil {
		t.Errorf("upload with a broken row that stood there before: %v", err)
	}
	if _, ok := s.Table("users.tab").First("user", "b.org\tbea"); !ok {
		t.Error("uploaded row is not found")
	}
	wantFile(t, root, "users.tab", "\"b.org\"\t\"bea\"\t1\nold nonsense\n")
}

func TestSymlinkedTableIsReplacedAtItsTarget(t *testing.T) {
	root, elsewhere := t.TempDir(), t.TempDir()
	writeTestFile(t, elsewhere, "real.tab", "\"a.org\"\t\"ann\"\t1\n")
	if err := os.Chmod(filepath.Join(elsewhere, "real.tab"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(elsewhere, "real.tab"), filepath.Join(root, "users.tab")); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, root)
	mustUpdate(t, s, addUser("a.org", "bob", 2))
	wantFile(t, elsewhere, "real.tab", "\"a.org\"\t\"ann\"\t1\n\"a.org\"\t\"bob\"\t2\n")
	if info, err := os.Lstat(filepath.Join(root, "users.tab")); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("link is %v, err %v, want it kept", info.Mode(), err)
	}
	if info, err := os.Stat(filepath.Join(elsewhere, "real.tab")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode is %v, err %v, want 0640 kept", info.Mode(), err)
	}
}

// TestReadersSeeWholeTables polls a table while writers change it.
func TestReadersSeeWholeTables(t *testing.T) {
	root := t.TempDir()
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "\"a.org\"\t\"user%d\"\t%d\n", i, i)
	}
	writeTestFile(t, root, "users.tab", text.String())
	s := openStore(t, root)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			b, err := os.ReadFile(filepath.Join(root, "users.tab"))
			if err != nil {
				t.Error(err)
				return
			}
			if n := strings.Count(string(b), "\n"); n < 1000 || !strings.HasSuffix(string(b), "\n") {
				t.Errorf("a reader sees %d whole lines, want 1000 or more", n)
				return
			}
		}
	})
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range 100 {
				if err := s.Update(context.Background(), addUser("b.org", fmt.Sprintf("w%d.%d", w, i), i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	if n := s.Table("users.tab").Len(); n != 1400 {
		t.Errorf("table has %d rows, want 1400", n)
	}
}

func TestLargeTableIsWrittenInTheBackground(t *testing.T) {
	root := t.TempDir()
	var text strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&text, "\"a.org\"\t\"user%d\"\t%d\n", i, i)
	}
	writeTestFile(t, root, "users.tab", text.String())
	s := openStore(t, root)
	mustUpdate(t, s, addUser("b.org", "bob", 5000))
	mustUpdate(t, s, func(tx *Tx) error {
		row, _ := tx.Table("users.tab").First("user", "a.org\tuser0")
		return tx.Table("users.tab").Delete(row)
	})
	want := strings.TrimPrefix(text.String(), "\"a.org\"\t\"user0\"\t0\n") + "\"b.org\"\t\"bob\"\t5000\n"
	if got, err := s.ReadFile("users.tab"); err != nil || string(got) != want {
		t.Errorf("ReadFile does not show acknowledged changes (err %v)", err)
	}
	if err := s.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	wantFile(t, root, "users.tab", want)
}

// waitFor waits for something that happens in the background.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("%s has not come within ten seconds", what)
		case <-tick.C:
		}
	}
}
