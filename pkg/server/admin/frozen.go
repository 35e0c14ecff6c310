package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strconv"

	"github.com/xmaild/xmaild/pkg/server/spool"
)

// FrozenName reads the name of a frozen message as control commands give it.
func FrozenName(level0, level1, file string) (spool.Name, error) {
	n := spool.Name{File: file}
	for _, l := range []struct {
		text string
		to   *int
	}{{level0, &n.Level0}, {level1, &n.Level1}} {
		v, err := strconv.Atoi(l.text)
		if err != nil || v < 0 {
			return n, refuse(Invalid, "level %s is not a number", quote(l.text))
		}
		*l.to = v
	}
	return n, nil
}

// Frozen returns the frozen messages. A message without a log of attempts has
// the time of now.
func (s *Service) Frozen(ctx context.Context) iter.Seq2[spool.Frozen, error] {
	return func(yield func(spool.Frozen, error) bool) {
		for f, err := range s.spool().All() {
			if err == nil {
				err = ctx.Err()
			}
			if f.Last.IsZero() {
				f.Last = s.root.Now()
			}
			if !yield(f, translate(err)) {
				return
			}
		}
	}
}

// FrozenSubmit puts a frozen message back into the queue.
func (s *Service) FrozenSubmit(_ context.Context, n spool.Name) error {
	if s.try {
		return translateSpool(s.spool().CheckSubmit(n))
	}
	return translateSpool(s.spool().Submit(n))
}

// FrozenDel removes a frozen message.
func (s *Service) FrozenDel(_ context.Context, n spool.Name) error {
	if s.try {
		return translateSpool(s.spool().Exists(n))
	}
	return translateSpool(s.spool().Delete(n))
}

// FrozenLog opens the log of the attempts to deliver a frozen message.
func (s *Service) FrozenLog(_ context.Context, n spool.Name) (io.ReadCloser, error) {
	f, err := s.spool().Log(n)
	return f, translateSpool(err)
}

// FrozenMessage opens the whole spool file of a frozen message.
func (s *Service) FrozenMessage(_ context.Context, n spool.Name) (io.ReadCloser, error) {
	f, err := s.spool().Message(n)
	return f, translateSpool(err)
}

// Flush makes the queue try messages now whose recipients match the patterns.
// There is no queue yet, so there is nothing to do.
func (s *Service) Flush(context.Context, ...string) error { return nil }

func translateSpool(err error) error {
	var p *fs.PathError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, spool.ErrName):
		return refuse(BadPath, "%w", err)
	case errors.Is(err, spool.ErrNotFound):
		return refuse(NoMessage, "%w", err)
	case errors.Is(err, fs.ErrExist), errors.Is(err, fs.ErrNotExist):
		return refuse(CannotRename, "%w", err)
	case errors.As(err, &p):
		return refuse(CannotRead, "%s: %w", p.Op, p.Err)
	}
	return fmt.Errorf("spool: %w", err)
}
