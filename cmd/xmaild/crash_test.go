//go:build unix

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// The tests here let a server die again and again while clients of all kinds are at work,
// and start it anew. Each kind is a load, which knows what its clients were promised and
// looks for it after every start. scripts/crash runs them as long as one likes.

// A load is one kind of work, and what was promised to those who do it.
type load interface {
	// prepare writes what the load needs into a MailRoot that is not in use.
	prepare(t *testing.T, root string)
	// begin makes what the load needs on a server that serves for the first time.
	begin(t *testing.T, l life)
	// clients returns what is done at once: each function goes on until the server is gone.
	clients(l life, random *rand.Rand, f *findings) []func()
	// died looks at what a dead server has left.
	died(disk files, f *findings)
	// check wants what was promised of a server that has just started.
	check(l life, f *findings)
	// finish wants it of a server that was stopped when its queue was empty. It returns
	// how much was promised in all.
	finish(disk files, f *findings) (promised int, what string)
}

// A life is a server that serves until it dies.
type life struct {
	number           int
	ctrl, smtp, pop3 string
	disk             files
	gone             func() bool     // it has died, and may answer anything
	over             <-chan struct{} // closed when it has died
	last             bool            // nothing is done any more
	failed           error           // it could not start with what was on the disk; all else is empty
}

// A machine is where a server runs.
type machine interface {
	start(t *testing.T) life
	// die lets it die at any moment within a time.
	die(t *testing.T, within time.Duration, random *rand.Rand, f *findings)
	stop(t *testing.T)
	disk() files
}

// Files are what is below a MailRoot, by names with slashes.
type files interface {
	ReadDir(name string) ([]string, error)
	ReadFile(name string) ([]byte, error)
}

// Findings are what was found wrong.
type findings struct {
	mu  sync.Mutex
	all []string
}

func (f *findings) add(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, fmt.Sprintf(format, args...))
}

func (f *findings) any() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.all) > 0
}

// A crash is a test that lets servers die: so often, or for so long.
type crash struct {
	seed   uint64
	rounds int
	length time.Duration // 0: rounds count
	within time.Duration // of its life a server dies
}

// newCrash returns a test of so many rounds, or as the environment wants it.
func newCrash(t *testing.T, rounds, short int) crash {
	t.Helper()
	c := crash{seed: uint64(time.Now().UnixNano()), rounds: rounds, within: 300 * time.Millisecond}
	if testing.Short() {
		c.rounds = short
	}
	var err error
	if s := os.Getenv("XMAILD_CRASH_SEED"); s != "" {
		if c.seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("XMAILD_CRASH_SEED: %v", err)
		}
	}
	if s := os.Getenv("XMAILD_CRASH_ROUNDS"); s != "" {
		if c.rounds, err = strconv.Atoi(s); err != nil {
			t.Fatalf("XMAILD_CRASH_ROUNDS: %v", err)
		}
	}
	if s := os.Getenv("XMAILD_CRASH_TIME"); s != "" {
		if c.length, err = time.ParseDuration(s); err != nil {
			t.Fatalf("XMAILD_CRASH_TIME: %v", err)
		}
	}
	t.Logf("seed %d", c.seed)
	return c
}

// allLoads are the loads that run at once. The server takes mail from a folder of one.
func allLoads(t *testing.T) (loads []load, drop string) {
	t.Helper()
	s := newSendmailLoad(t)
	return []load{newAccountsLoad(), newImportLoad(), newMailLoad(), newProcessLoad(), s}, s.sender.drop
}

// newCrashRoot makes a MailRoot for loads.
func newCrashRoot(t *testing.T, loads []load) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "MailRoot")
	if err := servertest.NewMailRoot(root); err != nil {
		t.Fatal(err)
	}
	for _, load := range loads {
		load.prepare(t, root)
	}
	return root
}

// run lets the server die until there was enough of it, and returns what was found
// wrong. It ends with the first life after which something is.
func (c crash) run(t *testing.T, m machine, loads []load) []string {
	t.Helper()
	f := &findings{}
	random := rand.New(rand.NewPCG(c.seed, 0))
	began := time.Now()
	number := 0
	for ; c.length > 0 && time.Since(began) < c.length || c.length == 0 && number < c.rounds; number++ {
		c.live(t, m, loads, number, random, f)
		if f.any() {
			t.Logf("seed %d, life %d", c.seed, number)
			return f.all
		}
	}
	l := m.start(t)
	if l.failed != nil {
		return append(f.all, l.failed.Error())
	}
	l.last = true
	for _, load := range loads {
		load.check(l, f)
	}
	waitForQueue(m.disk(), f)
	m.stop(t)
	var done []string
	total := 0
	for _, load := range loads {
		promised, what := load.finish(m.disk(), f)
		if total += promised; promised == 0 && number >= 100 {
			t.Errorf("%s: nothing was promised", what)
		}
		done = append(done, fmt.Sprintf("%d %s", promised, what))
	}
	if total == 0 {
		t.Error("nothing was ever promised")
	}
	t.Logf("seed %d, %d deaths in %v: %s", c.seed, number, time.Since(began).Round(time.Second), strings.Join(done, ", "))
	return f.all
}

// live is one life and its end.
func (c crash) live(t *testing.T, m machine, loads []load, number int, random *rand.Rand, f *findings) {
	t.Helper()
	l := m.start(t)
	if l.failed != nil {
		f.add("%v", l.failed)
		return
	}
	l.number = number
	over := make(chan struct{})
	l.over = over
	var all sync.WaitGroup
	for _, load := range loads {
		if number == 0 {
			load.begin(t, l)
		}
		all.Go(func() { load.check(l, f) })
	}
	all.Wait()
	for _, load := range loads {
		for _, client := range load.clients(l, rand.New(rand.NewPCG(c.seed, random.Uint64())), f) {
			all.Go(client)
		}
	}
	m.die(t, c.within, random, f)
	close(over)
	all.Wait()
	for _, load := range loads {
		load.died(m.disk(), f)
	}
}

// report fails the test for what was found.
func report(t *testing.T, found []string) {
	t.Helper()
	for n, problem := range found {
		if n == 50 {
			t.Errorf("and %d more", len(found)-n)
			return
		}
		t.Error(problem)
	}
}

// TestKillLosesNothing kills the program at random moments.
func TestKillLosesNothing(t *testing.T) {
	c := newCrash(t, 50, 5)
	loads, drop := allLoads(t)
	root := newCrashRoot(t, loads)
	report(t, c.run(t, newProcess(root, drop), loads))
	wantSound(t, root)
}

// TestPowerCutLosesNothing takes the power from a machine in memory, whose disk forgets
// what was not synced, before a random change of what it holds.
func TestPowerCutLosesNothing(t *testing.T) {
	c := newCrash(t, 50, 5)
	loads, drop := allLoads(t)
	m := newMemory(t, newCrashRoot(t, loads), c.seed)
	m.drop = drop
	report(t, c.run(t, m, loads))
}

// TestPowerCutTestNoticesMissingSyncs makes sure that the test above can fail.
func TestPowerCutTestNoticesMissingSyncs(t *testing.T) {
	c := crash{seed: 1, rounds: 10, within: 300 * time.Millisecond}
	for _, one := range []load{newAccountsLoad(), newMailLoad()} {
		loads := []load{one}
		m := newMemory(t, newCrashRoot(t, loads), c.seed)
		m.forgetful = true
		if found := c.run(t, m, loads); len(found) == 0 {
			t.Errorf("a disk that syncs nothing has lost nothing of a %T", one)
		}
	}
}
