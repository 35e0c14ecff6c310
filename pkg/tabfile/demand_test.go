package tabfile

import (
	"context"
	"fmt"
	"testing"
)

// TestTablesOnDemandAreDroppedWithoutAChange looks for many tables, as logins in the names
// of domains do that strangers think up, in a store where nothing changes.
func TestTablesOnDemandAreDroppedWithoutAChange(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	writeTestFile(t, root, "domains/a.org/user.tab", "\"old\"\n")
	s := openIdle(t, root, OS())
	held := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.onDemand)
	}
	mustUpdate(t, s, addRow("domains/a.org/user.tab", "new")) // stands in the journal
	for i := range 4 * demandMax {
		if _, err := s.FileLately(fmt.Sprintf("userauth/%d.tab", i), plainSchema); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "the removal of tables that nobody asks for", func() bool { return held() <= demandMax })
	s.mu.Lock()
	kept := s.onDemand["domains/a.org/user.tab"] != nil
	s.mu.Unlock()
	if !kept {
		t.Error("a table is dropped of which the journal has steps, so that an edit of it would be missed there")
	}
	if err := s.Sync(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestTablesOnDemandKeepTheirLastGoodRows drops tables while one of them has an edit that
// cannot be taken.
func TestTablesOnDemandKeepTheirLastGoodRows(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n")
	const name = "lists/all.tab"
	writeTestFile(t, root, name, "\"a\"\t\"1\"\n\"b\"\t\"2\"\n")
	s := openIdle(t, root, OS())
	two := &Schema{Columns: 2}
	rows := func() int {
		t.Helper()
		v, err := s.File(name, two)
		if err != nil {
			t.Fatal(err)
		}
		return v.Len()
	}
	rows()
	writeTestFile(t, root, name, "\"a\"\t\"1\"\n\"broken\"\n")
	waitFor(t, "the report of the broken edit", func() bool { rows(); return len(s.Problems()) > 0 })
	held := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.onDemand)
	}
	for i := range 4 * demandMax { // what goes is picked at random
		if _, err := s.FileLately(fmt.Sprintf("userauth/%d.tab", i), plainSchema); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "the removal of tables that nobody asks for", func() bool { return held() <= demandMax })
	if n := rows(); n != 2 {
		t.Errorf("beside an edit that is held back %d rows are in force, want the 2 from before", n)
	}
}
