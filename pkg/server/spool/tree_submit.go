package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// CheckSubmit returns why a frozen message could not be put back into the queue: an
// error that is [ErrName], [ErrNotFound], or fs.ErrExist where it is there already.
func (q *Queue) CheckSubmit(n Name) error {
	_, err := q.submission(n)
	return err
}

// submission returns the file of a frozen message that can be submitted.
func (q *Queue) submission(n Name) (source, error) {
	path, err := q.tree().path(n, frozenDir)
	if err != nil {
		return source{}, err
	}
	info, err := q.fs.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return source{}, fmt.Errorf("%w: %d/%d/%s", ErrNotFound, n.Level0, n.Level1, n.File)
	}
	if err != nil {
		return source{}, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, name := range liveNames(n, q.digests()) {
		if m := q.live[name.key]; m != nil && name.index < len(m.slots) && (m.slots[name.index].state == StateQueued || m.isLeased(name.index)) {
			return source{}, fmt.Errorf("%s is in the queue: %w", n.File, fs.ErrExist)
		}
	}
	if q.ending[takenKey(n)] != nil { // whoever has frozen it is about to remove the file of that name
		return source{}, fmt.Errorf("%s is in the queue: %w", n.File, fs.ErrExist)
	}
	return source{n, frozenDir, path}, nil
}

// Submit puts a frozen message back into the queue, as one that was never tried: it
// is due at once, and is not frozen any more. When it returns nil that is on disk.
// The errors are those of CheckSubmit.
func (q *Queue) Submit(n Name) error {
	q.taking.Lock()
	defer q.taking.Unlock()
	s, err := q.submission(n)
	if err != nil {
		return err
	}
	one, err := q.take(s, func(source, string) slot { return slot{state: StateQueued} })
	if err != nil {
		return fmt.Errorf("spool: submit %s: %w", n.File, err)
	}
	batch := []taken{one}
	if _, err := q.settleTaken(batch); err != nil || batch[0].err != nil {
		return fmt.Errorf("spool: submit %s: %w", n.File, errors.Join(err, batch[0].err))
	}
	q.log.Info("frozen message is put back", "message", one.m.id, "key", one.m.key, "file", n.File)
	return nil
}

// Commands opens the commands that a message of the reference has still to run,
// those of a mailproc.tab or else of a custom domain or an alias of commands: it had
// run the others when it was taken over (docs/reference/delivery.md 3.1). The error
// is [ErrNotFound] where there are none, as for every message that came to this
// server.
func (l *Lease) Commands() (commands io.ReadCloser, mailproc bool, err error) {
	n, ok := takenName(l.m.key)
	if ok {
		for _, dir := range []string{customDir, mailprocDir} {
			path, err := l.q.tree().path(n, dir)
			if err != nil {
				return nil, false, err
			}
			f, err := l.q.fs.Open(path)
			if err == nil {
				return f, dir == mailprocDir, nil
			}
			if !errors.Is(err, fs.ErrNotExist) {
				return nil, false, fmt.Errorf("spool: %w", err)
			}
		}
	}
	return nil, false, fmt.Errorf("%w: %s has no commands left", ErrNotFound, l.ID)
}
