package spool

import (
	"errors"
	"io/fs"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"time"
)

// The states of an [Item].
const (
	Waiting = "waiting" // its time has not come
	Due     = "due"     // its time has come; it may wait for its destination to be free
	Active  = "active"  // an attempt is under way
)

// An Item is a recipient of a message in the queue, as it is at a moment.
type Item struct {
	Key, ID   string // of the message
	Time      time.Time
	From      string
	Login     string // who sent it, as the client wrote the name
	Account   string // user@domain of that login
	Size      int64
	Index     int // of the recipient in the message
	Recipient string
	State     string
	Tries     int
	Next      time.Time // when it is due; of Waiting
}

// item returns a recipient. The caller has the lock.
func (q *Queue) item(m *message, i int, now int64) Item {
	s := m.slots[i]
	item := Item{
		Key: m.key, ID: m.id, Time: m.time, From: m.from, Login: m.login, Account: m.account, Size: m.size,
		Index: i, Recipient: m.recipients[i], State: Due, Tries: s.tries,
	}
	switch {
	case m.isParked(i):
	case m.isLeased(i):
		item.State = Active
	case s.until > now:
		item.State, item.Next = Waiting, time.Unix(s.until, 0)
	}
	return item
}

// chunkSize is how many messages are looked at under one lock.
const chunkSize = 512

// chunks yields the keys of the messages that are there now, the oldest first.
func (q *Queue) chunks() iter.Seq[[]string] {
	q.mu.Lock()
	keys := slices.AppendSeq(make([]string, 0, len(q.live)), maps.Keys(q.live))
	q.mu.Unlock()
	slices.Sort(keys)
	return slices.Chunk(keys, chunkSize)
}

// Items yields the recipients that match, those of the oldest message first. Messages
// that come meanwhile are not among them, and those that go may not be.
func (q *Queue) Items(match func(*Item) bool) iter.Seq[Item] {
	return func(yield func(Item) bool) {
		for keys := range q.chunks() {
			var found []Item
			q.mu.Lock()
			now := q.opts.Clock().Unix()
			for _, key := range keys {
				m := q.live[key]
				if m == nil {
					continue
				}
				for i := range m.slots {
					if m.slots[i].state != StateQueued {
						continue
					}
					if item := q.item(m, i, now); match(&item) {
						found = append(found, item)
					}
				}
			}
			q.mu.Unlock()
			for _, item := range found {
				if !yield(item) {
					return
				}
			}
		}
	}
}

// Look returns the envelope of a message, and the last part of its log of attempts.
// The error is [ErrNotFound] where it is not in the queue.
func (q *Queue) Look(key string) (Envelope, string, error) {
	q.mu.Lock()
	there := q.live[key] != nil
	q.mu.Unlock()
	if !there {
		return Envelope{}, "", ErrNotFound
	}
	h, _, err := q.header(key)
	if errors.Is(err, fs.ErrNotExist) {
		return Envelope{}, "", ErrNotFound
	}
	if err != nil {
		return Envelope{}, "", err
	}
	log, err := q.attempts(key)
	return h.Envelope, log, err
}

func (q *Queue) attempts(key string) (string, error) {
	f, err := q.fs.Open(filepath.Join(q.dir, key+logSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	text, err := tail(f, maxHistory)
	return text, errors.Join(err, f.Close())
}
