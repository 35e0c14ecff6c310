package tabfile

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

func users(rows ...string) string {
	var b strings.Builder
	for i, name := range rows {
		fmt.Fprintf(&b, "\"a.org\"\t%q\t%d\n", name, i+1)
	}
	return b.String()
}

func TestRebaseDoesNothingTwice(t *testing.T) {
	const ann, bob, rob, eve = "\"a.org\"\t\"ann\"\t1", "\"a.org\"\t\"bob\"\t2", "\"a.org\"\t\"rob\"\t2", "\"a.org\"\t\"eve\"\t3"
	add := func(text string) op { return op{kind: opAppend, text: text} }
	change := func(old, text string) op { return op{kind: opReplace, old: old, text: text} }
	remove := func(old string) op { return op{kind: opDelete, old: old} }
	for _, test := range []struct {
		name   string
		edited []string
		ops    []op
		want   []string
		lost   int
	}{
		{"added and changed, both there", []string{ann, rob}, []op{add(bob), change(bob, rob)}, []string{ann, rob}, 0},
		{"added and changed, not there", []string{ann}, []op{add(bob), change(bob, rob)}, []string{ann, rob}, 0},
		{"added and removed", []string{ann}, []op{add(bob), change(bob, rob), remove(rob)}, []string{ann}, 0},
		{"changed and removed", []string{ann, bob}, []op{change(bob, rob), remove(rob)}, []string{ann}, 0},
		{"changed, there already", []string{ann, rob}, []op{change(bob, rob)}, []string{ann, rob}, 0},
		{"changed, removed by the edit", []string{ann}, []op{change(bob, rob)}, []string{ann}, 1},
		{"added, another by the edit", []string{"\"a.org\"\t\"BOB\"\t9"}, []op{add(bob)}, []string{"\"a.org\"\t\"BOB\"\t9"}, 1},
		{"removed, changed by the edit", []string{ann, "\"a.org\"\t\"bob\"\t9"}, []op{remove(bob)}, []string{ann}, 0},
		{"removed and added again", []string{ann, bob}, []op{remove(bob), add(bob), add(eve)}, []string{ann, bob, eve}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := strings.Join(test.edited, "\n") + "\n"
			c, _ := parse(usersSchema, "users.tab", text)
			applied, lost := c.rebase(test.ops)
			if want := strings.Join(test.want, "\n") + "\n"; c.text() != want || lost != test.lost {
				t.Errorf("got %q with %d lost, want %q with %d", c.text(), lost, want, test.lost)
			}
			var replayed lineList
			replayed.set(text, true)
			for i := range applied {
				replayed.apply(&applied[i])
			}
			if replayed.text() != c.text() {
				t.Errorf("a recovery makes %q of it, want %q", replayed.text(), c.text())
			}
		})
	}
}

// TestEditUnderPendingChangesOutlivesACrash edits a table that shows none of the
// changes made to it, and cuts the power after the edit was taken.
func TestEditUnderPendingChangesOutlivesACrash(t *testing.T) {
	root := t.TempDir()
	var names []string
	for i := range 4000 {
		names = append(names, fmt.Sprintf("user%04d", i))
	}
	text := users(names...)
	writeTestFile(t, root, "users.tab", text)
	o := testOptions(root, OS())
	o.times.idle, o.times.longest = 1<<40, 1<<40
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	mustUpdate(t, s, addUser("b.org", "first", 1))
	mustUpdate(t, s, addUser("b.org", "second", 2))
	mustUpdate(t, s, func(tx *Tx) error {
		row, _ := tx.Table("users.tab").First("user", "b.org\tfirst")
		return tx.Table("users.tab").Replace(row, "b.org", "changed", "1")
	})
	// The editor has one of the new rows already, and a row of its own.
	edited := text + "\"b.org\"\t\"second\"\t2\n\"c.org\"\t\"editor\"\t3\n"
	writeTestFile(t, root, "users.tab", edited)
	waitFor(t, "the edit", func() bool {
		_, ok := s.Table("users.tab").First("user", "c.org\teditor")
		return ok
	})
	mustUpdate(t, s, addUser("b.org", "third", 4))
	want := edited + "\"b.org\"\t\"changed\"\t1\n\"b.org\"\t\"third\"\t4\n"
	crashed := copyTree(t, root)
	wantFile(t, crashed, "users.tab", edited)
	openStore(t, crashed)
	wantFile(t, crashed, "users.tab", want)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantFile(t, root, "users.tab", want)
	if left, _ := filepath.Glob(filepath.Join(root, ".*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}
