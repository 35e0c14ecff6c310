package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/xmaild/xmaild/pkg/ctrl"
)

// How many rows a transaction has. It begins with few, since the server may run an
// external program for each before it answers, and grows while that is quick.
const (
	firstChunk = 16
	lastChunk  = 512
	quickChunk = time.Second
)

// transactions are rows that go to the server many at a time: it then waits for
// its disk once for all of them. Where one of them is refused, nothing of the
// transaction was done, and its rows are sent one by one.
type transactions struct {
	i      *importer
	client *ctrl.Client
	off    bool // the server has none
	size   int  // rows of the next one
	pause  int  // chunks to send one by one before trying again
	passed int  // of those
}

// next returns where the next chunk ends.
func (t *transactions) next() int {
	if t.off {
		return len(t.i.rows)
	}
	return min(t.i.next+t.size, len(t.i.rows))
}

// run sends the rows before end as one transaction. It reports whether it has
// settled them; where not, nothing was done.
func (t *transactions) run(ctx context.Context, end int, stopping <-chan struct{}) (settled bool, err error) {
	i := t.i
	if t.off {
		return false, nil
	}
	if t.passed < t.pause {
		t.passed++
		return false, nil
	}
	var rows []*row
	var commands [][]string
	sync := false
	for _, r := range i.rows[i.next:end] {
		switch {
		case r.verdict != "":
			continue
		case r.sentBefore: // it may be there
			return false, nil
		}
		sync = i.announce(r) || sync
		rows = append(rows, r)
		commands = append(commands, r.steps...)
	}
	if len(rows) == 0 {
		i.next = end
		return true, nil
	}
	if err := i.writeReport(sync); err != nil {
		return false, err
	}
	start := i.p.time()
	refused := false
	c, err := collect(ctx, t.client, len(commands), func(n int) []string { return commands[n] },
		func(int, *ctrl.Error) bool { refused = true; return false },
		func() bool { return refused || stopped(stopping) })
	switch {
	case errors.Is(err, errNoTransactions):
		t.off = true
		return false, nil
	case err != nil: // without its commit nothing was done
		i.lose(err)
	case refused || len(c.accepted) < len(commands):
		if err := forget(ctx, t.client); err != nil {
			i.lose(err)
		}
		if refused && i.lost == nil {
			t.refused()
			return false, nil
		}
	default:
		return t.commit(ctx, rows, end, start)
	}
	t.settle(rows, end, verdictUnsent, "")
	return true, nil
}

// commit ends a transaction.
func (t *transactions) commit(ctx context.Context, rows []*row, end int, start time.Time) (settled bool, err error) {
	_, err = t.client.Do(ctx, "commit")
	refused, _ := err.(*ctrl.Error)
	var unknown *ctrl.UnknownOutcomeError
	switch {
	case err == nil:
		t.grow(t.i.p.time().Sub(start))
		t.settle(rows, end, verdictDone, "")
	case refused != nil && refused.Code != ctrl.CodeShutdown:
		t.refused()
		return false, nil
	case errors.As(err, &unknown):
		t.i.lose(err)
		t.settle(rows, end, verdictUnknown, unknown.Error())
		var lines []int
		for _, r := range rows {
			lines = append(lines, r.line)
		}
		t.i.progress.clear()
		fmt.Fprintf(t.i.p.stderr, "%s: the outcome of line %s is unknown: all of it was done, or nothing\n", visible(t.i.name, false), lineRanges(lines))
	default:
		t.i.lose(err)
		t.settle(rows, end, verdictUnsent, "")
	}
	return true, nil
}

// grow finds the size of the next transaction.
func (t *transactions) grow(took time.Duration) {
	t.pause, t.passed = 0, 0
	switch {
	case took < quickChunk:
		t.size = min(2*t.size, lastChunk)
	case took > 2*quickChunk:
		t.size = max(t.size/2, 1)
	}
}

// refused makes the chunks that are sent one by one more, the more often one is refused.
func (t *transactions) refused() {
	t.pause, t.passed = 2*t.pause+1, 1
	t.size = max(t.size/2, firstChunk)
}

// settle gives rows of a transaction their verdict.
func (t *transactions) settle(rows []*row, end int, v verdict, text string) {
	for _, r := range rows {
		t.i.settle(r, v, "", text, 0)
	}
	t.i.next = end
	t.i.progress.show(t.i.settled(), t.i.failures())
}
