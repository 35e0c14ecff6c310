package spool

import (
	"errors"
	"path/filepath"
	"slices"
	"sync"
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
	parked     []bool  // of those in hand, which wait for their destination; nil: none
	start      int64   // where the text begins in the file
	size       int64   // bytes of the text
	noted      bool    // it may have a log
	recovered  bool    // read from disk at the start: what was done before is not known for sure

	writing sync.Mutex // held while states are put into the file, or the log is written; the queue's lock may be taken meanwhile

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

func (m *message) isParked(i int) bool { return m.parked != nil && m.parked[i] }

func (m *message) park(i int) {
	if m.parked == nil {
		m.parked = make([]bool, len(m.slots))
	}
	m.parked[i] = true
}

// stillParked returns those that wait for their destination.
func (m *message) stillParked(indexes []int) []int {
	return slices.DeleteFunc(indexes, func(i int) bool { return !m.isParked(i) })
}

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

// finished reports whether nothing is left to do for a message, and nobody has it in
// hand.
func (m *message) finished() bool { return m.finishedWith(nil) }

// finishedWith is finished where those that are ending count as ended.
func (m *message) finishedWith(ending map[int]slot) bool {
	for i, s := range m.slots {
		if _, ends := ending[i]; s.state == StateQueued || m.isLeased(i) && !ends {
			return false
		}
	}
	return true
}

// forget removes the files of a message that is finished and out of the queue. What
// cannot be removed is logged too, and says that it is finished.
func (q *Queue) forget(m *message) error {
	defer q.left(m)
	err := q.forgetFile(m.key, messageSuffix)
	if err != nil {
		all := make([]int, len(m.slots))
		for i := range all {
			all[i] = i
		}
		err = errors.Join(err, q.write(m, all, true))
	}
	return errors.Join(err, q.forgetLog(m))
}

func (q *Queue) forgetLog(m *message) error {
	if !m.noted {
		return nil
	}
	return q.forgetFile(m.key, logSuffix)
}

func (q *Queue) forgetFile(key, suffix string) error {
	name := filepath.Join(q.dir, key+suffix)
	err := remove(q.fs, name)
	if err != nil {
		q.log.Warn("finished message cannot be removed", "file", name, "err", err)
	}
	q.mu.Lock()
	q.removed++
	q.mu.Unlock()
	return err
}
