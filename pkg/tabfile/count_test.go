package tabfile

import (
	"errors"
	"testing"
)

func TestCountsFollowTheRows(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"ann\"\t1\n# no row\n\"b.org\"\t\"bob\"\t2\n\"a.org\"\t\"eve\"\t3\n")
	o := testOptions(root, OS())
	counted := *usersSchema
	counted.Counts = []Index{{Name: "domain", Key: func(f []string) (string, bool) { return f[0], f[0] != "b.org" }}}
	o.Tables = map[string]*Schema{"users.tab": &counted}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	want := func(a, b int) {
		t.Helper()
		v := s.Table("users.tab")
		if v.Count("domain", "a.org") != a || v.Count("domain", "c.org") != b || v.Count("domain", "b.org") != 0 {
			t.Errorf("counts %d of a.org, %d of c.org, %d of b.org; want %d, %d, 0",
				v.Count("domain", "a.org"), v.Count("domain", "c.org"), v.Count("domain", "b.org"), a, b)
		}
	}
	want(2, 0)
	before := s.Table("users.tab")
	mustUpdate(t, s, addUser("c.org", "joe", 4))
	want(2, 1)
	mustUpdate(t, s, func(tx *Tx) error {
		row, ok := tx.Table("users.tab").First("user", "a.org\tann")
		if !ok {
			return errors.New("no ann")
		}
		return tx.Table("users.tab").Replace(row, "c.org", "ann", "1")
	})
	want(1, 2)
	refused := errors.New("refused")
	if err := s.Update(t.Context(), func(tx *Tx) error {
		return errors.Join(tx.Table("users.tab").Append("a.org", "sue", "9"), refused)
	}); !errors.Is(err, refused) {
		t.Fatalf("update: %v", err)
	}
	want(1, 2)
	if before.Count("domain", "a.org") != 2 {
		t.Errorf("an older version has %d of a.org now, want 2", before.Count("domain", "a.org"))
	}
}
