package spool

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strconv"
	"time"
)

// A Source is a file that a message is taken from, by what tells it from every other
// file: those facts survive a power cut as the file does.
type Source struct {
	Facts  string       // name, number in the file system, size, times
	Time   time.Time    // of the file
	Remove func() error // removes the file, for good when it returns nil
}

// key returns the name in the queue of the message of a source.
func (s Source) key() string {
	sum := sha256.Sum256([]byte(s.Facts))
	// Whose file it is can give it any time.
	micros := min(max(s.Time.UnixMicro(), 0), 1<<52)
	return strconv.FormatInt(micros, 16) + "-" + hex.EncodeToString(sum[:12])
}

// BeginOnce begins a message that is taken from a file. Commit makes the message
// durable, removes the file, and only then lets the message be delivered; where the
// file cannot be removed the message is not taken. Where the process ends between the
// two steps the message is in the queue at the next start, and [Queue.Took] says so.
// The error is fs.ErrExist where the message of that file is in the queue already.
func (q *Queue) BeginOnce(s Source, e Envelope) (*Draft, error) {
	if q.Took(s) {
		return nil, fmt.Errorf("spool: the message is in the queue: %w", fs.ErrExist)
	}
	d, err := q.begin(s.key(), e)
	if err != nil {
		return nil, err
	}
	d.source = s.Remove
	return d, nil
}

// Took reports whether the queue holds the message of a file. Files of such messages
// are to be removed before the first message is delivered.
func (q *Queue) Took(s Source) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.live[s.key()] != nil
}
