package tabfile

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPowerCutKeepsAnEditThatWasTaken writes over a large table in place, as some editors
// do, without a sync, where changes were made before and where none were. What the server
// has built on it must be there.
func TestPowerCutKeepsAnEditThatWasTaken(t *testing.T) {
	for seed := range uint64(20) {
		mem, before := newDisk(t, manyUsers)
		c := newCrashFS(mem, 0, 50, seed)
		o := testOptions(crashRoot, c)
		o.times = times{rest: quick.rest, idle: 1 << 40, longest: 1 << 40}
		s, err := Open(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		ann := ""
		if seed%2 == 0 {
			mustUpdate(t, s, stepAdd("ann", 1).f)
			ann = row("a.org", "ann", "1") + "\n"
		}
		var text strings.Builder
		for _, r := range before.users {
			text.WriteString(strings.Replace(r, "xxx", "yyy", 1) + "\n")
		}
		f, err := c.Modify(crashRoot + "/users.tab")
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt([]byte(text.String()+ann), 0)
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
		want := text.String() + ann + row("a.org", "bob", "2") + "\n"
		if got != want {
			t.Errorf("seed %d: after a power cut the table is not the edit with the acknowledged changes (-want +got):\n%.2000s", seed, cmp.Diff(want, got))
		}
	}
}

// saveBeside saves a file as most editors do: beside its place, with a sync of what it
// holds, and none of its name.
func saveBeside(t *testing.T, c crashFS, name, text string) {
	t.Helper()
	f, err := c.Create(name+"~", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write([]byte(text))
	if err := errors.Join(err, f.Sync(), f.Close(), c.Rename(name+"~", name)); err != nil {
		t.Fatal(err)
	}
}

// TestPowerCutKeepsTheNameOfAnEditThatWasTaken saves a large table beside its place while
// a change waits to be written.
func TestPowerCutKeepsTheNameOfAnEditThatWasTaken(t *testing.T) {
	mem, before := newDisk(t, manyUsers)
	c := newCrashFS(mem, 0, 0, 1)
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
	saveBeside(t, c, crashRoot+"/users.tab", text.String())
	if _, err := s.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	mustUpdate(t, s, stepAdd("bob", 2).f)
	disk := c.Crash()
	_ = s.Close() // on a dead disk it cannot succeed
	got := strings.Join(revive(t, disk).users, "\n") + "\n"
	want := text.String() + row("a.org", "ann", "1") + "\n" + row("a.org", "bob", "2") + "\n"
	if got != want {
		t.Errorf("after a power cut the table is not the edit with the acknowledged changes (-want +got):\n%.2000s", cmp.Diff(want, got))
	}
}

// TestPowerCutOfACheckpointBesideAnEdit cuts the power at each step of a checkpoint beside
// an edit that cannot be taken, and whose name may be lost.
func TestPowerCutOfACheckpointBesideAnEdit(t *testing.T) {
	for n := 1; ; n++ {
		mem, before := newDisk(t, 3)
		c := newCrashFS(mem, 0, 0, uint64(n))
		o := testOptions(crashRoot, c)
		o.times = times{rest: quick.rest, idle: 1 << 40, longest: 1 << 40}
		s, err := Open(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		mustUpdate(t, s, addUser("a.org", "ann", 1))
		rows := strings.Join(append(before.users, row("a.org", "ann", "1")), "\n") + "\n"
		saveBeside(t, c, crashRoot+"/users.tab", "broken\n"+rows)
		mustUpdate(t, s, addUser("a.org", "bob", 2))
		c.DieIn(n)
		err = s.checkpoint()
		if c.Dead() == (err == nil) {
			t.Fatalf("step %d: the checkpoint returned %v", n, err)
		}
		disk := c.Crash()
		_ = s.Close() // on a dead disk it cannot succeed
		again, openErr := Open(context.Background(), testOptions(crashRoot, newCrashFS(disk, 0, 0, 0)))
		if openErr != nil {
			t.Fatalf("start after a power cut at step %d: %v", n, openErr)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(look(t, disk).users, "\n") + "\n"
		want := rows + row("a.org", "bob", "2") + "\n"
		if strings.TrimPrefix(got, "broken\n") != want {
			t.Errorf("power cut at step %d of a checkpoint: the table holds\n%swant\n%s", n, got, want)
		}
		if err == nil {
			return
		}
	}
}

// TestPowerCutKeepsAnEditFromBeforeTheStart writes over a large table in place, without a
// sync, before the server starts.
func TestPowerCutKeepsAnEditFromBeforeTheStart(t *testing.T) {
	for seed := range uint64(10) {
		mem, before := newDisk(t, manyUsers)
		c := newCrashFS(mem, 0, 50, seed)
		var text strings.Builder
		for _, r := range before.users {
			text.WriteString(strings.Replace(r, "xxx", "yyy", 1) + "\n")
		}
		f, err := c.Modify(crashRoot + "/users.tab")
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt([]byte(text.String()), 0)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		o := testOptions(crashRoot, c)
		o.times = times{rest: quick.rest, idle: 1 << 40, longest: 1 << 40}
		s, err := Open(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		mustUpdate(t, s, stepAdd("bob", 2).f)
		disk := c.Crash()
		_ = s.Close() // on a dead disk it cannot succeed
		got := strings.Join(revive(t, disk).users, "\n") + "\n"
		want := text.String() + row("a.org", "bob", "2") + "\n"
		if got != want {
			t.Errorf("seed %d: after a power cut the table is not the edit with the acknowledged change (-want +got):\n%.2000s", seed, cmp.Diff(want, got))
		}
	}
}
