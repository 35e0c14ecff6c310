package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"sync"
)

// A Count says how much a change of the queue was about.
type Count struct {
	Recipients int
	Messages   int
	Active     int // recipients among them that somebody has in hand
}

// A picked is a message with those of its recipients that a change is about.
type picked struct {
	m       *message
	indexes []int
	done    bool  // nothing of the message is left
	marked  []int // those that somebody has in hand: the file is to say what is to become of them
}

// pick goes through the queue and has change made of each message of which recipients
// match. The queue is locked for some messages at a time, so that it goes on meanwhile.
// change has the lock.
func (q *Queue) pick(ctx context.Context, match func(*Item) bool, change func(m *message, indexes []int)) (Count, error) {
	var n Count
	for keys := range q.chunks() {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		q.mu.Lock()
		now := q.opts.Clock().Unix()
		for _, key := range keys {
			m := q.live[key]
			if m == nil {
				continue
			}
			var indexes []int
			for i := range m.slots {
				if m.slots[i].state != StateQueued {
					continue
				}
				if item := q.item(m, i, now); match(&item) {
					indexes = append(indexes, i)
					if item.State == Active {
						n.Active++
					}
				}
			}
			if len(indexes) > 0 {
				n.Messages++
				n.Recipients += len(indexes)
				change(m, indexes)
			}
		}
		q.mu.Unlock()
	}
	return n, nil
}

// Count returns how many recipients match.
func (q *Queue) Count(ctx context.Context, match func(*Item) bool) (Count, error) {
	return q.pick(ctx, match, func(*message, []int) {})
}

// Delete removes recipients that match from the queue, and messages of which none are
// left. Nobody is told. When it returns nil they do not come back. What somebody
// has in hand is removed when the attempt has ended, unless it succeeds.
func (q *Queue) Delete(ctx context.Context, match func(*Item) bool) (Count, error) {
	var all []*picked
	n, err := q.pick(ctx, match, func(m *message, indexes []int) {
		p := &picked{m: m, indexes: indexes}
		for _, i := range indexes {
			if m.isParked(i) {
				m.parked[i], m.leased[i] = false, false
			}
			m.slots[i].state, m.slots[i].until = StateDeleted, 0
		}
		q.schedule(m)
		p.done = m.finished() && q.leave(m)
		all = append(all, p)
	})
	q.purge()
	err = errors.Join(err, each(all, func(p *picked) error {
		q.log.Info("recipients are deleted by an administrator", "message", p.m.id, "key", p.m.key, "from", p.m.from, "recipients", len(p.indexes), "left", !p.done)
		if p.done {
			return q.forget(p.m)
		}
		return q.mark(p.m, p.indexes)
	}), q.Tidy())
	if err != nil {
		return n, fmt.Errorf("spool: deleted messages may come back: %w", err)
	}
	return n, nil
}

