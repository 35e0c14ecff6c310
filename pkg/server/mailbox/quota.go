package mailbox

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// Full reports whether the mailbox of an account has no room for extra more bytes:
// whether it holds as much as its variable MaxMBSize allows (KB; 0 or absent: any
// number), or would hold more. What it holds is what is in it now where it is said
// to be full; where there is room the answer may be some seconds old.
func (s *Store) Full(ctx context.Context, u mailroot.User, extra int64) (bool, error) {
	b, err := s.box(u)
	if err != nil {
		return false, err
	}
	return s.full(ctx, u, b, extra)
}

func (s *Store) full(ctx context.Context, u mailroot.User, b box, extra int64) (bool, error) {
	// Whoever asks has just read the variables for what else they say, so that they are in memory.
	vars, err := s.root.UserVars(u)
	if err != nil {
		return false, fmt.Errorf("variables of %s@%s: %w", u.Name, u.Domain, err)
	}
	value, _ := vars.Lookup("MaxMBSize")
	limit := int64(mailroot.Atoi(value)) << 10
	if limit <= 0 {
		return false, nil
	}
	extra = max(extra, 0)
	fits := func(used int64) bool { return used < limit && used+extra <= limit }
	if used, known := s.rooms.used(b.dir, s.now()); known && fits(used) {
		return false, nil
	}
	used, err := s.rooms.count(ctx, b.dir, s.now, fits, func() (int64, error) {
		all, err := s.usage.Usage(ctx, filepath.ToSlash(b.dir))
		return all.Bytes, err
	})
	if err != nil {
		return false, fmt.Errorf("size of the mailbox: %w", err)
	}
	return !fits(used), nil
}

const (
	// A count is believed for trustFactor times as long as it took, so that
	// counting never takes a good part of the time, within these bounds.
	trustFactor = 500
	trustLeast  = 5 * time.Second
	trustMost   = 5 * time.Minute

	maxRooms = 1 << 16
)

// rooms are the sizes of mailboxes: as they were counted, and what has been
// delivered and removed since then. A mailbox that other programs change is larger
// or smaller than that; [Store.full] takes it for full only after a count.
type rooms struct {
	mu    sync.Mutex
	boxes map[string]*room
}

type room struct {
	bytes   int64
	counted int64     // bytes without what was delivered and removed since the count began
	until   time.Time // believed so long
	changes int64     // bytes while a count is under way, which may have seen them or not
	running chan struct{}
}

func (r *rooms) init() { r.boxes = make(map[string]*room) }

// used returns what a mailbox holds, if that is known well enough.
func (r *rooms) used(dir string, now time.Time) (int64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.boxes[dir]
	if b == nil || !now.Before(b.until) {
		return 0, false
	}
	return b.bytes, true
}

// add notes what was delivered, or removed where bytes is below 0.
func (r *rooms) add(dir string, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.boxes[dir]; b != nil {
		b.bytes += bytes
		b.changes += bytes
	}
}

// count counts a mailbox, once for all who ask meanwhile. Where the count of another
// leaves open whether there is room, as fits tells, it is counted once more.
func (r *rooms) count(ctx context.Context, dir string, now func() time.Time, fits func(used int64) bool, count func() (int64, error)) (int64, error) {
	r.mu.Lock()
	b := r.boxes[dir]
	for b != nil && b.running != nil {
		running := b.running
		r.mu.Unlock()
		select {
		case <-running:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		r.mu.Lock()
		if b = r.boxes[dir]; b != nil && now().Before(b.until) {
			if fits(b.bytes) {
				defer r.mu.Unlock()
				return b.bytes, nil
			}
			if !fits(b.counted) {
				defer r.mu.Unlock()
				return b.counted, nil
			}
		}
	}
	if b == nil {
		if len(r.boxes) >= maxRooms {
			r.prune()
		}
		b = &room{}
		r.boxes[dir] = b
	}
	b.running, b.changes = make(chan struct{}), 0
	r.mu.Unlock()

	began := now()
	bytes, err := count()
	ended := now()

	r.mu.Lock()
	defer r.mu.Unlock()
	close(b.running)
	b.running = nil
	if err != nil {
		delete(r.boxes, dir)
		return 0, err
	}
	// The count may have missed what came meanwhile. What it saw of it is counted
	// twice until the next one, which comes before anything is refused.
	b.bytes, b.counted = bytes+max(b.changes, 0), bytes
	b.until = ended.Add(min(max(trustFactor*ended.Sub(began), trustLeast), trustMost))
	return bytes, nil
}

// prune forgets all mailboxes that are not being counted.
func (r *rooms) prune() {
	for dir, b := range r.boxes {
		if b.running == nil {
			delete(r.boxes, dir)
		}
	}
}
