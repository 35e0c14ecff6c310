package tabfile

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPowerCutKeepsAnEditThatWasTaken writes over a large table in place, as some editors
// do, without a sync. What the server has built on it must be there.
func TestPowerCutKeepsAnEditThatWasTaken(t *testing.T) {
	for seed := range uint64(10) {
		mem, before := newDisk(t, manyUsers)
		c := newCrashFS(mem, 0, 50, seed)
		o := testOptions(crashRoot, c)
		o.times = times{rest: quick.rest, idle: 1 << 40, longest: 1 << 40}
		s, err := Open(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		mustUpdate(t, s, stepAdd("ann", 1).f)
		var text strings.Builder
		for _, r := range before.users {
			text.WriteString(strings.Replace(r, "xxx", "yyy", 1) + "\n")
		}
		f, err := c.Modify(crashRoot + "/users.tab")
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt([]byte(text.String()+row("a.org", "ann", "1")+"\n"), 0)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Reload(context.Background()); err != nil {
			t.Fatal(err)
		}
		if r, ok := s.Table("users.tab").First("user", "a.org\told0"); !ok || !strings.HasPrefix(r.Field(3), "yyy") {
			t.Fatalf("the edit was not taken: %.100q", r.Raw())
		}
		mustUpdate(t, s, stepAdd("bob", 2).f)
		disk := c.Crash()
		_ = s.Close() // on a dead disk it cannot succeed
		got := strings.Join(revive(t, disk).users, "\n") + "\n"
		want := text.String() + row("a.org", "ann", "1") + "\n" + row("a.org", "bob", "2") + "\n"
		if got != want {
			t.Errorf("seed %d: after a power cut the table is not the edit with the acknowledged changes (-want +got):\n%.2000s", seed, cmp.Diff(want, got))
		}
	}
}