// mark writes what is to become of recipients into the file of a message. The file may
// be gone: the message has ended meanwhile.
func (q *Queue) mark(m *message, indexes []int) error {
	err := q.write(m, indexes, true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Hurry makes waiting recipients due now that match. Those that wait for a
// destination, or that somebody has in hand, are tried without it. After a restart
// their times count again.
func (q *Queue) Hurry(ctx context.Context, match func(*Item) bool) (Count, error) {
	return q.pick(ctx, func(item *Item) bool { return item.State != Active && match(item) }, func(m *message, indexes []int) {
		for _, i := range indexes {
			if !m.isLeased(i) {
				m.slots[i].until = 0
			}
		}
		q.schedule(m)
	})
}

// FreezeAll gives up recipients that match and keeps them in the reference's tree, where
// frozlist shows them. Nobody is told. What somebody has in hand is frozen when the
// attempt has ended, unless it succeeds; after a crash before that, at the next start.
func (q *Queue) FreezeAll(ctx context.Context, match func(*Item) bool) (Count, error) {
	var all []*picked
	n, err := q.pick(ctx, match, func(m *message, indexes []int) {
		p := &picked{m: m}
		if m.leased == nil {
			m.leased = make([]bool, len(m.slots))
		}
		for _, i := range indexes {
			if m.isParked(i) {
				m.parked[i] = false
			} else if m.leased[i] {
				m.slots[i].toFreeze = true
				p.marked = append(p.marked, i)
				continue
			}
			m.leased[i] = true
			p.indexes = append(p.indexes, i)
		}
		q.schedule(m)
		all = append(all, p)
	})
	q.purge()
	return n, errors.Join(err, each(all, func(p *picked) error {
		var errs [2]error
		if len(p.marked) > 0 {
			errs[0] = q.mark(p.m, p.marked)
		}
		if len(p.indexes) > 0 {
			errs[1] = q.freezeNow(p.m, p.indexes)
		}
		return errors.Join(errs[:]...)
	}))
}

// freezeNow freezes recipients that the caller has in hand. Those that cannot be frozen
// are given back.
func (q *Queue) freezeNow(m *message, indexes []int) error {
	l, err := q.lease(m, indexes)
	if err != nil {
		q.lost(m, indexes, err)
		return fmt.Errorf("spool: message %s: %w", m.id, err)
	}
	const why = "frozen by an administrator"
	outcomes := make(map[int]Outcome, len(indexes))
	var failed []int
	for place, i := range indexes {
		if _, ferr := l.Freeze(place, Attempt{Error: why}); ferr != nil {
			err = errors.Join(err, ferr)
			failed = append(failed, i)
			continue
		}
		outcomes[place] = Outcome{State: StateFrozen, Free: true, Note: why}
		q.log.Info("message is frozen by an administrator", "message", m.id, "key", m.key, "to", l.Recipients[place].Address)
	}
	if len(outcomes) > 0 {
		err = errors.Join(err, l.End(outcomes))
	}
	q.later(m, failed)
	return err
}

// later gives back recipients that are to be frozen, but could not be, for a while.
func (q *Queue) later(m *message, indexes []int) {
	q.mu.Lock()
	for _, i := range indexes {
		if m.slots[i].toFreeze {
			m.slots[i].until = q.opts.Clock().Add(unreadTime).Unix()
		}
	}
	q.mu.Unlock()
	q.giveBack(m, indexes)
}

// release gives back recipients that somebody had in hand, but for those that are to be
// frozen: these are.
func (q *Queue) release(m *message, indexes []int) { q.giveBack(m, q.freezeWanted(m, indexes)) }

// freezeWanted freezes those of the recipients that the caller has in hand which are to
// be frozen, and returns the others.
func (q *Queue) freezeWanted(m *message, indexes []int) (others []int) {
	q.mu.Lock()
	var wanted []int
	for _, i := range indexes {
		if s := m.slots[i]; s.toFreeze && s.state == StateQueued {
			wanted = append(wanted, i)
		} else {
			others = append(others, i)
		}
	}
	q.mu.Unlock()
	if len(wanted) > 0 {
		if err := q.freezeNow(m, wanted); err != nil {
			q.log.Error("message that is to be frozen stays in the queue for a while", "message", m.id, "key", m.key, "err", err)
		}
	}
	return others
}

// giveBack gives back recipients that somebody had in hand, and ends the message where
// nothing is left of it.
func (q *Queue) giveBack(m *message, indexes []int) {
	q.mu.Lock()
	for _, i := range indexes {
		m.leased[i] = false
	}
	done := false
	if q.live[m.key] == m {
		if done = m.finished() && q.leave(m); !done {
			q.schedule(m)
		}
	}
	q.mu.Unlock()
	if done {
		_ = q.forget(m) // which has logged it
	}
}

// purge forgets of what waits for a destination that which does not any more. The
// recipients are not parked again before.
func (q *Queue) purge() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for destination, waiting := range q.parked {
		rest := waiting[:0]
		for _, p := range waiting {
			if p.indexes = p.m.stillParked(p.indexes); len(p.indexes) > 0 {
				rest = append(rest, p)
			}
		}
		clear(waiting[len(rest):])
		if q.parked[destination] = rest; len(rest) == 0 {
			delete(q.parked, destination)
		}
	}
}

// each does something to all messages, some at a time, and returns what went wrong
// with the first few.
func each(all []*picked, do func(*picked) error) error {
	var workers sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	next := make(chan *picked)
	for range min(len(all), 4*runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for p := range next {
				if err := do(p); err != nil {
					mu.Lock()
					if len(errs) < 8 {
						errs = append(errs, err)
					}
					mu.Unlock()
				}
			}
		})
	}
	for _, p := range all {
		next <- p
	}
	close(next)
	workers.Wait()
	return errors.Join(errs...)
}
