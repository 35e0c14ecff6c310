package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/spool"
	"github.com/xmaild/xmaild/pkg/tabfile"
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

// A FrozenFilter picks frozen messages. The zero value picks all.
type FrozenFilter struct{ messageFilter }

// frozenFields are the filters that are patterns, and what they look at.
var frozenFields = map[string]func(*spool.Frozen) []string{
	"file":      func(f *spool.Frozen) []string { return []string{f.File} },
	"sender":    func(f *spool.Frozen) []string { return []string{f.From} },
	"recipient": func(f *spool.Frozen) []string { return []string{f.To} },
	"domain":    func(f *spool.Frozen) []string { return []string{addressDomain(f.To)} },
	"user":      func(f *spool.Frozen) []string { return []string{f.Login, f.Account} },
}

// ParseFrozenFilter reads the filters of frozlist: NAME=PATTERN with wildcards for file,
// sender, recipient, domain and user, older=TIME and newer=TIME for how long ago the last
// attempt was. What has no = does not count, since the reference takes anything.
func (s *Service) ParseFrozenFilter(args ...string) (FrozenFilter, error) {
	f := FrozenFilter{messageFilter{patterns: map[string][]string{}}}
	for _, arg := range args {
		name, _, ok := strings.Cut(arg, "=")
		if !ok {
			continue
		}
		if err := f.add(arg, frozenFields[tabfile.Fold(name)] != nil, s.root.Now()); err != nil {
			return f, err
		}
	}
	return f, nil
}

// Frozen returns the frozen messages that match. One without a log of attempts has the
// time of its file.
func (s *Service) Frozen(ctx context.Context, filter FrozenFilter) iter.Seq2[spool.Frozen, error] {
	return func(yield func(spool.Frozen, error) bool) {
		tree := s.spool()
		var skipped []string
		tree.Skipped = func(file string) { skipped = append(skipped, file) }
		defer func() {
			if len(skipped) > 0 {
				s.log.Warn("files among the frozen messages hold none, and are not listed", "count", len(skipped), "first", skipped[0])
			}
		}()
		for f, err := range tree.All() {
			if err == nil {
				err = ctx.Err()
			}
			if f.Last.IsZero() {
				f.Last = f.Changed
			}
			if err == nil && !filter.match(f.Last, func(name string) []string { return frozenFields[name](&f) }) {
				continue
			}
			if !yield(f, translate(err)) {
				return
			}
		}
	}
}

// FrozenSubmit puts a frozen message back into the queue.
func (s *Service) FrozenSubmit(_ context.Context, n spool.Name) error {
	queue := s.queue()
	if s.try {
		return translateSpool(queue.CheckSubmit(n))
	}
	return translateSpool(queue.Submit(n))
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

// A Queue is the running queue; [spool.Queue] is the real one.
type Queue interface {
	Submit(n spool.Name) error
	CheckSubmit(n spool.Name) error
	Retry(match func(recipient string) bool) int

	Items(match func(*spool.Item) bool) iter.Seq[spool.Item]
	Look(key string) (e spool.Envelope, log string, err error)
	Count(ctx context.Context, match func(*spool.Item) bool) (spool.Count, error)
	Hurry(ctx context.Context, match func(*spool.Item) bool) (spool.Count, error)
	FreezeAll(ctx context.Context, match func(*spool.Item) bool) (spool.Count, error)
	Delete(ctx context.Context, match func(*spool.Item) bool) (spool.Count, error)
}

// idle is the queue where no server runs: what is submitted waits in the tree for
// the next start.
type idle struct{ spool.Tree }

func (idle) Retry(func(string) bool) int                       { return 0 }
func (idle) Items(func(*spool.Item) bool) iter.Seq[spool.Item] { return func(func(spool.Item) bool) {} }
func (idle) Look(string) (spool.Envelope, string, error) {
	return spool.Envelope{}, "", spool.ErrNotFound
}

func (idle) Count(context.Context, func(*spool.Item) bool) (spool.Count, error) {
	return spool.Count{}, nil
}

func (q idle) Hurry(ctx context.Context, match func(*spool.Item) bool) (spool.Count, error) {
	return q.Count(ctx, match)
}

func (q idle) FreezeAll(ctx context.Context, match func(*spool.Item) bool) (spool.Count, error) {
	return q.Count(ctx, match)
}

// Delete hides that of the tree, which is about frozen messages.
func (q idle) Delete(ctx context.Context, match func(*spool.Item) bool) (spool.Count, error) {
	return q.Count(ctx, match)
}

func (s *Service) queue() Queue {
	if s.opts.Queue != nil {
		return s.opts.Queue
	}
	return idle{s.spool()}
}

// Flush makes the queue try messages now whose recipients match one of the patterns:
// one with an @ is for the whole address, one without for its domain
// (docs/reference/delivery.md 1.9).
func (s *Service) Flush(_ context.Context, patterns ...string) error {
	if s.try {
		return nil
	}
	n := s.queue().Retry(func(recipient string) bool {
		domain := addressDomain(recipient)
		return slices.ContainsFunc(patterns, func(pattern string) bool {
			if strings.Contains(pattern, "@") {
				return tabfile.Match(pattern, recipient)
			}
			return tabfile.Match(pattern, domain)
		})
	})
	s.log.Info("queue is flushed", "patterns", patterns, "recipients", n)
	return nil
}

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
