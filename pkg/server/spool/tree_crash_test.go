package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/xmaild/xmaild/pkg/tabfile/crashfs"
)

// oldTree is a spool as the reference leaves it, by the names of files. The messages
// in it are told apart by their recipients.
func oldTree() map[string]string {
	file := func(to string) string {
		return strings.Replace(good, "<bob@y.test>", "<"+to+"@y.test>", 1) + "\r\n..dot\r\n" + strings.Repeat("y", 30000) + "\r\n"
	}
	peek := "[PeekTime] 1700000000 : x\n<<\nErrCode   = -1\n>>\n[PeekTime] 1700000480 : x\n"
	return map[string]string{
		"0/0/mess/1700000000001.1.2.1.host": file("m1"),
		"0/0/mess/1700000000001.1.2.2.host": file("m2"),
		"0/0/mess/1700000000002.1.2.2.rej":  "no message",
		"0/0/rsnd/1700000000003.1.2.3.host": file("r1"),
		"0/0/slog/1700000000003.1.2.3.host": peek,
		"3/4/mess/1700000000001.1.2.1.host": file("m3"), // the name of another
		"3/4/rsnd/1700000000004.1.2.4.host": file("r2"),
		"3/4/mprc/1700000000004.1.2.4.host": "\"smtprelay\"\t\"x.test\"\n",
		"3/4/froz/1700000000005.1.2.5.host": file("f1"),
		"3/4/slog/1700000000005.1.2.5.host": peek,
		"3/4/temp/1700000000006.1.2.6.host": "half",
	}
}

// layTree puts files on a disk, for good.
func layTree(t *testing.T, mem *vfs.MemFS, files map[string]string) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dirs := map[string]bool{}
	for name, text := range files {
		name = path.Join(crashDir, name)
		check(mem.MkdirAll(path.Dir(name), 0o700))
		f, err := mem.Create(name, vfs.WriteCategoryUnspecified)
		check(err)
		_, err = f.Write([]byte(text))
		check(errors.Join(err, f.Sync(), f.Close()))
		for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
			dirs[dir] = true
		}
	}
	for dir := range dirs {
		d, err := mem.OpenDir(dir)
		check(err)
		check(errors.Join(d.Sync(), d.Close()))
	}
}

// fates is what a server has promised of recipients before it died.
type fates struct {
	waits, frozen, gone, between map[string]bool
}

const ownMessage = "Subject: own\r\n\r\nx\r\n"

// liveWithTree takes over a tree, and freezes and submits, until the machine dies.
func liveWithTree(t *testing.T, c crashFS) fates {
	t.Helper()
	f := fates{map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}}
	for _, name := range []string{"m1", "m2", "m3", "r1", "r2"} {
		f.waits[name] = true
	}
	f.frozen["f1"] = true
	now := time.Unix(1_800_000_000, 0)
	q, err := Open(context.Background(), crashDir, Options{FS: c, Clock: func() time.Time { return now }})
	if err != nil {
		return f
	}
	if _, err := q.TakeOver(context.Background(), nil); err != nil {
		return f
	}
	d, err := q.Begin(Envelope{ID: "S9", Time: now, From: "s@x.test", Domain: "mail.test", Recipients: []Recipient{{Address: "o1@y.test"}, {Address: "o2@y.test"}}})
	if err != nil {
		return f
	}
	io.WriteString(d, ownMessage)
	f.between["o1"], f.between["o2"] = true, true
	if err := d.Commit(); err != nil {
		return f
	}
	f.between = map[string]bool{}
	f.waits["o1"], f.waits["o2"] = true, true
	for range q.Len() {
		l, err := q.Lease(context.Background())
		if err != nil {
			return f
		}
		for place, r := range l.Recipients {
			to, _, _ := strings.Cut(r.Address, "@")
			outcome := Outcome{State: StateQueued, Until: now.Add(time.Hour)}
			switch to {
			case "m1":
				outcome = Outcome{State: StateDelivered}
				f.between[to] = true
			case "m2", "r2", "o2":
				if _, err := l.Freeze(place, Attempt{Reply: "550 no"}); err != nil {
					return f
				}
				outcome = Outcome{State: StateFrozen}
			}
			if err := l.End(map[int]Outcome{place: outcome}); err != nil {
				return f
			}
			if c.Dead() { // the removal of a message that is done with is not promised
				if outcome.State == StateFrozen {
					delete(f.waits, to)
				}
				return f
			}
			switch outcome.State {
			case StateDelivered:
				delete(f.waits, to)
			case StateFrozen:
				delete(f.waits, to)
				f.frozen[to] = true
			}
		}
	}
	if q.Tidy() != nil {
		return f
	}
	f.gone["m1"], f.between["m1"] = true, false
	for to, n := range map[string]Name{"f1": {3, 4, "1700000000005.1.2.5.host"}, "r2": {3, 4, "1700000000004.1.2.4.host"}} {
		delete(f.frozen, to)
		f.between[to] = true
		if err := q.Submit(n); err != nil {
			if !c.Dead() {
				t.Errorf("submit %s: %v", to, err)
			}
			return f
		}
		f.waits[to], f.between[to] = true, false
	}
	if err := q.Close(); err != nil && !c.Dead() {
		t.Errorf("close: %v", err)
	}
	return f
}

