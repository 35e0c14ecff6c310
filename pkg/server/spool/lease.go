package spool

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A Lease is the right to deliver a message to those of its recipients whose turn
// it is. Nobody else has them until it has ended; where the process dies first,
// they are due again at the next start. It is for one goroutine at a time.
type Lease struct {
	q *Queue
	m *message

	Envelope // with the recipients of the lease only

	// Indexes are those of the recipients in the message. With the key of the
	// message they make a name that no other delivery has.
	Indexes []int

	// Again is true where an earlier attempt at these recipients may have gone
	// further than the queue knows.
	Again bool

	header *header // shared by the leases of one message that were split
	ended  []bool  // by place
	text   []byte  // of a message that is not in the queue yet: see DeliverFirst
}

// Key returns the name of the message in the queue.
func (l *Lease) Key() string { return l.m.key }

// Size returns how many bytes the text of the message has.
func (l *Lease) Size() int64 { return l.m.size }

// Tries returns how many attempts there were at the recipient of that place.
func (l *Lease) Tries(i int) int { return l.header.slots[l.Indexes[i]].tries }

// Progress returns how far earlier attempts at the recipient of that place have come.
func (l *Lease) Progress(place int) Progress { return l.header.slots[l.Indexes[place]].Progress }

// SetProgress says how far the attempt at a recipient has come. When it returns nil
// the next attempt will know, whatever happens to this one.
func (l *Lease) SetProgress(place int, p Progress) error {
	i := l.Indexes[place]
	l.q.mu.Lock()
	s := l.m.slots[i]
	s.Progress = p
	l.m.slots[i] = s
	l.q.mu.Unlock()
	l.header.slots[i].Progress = p
	return l.q.write(l.m, []int{i}, true)
}

// Open opens the text of the message.
func (l *Lease) Open() (*Body, error) {
	if l.text != nil {
		return textBody(l.text), nil
	}
	f, err := l.q.modify(l.m)
	return newBody(f, err, l.m.start)
}

// Lease waits until a message is due and returns it. After [Queue.Close] the error
// is [ErrClosed].
func (q *Queue) Lease(ctx context.Context) (*Lease, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		q.mu.Lock()
		if q.closed {
			q.mu.Unlock()
			return nil, ErrClosed
		}
		now := q.opts.Clock().Unix()
		if len(q.due) > 0 && q.due[0].at <= now {
			m := heap.Pop(&q.due).(*message)
			indexes := m.take(now)
			q.schedule(m) // others may become due while these are in hand
			q.mu.Unlock()
			if indexes = q.freezeWanted(m, indexes); len(indexes) == 0 {
				continue
			}
			l, err := q.lease(m, indexes)
			if err == nil {
				return l, nil
			}
			q.lost(m, indexes, err)
			continue
		}
		var tick <-chan time.Time
		if len(q.due) > 0 {
			tick = q.opts.Tick()
		}
		changed := q.changed
		q.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		case <-tick:
		}
	}
}

// take marks the recipients that are due, and returns them.
func (m *message) take(now int64) []int {
	var indexes []int
	if m.leased == nil {
		m.leased = make([]bool, len(m.slots))
	}
	for i, s := range m.slots {
		if s.state == StateQueued && s.until <= now && !m.leased[i] {
			m.leased[i] = true
			indexes = append(indexes, i)
		}
	}
	return indexes
}

func (q *Queue) lease(m *message, indexes []int) (*Lease, error) {
	h, _, err := q.header(m.key)
	if err != nil {
		return nil, err
	}
	if len(h.slots) != len(m.slots) {
		return nil, fmt.Errorf("message has %d recipients, and had %d", len(h.slots), len(m.slots))
	}
	q.mu.Lock()
	h.slots = slices.Clone(m.slots) // the file may lack what could not be written
	q.mu.Unlock()
	return q.leaseBy(&h, m, indexes), nil
}

// leaseBy makes the lease of recipients of a message whose header was read.
func (q *Queue) leaseBy(h *header, m *message, indexes []int) *Lease {
	l := &Lease{q: q, m: m, Envelope: h.Envelope, Indexes: indexes, Again: m.recovered, header: h, ended: make([]bool, len(indexes))}
	all := l.Recipients
	l.Recipients = make([]Recipient, len(indexes))
	for place, i := range indexes {
		l.Recipients[place] = all[i]
		l.Again = l.Again || h.slots[i].tries > 0
	}
	return l
}

// unreadTime is when a file is read again that could not be read for a reason that
// may pass.
const unreadTime = time.Minute

// mayPass reports whether a file could not be read for a reason that says nothing of
// it: too many open files, say.
func mayPass(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p) && !errors.Is(err, fs.ErrNotExist)
}

