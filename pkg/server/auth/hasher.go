package auth

import (
	"context"
	"runtime"
)

// A Hasher makes and verifies hashes, a few at a time, so that a flood of logins
// takes neither all memory nor, each in its turn, for ever. It is safe for
// concurrent use.
type Hasher struct{ slots chan struct{} }

// NewHasher returns a Hasher that works on n hashes at a time; 0 is one for each
// processor of the machine that Go uses: more of them only take the cache from each
// other.
func NewHasher(n int) *Hasher {
	if n <= 0 {
		n = min(runtime.NumCPU(), runtime.GOMAXPROCS(0))
	}
	return &Hasher{slots: make(chan struct{}, n)}
}

// Size returns how many hashes are worked on at a time.
func (h *Hasher) Size() int { return cap(h.slots) }

// Hash is [Hash] in its turn. The error may be that of ctx.
func (h *Hasher) Hash(ctx context.Context, scheme, clear string) (string, error) {
	if scheme == Reversible {
		return Hash(scheme, clear)
	}
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer h.leave()
	return Hash(scheme, clear)
}

// Verify reports whether clear is the password p, in its turn. The error is that
// of ctx.
func (h *Hasher) Verify(ctx context.Context, p Password, clear string) (bool, error) {
	if n, ok := p.(nobody); !IsHashed(p) && !(ok && IsHashed(n.like)) {
		return p.Verify(clear), nil
	}
	if err := h.enter(ctx); err != nil {
		return false, err
	}
	defer h.leave()
	return p.Verify(clear), nil
}

func (h *Hasher) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (h *Hasher) leave() { <-h.slots }
