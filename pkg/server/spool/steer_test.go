package spool

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func letter(from string, to ...string) Envelope {
	e := Envelope{ID: "S" + from, Time: time.Unix(1_800_000_000, 0), From: from, Login: from}
	for _, r := range to {
		e.Recipients = append(e.Recipients, Recipient{Address: r})
	}
	return e
}

func from(sender string) func(*Item) bool {
	return func(item *Item) bool { return item.From == sender }
}

func to(recipient string) func(*Item) bool {
	return func(item *Item) bool { return item.Recipient == recipient }
}

func anything(*Item) bool { return true }

// inQueue describes what is in the queue.
func inQueue(q *Queue) string {
	var all []string
	for item := range q.Items(anything) {
		all = append(all, item.From+">"+item.Recipient+" "+item.State)
	}
	return strings.Join(all, ", ")
}

func want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestDeletedMessagesAreGoneAndDoNotComeBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	q, _ := openQueue(t, dir)
	put(t, q, letter("spam", "a", "b"), "x")
	put(t, q, letter("good", "a", "b"), "x")
	n, err := q.Delete(t.Context(), from("spam"))
	if err != nil || n != (Count{Recipients: 2, Messages: 1}) {
		t.Errorf("Delete: %+v, %v", n, err)
	}
	if n, err = q.Delete(t.Context(), to("b")); err != nil || n.Recipients != 1 {
		t.Errorf("Delete of one recipient: %+v, %v", n, err)
	}
	for range 2 {
		want(t, "left", inQueue(q), "good>a due")
		if names := files(t, filepath.Join(dir, liveDir)); len(names) != 1 {
			t.Errorf("files %q, want one", names)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		q, _ = openQueue(t, dir)
	}
	if l := lease(t, q); len(l.Recipients) != 1 || l.Recipients[0].Address != "a" {
		t.Errorf("leased %v, want a alone", l.Recipients)
	}
}

func TestWhatIsDeletedInSomebodysHandsIsGoneAfterwards(t *testing.T) {
	for _, end := range []struct {
		name string
		end  func(*Lease)
	}{
		{"deferred", func(l *Lease) {
			if err := l.End(map[int]Outcome{0: {State: StateQueued, Until: time.Unix(1_900_000_000, 0)}}); err != nil {
				t.Error(err)
			}
		}},
		{"delivered", func(l *Lease) {
			if err := l.End(map[int]Outcome{0: {State: StateDelivered}}); err != nil {
				t.Error(err)
			}
		}},
		{"given back", (*Lease).Return},
		{"parked", func(l *Lease) { l.Park("x") }},
	} {
		t.Run(end.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "spool")
			q, _ := openQueue(t, dir)
			put(t, q, letter("spam", "a"), "text")
			l := lease(t, q)
			want(t, "leased", inQueue(q), "spam>a active")
			if n, err := q.Delete(t.Context(), anything); err != nil || n.Active != 1 {
				t.Errorf("Delete: %+v, %v, want one active", n, err)
			}
			want(t, "deleted", inQueue(q), "")
			if err := l.SetProgress(0, l.Progress(0).With(3)); err != nil {
				t.Errorf("the attempt cannot go on: %v", err)
			}
			if got := text(t, l.Open); got != "text" {
				t.Errorf("text %q while the attempt is under way", got)
			}
			end.end(l)
			if q.Len() != 0 || q.Parked("x") != 0 {
				t.Errorf("left behind: %d in the queue, %d parked", q.Len(), q.Parked("x"))
			}
			if names := leftBehind(t, q, dir); len(names) > 0 {
				t.Errorf("left behind: %q", names)
			}
		})
	}
}

func TestWhatIsDeletedInSomebodysHandsIsGoneAfterACrash(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	q, _ := openQueue(t, dir)
	put(t, q, letter("spam", "a"), "text")
	lease(t, q)
	if _, err := q.Delete(t.Context(), anything); err != nil {
		t.Fatal(err)
	}
	q.Close()
	q, _ = openQueue(t, dir)
	want(t, "after a restart", inQueue(q), "")
}

// A lateFS has something done before the file of a message is written to.
type lateFS struct {
	FS
	before func()
}

func (f *lateFS) Modify(name string) (File, error) {
	if before := f.before; before != nil && strings.HasSuffix(name, messageSuffix) {
		f.before = nil
		before()
	}
	return f.FS.Modify(name)
}

