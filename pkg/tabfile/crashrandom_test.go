package tabfile

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPowerCutsAtRandom lets random transactions, alone and in batches that
// share a sync, meet a power cut at a random step. XMAILD_CRASH_ROUNDS says how
// many lives it tries, XMAILD_CRASH_SEED where it begins; a failure names its seed.
func TestPowerCutsAtRandom(t *testing.T) {
	rounds, seed := 400, uint64(1)
	if testing.Short() {
		rounds = 100
	}
	if v := os.Getenv("XMAILD_CRASH_ROUNDS"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatalf("XMAILD_CRASH_ROUNDS: %v", err)
		}
		rounds = n
	}
	if v := os.Getenv("XMAILD_CRASH_SEED"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatalf("XMAILD_CRASH_SEED: %v", err)
		}
		seed = n
	}
	for end := seed + uint64(rounds); seed < end; seed++ {
		if !t.Run(fmt.Sprintf("XMAILD_CRASH_SEED=%d", seed), func(t *testing.T) { randomLife(t, seed) }) {
			return
		}
	}
}

func randomLife(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	users := 3
	if rng.IntN(4) == 0 {
		users = manyUsers
	}
	mem, w := newDisk(t, users)
	c := newCrashFS(mem, 1+rng.IntN(500), rng.IntN(3)*50, seed)
	allowed := randomTransactions(t, c, rng, w)
	disk := c.Crash()
	for rng.IntN(3) == 0 { // and again, while it recovers
		c = newCrashFS(disk, 1+rng.IntN(60), rng.IntN(3)*50, seed)
		if s, err := Open(context.Background(), testOptions(crashRoot, c)); err == nil {
			_ = s.Close() // on a dead disk it cannot succeed
		}
		disk = c.Crash()
	}
	got := revive(t, disk).String()
	for _, w := range allowed {
		if got == w.String() {
			return
		}
	}
	t.Fatalf("what is there differs from what was acknowledged (-) by\n%s\nand is none of %d worlds that may be there",
		cmp.Diff(allowed[0].String(), got), len(allowed))
}

// randomTransactions lives until the power fails. It returns the worlds that may
// be there then: the acknowledged one first, and one more for each transaction
// that was under way, with those before it.
func randomTransactions(t *testing.T, c crashFS, rng *rand.Rand, w world) []world {
	t.Helper()
	o := testOptions(crashRoot, c)
	o.times = times{rest: quick.rest, idle: 1 << 40, longest: 1 << 40}
	s, err := Open(context.Background(), o)
	if err != nil {
		if !c.Dead() {
			t.Fatal(err)
		}
		return []world{w}
	}
	defer func() { _ = s.Close() }() // on a dead disk it cannot succeed
	since := make(map[string]bool)   // names that came, went or changed since the last checkpoint
	for life := 0; life < 40 && !c.Dead(); life++ {
		if rng.IntN(6) == 0 {
			if err := s.Sync(context.Background()); err != nil && !c.Dead() {
				t.Fatalf("checkpoint: %v", err)
			}
			clear(since)
			continue
		}
		var batch []*request
		worlds := []world{w}
		for n := 1 + rng.IntN(4); len(batch) < n; {
			step, next, names := randomStep(rng, worlds[len(worlds)-1], life*10+len(worlds))
			if slices.ContainsFunc(names, func(name string) bool { return since[name] }) {
				// It may have to wait for a checkpoint, and others would pass it.
				if len(batch) > 0 {
					break
				}
				n = 1
			}
			for _, name := range names {
				since[name] = true
			}
			batch = append(batch, &request{f: step.f, done: make(chan struct{})})
			worlds = append(worlds, next)
		}
		if err := commitTogether(s, batch); err != nil {
			if !c.Dead() {
				t.Fatal(err)
			}
			return worlds
		}
		w = worlds[len(worlds)-1]
	}
	return []world{w}
}

// commitTogether commits a batch with as few syncs as can be.
func commitTogether(s *Store, batch []*request) error {
	if len(batch) == 1 {
		return s.Update(context.Background(), batch[0].f)
	}
	if err := s.step(func() { s.commitAll(batch) }); err != nil {
		return err
	}
	for _, r := range batch {
		if r.err != nil {
			return r.err
		}
	}
	return nil
}

// randomStep returns a transaction that is possible in a world, the world after
// it, and the names that it concerns.
func randomStep(rng *rand.Rand, w world, id int) (workStep, world, []string) {
	next := w.clone()
	used := make(map[string]bool)
	var steps []workStep
	for range 1 + rng.IntN(3) {
		step, names := randomChange(rng, next, id)
		if slices.ContainsFunc(names, func(name string) bool { return used[name] }) {
			continue
		}
		for _, name := range names {
			used[name] = true
		}
		step.model(&next)
		steps = append(steps, step)
	}
	return stepAll(steps...), next, slices.Sorted(maps.Keys(used))
}

// randomChange returns a change that is possible in a world, and the names of the
// folders that it concerns.
func randomChange(rng *rand.Rand, w world, id int) (workStep, []string) {
	pool := []string{"ann", "bob", "eve", "joe", "sue", "tim"}
	there := slices.Sorted(maps.Keys(w.trees))
	var free []string
	for _, name := range pool {
		if _, ok := w.trees[name]; !ok {
			free = append(free, name)
		}
	}
	pick := func(names []string) string { return names[rng.IntN(len(names))] }
	address := fmt.Sprintf("10.0.%d.%d", id, rng.IntN(250))
	switch n := rng.IntN(10); {
	case n < 3 && len(free) > 0:
		name := pick(free)
		return stepAdd(name, id), []string{name}
	case n == 3 && len(there) > 0:
		name := pick(there)
		return stepDelete(name), []string{name}
	case n == 4 && len(there) > 0 && len(free) > 0:
		from, to := pick(there), pick(free)
		return stepRename(from, to, id), []string{from, to}
	case n == 5 && len(there) > 0:
		name := pick(there)
		return stepVariable(name, fmt.Sprint("v", id)), []string{name}
	case n == 6 && len(there) > 0:
		return stepRenumber(pick(there), id), nil
	case n == 7:
		return stepUploadRelay(address), nil
	case n == 8 && len(w.relay) > 0 && len(there) > 0:
		below, _, _ := strings.Cut(strings.TrimPrefix(pick(w.relay), `"`), `"`)
		return stepAbove(below, address, pick(there), fmt.Sprint("b", id, ".", rng.IntN(1000)), id), nil
	case n == 9:
		return stepFile(strings.Repeat(fmt.Sprint("f", id), rng.IntN(3))), nil
	}
	return stepRelay(address), nil
}