// reviveTree returns how often the next server has each recipient in the queue, and
// frozen.
func reviveTree(t *testing.T, mem *vfs.MemFS) (live, frozen map[string]int) {
	t.Helper()
	live, frozen = map[string]int{}, map[string]int{}
	later := time.Unix(1_900_000_000, 0)
	q, err := Open(context.Background(), crashDir, Options{FS: crashFS{crashfs.New(mem, crashfs.Config{})}, Clock: func() time.Time { return later }})
	if err != nil {
		t.Fatalf("open after the power cut: %v", err)
	}
	defer q.Close()
	if taken, err := q.TakeOver(context.Background(), nil); err != nil || len(taken.Left) > 0 {
		t.Fatalf("take over after the power cut: %+v, %v", taken, err)
	}
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
		_, err = io.Copy(&text, body)
		if err := errors.Join(err, body.Close()); err != nil {
			t.Fatal(err)
		}
		if s := text.String(); s != ownMessage && (!strings.HasPrefix(s, "Subject: x\r\n\r\n.dot\r\nyy") || !strings.HasSuffix(s, "y\r\n")) {
			t.Errorf("message to %s reads %.60q…", l.Recipients[0].Address, s)
		}
		for _, r := range l.Recipients {
			to, _, _ := strings.Cut(r.Address, "@")
			live[to]++
		}
	}
	for a := range levels {
		for b := range levels {
			for _, dir := range []string{queueDir, resendDir, frozenDir} {
				folder := path.Join(crashDir, fmt.Sprint(a), fmt.Sprint(b), dir)
				names, err := mem.List(folder)
				if err != nil {
					continue
				}
				for _, name := range names {
					f, err := mem.Open(path.Join(folder, name))
					if err != nil {
						t.Fatal(err)
					}
					_, to, err := readEnvelope(f)
					if err := errors.Join(err, f.Close()); err != nil || dir != frozenDir {
						t.Errorf("%s/%s is there: %v", folder, name, err)
					}
					to, _, _ = strings.Cut(to, "@")
					frozen[to]++
				}
			}
		}
	}
	return live, frozen
}

func (f fates) problems(live, frozen map[string]int) (all []string) {
	for _, to := range []string{"m1", "m2", "m3", "r1", "r2", "f1", "o1", "o2"} {
		have := fmt.Sprintf("%s is %d times in the queue and %d times frozen", to, live[to], frozen[to])
		switch {
		case f.gone[to]:
			if live[to]+frozen[to] > 0 {
				all = append(all, have+", and was delivered")
			}
		case f.between[to] && (to == "m1" || to[0] == 'o'):
			if live[to]+frozen[to] > 1 {
				all = append(all, have)
			}
		case to[0] == 'o' && !f.waits[to] && !f.frozen[to]: // never taken
		case live[to]+frozen[to] != 1:
			all = append(all, have)
		case f.frozen[to] && frozen[to] != 1:
			all = append(all, have+", and was frozen for sure")
		}
	}
	return all
}

func TestTreeIsTakenOverOnceWhenThePowerGoesAtAnyStep(t *testing.T) {
	for _, unsynced := range []int{0, 50, 100} {
		for dieAt := 1; ; dieAt++ {
			mem := newDisk(t)
			layTree(t, mem, oldTree())
			c := crashFS{crashfs.New(mem, crashfs.Config{DieAt: dieAt, Unsynced: unsynced, Seed: uint64(dieAt)})}
			f := liveWithTree(t, c)
			died := c.Dead()
			live, frozen := reviveTree(t, c.Crash())
			for _, problem := range f.problems(live, frozen) {
				t.Errorf("power cut at step %d, %d%% of the rest on disk: %s", dieAt, unsynced, problem)
			}
			if !died {
				if dieAt < 100 {
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

// TestTreeCrashTestFailsWithoutSyncs shows that the test above can fail.
func TestTreeCrashTestFailsWithoutSyncs(t *testing.T) {
	problems := 0
	for dieAt := 1; dieAt < 150; dieAt++ {
		mem := newDisk(t)
		layTree(t, mem, oldTree())
		c := crashFS{crashfs.New(mem, crashfs.Config{DieAt: dieAt, Seed: uint64(dieAt), Unsynced: 50, Forgetful: true})}
		f := liveWithTree(t, c)
		// What is half there is another matter.
		live, frozen := reviveLoosely(c.Crash())
		problems += len(f.problems(live, frozen))
	}
	if problems == 0 {
		t.Error("a disk that syncs nothing lost nothing")
	}
}

// reviveLoosely counts what the next server has in its queue.
func reviveLoosely(mem *vfs.MemFS) (live, frozen map[string]int) {
	live = map[string]int{}
	q, err := Open(context.Background(), crashDir, Options{FS: crashFS{crashfs.New(mem, crashfs.Config{})}})
	if err != nil {
		return nil, nil
	}
	defer q.Close()
	if _, err := q.TakeOver(context.Background(), nil); err != nil {
		return nil, nil
	}
	for _, m := range q.live {
		for _, r := range m.recipients {
			to, _, _ := strings.Cut(r, "@")
			live[to]++
		}
	}
	return live, frozen
}
