package tabfile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func openWithFolders(t *testing.T, names ...string) (*Store, string) {
	t.Helper()
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	for _, name := range names {
		writeTestFile(t, root, name+"/user.tab", "\"x\"\n")
		writeTestFile(t, root, name+"/Maildir/new/1", "mail")
	}
	return openStore(t, root), root
}

func wantGone(t *testing.T, root, name string) {
	t.Helper()
	if _, err := os.Lstat(filepath.Join(root, name)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: %v, want none", name, err)
	}
}

func TestMoveTakesAllThatIsInAFolder(t *testing.T) {
	s, root := openWithFolders(t, "d/old")
	if v, err := s.File("d/old/user.tab", plainSchema); err != nil || v.Len() != 1 {
		t.Fatalf("table before the move: %d rows, %v", v.Len(), err)
	}
	if v, err := s.File("d/new/user.tab", plainSchema); err != nil || v.Exists() {
		t.Fatalf("table before the move: exists %v, %v", v.Exists(), err)
	}
	mustUpdate(t, s, func(tx *Tx) error {
		before, err := tx.File("d/old/user.tab", plainSchema)
		if err != nil {
			return err
		}
		if err := before.Append("before"); err != nil {
			return err
		}
		if err := tx.MoveTree("d/old", "d/new"); err != nil {
			return err
		}
		if tx.Exists("d/old") || tx.Exists("d/old/user.tab") || !tx.IsDir("d/new/Maildir") {
			t.Error("the transaction does not see its own move")
		}
		if v, err := tx.File("d/old/user.tab", plainSchema); err != nil || v.Exists() {
			t.Errorf("table at the old place: exists %v, %v", v.Exists(), err)
		}
		if text, err := tx.ReadFile("d/new/Maildir/new/1"); err != nil || string(text) != "mail" {
			t.Errorf("file at the new place holds %q, %v", text, err)
		}
		if err := tx.WriteFile("d/old/x", nil); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("writing at the old place: %v, want fs.ErrNotExist", err)
		}
		if err := tx.MakeTree("d/old", nil, nil); !errors.Is(err, fs.ErrExist) {
			t.Errorf("making the old place at once: %v, want fs.ErrExist", err)
		}
		after, err := tx.File("d/new/user.tab", plainSchema)
		if err != nil {
			return err
		}
		if err := after.Append("after"); err != nil {
			return err
		}
		return tx.WriteFile("d/new/note", []byte("n"))
	})
	wantGone(t, root, "d/old")
	wantFile(t, root, "d/new/user.tab", "\"x\"\n\"before\"\n\"after\"\n")
	wantFile(t, root, "d/new/Maildir/new/1", "mail")
	wantFile(t, root, "d/new/note", "n")
	if v, err := s.File("d/new/user.tab", plainSchema); err != nil || v.Len() != 3 {
		t.Errorf("table after the move has %d rows, %v, want 3", v.Len(), err)
	}
	if v, err := s.File("d/old/user.tab", plainSchema); err != nil || v.Exists() {
		t.Errorf("table at the old place: exists %v, %v", v.Exists(), err)
	}
	// The old place can be made again, and be the end of another move.
	mustUpdate(t, s, func(tx *Tx) error { return tx.MakeTree("d/old", nil, nil) })
	mustUpdate(t, s, func(tx *Tx) error { return tx.RemoveTree("d/old") })
	mustUpdate(t, s, func(tx *Tx) error { return tx.MoveTree("d/new", "d/old") })
	wantFile(t, root, "d/old/user.tab", "\"x\"\n\"before\"\n\"after\"\n")
	wantGone(t, root, "d/new")
}

