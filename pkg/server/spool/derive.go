package spool

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrDerived is the error of a message that is derived a second time.
var ErrDerived = errors.New("spool: the message has been made already")

// derivedMark stands in the key of a derived message between that of the message it
// was made of and its own part: the index of the recipient, a dot, and the step. What
// the steps are follows behind a -, where somebody has said so: a message that was made
// when the steps were others is another one.
const derivedMark = "~"

// sumTag stands for what the steps of a delivery are.
func sumTag(sum uint32) string {
	if sum == 0 {
		return ""
	}
	return "-" + strconv.FormatUint(uint64(sum), 36)
}

// Derive begins a message that is made of this one for the recipient of a place: the
// copy for the members of a list, a redirected one, a notification. It is a step of
// the delivery, below [MaxSteps]: when Commit returns nil the message is in the queue
// and the Progress of the recipient has the step, both or neither, and whatever
// happens the message is made once. [ErrDerived] says that it was before.
func (l *Lease) Derive(place, step int, e Envelope) (*Draft, error) {
	key := fmt.Sprintf("%s%s%d.%d%s", l.m.key, derivedMark, l.Indexes[place], step, sumTag(l.Progress(place).Sum))
	l.q.mu.Lock()
	there := l.q.live[key] != nil
	l.q.mu.Unlock()
	if there || l.Progress(place).Has(step) {
		return nil, ErrDerived
	}
	d, err := l.q.begin(key, e)
	if err != nil {
		return nil, err
	}
	d.committed = func() error {
		return l.SetProgress(place, l.Progress(place).With(step))
	}
	return d, nil
}

// Origin returns the name in the queue of the message that this one was made of, and
// that again of, or its own. No other message ever has it.
func (l *Lease) Origin() string {
	first, _, _ := strings.Cut(l.m.key, derivedMark)
	return first
}

// origin returns of which message, for which recipient and in which step a message
// was derived, and what the steps were then.
func origin(key string) (parent string, index, step int, tag string, ok bool) {
	at := strings.LastIndex(key, derivedMark)
	if at < 0 {
		return "", 0, 0, "", false
	}
	first, second, _ := strings.Cut(key[at+len(derivedMark):], ".")
	if n := strings.Index(second, "-"); n >= 0 {
		second, tag = second[:n], second[n:]
	}
	index, err1 := strconv.Atoi(first)
	step, err2 := strconv.Atoi(second)
	return key[:at], index, step, tag, err1 == nil && err2 == nil && index >= 0
}

// recallDerived writes into messages what was derived of them: the power may have gone when
// the derived one was there and they did not say so yet. The queue is being opened.
func (q *Queue) recallDerived() error {
	for key := range q.live {
		parent, index, step, tag, ok := origin(key)
		m := q.live[parent]
		if !ok || m == nil || index >= len(m.slots) || m.slots[index].Has(step) || m.slots[index].state != StateQueued || tag != sumTag(m.slots[index].Sum) {
			continue
		}
		m.slots[index].Progress = m.slots[index].With(step)
		if err := q.write(m, []int{index}, true); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(q.dir, parent+messageSuffix), err)
		}
	}
	return nil
}
