package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/xmaild/xmaild/pkg/tabfile"
	"github.com/xmaild/xmaild/pkg/tabfile/crashfs"
)

// A crashFS is a [crashfs.FS] as a queue wants it.
type crashFS struct{ *crashfs.FS }

func (c crashFS) Open(name string) (tabfile.File, error) { return c.FS.Open(name) }
func (c crashFS) Modify(name string) (File, error)       { return c.FS.Modify(name) }
func (c crashFS) Create(name, like string, perm fs.FileMode) (tabfile.File, error) {
	return c.FS.Create(name, like, perm)
}

const crashDir = "/mail/spool"

func newDisk(t *testing.T) *vfs.MemFS {
	t.Helper()
	mem := vfs.NewCrashableMem()
	if err := mem.MkdirAll("/mail", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/", "/mail"} {
		d, err := mem.OpenDir(dir)
		if err == nil {
			err = errors.Join(d.Sync(), d.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return mem
}

// A ledger has addresses by the text of a message.
type ledger map[string]map[string]bool

// live does what a server does until it dies. It returns the recipients that wait,
// and those that are finished, as far as the queue has acknowledged it.
func live(t *testing.T, c crashFS) (accepted, finished ledger) {
	t.Helper()
	accepted, finished = ledger{}, ledger{}
	now := time.Unix(1_800_000_000, 0)
	q, err := Open(context.Background(), crashDir, Options{FS: c, Clock: func() time.Time { return now }})
	if err != nil {
		return
	}
	for n := range 4 {
		text := fmt.Sprintf("Subject: %d\r\n\r\n%s\r\n", n, strings.Repeat("x", 40000*n))
		e := Envelope{ID: q.NextID('S'), Time: now, From: "s@ext.test"}
		for r := range n + 1 {
			e.Recipients = append(e.Recipients, Recipient{Address: fmt.Sprintf("r%d@foo.test", r)})
		}
		d, err := q.Begin(e)
		if err != nil {
			return
		}
		io.WriteString(d, text) // Commit has the error
		if err := d.Commit(); err != nil {
			if !c.Dead() {
				t.Errorf("commit: %v", err)
			}
			return
		}
		accepted[text], finished[text] = map[string]bool{}, map[string]bool{}
		for _, r := range e.Recipients {
			accepted[text][r.Address] = true
		}
		l, err := q.Lease(context.Background())
		if err != nil {
			return
		}
		outcomes := map[int]Outcome{}
		for place := range l.Recipients {
			outcomes[place] = Outcome{State: StateDelivered}
			if place%2 == 1 {
				outcomes[place] = Outcome{State: StateQueued, Until: now.Add(time.Hour), Note: "busy"}
			}
		}
		// What is being ended may be finished or not.
		for place, r := range l.Recipients {
			if place%2 == 0 {
				delete(accepted[text], r.Address)
			}
		}
		if err := l.End(outcomes); err != nil {
			return
		}
		if n == 0 && q.Tidy() != nil {
			return
		}
		for place, r := range l.Recipients {
			if place%2 == 0 {
				finished[text][r.Address] = true
			}
		}
	}
	if err := q.Close(); err != nil && !c.Dead() {
		t.Errorf("close: %v", err)
	}
	return
}

// revive returns what a server finds: the recipients that are due, by the text of
// their message.
func revive(t *testing.T, mem *vfs.MemFS) ledger {
	t.Helper()
	later := time.Unix(1_900_000_000, 0)
	q, err := Open(context.Background(), crashDir, Options{
		FS: crashFS{crashfs.New(mem, crashfs.Config{})}, Clock: func() time.Time { return later },
	})
	if err != nil {
		t.Fatalf("open after the power cut: %v", err)
	}
	defer q.Close()
	due := ledger{}
	for range q.Len() {
		l, err := q.Lease(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		body, err := l.Open()
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if _, err := io.Copy(&text, body); err != nil {
			t.Fatal(err)
		}
		body.Close()
		if due[text.String()] == nil {
			due[text.String()] = map[string]bool{}
		}
		for _, r := range l.Recipients {
			due[text.String()][r.Address] = true
		}
	}
	if names, err := mem.List(crashDir + "/" + badDir); err == nil && len(names) > 0 {
		t.Errorf("put aside as unreadable: %q", names)
	}
	return due
}

// lost tells what was promised and is not there, and what is there again that was
// finished for sure.
func lost(accepted, finished, due ledger) (problems []string) {
	for text, addresses := range accepted {
		for address := range addresses {
			if !due[text][address] {
				problems = append(problems, fmt.Sprintf("%.12q to %s is lost", text, address))
			}
		}
		for address := range finished[text] {
			// A message that is done with as a whole may come back until Tidy.
			if due[text][address] && len(addresses) > 0 {
				problems = append(problems, fmt.Sprintf("%.12q to %s would be delivered twice", text, address))
			}
		}
	}
	return problems
}

func TestNothingAcknowledgedIsLostWhenThePowerGoesAtAnyStep(t *testing.T) {
	for _, unsynced := range []int{0, 50, 100} {
		for dieAt := 1; ; dieAt++ {
			c := crashFS{crashfs.New(newDisk(t), crashfs.Config{DieAt: dieAt, Unsynced: unsynced, Seed: uint64(dieAt)})}
			accepted, finished := live(t, c)
			died := c.Dead()
			for _, problem := range lost(accepted, finished, revive(t, c.Crash())) {
				t.Errorf("power cut at step %d, %d%% of the rest on disk: %s", dieAt, unsynced, problem)
			}
			if !died {
				if dieAt < 40 {
					t.Errorf("the workload has %d steps only", dieAt)
				}
				break
			}
			if t.Failed() {
				return
			}
		}
	}
}

// TestCrashTestFailsWithoutSyncs shows that the test above can fail.
func TestCrashTestFailsWithoutSyncs(t *testing.T) {
	problems := 0
	for dieAt := 1; dieAt < 60; dieAt++ {
		c := crashFS{crashfs.New(newDisk(t), crashfs.Config{DieAt: dieAt, Seed: 1, Forgetful: true})}
		accepted, finished := live(t, c)
		mem := c.Crash()
		if err := mem.MkdirAll("/mail", 0o700); err != nil {
			t.Fatal(err)
		}
		problems += len(lost(accepted, finished, revive(t, mem)))
	}
	if problems == 0 {
		t.Error("a disk that syncs nothing lost nothing")
	}
}

// TestDerivedMessageIsMadeOnceWhenThePowerGoesAtAnyStep has a list whose copy is
// derived and then delivered, over several lives that each may end anywhere.
func TestDerivedMessageIsMadeOnceWhenThePowerGoesAtAnyStep(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	// work does what a deliverer does, and counts the copies that are delivered.
	work := func(c crashFS, delivered *int) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // what came back may have nobody to wait for
		defer cancel()
		q, err := Open(context.Background(), crashDir, Options{FS: c, Clock: func() time.Time { return now }})
		if err != nil {
			return err
		}
		for q.Len() > 0 {
			l, err := q.Lease(ctx)
			if err != nil {
				return err
			}
			if l.Recipients[0].Address == "list@foo.test" {
				d, err := l.Derive(0, 0, Envelope{Time: now, Recipients: []Recipient{{Address: "member@ext.test"}}})
				if err == nil {
					io.WriteString(d, "copy") // Commit has the error
					err = d.Commit()
				}
				if err != nil && !errors.Is(err, ErrDerived) {
					return err
				}
			} else {
				*delivered++
			}
			if err := l.End(map[int]Outcome{0: {State: StateDelivered}}); err != nil {
				return err
			}
			// What is done with must not come back because of something else.
			if err := q.Tidy(); err != nil {
				return err
			}
		}
		return q.Close()
	}
	for dieAt := 1; ; dieAt++ {
		mem := newDisk(t)
		first := crashFS{crashfs.New(mem, crashfs.Config{})}
		q, err := Open(context.Background(), crashDir, Options{FS: first, Clock: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		d, err := q.Begin(Envelope{Time: now, Recipients: []Recipient{{Address: "list@foo.test"}}})
		if err == nil {
			err = d.Commit()
		}
		if err = errors.Join(err, q.Close()); err != nil {
			t.Fatal(err)
		}
		delivered := 0
		c := crashFS{crashfs.New(first.Crash(), crashfs.Config{DieAt: dieAt, Unsynced: dieAt % 3 * 50, Seed: uint64(dieAt)})}
		err = work(c, &delivered)
		if err == nil {
			break
		}
		before := delivered
		if err := work(crashFS{crashfs.New(c.Crash(), crashfs.Config{})}, &delivered); err != nil {
			t.Fatalf("after a power cut at step %d: %v", dieAt, err)
		}
		// A copy whose delivery the queue had not been told of yet is delivered again.
		if delivered < 1 || delivered > 2 || delivered == 2 && before == 0 {
			t.Errorf("power cut at step %d: the copy was delivered %d times, %d before it", dieAt, delivered, before)
		}
	}
}
