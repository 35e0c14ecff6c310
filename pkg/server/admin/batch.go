package admin

import (
	"context"
	"errors"
	"slices"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// A batch is several functions of a Service in one transaction.
type batch struct {
	tx *mailroot.Tx

	// What external programs want to be told of, before the transaction where they
	// want to see what it removes, and otherwise after it.
	before, after []hookCall
	hooksRan      bool // those before it

	hashes *hashes // nil where nothing changes
	step   int     // that runs
	made   int     // passwords of it so far
}

// errHooksFirst breaks a transaction off that would succeed, so that the programs
// run that want to see what it removes.
var errHooksFirst = errors.New("hooks run before the transaction")

// errHashFirst breaks a transaction off that needs hashes of passwords, so that nobody
// waits while they are made.
var errHashFirst = errors.New("passwords are hashed before the transaction")

// errTakeBack takes back what only had to be tried.
var errTakeBack = errors.New("nothing is to change")

// Batch calls step with 0 to n-1 and makes what the functions of the Service that it
// is called with change one transaction: each sees what those before it have
// changed. Where a step returns an error, nothing changes, and Batch returns the
// number of the step with its error. It returns n with an error of the transaction as
// a whole, and with nil.
//
// Steps may be called more than once, from the first on again, and hold up every
// other change. They may use the functions that change tables; those on the queue
// (Frozen…, Flush) and uploads are not part of a transaction. External programs
// run afterwards, but for those that want to see what is removed.
func (s *Service) Batch(ctx context.Context, n int, step func(s *Service, i int) error) (int, error) {
	var b *batch
	var failed error
	at := n
	hooksRan := false
	made := new(hashes)
	run := func(tx *mailroot.Tx) error {
		b = &batch{tx: tx, hooksRan: hooksRan, hashes: made}
		made.wanted = nil
		at, failed = n, nil
		for i := range n {
			if failed = s.step(ctx, b, i, step); failed != nil {
				at = i
				return failed
			}
		}
		if len(made.wanted) > 0 {
			return errHashFirst
		}
		if len(b.before) > 0 && !b.hooksRan {
			return errHooksFirst
		}
		return nil
	}
	change := s.root.Update
	if s.try {
		change = s.root.Try
	}
	err := change(ctx, run)
	for broken := true; broken; {
		switch {
		case errors.Is(err, errHashFirst):
			if err = made.make(ctx, s.hasher); err != nil {
				return n, translate(err)
			}
		case errors.Is(err, errHooksFirst):
			hooksRan = true
			for _, h := range b.before {
				s.runHook(ctx, h)
			}
		default:
			broken = false
			continue
		}
		err = change(ctx, run)
	}
	switch {
	case err == nil:
		for _, h := range b.after {
			s.runHook(ctx, h)
		}
		return n, nil
	case failed != nil && errors.Is(err, failed):
		return at, failed
	}
	return n, translate(err)
}

// CheckBatch returns for each step of a [Service.Batch] why it would fail, and nil
// where it would not. Nothing changes and no hooks run; the steps after one that fails
// see nothing of it.
func (s *Service) CheckBatch(ctx context.Context, n int, step func(s *Service, i int) error) ([]error, error) {
	var failed []error
	t := s.Try()
	err := s.root.Try(ctx, func(tx *mailroot.Tx) error {
		failed = make([]error, n)
		b := &batch{tx: tx}
		for i := range n {
			failed[i] = tx.Attempt(func() error { return t.step(ctx, b, i, step) })
			if tx.Repeats() {
				return failed[i]
			}
		}
		return nil
	})
	return failed, translate(err)
}

func (s *Service) step(ctx context.Context, b *batch, i int, step func(*Service, int) error) error {
	if err := ctx.Err(); err != nil {
		return translate(err)
	}
	t := *s
	t.batch = b
	b.step, b.made = i, 0
	return step(&t, i)
}

// only runs f in the transaction of a batch and takes back what it changed.
func (b *batch) only(f func(*mailroot.Tx) error) error {
	err := b.tx.Attempt(func() error {
		if err := f(b.tx); err != nil {
			return err
		}
		return errTakeBack
	})
	if errors.Is(err, errTakeBack) {
		return nil
	}
	return err
}

// removed notes the program that wants to see an account or a domain before it
// goes, if it was there before the transaction. What the transaction did to it before
// it is gone, nobody is told.
func (b *batch) removed(h hookCall, wasThere bool) {
	b.after = slices.DeleteFunc(b.after, h.covers)
	if wasThere {
		b.before = append(b.before, h)
	}
}
