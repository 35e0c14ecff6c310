package tabfile

import (
	"errors"
	"fmt"
	"testing"
)

// rows returns the raw rows of a table.
func (tt *TxTable) rows() string {
	text := ""
	for row := range tt.Rows() {
		text += row.Raw() + ";"
	}
	return text
}

func TestAttemptsInsideAttempts(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "a\tx\t1\n")
	s := openStore(t, root)
	refused := errors.New("refused")
	add := func(tx *Tx, name string) error { return tx.Table("users.tab").Append("a", name, "2") }
	mustUpdate(t, s, func(tx *Tx) error {
		if err := tx.Attempt(func() error { return add(tx, "one") }); err != nil {
			return err
		}
		if err := tx.Attempt(func() error {
			if err := add(tx, "two"); err != nil {
				return err
			}
			if err := tx.Attempt(func() error { return errors.Join(add(tx, "three"), refused) }); !errors.Is(err, refused) {
				t.Errorf("inner attempt: %v", err)
			}
			if err := tx.Attempt(func() error { return add(tx, "four") }); err != nil {
				return err
			}
			return add(tx, "five")
		}); err != nil {
			return err
		}
		before := tx.Table("users.tab").rows()
		if err := tx.Attempt(func() error {
			err := tx.Attempt(func() error { return add(tx, "six") })
			return errors.Join(err, add(tx, "seven"), refused)
		}); !errors.Is(err, refused) {
			t.Errorf("outer attempt: %v", err)
		}
		if got := tx.Table("users.tab").rows(); got != before {
			t.Errorf("rows after an attempt that failed: %s, want %s", got, before)
		}
		return add(tx, "eight")
	})
	want := "a\tx\t1\n"
	for _, name := range []string{"one", "two", "four", "five", "eight"} {
		want += fmt.Sprintf("\"a\"\t\"%s\"\t2\n", name)
	}
	wantFile(t, root, "users.tab", want)
}
