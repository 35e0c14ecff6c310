package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// A mailbox is a folder that messages are delivered to.
type mailbox struct {
	dir  string
	seen int // messages that were there when they were last counted
}

// These are times between two looks into a folder: while a server works, which is not to
// be held up by them, and while a single message is waited for.
const (
	seldom = 50 * time.Millisecond
	often  = 100 * time.Microsecond
)

// expect waits until so many more messages are there than were seen last. It is an error
// when there are too many, or when no more come.
func (b *mailbox) expect(ctx context.Context, more int) error {
	want := b.seen + more
	latest := time.Now().Add(patience)
	for {
		count, err := b.count()
		switch {
		case err != nil:
			return err
		case count > want:
			return fmt.Errorf("%s: %d messages, want %d", b.dir, count, want)
		case count == want:
			b.seen = count
			return nil
		case time.Now().After(latest):
			return fmt.Errorf("%s: %d messages after %v, want %d", b.dir, count, patience, want)
		}
		if err := pause(ctx, seldom); err != nil {
			return err
		}
	}
}

// count returns how many messages are there; a folder that is absent has none.
func (b *mailbox) count() (int, error) {
	f, err := os.Open(b.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	return len(names), err
}

// take waits until there is a message, and removes it.
func (b *mailbox) take(ctx context.Context) (at time.Time, err error) {
	for {
		entries, err := os.ReadDir(b.dir)
		if err != nil {
			return time.Time{}, err
		}
		if len(entries) > 0 {
			at := time.Now()
			return at, os.Remove(b.dir + "/" + entries[0].Name())
		}
		if err := pause(ctx, often); err != nil {
			return time.Time{}, err
		}
	}
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