func TestMoveIsRefused(t *testing.T) {
	s, root := openWithFolders(t, "d/a", "d/b", "e/c")
	writeTestFile(t, root, "d/file", "")
	for _, test := range []struct {
		from, to string
		want     error
	}{
		{"d/none", "d/x", fs.ErrNotExist},
		{"none/a", "none/b", fs.ErrNotExist},
		{"d/a", "d/b", fs.ErrExist},
		{"d/a", "d/file", fs.ErrExist},
		{"d/a", "e/a", nil},
		{"d/file", "d/x", nil},
	} {
		err := s.Try(context.Background(), func(tx *Tx) error { return tx.MoveTree(test.from, test.to) })
		if err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("move of %s to %s: %v, want %v", test.from, test.to, err, test.want)
		}
	}
	err := s.Update(context.Background(), func(tx *Tx) error {
		if err := tx.MoveTree("d/a", "d/x"); err != nil {
			return err
		}
		if err := tx.MoveTree("d/b", "d/a"); !errors.Is(err, fs.ErrExist) {
			t.Errorf("move to a place left in the same transaction: %v, want fs.ErrExist", err)
		}
		if err := tx.MoveTree("d/b", "d/x"); !errors.Is(err, fs.ErrExist) {
			t.Errorf("move to a place taken in the same transaction: %v, want fs.ErrExist", err)
		}
		if err := tx.MoveTree("d/a", "d/y"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("move of what has moved: %v, want fs.ErrNotExist", err)
		}
		if err := tx.MoveTree("d/x/Maildir", "d/x/mail"); err == nil {
			t.Error("move inside a moved folder is taken")
		}
		return tx.MoveTree("d/x", "d/a") // back
	})
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, root, "d/a/user.tab", "\"x\"\n")
	wantFile(t, root, "d/b/user.tab", "\"x\"\n")
}

func TestAttemptTakesBackMoves(t *testing.T) {
	s, root := openWithFolders(t, "d/a", "d/b", "d/c")
	refused := errors.New("refused")
	mustUpdate(t, s, func(tx *Tx) error {
		if err := tx.MoveTree("d/a", "d/a1"); err != nil {
			return err
		}
		err := tx.Attempt(func() error {
			for _, move := range [][2]string{{"d/a1", "d/a2"}, {"d/b", "d/b1"}} {
				if err := tx.MoveTree(move[0], move[1]); err != nil {
					t.Errorf("move of %s: %v", move[0], err)
				}
			}
			if err := tx.RemoveTree("d/a2"); err != nil {
				t.Errorf("remove: %v", err)
			}
			if tx.Exists("d/a2") || tx.Exists("d/b") {
				t.Error("the attempt does not see what it did")
			}
			return refused
		})
		if !errors.Is(err, refused) || !tx.Exists("d/a1") || tx.Exists("d/a2") || !tx.Exists("d/b") {
			t.Errorf("after the attempt (%v): a1 %v, a2 %v, b %v", err, tx.Exists("d/a1"), tx.Exists("d/a2"), tx.Exists("d/b"))
		}
		if err := tx.MoveTree("d/c", "d/c1"); err != nil {
			return err
		}
		return tx.RemoveTree("d/c1")
	})
	wantFile(t, root, "d/a1/user.tab", "\"x\"\n")
	wantFile(t, root, "d/b/user.tab", "\"x\"\n")
	for _, name := range []string{"d/a", "d/a2", "d/b1", "d/c", "d/c1"} {
		wantGone(t, root, name)
	}
}

// TestMovedTableAboveTheLimit moves a folder with a table that is written in the
// background, with a change that its file does not show yet.
func TestMovedTableAboveTheLimit(t *testing.T) {
	s, root := openWithFolders(t, "d/a")
	large := strings.Repeat("\"0123456789012345678901234567890123456789\"\n", 3000)
	writeTestFile(t, root, "d/a/user.tab", large)
	mustUpdate(t, s, func(tx *Tx) error {
		vars, err := tx.File("d/a/user.tab", plainSchema)
		if err != nil {
			return err
		}
		if err := vars.Append("last"); err != nil {
			return err
		}
		return tx.MoveTree("d/a", "d/b")
	})
	crashed := copyTree(t, root)
	if err := s.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	wantFile(t, root, "d/b/user.tab", large+"\"last\"\n")
	again := openStore(t, crashed)
	wantFile(t, crashed, "d/b/user.tab", large+"\"last\"\n")
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	wantGone(t, crashed, "d/a")
}

