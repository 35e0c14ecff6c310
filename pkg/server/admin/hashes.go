package admin

import (
	"context"
	"sync"

	"github.com/xmaild/xmaild/pkg/server/auth"
)

// hashes are the stored forms of passwords that the steps of a batch need. They are made
// between two runs of its transaction, on all processors.
type hashes struct {
	made   map[hashKey]string
	wanted []hashKey
}

// A hashKey tells the hashes of a batch apart: two accounts with one password have two.
type hashKey struct {
	step, nth     int // the nth password of the step
	scheme, clear string
}

// hashed returns the hash of a password of the step that runs. Where it is not made yet
// it is noted as wanted, and stands does for it in this run.
func (b *batch) hashed(scheme, clear, stands string) string {
	if b.hashes == nil {
		return stands
	}
	key := hashKey{b.step, b.made, scheme, clear}
	b.made++
	if stored, ok := b.hashes.made[key]; ok {
		return stored
	}
	b.hashes.wanted = append(b.hashes.wanted, key)
	return stands
}

// make makes the hashes that are wanted.
func (h *hashes) make(ctx context.Context, hasher *auth.Hasher) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan hashKey)
	var mu sync.Mutex
	if h.made == nil {
		h.made = make(map[hashKey]string, len(h.wanted))
	}
	var workers sync.WaitGroup
	for range min(hasher.Size(), len(h.wanted)) {
		workers.Go(func() {
			for key := range next {
				stored, err := hasher.Hash(ctx, key.scheme, key.clear)
				if err != nil {
					cancel(err)
					continue
				}
				mu.Lock()
				h.made[key] = stored
				mu.Unlock()
			}
		})
	}
	for _, key := range h.wanted {
		next <- key
	}
	close(next)
	workers.Wait()
	return context.Cause(ctx)
}
