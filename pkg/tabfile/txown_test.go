package tabfile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestTransactionSeesItsOwnFolders makes a domain and an account in it, changes
// the account's variables, and takes another one back, all in one transaction.
func TestTransactionSeesItsOwnFolders(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	writeTestFile(t, root, "domains/old/user.tab", "x\n")
	s := openStore(t, root)
	mustUpdate(t, s, func(tx *Tx) error {
		for _, name := range []string{"domains/new", "domains/new/bob", "domains/new/eve"} {
			if err := tx.MakeTree(name, []string{"Maildir"}, map[string][]byte{"user.tab": []byte("\"a\"\n")}); err != nil {
				return err
			}
			if !tx.IsDir(name + "/Maildir") {
				t.Errorf("%s/Maildir is not there in the transaction that makes it", name)
			}
		}
		if err := tx.MakeTree("domains/new/bob", nil, nil); !errors.Is(err, fs.ErrExist) {
			t.Errorf("making a folder twice: %v, want fs.ErrExist", err)
		}
		if err := tx.MakeTree("domains/none/bob", nil, nil); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("making a folder in none: %v, want fs.ErrNotExist", err)
		}
		vars, err := tx.File("domains/new/bob/user.tab", plainSchema)
		if err != nil {
			return err
		}
		if err := vars.Append("b"); err != nil {
			return err
		}
		if again, err := tx.File("domains/new/bob/user.tab", plainSchema); err != nil || again.Len() != 2 {
			t.Errorf("the table has %d rows in its own transaction (err %v), want 2", again.Len(), err)
		}
		if err := tx.WriteFile("domains/new/bob/mailproc.tab", []byte("proc\n")); err != nil {
			return err
		}
		if text, err := tx.ReadFile("domains/new/bob/mailproc.tab"); err != nil || string(text) != "proc\n" {
			t.Errorf("own file holds %q (err %v)", text, err)
		}
		if err := tx.RemoveTree("domains/new/eve"); err != nil {
			return err
		}
		if err := tx.RemoveTree("domains/old"); err != nil {
			return err
		}
		if tx.Exists("domains/old/user.tab") || tx.Exists("domains/new/eve") {
			t.Error("a folder is there after the transaction removed it")
		}
		if vars, err := tx.File("domains/old/user.tab", plainSchema); err != nil || vars.Exists() {
			t.Errorf("table of a removed folder: exists %v, err %v", vars.Exists(), err)
		}
		return nil
	})
	wantFile(t, root, "domains/new/bob/user.tab", "\"a\"\n\"b\"\n")
	wantFile(t, root, "domains/new/bob/mailproc.tab", "proc\n")
	for _, name := range []string{"domains/new/eve", "domains/old"} {
		if _, err := os.Stat(filepath.Join(root, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want none", name, err)
		}
	}
}

func TestAttemptTakesBackWhatFailed(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	writeTestFile(t, root, "domains/x", "")
	s := openStore(t, root)
	refused := errors.New("refused")
	mustUpdate(t, s, func(tx *Tx) error {
		if err := addTree("bob")(tx); err != nil {
			return err
		}
		err := tx.Attempt(func() error {
			if err := addTree("eve")(tx); err != nil {
				return err
			}
			if err := tx.WriteFile("domains/bob/note", []byte("x")); err != nil {
				return err
			}
			vars, err := tx.File("domains/bob/user.tab", plainSchema)
			if err != nil {
				return err
			}
			if err := vars.Append("gone"); err != nil {
				return err
			}
			row, _ := tx.Table("users.tab").First("user", "a.org\tann")
			if err := tx.Table("users.tab").Delete(row); err != nil {
				return err
			}
			return refused
		})
		if !errors.Is(err, refused) {
			t.Errorf("Attempt returned %v, want %v", err, refused)
		}
		if tx.Exists("domains/eve") || tx.Exists("domains/bob/note") {
			t.Error("files of a failed attempt are there")
		}
		return tx.Attempt(func() error { return addTree("joe")(tx) })
	})
	wantFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n\"a.org\"\t\"bob\"\t2\n\"a.org\"\t\"joe\"\t2\n")
	wantFile(t, root, "domains/bob/user.tab", "x")
	if err := s.Try(context.Background(), func(tx *Tx) error {
		if !tx.Exists("domains/joe/Maildir") || tx.Exists("domains/eve") || tx.Exists("domains/bob/note") {
			t.Error("the folders are not those of what succeeded")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
