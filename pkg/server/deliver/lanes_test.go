package deliver_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/admin"
	"github.com/xmaild/xmaild/pkg/server/deliver"
	"github.com/xmaild/xmaild/pkg/server/outbound"
)

// start starts a deliverer, and returns what ends it.
func (f *fixture) start(o deliver.Options) (end func()) {
	d := deliver.New(f.parts(f.boxes()), o)
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan struct{})
	go func() { d.Run(ctx); close(done) }()
	return func() { cancel(); <-done }
}

// waitFor waits until something has come about.
func (f *fixture) waitFor(what string, so func() bool) {
	f.t.Helper()
	for end := time.After(20 * time.Second); !so(); {
		select {
		case <-end:
			f.t.Fatalf("%s: it has not come about", what)
		case <-time.After(time.Millisecond):
		}
	}
}

// got are the addresses that have got a message.
func (f *fixture) got() []string {
	f.net.mu.Lock()
	defer f.net.mu.Unlock()
	return slices.Clone(f.net.sent)
}

func TestMessageForABusyHostWaitsWithoutAnAttempt(t *testing.T) {
	f := newFixture(t)
	if err := os.WriteFile(filepath.Join(f.dir, "custdomains", "inner.test.tab"), []byte("\"smtprelay\"\t\"busy.test\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"x@busy.test", "x@inner.test"} {
		f.net.results[to] = []outbound.Result{{State: outbound.Busy, Reply: "busy", Untried: true}}
	}
	f.put("Subject: x\r\n\r\n", "u1@foo.test", "x@busy.test", "y@busy.test", "x@inner.test")
	// What is given up after the first attempt.
	if err := f.admin.SetServerVars(t.Context(), admin.Setting{Name: "QueueSchedule", Value: ""}, admin.Setting{Name: "QueueLife", Value: "0"}); err != nil {
		t.Fatal(err)
	}
	end := f.start(deliver.Options{Workers: 1, Schedule: deliver.Schedule{Tries: 1}})
	f.waitFor("an empty queue", func() bool { return f.queue.Len() == 0 })
	end()
	got := f.got()
	slices.Sort(got)
	if want := []string{"x@busy.test", "x@inner.test", "y@busy.test"}; !slices.Equal(got, want) {
		t.Errorf("sent to %q, want %q", got, want)
	}
	if got := f.notices("u1"); len(got) != 0 {
		t.Errorf("the sender was told %q", got)
	}
}

// TestBusyHostIsAskedAgainWhenItsPlaceWasTaken has a host that is busy while mail for
// another one waits for its place.
func TestBusyHostIsAskedAgainWhenItsPlaceWasTaken(t *testing.T) {
	f := newFixture(t)
	for n := range 20 {
		busy, other := fmt.Sprintf("x@busy%d.test", n), fmt.Sprintf("x@other%d.test", n)
		f.net.results[busy] = []outbound.Result{{State: outbound.Busy, Reply: "busy", Untried: true}}
		f.put("Subject: x\r\n\r\n", "", busy)
		f.put("Subject: x\r\n\r\n", "", other)
	}
	end := f.start(deliver.Options{Workers: 1, Destinations: 1, PerDomain: 1})
	f.waitFor("an empty queue", func() bool { return f.queue.Len() == 0 })
	end()
}

// TestCommandsThatSendKeepUpNothingElse has more mail for an inner server that does
// not answer than there are workers.
func TestCommandsThatSendKeepUpNothingElse(t *testing.T) {
	f := newFixture(t)
	for name, text := range map[string]string{
		"custdomains/inner.test.tab":       "\"smtprelay\"\t\"slow.test\"\n",
		"cmdaliases/foo.test/robot.tab":    "\"smtprelay\"\t\"slow.test\"\n",
		"domains/foo.test/u1/mailproc.tab": "\"mailbox\"\n\"smtprelay\"\t\"slow.test\"\n",
	} {
		name = filepath.Join(f.dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	slow := make(chan struct{})
	f.net.hold = map[string]chan struct{}{"slow.test": slow}
	for n := range 5 {
		f.put("Subject: slow\r\n\r\n", "s@ext.test", fmt.Sprintf("r%d@inner.test", n), "robot@foo.test", "u1@foo.test")
	}
	f.put("Subject: quick\r\n\r\n", "s@ext.test", "u2@foo.test", "x@quick.test")
	end := f.start(deliver.Options{Workers: 1, PerDomain: 2})
	f.waitFor("the quick ones", func() bool { return len(f.mail("u2")) == 1 && slices.Contains(f.got(), "x@quick.test") })
	if n := f.queue.Len(); n != 5 {
		t.Errorf("%d messages are queued while the inner server is silent, want 5", n)
	}
	close(slow)
	f.waitFor("an empty queue", func() bool { return f.queue.Len() == 0 })
	end()
	if n, box := len(f.got()), len(f.mail("u1")); n != 16 || box != 5 {
		t.Errorf("%d messages were sent and %d are in the mailbox, want 16 and 5", n, box)
	}
}

// TestMailForDeadHostsLeavesRoomForNewMail has more domains whose hosts were dead
// before than there may be lanes.
func TestMailForDeadHostsLeavesRoomForNewMail(t *testing.T) {
	f := newFixture(t)
	f.net.hold = map[string]chan struct{}{}
	dead := make(chan struct{})
	for n := range 8 {
		to := fmt.Sprintf("x@dead%d.test", n)
		f.net.results[to] = []outbound.Result{{State: outbound.Temporary, Enhanced: "4.4.1", Reply: "no connection"}}
		f.put("Subject: x\r\n\r\n", "", to)
	}
	f.run(f.boxes())
	f.mu.Lock()
	f.now = f.now.Add(time.Hour)
	f.mu.Unlock()
	for n := range 8 {
		f.net.hold[fmt.Sprintf("dead%d.test", n)] = dead
	}
	calls := make(chan int)
	f.net.calls = calls
	called := func() {
		select {
		case <-calls:
		case <-time.After(20 * time.Second):
			t.Fatal("no mail is being sent")
		}
	}
	end := f.start(deliver.Options{Workers: 1, Destinations: 4, PerDomain: 1})
	for range 3 {
		called()
	}
	for n := range 5 {
		f.put("Subject: new\r\n\r\n", "", fmt.Sprintf("x@new%d.test", n))
		called()
	}
	f.waitFor("the new ones", func() bool { return len(f.got()) == 5 })
	close(dead)
	for range 5 {
		called()
	}
	f.waitFor("an empty queue", func() bool { return f.queue.Len() == 0 })
	end()
}

// TestMailGrowsOldThoughItsHostIsDead is for many messages to a host: all but one of
// them are never tried, since that one finds the host dead.
func TestMailGrowsOldThoughItsHostIsDead(t *testing.T) {
	f := newFixture(t)
	dead := outbound.Result{State: outbound.Temporary, Enhanced: "4.4.1", Reply: "no connection (host is not tried again for a while)", Host: "mx.elsewhere.test", Untried: true}
	f.net.results["x@elsewhere.test"] = slices.Repeat([]outbound.Result{dead}, 100)
	if err := f.admin.SetServerVars(t.Context(), admin.Setting{Name: "QueueSchedule", Value: ""}, admin.Setting{Name: "QueueLife", Value: "0"}); err != nil {
		t.Fatal(err)
	}
	f.put("Subject: late\r\n\r\n", "u1@foo.test", "x@elsewhere.test")
	for range deliver.DefaultTries + 1 {
		if f.queue.Len() == 0 {
			t.Fatal("it was given up too early")
		}
		f.run(f.boxes())
		f.mu.Lock()
		f.now = f.now.Add(time.Hour)
		f.mu.Unlock()
	}
	f.run(f.boxes())
	if got := f.notices("u1"); len(got) != 1 || !strings.Contains(got[0], "Action: failed") || f.queue.Len() != 0 {
		t.Errorf("notifications are %q and %d messages queued, want one of the failure, and none", got, f.queue.Len())
	}
}
