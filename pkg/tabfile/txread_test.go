package tabfile

import (
	"context"
	"testing"
)

// TestTransactionReadsWhatItsRowsMake has a transaction that reads a table as a
// file after rows of it have changed, in it and in one that commits together
// with it.
func TestTransactionReadsWhatItsRowsMake(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	writeTestFile(t, root, "relay.tab", "# one\n")
	s := openStore(t, root)
	reads := func(tx *Tx, want string) {
		t.Helper()
		if got, err := tx.ReadFile("relay.tab"); err != nil || string(got) != want {
			t.Errorf("file holds %q (err %v), want %q", got, err, want)
		}
	}
	started, done := make(chan bool), make(chan error)
	go func() {
		done <- s.Update(context.Background(), func(tx *Tx) error {
			started <- true
			reads(tx, "# one\n")
			if err := tx.Table("relay.tab").Append("a"); err != nil {
				return err
			}
			reads(tx, "# one\n\"a\"\n")
			return nil
		})
	}()
	<-started
	mustUpdate(t, s, func(tx *Tx) error {
		reads(tx, "# one\n\"a\"\n")
		return tx.Table("relay.tab").Append("b")
	})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// The two after the first one wait for it, and commit together.
	hold, held := make(chan bool), make(chan bool)
	all := make(chan error)
	update := func(f func(tx *Tx) error) { go func() { all <- s.Update(context.Background(), f) }() }
	update(func(tx *Tx) error { held <- true; <-hold; return nil })
	<-held
	for range 2 {
		update(func(tx *Tx) error {
			text, err := tx.ReadFile("relay.tab")
			if err != nil {
				return err
			}
			return tx.WriteFile("relay.tab", append(text, "\"w\"\n"...))
		})
		update(func(tx *Tx) error { return tx.Table("relay.tab").Append("r") })
	}
	close(hold)
	for range 5 {
		if err := <-all; err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Table("relay.tab").Len(); n != 6 {
		t.Errorf("%d rows, want 6: a change is lost", n)
	}
}