// TestMovesOfABatch has transactions that wait together and concern one folder.
func TestMovesOfABatch(t *testing.T) {
	s, root := openWithFolders(t, "d/a")
	errs := make(chan error)
	go func() {
		for range 40 {
			errs <- s.Update(context.Background(), func(tx *Tx) error {
				from, to := "d/a", "d/b"
				if !tx.Exists(from) {
					from, to = to, from
				}
				return tx.MoveTree(from, to)
			})
		}
	}()
	go func() {
		for range 40 {
			errs <- s.Update(context.Background(), func(tx *Tx) error {
				name := "d/a/user.tab"
				if !tx.Exists(name) {
					name = "d/b/user.tab"
				}
				vars, err := tx.File(name, plainSchema)
				if err != nil {
					return err
				}
				return vars.Append("y")
			})
		}
	}()
	for range 80 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	wantFile(t, root, "d/a/user.tab", "\"x\"\n"+strings.Repeat("\"y\"\n", 40))
	wantGone(t, root, "d/b")
}

func TestMoveOnAFullDiskDoesNotHappen(t *testing.T) {
	s, disk, root := openFaulty(t)
	writeTestFile(t, root, "domains/ann/user.tab", "x\n")
	move := func(tx *Tx) error {
		if err := tx.MoveTree("domains/ann", "domains/eve"); err != nil {
			return err
		}
		return tx.Table("users.tab").Append("a.org", "eve", "2")
	}
	disk.journal.Store(true)
	var refused *WriteError
	if err := s.Update(context.Background(), move); !errors.As(err, &refused) {
		t.Fatalf("move on a full disk: %v, want a WriteError", err)
	}
	wantFile(t, root, "domains/ann/user.tab", "x\n")
	wantGone(t, root, "domains/eve")
	disk.journal.Store(false)
	mustUpdate(t, s, move)
	crashed := copyTree(t, root)
	again := openStore(t, crashed)
	if n := again.Table("users.tab").Len(); n != 2 {
		t.Errorf("after a crash there are %d rows, want 2", n)
	}
	wantFile(t, crashed, "domains/eve/user.tab", "x\n")
	wantGone(t, crashed, "domains/ann")
}

// TestFolderAtItsOldPlaceIsPutAside has a folder at both places after a crash,
// as a file system leaves it that does not rename in one step.
func TestFolderAtItsOldPlaceIsPutAside(t *testing.T) {
	s, root := openWithFolders(t, "d/a")
	mustUpdate(t, s, func(tx *Tx) error { return tx.MoveTree("d/a", "d/b") })
	crashed := copyTree(t, root)
	writeTestFile(t, crashed, "d/a/note", "mine")
	writeTestFile(t, crashed, "tmp/a.1.moved/note", "older")
	openStore(t, crashed)
	wantFile(t, crashed, "d/b/user.tab", "\"x\"\n")
	wantFile(t, crashed, "tmp/a.2.moved/note", "mine")
	wantFile(t, crashed, "tmp/a.1.moved/note", "older")
	wantGone(t, crashed, "d/a")
}

// TestMoveAfterAnEditThatHasTheChange moves a folder when an edit of a table in it has
// what a change had put there: nothing is left to write.
func TestMoveAfterAnEditThatHasTheChange(t *testing.T) {
	root := t.TempDir()
	const name = "domains/a.org/user.tab"
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	writeTestFile(t, root, name, "\"a\"\n")
	o := testOptions(root, OS())
	o.times.rest, o.times.idle, o.times.longest = time.Hour, time.Hour, time.Hour
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := s.File(name, plainSchema); err != nil {
		t.Fatal(err)
	}
	writeTestFile(t, root, name, "\"a\"\n\"b\"\n")
	mustUpdate(t, s, addRow(name, "b"))
	old := time.Now().Add(-2 * time.Hour) // so that the edit has rested
	if err := os.Chtimes(filepath.Join(root, name), old, old); err != nil {
		t.Fatal(err)
	}
	if v, err := s.File(name, plainSchema); err != nil || v.Len() != 2 {
		t.Fatalf("the edit was not taken: %d rows (%v)", v.Len(), err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.Update(ctx, func(tx *Tx) error { return tx.MoveTree("domains/a.org", "domains/b.org") }); err != nil {
		t.Errorf("MoveTree: %v", err)
	}
	wantFile(t, root, "domains/b.org/user.tab", "\"a\"\n\"b\"\n")
}
