package tabfile

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"
)

// One goroutine commits. It takes all transactions that wait, runs them one
// after the other on what is in memory, prepares the files that they change,
// makes one record of each durable with a single sync, puts the files in place,
// and only then answers.

// A request is a transaction, or a step of the store itself.
type request struct {
	f    func(*Tx) error
	try  bool
	step func() // instead of f

	turn  *Turn // nil: in no order
	again bool  // all turns before have ended

	state atomic.Int32 // what became of it in the queue
	err   error
	done  chan struct{}
}

// The states of a request.
const (
	waiting = iota
	running
	givenUp // by who asked for it
)

// batchMax is how many transactions share a sync at most.
const batchMax = 512

// Update runs f as one transaction and returns when it is durable, or with the
// error of f, after which nothing has changed. f sees all that was committed
// before; it may run more than once, holds up every other change while it runs,
// and does not call the store other than by its Tx. ctx counts until f runs.
//
// A [*WriteError] is a transaction that could not be written, for instance to a
// full disk; nothing has changed then either. After [ErrFailed] the outcome is
// known only after a restart.
func (s *Store) Update(ctx context.Context, f func(*Tx) error) error {
	return s.do(ctx, &request{f: f, turn: takeTurn(ctx)})
}

// Try runs f as Update does and returns its error, and changes nothing.
func (s *Store) Try(ctx context.Context, f func(*Tx) error) error {
	return s.do(ctx, &request{f: f, try: true})
}

// step runs f in the goroutine that commits.
func (s *Store) step(f func()) error {
	return s.do(context.Background(), &request{step: f})
}

func (s *Store) do(ctx context.Context, r *request) error {
	if r.step == nil && s.closing.Load() {
		return ErrClosed
	}
	r.done = make(chan struct{})
	r.state.Store(waiting)
	select {
	case s.queue <- r:
	case <-s.closed:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	if r.turn != nil && !r.again {
		close(r.turn.queued)
	}
	if err := s.await(ctx, r); err != nil {
		return err
	}
	switch {
	case errors.Is(r.err, errHeld):
		r.awaitTurn()
		return s.do(ctx, r)
	case errors.Is(r.err, errRemade):
		r.awaitTurn()
		if err := s.checkpoint(); err != nil && !errors.Is(err, errEdited) {
			return &WriteError{err}
		}
		return s.do(ctx, r)
	}
	return r.err
}

// await waits until a request is done. The error is that of a request that never runs.
func (s *Store) await(ctx context.Context, r *request) error {
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		if r.state.CompareAndSwap(waiting, givenUp) {
			return ctx.Err()
		}
	case <-s.ended:
	}
	select {
	case <-r.done:
		return nil
	case <-s.ended:
	}
	// What was taken from the queue was also answered.
	select {
	case <-r.done:
		return nil
	default:
		return ErrClosed
	}
}

func (s *Store) committer() {
	defer close(s.ended)
	for {
		select {
		case r := <-s.queue:
			if r.state.CompareAndSwap(waiting, running) {
				s.commitAll(s.waiting(r))
			}
		case <-s.closed:
			return
		}
	}
}

// waiting returns r and what else waits behind it.
func (s *Store) waiting(r *request) []*request {
	all := []*request{r}
	for len(all) < batchMax {
		select {
		case r := <-s.queue:
			if r.state.CompareAndSwap(waiting, running) {
				all = append(all, r)
			}
		default:
			return all
		}
	}
	return all
}

// commitAll commits requests in batches as large as can be.
func (s *Store) commitAll(all []*request) {
	alone := 0 // so many are committed one by one, since they failed together
	for len(all) > 0 {
		if all[0].step != nil {
			all[0].step()
			close(all[0].done)
			all = all[1:]
			continue
		}
		size := len(all)
		if alone > 0 {
			size = 1
		}
		b := s.run(all[:size])
		if err := s.write(b); err != nil && len(b.records) > 1 && s.Failure() == nil {
			alone = len(b.requests)
			continue // all of them again: the one that cannot be written spoils no other
		}
		for _, r := range b.requests {
			close(r.done)
		}
		all = all[len(b.requests):]
		alone = max(alone-1, 0)
	}
}

