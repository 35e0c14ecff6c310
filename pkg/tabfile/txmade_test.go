package tabfile

import "testing"

// TestFolderMadeAgainInOneTransaction makes a folder, removes it and makes it
// again, and reads the journal of that.
func TestFolderMadeAgainInOneTransaction(t *testing.T) {
	s, root := openWithFolders(t, "d/a")
	tree := func(tx *Tx, name, text string) error {
		return tx.MakeTree(name, []string{"Maildir"}, map[string][]byte{"user.tab": []byte(text)})
	}
	mustUpdate(t, s, func(tx *Tx) error {
		for _, text := range []string{"\"1\"\n", "\"2\"\n"} {
			if err := tree(tx, "d/x", text); err != nil {
				return err
			}
			if err := tree(tx, "d/x/inside", text); err != nil {
				return err
			}
			if err := tx.RemoveTree("d/x"); err != nil {
				return err
			}
		}
		if err := tree(tx, "d/y", "\"4\"\n"); err != nil {
			return err
		}
		if err := tree(tx, "d/x", "\"3\"\n"); err != nil {
			return err
		}
		vars, err := tx.File("d/x/user.tab", plainSchema)
		if err != nil {
			return err
		}
		return vars.Append("more")
	})
	mustUpdate(t, s, func(tx *Tx) error {
		vars, err := tx.File("d/x/user.tab", plainSchema)
		if err != nil {
			return err
		}
		return vars.Append("later")
	})
	mustUpdate(t, s, func(tx *Tx) error { // nothing is left of this one
		if err := tree(tx, "d/z", ""); err != nil {
			return err
		}
		return tx.RemoveTree("d/z")
	})
	check := func(root string) {
		t.Helper()
		wantFile(t, root, "d/x/user.tab", "\"3\"\n\"more\"\n\"later\"\n")
		wantFile(t, root, "d/y/user.tab", "\"4\"\n")
		wantGone(t, root, "d/x/inside")
		wantGone(t, root, "d/z")
	}
	check(root)
	crashed := copyTree(t, root)
	openStore(t, crashed)
	check(crashed)
}
