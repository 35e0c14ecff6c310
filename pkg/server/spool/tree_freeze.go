package spool

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"time"
)

// Freeze keeps the message for the recipient of that place in the reference's tree,
// where frozlist shows it, with a log of the attempts of which last is the one that
// ended them. When it returns nil that is on disk, and the caller ends the recipient
// with [StateFrozen]. To freeze it again changes nothing: after a crash between the
// two there is still one frozen message, which [Queue.TakeOver] finds.
func (l *Lease) Freeze(place int, last Attempt) (Name, error) {
	n, err := l.freeze(place, last)
	if err != nil {
		return n, fmt.Errorf("spool: freeze message %s: %w", l.ID, err)
	}
	return n, nil
}

func (l *Lease) freeze(place int, last Attempt) (Name, error) {
	q, index := l.q, l.Indexes[place]
	count, err := q.levels()
	if err != nil {
		return Name{}, err
	}
	n := frozenName(l.m.key, index, count, nameHost(l.Domain))
	before, err := l.History(place)
	if err != nil {
		q.log.Warn("frozen message has no log of the attempts before", "message", l.ID, "key", l.m.key, "err", err)
	}
	if last.Time.IsZero() {
		last.Time = q.opts.Clock()
	}
	err = q.keep(n, logDir, func(w io.Writer) error {
		_, err := io.WriteString(w, l.origin()+before+last.String())
		return err
	})
	if err != nil {
		return n, err
	}
	err = q.keep(n, frozenDir, func(w io.Writer) error {
		body, err := l.Open()
		if err != nil {
			return err
		}
		return errors.Join(writeSpoolFile(w, l.Envelope, l.Recipients[place], body), body.Close())
	})
	if err == nil {
		q.removeOf(n, customDir, mailprocDir) // what is submitted begins anew
	}
	return n, err
}

// keep writes a file of the tree so that it is there as a whole or not at all.
func (q *Queue) keep(n Name, dir string, write func(io.Writer) error) error {
	path, err := q.tree().path(n, dir)
	if err != nil {
		return err
	}
	if err := q.leaf(n, dir); err != nil {
		return err
	}
	// The live queue sweeps such names when it is opened.
	temp := filepath.Join(q.dir, takenKey(n)+"-"+dir+draftSuffix)
	f, err := q.fs.Create(temp, "", q.opts.mode())
	if err != nil {
		return err
	}
	b := bufio.NewWriterSize(f, 16<<10)
	if err = write(b); err == nil {
		err = b.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = q.fs.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, remove(q.fs, temp))
	}
	return q.folders.Sync(filepath.Dir(path))
}

// leaf makes a folder of a leaf.
func (q *Queue) leaf(n Name, dir string) error {
	path := filepath.Dir(q.dir)
	for _, name := range []string{strconv.Itoa(n.Level0), strconv.Itoa(n.Level1), dir} {
		parent := path
		path = filepath.Join(parent, name)
		if err := q.mkdir(path); err != nil {
			return err
		}
	}
	return nil
}

// mkdir makes a durable folder unless it is there.
func (q *Queue) mkdir(path string) error {
	if info, err := q.fs.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	// Two may be at it.
	if err := q.fs.Mkdir(path, q.opts.dirMode()); err != nil {
		if info, serr := q.fs.Stat(path); serr != nil || !info.IsDir() {
			return err
		}
	}
	if err := q.folders.Sync(filepath.Dir(path)); err != nil {
		return errors.Join(err, remove(q.fs, path)) // it would be taken for durable next time
	}
	return nil
}

// levels returns how many folders the tree has at each level: as many as the options say,
// or else those that there are at the first one. Missing ones are made.
func (q *Queue) levels() (int, error) {
	q.leveling.Lock()
	defer q.leveling.Unlock()
	if q.level > 0 {
		return q.level, nil
	}
	path := func(n int) string { return filepath.Join(filepath.Dir(q.dir), strconv.Itoa(n)) }
	there := 0
	for there < maxLevels {
		if info, err := q.fs.Stat(path(there)); err != nil || !info.IsDir() {
			break
		}
		there++
	}
	count := there
	switch {
	case q.opts.Levels > 0:
		count = primeFrom(min(q.opts.Levels, maxLevels))
	case there == 0:
		count = levels
	}
	if there < count {
		for n := count - 1; n >= there; n-- { // the first one comes last: then all are there
			if err := mkdir(q.fs, path(n), q.opts.dirMode()); err != nil {
				return 0, err
			}
		}
		if err := q.folders.Sync(filepath.Dir(q.dir)); err != nil {
			return 0, errors.Join(err, remove(q.fs, path(there))) // they would be taken for durable next time
		}
	}
	q.level = count
	return count, nil
}

// maxLevels bounds how many folders there are at a level.
const maxLevels = 1000

// primeFrom returns the first prime that is not below n.
func primeFrom(n int) int {
	for n = max(n, 2); ; n++ {
		prime := true
		for d := 2; d*d <= n; d++ {
			prime = prime && n%d != 0
		}
		if prime {
			return n
		}
	}
}

// settle ends what a crash has left between the freezing of a recipient and the end
// of its lease: it is frozen.
func (q *Queue) settle(n Name, digests map[string]string) {
	for _, name := range liveNames(n, digests) {
		q.mu.Lock()
		m := q.live[name.key]
		if m == nil || name.index >= len(m.slots) || m.slots[name.index].state != StateQueued || m.isLeased(name.index) {
			q.mu.Unlock()
			continue
		}
		s := m.slots[name.index]
		s.state, s.until = StateFrozen, 0
		m.slots[name.index] = s
		q.schedule(m)
		done := m.finished() && q.leave(m)
		q.mu.Unlock()
		if done {
			q.forget(m)
			continue
		}
		if err := q.write(m, []int{name.index}, true); err != nil {
			q.log.Error("frozen recipient stays in the queue on disk", "message", m.id, "key", m.key, "err", err)
		}
	}
}

// timeOf returns when a message of the tree came.
func timeOf(n Name, s *spoolFile, now time.Time) time.Time {
	if !s.Time.IsZero() {
		return s.Time
	}
	if millis, ok := nameMillis(n.File); ok {
		return time.UnixMilli(millis)
	}
	return now
}