// TestWhatIsDeletedAsItsAttemptEndsDoesNotComeBack deletes a recipient when the queue has
// noted what came of it, and the file has not.
func TestWhatIsDeletedAsItsAttemptEndsDoesNotComeBack(t *testing.T) {
	for name, write := range map[string]func(*Lease) error{
		"deferred": func(l *Lease) error {
			return l.End(map[int]Outcome{0: {State: StateQueued, Until: time.Unix(1_900_000_000, 0)}})
		},
		"under way": func(l *Lease) error { return l.SetProgress(0, l.Progress(0).With(3)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "spool")
			disk := &lateFS{FS: OS()}
			q, err := Open(t.Context(), dir, Options{FS: disk})
			if err != nil {
				t.Fatal(err)
			}
			put(t, q, letter("ann", "a", "b"), "text")
			l := lease(t, q)
			disk.before = func() {
				if n, err := q.Delete(t.Context(), to("a")); err != nil || n.Recipients != 1 {
					t.Errorf("Delete: %+v, %v", n, err)
				}
			}
			if err := write(l); err != nil {
				t.Fatal(err)
			}
			l.Return()
			want(t, "left", inQueue(q), "ann>b due")
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
			q, _ = openQueue(t, dir)
			want(t, "after a restart", inQueue(q), "ann>b due")
		})
	}
}

func TestWhatWaitsForADestinationIsSteered(t *testing.T) {
	q, _ := openQueue(t, filepath.Join(t.TempDir(), "spool"))
	for _, sender := range []string{"spam", "good", "odd"} {
		put(t, q, letter(sender, "a@x"), "text")
		lease(t, q).Park("x")
	}
	want(t, "parked", inQueue(q), "spam>a@x due, good>a@x due, odd>a@x due")
	if n, err := q.Delete(t.Context(), from("spam")); err != nil || n != (Count{Recipients: 1, Messages: 1}) {
		t.Errorf("Delete: %+v, %v", n, err)
	}
	if n, err := q.FreezeAll(t.Context(), from("odd")); err != nil || n != (Count{Recipients: 1, Messages: 1}) {
		t.Errorf("FreezeAll: %+v, %v", n, err)
	}
	if n := q.Parked("x"); n != 1 {
		t.Errorf("%d are parked, want one", n)
	}
	if l := q.Unpark("x"); l == nil || l.From != "good" {
		t.Errorf("unparked %+v, want what is good", l)
	}
	if l := q.Unpark("x"); l != nil {
		t.Errorf("unparked %+v, want nothing more", l)
	}
}

func frozen(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	for f, err := range (Tree{Dir: dir}).All() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f.From+">"+f.To)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func TestFreezing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	q, _ := openQueue(t, dir)
	put(t, q, letter("ann@x.test", "a@x.test", "b@x.test"), "text")
	put(t, q, letter("bob@x.test", "c@x.test"), "text")
	if n, err := q.FreezeAll(t.Context(), to("a@x.test")); err != nil || n != (Count{Recipients: 1, Messages: 1}) {
		t.Errorf("FreezeAll: %+v, %v", n, err)
	}
	want(t, "in the queue", inQueue(q), "ann@x.test>b@x.test due, bob@x.test>c@x.test due")
	want(t, "frozen", frozen(t, dir), "ann@x.test>a@x.test")
	l := lease(t, q)
	if n, err := q.FreezeAll(t.Context(), from(l.From)); err != nil || n != (Count{Recipients: 1, Messages: 1, Active: 1}) {
		t.Errorf("FreezeAll in hand: %+v, %v", n, err)
	}
	want(t, "frozen while in hand", frozen(t, dir), "ann@x.test>a@x.test")
	if err := l.End(map[int]Outcome{0: {State: StateQueued, Until: time.Unix(1_900_000_000, 0)}}); err != nil {
		t.Error(err)
	}
	want(t, "frozen", frozen(t, dir), "ann@x.test>a@x.test, ann@x.test>b@x.test")
	want(t, "in the queue", inQueue(q), "bob@x.test>c@x.test due")
	l = lease(t, q)
	if _, err := q.FreezeAll(t.Context(), anything); err != nil {
		t.Error(err)
	}
	l.Return()
	want(t, "frozen", frozen(t, dir), "ann@x.test>a@x.test, ann@x.test>b@x.test, bob@x.test>c@x.test")
	if q.Len() != 0 {
		t.Errorf("in the queue: %s", inQueue(q))
	}
}

