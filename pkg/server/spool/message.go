package spool

import (
	"path/filepath"
	"slices"
	"time"
)

// A message is what the queue remembers of a file. The queue's lock guards it.
type message struct {
	key        string
	id         string
	time       time.Time
	from       string
	login      string
	account    string
	recipients []string // addresses
	slots      []slot
	offsets    []int64 // of the slots in the file
	leased     []bool  // nil while nothing is
	start      int64   // where the text begins in the file
	size       int64   // bytes of the text
	recovered  bool    // read from disk at the start: what was done before is not known for sure

	at    int64 // Unix seconds when it is due
	place int   // in the heap; -1: not there
}

func newMessage(key string, e Envelope) *message {
	m := &message{key: key, id: e.ID, time: e.Time, from: e.From, login: e.Login, account: e.Account, place: -1}
	for _, r := range e.Recipients {
		m.recipients = append(m.recipients, r.Address)
		m.slots = append(m.slots, slot{state: StateQueued})
	}
	return m
}

func (m *message) isLeased(i int) bool { return m.leased != nil && m.leased[i] }

// next returns when the first recipient is due that nobody has in hand; ok is false
// where there is none.
func (m *message) next() (at int64, ok bool) {
	for i, s := range m.slots {
		if s.state == StateQueued && !m.isLeased(i) && (!ok || s.until < at) {
			at, ok = s.until, true
		}
	}
	return at, ok
}

// finished reports whether nothing is left to do for a message.
func (m *message) finished() bool {
	return !slices.ContainsFunc(m.slots, func(s slot) bool { return s.state == StateQueued })
}

// forget removes the files of a message that is finished and out of the queue.
func (q *Queue) forget(m *message) {
	for _, suffix := range []string{messageSuffix, logSuffix} {
		name := filepath.Join(q.dir, m.key+suffix)
		if err := remove(q.fs, name); err != nil {
			q.log.Warn("finished message cannot be removed", "file", name, "err", err)
		}
	}
	q.mu.Lock()
	q.removed = true
	q.mu.Unlock()
}
