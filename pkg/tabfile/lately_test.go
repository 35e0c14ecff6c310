package tabfile

import (
	"context"
	"testing"
	"time"
)

func TestFileLatelySeesChangesAtOnceAndEditsSoon(t *testing.T) {
	root := t.TempDir()
	o := testOptions(root, OS())
	o.times = times{rest: 20 * time.Millisecond, idle: time.Hour, longest: time.Hour}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	rows := func() int {
		t.Helper()
		v, err := s.FileLately("user.tab", plainSchema)
		if err != nil {
			t.Fatal(err)
		}
		return v.Len()
	}
	if n := rows(); n != 0 {
		t.Fatalf("%d rows without a file, want 0", n)
	}
	writeTestFile(t, root, "user.tab", "\"one\"\n")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for rows() != 1 {
		if ctx.Err() != nil {
			t.Fatal("a file that was written is not seen")
		}
	}
	err = s.Update(t.Context(), func(tx *Tx) error {
		table, err := tx.File("user.tab", plainSchema)
		if err != nil {
			return err
		}
		return table.Append("two")
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := rows(); n != 2 {
		t.Errorf("%d rows after a change of our own, want 2", n)
	}
}
