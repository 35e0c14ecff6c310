package tabfile

import "testing"

// TestFolderMadeAndMovedInOneTransaction moves a folder that stands in one which the same
// transaction makes.
func TestFolderMadeAndMovedInOneTransaction(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "")
	writeTestFile(t, root, "domains/x", "")
	s := openStore(t, root)
	mustUpdate(t, s, func(tx *Tx) error {
		for _, name := range []string{"domains/new", "domains/new/ann"} {
			if err := tx.MakeTree(name, []string{"Maildir"}, map[string][]byte{"user.tab": []byte("\"a\"\n")}); err != nil {
				return err
			}
		}
		if err := tx.MoveTree("domains/new/ann", "domains/new/anna"); err != nil {
			return err
		}
		if tx.Exists("domains/new/ann") || !tx.IsDir("domains/new/anna/Maildir") {
			t.Error("the transaction does not see what it moved")
		}
		return nil
	})
	wantFile(t, root, "domains/new/anna/user.tab", "\"a\"\n")
	wantGone(t, root, "domains/new/ann")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openStore(t, root)
	wantFile(t, root, "domains/new/anna/user.tab", "\"a\"\n")
	wantGone(t, root, "domains/new/ann")
}
