package tabfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

func rowsOf(v *View) []string {
	var rows []string
	for r := range v.Rows() {
		rows = append(rows, r.Field(0))
	}
	return rows
}

func nthRow(v *View, n int) Row {
	for r := range v.Rows() {
		if n == 0 {
			return r
		}
		n--
	}
	return Row{}
}

func TestInsertBeforeKeepsWhatStandsThere(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "relay.tab", "# first\r\n\"a\"\r\n\r\n# last\r\n\"b\"")
	s := openStore(t, root)
	mustUpdate(t, s, func(tx *Tx) error {
		relay := tx.Table("relay.tab")
		b := nthRow(&relay.View, 1)
		if err := relay.InsertBefore(b, "x"); err != nil {
			return err
		}
		if err := relay.InsertBefore(b, "y"); err != nil {
			return err
		}
		return relay.InsertBefore(nthRow(&relay.View, 0), "top")
	})
	wantFile(t, root, "relay.tab", "# first\r\n\"top\"\r\n\"a\"\r\n\r\n# last\r\n\"x\"\r\n\"y\"\r\n\"b\"")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantFile(t, root, "relay.tab", "# first\r\n\"top\"\r\n\"a\"\r\n\r\n# last\r\n\"x\"\r\n\"y\"\r\n\"b\"")
}

func TestInsertBeforeRefusesWhatAppendRefuses(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	s := openStore(t, root)
	err := s.Update(context.Background(), func(tx *Tx) error {
		users := tx.Table("users.tab")
		return users.InsertBefore(nthRow(&users.View, 0), "a.org", "bob", "x")
	})
	if err == nil || !strings.Contains(err.Error(), `bad number "x"`) {
		t.Errorf("an unreadable row: %v, want a bad number", err)
	}
	err = s.Update(context.Background(), func(tx *Tx) error { return tx.Table("relay.tab").InsertBefore(Row{}, "a") })
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a table that is not there: %v, want fs.ErrNotExist", err)
	}
	wantFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
}

// TestInsertBeforeMakesRoom inserts at one place until no position is left
// there, again and again, and then uses rows that it got before.
func TestInsertBeforeMakesRoom(t *testing.T) {
	const n = 200
	root := t.TempDir()
	writeTestFile(t, root, "relay.tab", "\"a\"\n\"b\"\n\"c\"\n")
	s := openStore(t, root)
	want := []string{"a"}
	mustUpdate(t, s, func(tx *Tx) error {
		relay := tx.Table("relay.tab")
		a, b, c := nthRow(&relay.View, 0), nthRow(&relay.View, 1), nthRow(&relay.View, 2)
		want = want[:1]
		for i := range n {
			// Each right above the same row, so that the gap halves.
			if err := relay.InsertBefore(b, fmt.Sprint(i)); err != nil {
				return err
			}
			want = append(want, fmt.Sprint(i))
		}
		if len(relay.moved) == 0 {
			t.Errorf("%d rows above the same one: no new positions; the test does not test them", n)
		}
		if err := relay.Replace(b, "bb"); err != nil {
			return err
		}
		want = append(want, "bb")
		if err := relay.Delete(c); err != nil {
			return err
		}
		want = slices.Insert(want, 0, "z")
		return relay.InsertBefore(a, "z")
	})
	if got := rowsOf(s.Table("relay.tab")); !slices.Equal(got, want) {
		t.Errorf("rows %q, want %q", got, want)
	}
	wantFile(t, root, "relay.tab", "\""+strings.Join(want, "\"\n\"")+"\"\n")
}

func TestAttemptTakesBackNewPositions(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "relay.tab", "\"a\"\n\"b\"\n")
	s := openStore(t, root)
	mustUpdate(t, s, func(tx *Tx) error {
		relay := tx.Table("relay.tab")
		b := nthRow(&relay.View, 1)
		_ = tx.Attempt(func() error {
			for range 100 {
				if err := relay.InsertBefore(b, "x"); err != nil {
					t.Error(err)
				}
			}
			return errors.New("no")
		})
		return relay.InsertBefore(b, "y")
	})
	wantFile(t, root, "relay.tab", "\"a\"\n\"y\"\n\"b\"\n")
}

// TestRecoveryInsertsAsTheTableDid does the same to a table and to the lines that
// a recovery works on, by way of the journal's form.
func TestRecoveryInsertsAsTheTableDid(t *testing.T) {
	const text = "\"a\"\n# x\n\"b\"\n\"b\"\n\"c\""
	var list lineList
	list.set(text, true)
	c, _ := parse(plainSchema, "t", text)
	for i := range 300 {
		lines := slices.Collect(func(yield func(*line) bool) {
			c.lines.Scan(func(l *line) bool { return !l.row || yield(l) })
		})
		at := lines[(i*7)%len(lines)]
		if i%3 > 0 {
			at = c.find("\"b\"", i%2)
		}
		o := op{kind: opInsert, path: "t", old: at.body(), nth: uint64(c.nth(at)), text: fmt.Sprintf("%q", fmt.Sprint(i%50))}
		r, err := decodeRecord(string((&record{lsn: 1, ops: []op{o}}).appendTo(nil)))
		if err != nil || len(r.ops) != 1 {
			t.Fatalf("decode: %v", err)
		}
		c.insertBefore(at, o.text)
		list.apply(&r.ops[0])
		if got, want := list.text(), c.text(); got != want {
			t.Fatalf("after %d rows the recovery has\n%s\nwant\n%s", i+1, got, want)
		}
		if list.size != len(list.text()) || c.size != int64(list.size) {
			t.Fatalf("sizes %d and %d, want %d", list.size, c.size, len(list.text()))
		}
	}
}

func TestInsertedRowsOnTopOfAnEdit(t *testing.T) {
	for _, test := range []struct{ name, disk, want string }{
		{"the row below is there", "\"k\"\t\"1\"\n\"b\"\t\"2\"\n", "\"k\"\t\"1\"\n\"n\"\t\"3\"\n\"b\"\t\"2\"\n"},
		{"it was changed", "\"k\"\t\"1\"\n\"b\"\t\"9\"\n", "\"k\"\t\"1\"\n\"n\"\t\"3\"\n\"b\"\t\"9\"\n"},
		{"it is gone", "\"k\"\t\"1\"\n", "\"k\"\t\"1\"\n\"n\"\t\"3\"\n"},
		{"the editor wrote it too", "\"n\"\t\"3\"\n\"b\"\t\"2\"\n", "\"n\"\t\"3\"\n\"b\"\t\"2\"\n"},
		{"the editor has another of the key", "\"n\"\t\"8\"\n\"b\"\t\"2\"\n", "\"n\"\t\"8\"\n\"b\"\t\"2\"\n"},
	} {
		schema := &Schema{Columns: 2, Indexes: []Index{{Name: "k", Key: func(f []string) (string, bool) { return f[0], true }}}}
		c, _ := parse(schema, "t", test.disk)
		c.rebase([]op{{kind: opInsert, old: "\"b\"\t\"2\"", text: "\"n\"\t\"3\""}})
		if got := c.text(); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
