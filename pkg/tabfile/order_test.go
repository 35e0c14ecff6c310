package tabfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/tabfile/crashfs"
)

// begin begins a change in its turn, and returns what waits for it. What could not be
// queued has ended when begin returns.
func begin(s *Store, o *Order, f func(*Tx) error) (wait func() error) {
	turn := o.Next()
	done := make(chan error, 1)
	go func() {
		defer turn.End()
		done <- s.Update(turn.Context(context.Background()), f)
	}()
	select {
	case <-turn.Queued():
	case err := <-done:
		done <- err
	}
	return func() error { return <-done }
}

// A countingFS counts the syncs of the journal.
type countingFS struct {
	FS
	syncs atomic.Int32
}

func (c *countingFS) Create(name, like string, perm fs.FileMode) (File, error) {
	f, err := c.FS.Create(name, like, perm)
	if err != nil || !strings.Contains(name, journalDir) {
		return f, err
	}
	return &countingFile{f, c}, nil
}

type countingFile struct {
	File
	fs *countingFS
}

func (f *countingFile) Sync() error {
	f.fs.syncs.Add(1)
	return f.File.Sync()
}

func TestTurnsRunInOrderAndShareASync(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "")
	disk := &countingFS{FS: OS()}
	opts := testOptions(root, disk)
	opts.times.idle, opts.times.longest = time.Hour, time.Hour // a checkpoint syncs too
	s, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	mustUpdate(t, s, addUser("a.org", "u0", 0)) // so that there is a journal
	free := make(chan struct{})
	blocked := make(chan error)
	held := make(chan struct{})
	go func() { blocked <- s.step(func() { close(held); <-free }) }()
	<-held
	const count = 100
	var o Order
	var waits []func() error
	for i := range count {
		waits = append(waits, begin(s, &o, func(tx *Tx) error {
			if got := tx.Table("users.tab").Len(); got != i+1 {
				return fmt.Errorf("change %d finds %d rows", i, got)
			}
			return tx.Table("users.tab").Append("a.org", fmt.Sprint("u", i+1), fmt.Sprint(i))
		}))
	}
	before := disk.syncs.Load()
	close(free)
	if err := <-blocked; err != nil {
		t.Fatal(err)
	}
	for i, wait := range waits {
		if err := wait(); err != nil {
			t.Fatalf("change %d: %v", i, err)
		}
	}
	if n := disk.syncs.Load() - before; n != 1 {
		t.Errorf("%d changes that waited together took %d syncs, want 1", count, n)
	}
}

// TestTurnsBehindOneThatRunsAgainWait makes an account of a name that was just removed,
// which runs again after a checkpoint, and changes it in the next turn.
func TestTurnsBehindOneThatRunsAgainWait(t *testing.T) {
	root := t.TempDir()
	writeTestFile(t, root, "users.tab", "\"a.org\"\t\"old\"\t1\n")
	writeTestFile(t, root, "domains/readme", "")
	s := openStore(t, root)
	var o Order
	var waits []func() error
	var names []string
	for round := range 10 {
		name := fmt.Sprint("n", round%3)
		names = append(names, name)
		waits = append(waits, begin(s, &o, addTree(name)),
			begin(s, &o, func(tx *Tx) error {
				if _, ok := tx.Table("users.tab").First("user", "a.org\t"+name); !ok {
					return fmt.Errorf("%s is not there in round %d", name, round)
				}
				return nil
			}),
			begin(s, &o, func(tx *Tx) error {
				row, ok := tx.Table("users.tab").First("user", "a.org\t"+name)
				if !ok {
					return fmt.Errorf("there is no %s to remove in round %d", name, round)
				}
				return errors.Join(tx.Table("users.tab").Delete(row), tx.RemoveTree("domains/"+name))
			}))
	}
	for i, wait := range waits {
		if err := wait(); err != nil {
			t.Errorf("step %d: %v", i, err)
		}
	}
	if !o.Broken() {
		t.Error("no turn had to run again, so that this test says nothing")
	}
	if n := s.Table("users.tab").Len(); n != 1 {
		t.Errorf("%d rows are left of %v, want the old one", n, names)
	}
}

func TestTurnsFailWithTheSync(t *testing.T) {
	s, disk, _ := openFaulty(t)
	mustUpdate(t, s, addTree("bob")) // so that there is a journal
	disk.noSync.Store(true)
	var o Order
	var waits []func() error
	for i := range 20 {
		waits = append(waits, begin(s, &o, addTree(fmt.Sprint("u", i))))
	}
	for i, wait := range waits {
		if err := wait(); !errors.Is(err, ErrFailed) && !errors.Is(err, syscall.EIO) {
			t.Errorf("change %d: %v, want the failure of the sync", i, err)
		}
	}
}

// TestPowerCutLosesNoTurn lets the power fail at every step of many turns that were
// begun together: what was acknowledged is there, and of the others the first ones.
func TestPowerCutLosesNoTurn(t *testing.T) {
	for _, unsynced := range []int{0, 50} {
		for dieAt := 1; ; dieAt++ {
			acknowledged, found, died := cutTurns(t, newCrashFSConfig(dieAt, unsynced))
			for i, name := range acknowledged {
				if i >= len(found) || found[i] != name {
					t.Fatalf("after a power cut at step %d there are %v, want %v at the least", dieAt, found, acknowledged)
				}
			}
			if !died {
				break
			}
		}
	}
	// The test can fail.
	acknowledged, found, _ := cutTurns(t, crashfs.Config{Seed: 1, Forgetful: true})
	if slices.Equal(acknowledged, found) {
		t.Error("all changes came back from a disk that was never synced")
	}
}

func newCrashFSConfig(dieAt, unsynced int) crashfs.Config {
	return crashfs.Config{DieAt: dieAt, Unsynced: unsynced, Seed: uint64(dieAt)}
}

// cutTurns begins turns on a disk that may die, and returns the rows that were
// acknowledged and those that are there when it comes back.
func cutTurns(t *testing.T, config crashfs.Config) (acknowledged, found []string, died bool) {
	t.Helper()
	mem, _ := newDisk(t, 0)
	c := crashFS{crashfs.New(mem, config)}
	o := testOptions(crashRoot, c)
	o.times = times{rest: quick.rest, idle: 1 << 40, longest: 1 << 40}
	s, err := Open(context.Background(), o)
	if err != nil {
		if !c.Dead() {
			t.Fatal(err)
		}
		return nil, nil, true
	}
	var order Order
	const count = 30
	var (
		wg   sync.WaitGroup
		good [count]bool
	)
	for i := range count {
		wait := begin(s, &order, addUser("a.org", fmt.Sprintf("u%02d", i), i))
		wg.Go(func() { good[i] = wait() == nil })
	}
	wg.Wait()
	died = c.Dead()
	disk := c.Crash()
	_ = s.Close() // on a dead disk it cannot succeed
	for i := range count {
		if good[i] {
			acknowledged = append(acknowledged, row("a.org", fmt.Sprintf("u%02d", i), fmt.Sprint(i)))
		}
	}
	return acknowledged, revive(t, disk).users, died
}