// lost deals with a message whose file could not be read for a lease. Where somebody
// has changed or removed it, it is put aside and named, and the rest goes on.
func (q *Queue) lost(m *message, indexes []int, why error) {
	if mayPass(why) {
		q.log.Error("message cannot be read, and waits", "message", m.key, "err", why)
		q.mu.Lock()
		for _, i := range indexes {
			m.slots[i].until = q.opts.Clock().Add(unreadTime).Unix()
		}
		q.mu.Unlock()
		q.giveBack(m, indexes)
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.live[m.key] != m {
		return
	}
	delete(q.live, m.key)
	if errors.Is(why, fs.ErrNotExist) {
		q.log.Error("message is gone: somebody has removed its file", "message", m.id, "key", m.key, "from", m.from)
	}
	if err := q.putAside(m.key+messageSuffix, why); err != nil {
		q.log.Error("unreadable message stays where it is", "message", m.key, "err", err)
	}
}

// An Outcome is what came of an attempt at a recipient.
type Outcome struct {
	State State
	Until time.Time // when there is to be another attempt; for StateQueued
	Free  bool      // the attempt does not count as one: nothing was tried
	Note  string    // for the log of the message: what was tried and what came of it
}

// End ends the lease of recipients, given by their places in Recipients. That some
// are finished is on disk when End returns nil, by one sync for all. Where the disk
// cannot take it the queue remembers it as long as it runs, and the error says so.
func (l *Lease) End(outcomes map[int]Outcome) error {
	q, m := l.q, l.m
	finished := false // some recipient is done with
	changed := make(map[int]slot, len(outcomes))
	q.mu.Lock()
	for place, o := range outcomes {
		if l.ended[place] {
			delete(outcomes, place)
			continue
		}
		l.ended[place] = true
		i := l.Indexes[place]
		s := m.slots[i]
		deleted := s.state == StateDeleted && o.State == StateQueued // while it was in hand
		if !deleted {
			s.state = o.State
		}
		if s.until = 0; s.state == StateQueued {
			s.until = o.Until.Unix()
		} else {
			finished = true
		}
		if !o.Free {
			s.tries++
		}
		m.slots[i], changed[i] = s, s
	}
	done := m.finishedWith(changed)
	there := done && q.leave(m)
	q.mu.Unlock()
	if done && !there {
		return nil
	}
	if done {
		if n, ok := takenName(m.key); ok {
			q.removeOf(n, customDir, mailprocDir)
		}
		_ = q.retire(m) // which has logged it
		return nil
	}
	l.note(outcomes)
	indexes := slices.Collect(maps.Keys(changed))
	err := q.write(m, indexes, finished)
	// They can be leased again only now that the file tells the truth of them.
	q.release(m, indexes)
	return err
}

// Return gives back the recipients that have not ended, as if nothing had been
// tried: they are due at once.
func (l *Lease) Return() {
	var indexes []int
	for place, i := range l.Indexes {
		if !l.ended[place] {
			l.ended[place] = true
			indexes = append(indexes, i)
		}
	}
	l.q.release(l.m, indexes)
}

// write puts the states of recipients into the file of a message, in place: it takes no
// room. A deferral alone is not synced; without it the next attempt comes early. What
// cannot be written now is written the next time, or by Tidy.
func (q *Queue) write(m *message, indexes []int, sync bool) error {
	q.mu.Lock()
	late := q.late[m]
	delete(q.late, m)
	q.mu.Unlock()
	if len(late) > 0 {
		indexes, sync = append(late, indexes...), true
	}
	err := q.writeNow(m, indexes, sync)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		q.mu.Lock()
		late = append(q.late[m], indexes...)
		slices.Sort(late)
		q.late[m] = slices.Compact(late)
		q.mu.Unlock()
	}
	return err
}

func (q *Queue) writeNow(m *message, indexes []int, sync bool) error {
	f, err := q.modify(m)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	m.writing.Lock()
	for _, i := range indexes {
		q.mu.Lock()
		s := m.slots[i] // as it is by now: an administrator may have changed it
		q.mu.Unlock()
		if _, werr := f.WriteAt([]byte(s.String()), m.offsets[i]); err == nil {
			err = werr
		}
	}
	m.writing.Unlock()
	if err == nil && sync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("spool: state of message %s: %w", m.key, err)
	}
	return nil
}

// untried begins the note of what does not count as an attempt.
const untried = "not tried: "

// note adds to the log of the message, which is for people: that it cannot be
// written keeps nothing up.
func (l *Lease) note(outcomes map[int]Outcome) {
	var text strings.Builder
	now := l.q.opts.Clock().Format(time.RFC3339)
	for _, place := range slices.Sorted(maps.Keys(outcomes)) {
		o := outcomes[place]
		if o.Note == "" {
			continue
		}
		if o.Free && o.State == StateQueued {
			o.Note = untried + o.Note
		}
		fmt.Fprintf(&text, "%s <%s> %s\n", now, l.Recipients[place].Address, printable(o.Note))
	}
	if text.Len() == 0 {
		return
	}
	l.q.mu.Lock()
	l.m.noted = true
	l.q.mu.Unlock()
	l.m.writing.Lock()
	defer l.m.writing.Unlock()
	if err := l.q.appendTo(l.m.key+logSuffix, text.String()); err != nil {
		l.q.log.Debug("log of a message", "message", l.m.key, "err", err)
	}
}

// printable keeps control characters, of a stranger's reply say, out of a line.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, text)
}

func (q *Queue) appendTo(name, text string) error {
	path := filepath.Join(q.dir, name)
	f, err := q.fs.Modify(path)
	if errors.Is(err, fs.ErrNotExist) {
		var created tabfile.File
		if created, err = q.fs.Create(path, "", q.opts.mode()); err != nil {
			return err
		}
		_, err = io.WriteString(created, text)
		return errors.Join(err, created.Close())
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt([]byte(text), info.Size())
	}
	return errors.Join(err, f.Close())
}
