package resolve

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A cache keeps answers, and lets one of several that ask the same do so for all.
type cache struct {
	clock func() time.Time
	size  int

	mu      sync.Mutex
	answers map[string]*answer
}

// An answer is good from when done is closed until it ends.
type answer struct {
	done  chan struct{}
	value any
	err   error
	ends  time.Time // guarded by the cache; zero as long as it is asked
}

func newCache(clock func() time.Time, size int) *cache {
	return &cache{clock: clock, size: size, answers: make(map[string]*answer)}
}

// do returns what is known under a key, or else what ask returns.
func (c *cache) do(ctx context.Context, key string, ask func() (any, error)) (any, error) {
	for {
		a, mine := c.claim(key)
		if mine {
			a.value, a.err = ask()
			c.settle(ctx, key, a)
			return a.value, a.err
		}
		select {
		case <-a.done:
		case <-ctx.Done():
			return nil, errors.Join(ErrTemporary, ctx.Err())
		}
		if a.err == nil || !errors.Is(a.err, context.Canceled) {
			return a.value, a.err
		}
		// Who asked went away; nobody knows what the answer would have been.
	}
}

// claim returns the answer under a key, and whether it is the caller's to get it.
func (c *cache) claim(key string) (a *answer, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a = c.answers[key]
	if a != nil && (a.ends.IsZero() || c.clock().Before(a.ends)) {
		return a, false
	}
	if a == nil {
		c.makeRoom()
	}
	a = &answer{done: make(chan struct{})}
	c.answers[key] = a
	return a, true
}

// settle lets others have an answer.
func (c *cache) settle(ctx context.Context, key string, a *answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	keep := keepFound
	switch {
	case errors.Is(ctx.Err(), context.Canceled) && a.err != nil:
		a.err = errors.Join(a.err, context.Canceled)
		delete(c.answers, key)
	case errors.Is(a.err, ErrNotFound):
		keep = keepNotFound
	case a.err != nil:
		keep = keepFailed
	}
	a.ends = c.clock().Add(keep)
	close(a.done)
}

// makeRoom drops what has ended, and where that is nothing half of the rest.
func (c *cache) makeRoom() {
	if len(c.answers) < c.size {
		return
	}
	now := c.clock()
	for key, a := range c.answers {
		if !a.ends.IsZero() && !now.Before(a.ends) {
			delete(c.answers, key)
		}
	}
	for key, a := range c.answers {
		if len(c.answers) <= c.size/2 {
			return
		}
		if !a.ends.IsZero() {
			delete(c.answers, key)
		}
	}
}