func TestWhatIsFrozenInSomebodysHandsIsFrozenAfterACrash(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	q, c := openQueue(t, dir)
	put(t, q, letter("ann@x.test", "a@x.test", "b@x.test", "c@x.test"), "text")
	l := lease(t, q)
	if n, err := q.FreezeAll(t.Context(), func(i *Item) bool { return i.Recipient != "b@x.test" }); err != nil || n.Active != 2 {
		t.Fatalf("FreezeAll in hand: %+v, %v", n, err)
	}
	if err := l.SetProgress(0, l.Progress(0).With(3)); err != nil { // it writes the state again
		t.Fatal(err)
	}
	if err := l.End(map[int]Outcome{1: {State: StateQueued, Until: c.now}, 2: {State: StateDelivered}}); err != nil {
		t.Fatal(err)
	}
	want(t, "frozen while in hand", frozen(t, dir), "")

	// The server dies, and when it comes back there is no room at first.
	full := &fullFS{FS: OS()}
	q, err := Open(t.Context(), dir, Options{FS: full, Clock: func() time.Time { return c.now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	want(t, "after the crash", inQueue(q), "ann@x.test>a@x.test due, ann@x.test>b@x.test due")
	full.full = true
	if l = lease(t, q); len(l.Recipients) != 1 || l.Recipients[0].Address != "b@x.test" {
		t.Errorf("leased %+v, want b@x.test alone", l.Recipients)
	}
	want(t, "on a full disk", inQueue(q), "ann@x.test>a@x.test waiting, ann@x.test>b@x.test active")
	full.full = false
	c.now = c.now.Add(2 * unreadTime)
	if err := l.End(map[int]Outcome{0: {State: StateQueued, Until: c.now}}); err != nil {
		t.Fatal(err)
	}
	if l = lease(t, q); len(l.Recipients) != 1 || l.Recipients[0].Address != "b@x.test" {
		t.Errorf("leased %+v, want b@x.test alone", l.Recipients)
	}
	want(t, "frozen", frozen(t, dir), "ann@x.test>a@x.test")
	want(t, "in the queue", inQueue(q), "ann@x.test>b@x.test active")
}

func TestHurry(t *testing.T) {
	q, c := openQueue(t, filepath.Join(t.TempDir(), "spool"))
	put(t, q, letter("ann", "a", "b"), "text")
	later := c.now.Add(time.Hour)
	if err := lease(t, q).End(map[int]Outcome{0: {State: StateQueued, Until: later}, 1: {State: StateQueued, Until: later}}); err != nil {
		t.Fatal(err)
	}
	want(t, "deferred", inQueue(q), "ann>a waiting, ann>b waiting")
	if n, err := q.Hurry(t.Context(), to("b")); err != nil || n != (Count{Recipients: 1, Messages: 1}) {
		t.Errorf("Hurry: %+v, %v", n, err)
	}
	want(t, "hurried", inQueue(q), "ann>a waiting, ann>b due")
	if l := lease(t, q); len(l.Recipients) != 1 || l.Recipients[0].Address != "b" {
		t.Errorf("leased %v, want b", l.Recipients)
	}
}

func TestLook(t *testing.T) {
	q, c := openQueue(t, filepath.Join(t.TempDir(), "spool"))
	put(t, q, letter("ann", "a"), "text")
	l := lease(t, q)
	if err := l.End(map[int]Outcome{0: {State: StateQueued, Until: c.now.Add(time.Hour), Note: "451 later"}}); err != nil {
		t.Fatal(err)
	}
	e, log, err := q.Look(l.Key())
	if err != nil || e.From != "ann" || !strings.HasSuffix(log, " <a> 451 later\n") {
		t.Errorf("Look: %+v, %q, %v", e, log, err)
	}
	if _, _, err := q.Look("../../etc"); err != ErrNotFound {
		t.Errorf("Look for what is not there: %v, want ErrNotFound", err)
	}
}

// TestAllIsSteeredWhileTheQueueRuns deletes, freezes and lists while workers deliver,
// and wants every message to have come to one end.
func TestAllIsSteeredWhileTheQueueRuns(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	q, _ := openQueue(t, dir)
	const count = 120
	for i := range count {
		put(t, q, letter([]string{"spam", "odd", "good"}[i%3], fmt.Sprintf("%d@x.test", i), "b@y.test"), "text")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{})
	for range 4 {
		go func() {
			defer func() { ended <- struct{}{} }()
			for n := 0; ; n++ {
				l, err := q.Lease(ctx)
				if err != nil {
					return
				}
				switch n % 3 {
				case 0:
					l.Park("x")
					l = q.Unpark("x")
					if l == nil {
						continue
					}
				case 1:
					l.Return()
					continue
				}
				outcomes := map[int]Outcome{}
				for place := range l.Recipients {
					outcomes[place] = Outcome{State: StateQueued}
					if l.From == "good" {
						outcomes[place] = Outcome{State: StateDelivered}
					}
				}
				if err := l.End(outcomes); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	if _, err := q.FreezeAll(t.Context(), from("odd")); err != nil {
		t.Error(err)
	}
	if _, err := q.Delete(t.Context(), from("spam")); err != nil {
		t.Error(err)
	}
	for q.Len() > 0 && t.Context().Err() == nil {
		for l := q.Unpark("x"); l != nil; l = q.Unpark("x") {
			l.Return()
		}
	}
	cancel()
	for range 4 {
		<-ended
	}
	if names := leftBehind(t, q, dir); len(names) > 0 {
		t.Errorf("left behind: %d files", len(names))
	}
	if n := strings.Count(frozen(t, dir), "odd>"); n != 2*(count/3) {
		t.Errorf("%d recipients are frozen, want %d", n, 2*(count/3))
	}
}