// A batch is a number of transactions that become durable together.
type batch struct {
	requests []*request
	records  []*record
	changed  []*table           // in the order of their first change
	before   map[*table]version // as they were before the batch
	pending  *pathSet           // what the batch is about to change on disk
	looked   map[*table]bool    // whose files were looked at
}

// A version is what a transaction can change of a table, to put it back.
type version struct {
	content *content
	gone    bool
	skipped []Error
}

// run executes transactions until one needs to wait for those before it.
func (s *Store) run(all []*request) *batch {
	b := &batch{before: make(map[*table]version), pending: newPathSet(), looked: make(map[*table]bool)}
	for _, r := range all {
		if r.step != nil {
			break
		}
		if err := s.Failure(); err != nil && !r.try {
			r.err = err
			b.requests = append(b.requests, r)
			continue
		}
		if s.ending && !r.try {
			r.err = ErrClosed
			b.requests = append(b.requests, r)
			continue
		}
		if r.waits() {
			r.err = errHeld
			b.requests = append(b.requests, r)
			continue
		}
		tx := newTx(s, b)
		err := call(r.f, tx)
		if tx.conflict {
			break
		}
		if tx.remade {
			err = errRemade
			r.hold()
		}
		r.err = err
		b.requests = append(b.requests, r)
		tx.settleMoves()
		if err == nil && !r.try && len(tx.ops) > 0 {
			tx.settle()
			tx.dropMade()
			s.accept(b, tx)
		}
	}
	return b
}

var (
	// errRemade asks for a checkpoint before a transaction runs again.
	errRemade = errors.New("tabfile: transaction runs again after a checkpoint")
	// errHeld has a transaction run again when those of the turns before its own have ended.
	errHeld = errors.New("tabfile: transaction waits for its turn")
)

// call runs the function of a transaction. A panic in it is its own failure and
// not that of the store.
func call(f func(*Tx) error, tx *Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("transaction panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return f(tx)
}

// accept makes the changes of a transaction part of the batch.
func (s *Store) accept(b *batch, tx *Tx) {
	for _, tt := range tx.tables {
		if !tt.changed {
			continue
		}
		if _, ok := b.before[tt.t]; !ok {
			b.before[tt.t] = version{tt.t.working, tt.t.gone, tt.t.skipped}
			b.changed = append(b.changed, tt.t)
		}
		tt.t.working, tt.t.gone, tt.t.skipped = tt.View.c, false, tt.skipped
	}
	for i := range tx.ops {
		if o := &tx.ops[i]; !o.changesRow() {
			b.pending.add(o.path)
			if o.kind == opMoveTree {
				b.pending.add(o.text)
			}
		}
	}
	s.lsn++
	b.records = append(b.records, &record{lsn: s.lsn, ops: tx.ops})
}

// write makes a batch durable and visible. After an error nothing of it is.
func (s *Store) write(b *batch) error {
	if len(b.records) == 0 {
		return nil
	}
	p := &plan{
		s: s, b: b,
		whole: make(map[string]*op),
		rows:  make(map[*table][]op),
		shown: make(map[*table]state),
		bases: make(map[*table]basis),
		tmps:  make(map[string]bool),
	}
	s.wrote.Store(int64(time.Since(s.opened)))
	err := p.prepare()
	if err == nil {
		err = p.log()
	}
	if err != nil {
		p.abandon()
		for t, v := range b.before {
			t.working, t.gone, t.skipped = v.content, v.gone, v.skipped
		}
		if s.Failure() == nil {
			err = &WriteError{err}
		}
	} else {
		err = p.apply()
		for _, t := range b.changed {
			t.publish()
		}
	}
	if err != nil {
		for _, r := range b.requests {
			if r.err == nil && !r.try {
				r.err = err
			}
		}
	}
	s.wakeFlusher()
	return err
}

// tmpName returns a new name in the tmp folder of the root.
func (s *Store) tmpName(ext string) string {
	s.names++
	return filepath.Join(s.root, tmpDir, strconv.FormatUint(s.names, 10)+ext)
}

const (
	tmpDir   = "tmp"
	stageExt = ".stage" // a tree that is being made
	trashExt = ".trash" // a tree that is being removed
)
