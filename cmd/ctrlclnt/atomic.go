package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/xmaild/xmaild/pkg/ctrl"
)

// errNoTransactions says that a server does not know begin.
var errNoTransactions = errors.New("the server has no transactions: it does not know the command begin")

// A collection is what was sent to a server between begin and commit.
type collection struct {
	accepted []int // indexes of the commands that it collected, in its order
}

// collect sends begin and n commands. refused is called for each that the
// server does not collect; where it returns false nothing more is sent.
func collect(ctx context.Context, client *ctrl.Client, n int, command func(int) []string, refused func(int, *ctrl.Error) bool, stop func() bool) (*collection, error) {
	if _, err := client.Do(ctx, "begin"); err != nil {
		var e *ctrl.Error
		if errors.As(err, &e) && e.Code == ctrl.CodeCommand {
			return nil, errNoTransactions
		}
		return nil, err
	}
	pipe := client.Pipeline(ctx)
	defer pipe.Stop()
	c := &collection{}
	next, awaited, goOn := 0, 0, true
	for {
		for next < n && goOn && !pipe.Full() && !stop() {
			if err := pipe.Send(command(next)...); err != nil {
				return nil, err
			}
			next++
		}
		if pipe.Len() == 0 {
			return c, nil
		}
		for low := pipe.Len() / 2; pipe.Len() > low; awaited++ {
			_, err := pipe.Receive()
			var e *ctrl.Error
			var unknown *ctrl.UnknownOutcomeError
			switch {
			case err == nil:
				c.accepted = append(c.accepted, awaited)
			case errors.As(err, &unknown): // but it was only collected
				return nil, fmt.Errorf("broken off before the commit, so nothing of the transaction was done: %w", unknown.Err)
			case errors.As(err, &e) && e.Code != ctrl.CodeShutdown:
				if !refused(awaited, e) {
					goOn = false
				}
			default:
				return nil, err
			}
		}
	}
}

// check has the server try all that was collected, and returns what it
// refused by the index of the command. Nothing is changed.
func (c *collection) check(ctx context.Context, client *ctrl.Client) (map[int]*ctrl.Error, error) {
	resp, err := client.Do(ctx, "commit", "check")
	if err != nil {
		return nil, err
	}
	refused := map[int]*ctrl.Error{}
	for row, err := range resp.Rows() {
		if err != nil {
			return nil, err
		}
		if len(row) < 3 {
			return nil, &ctrl.ProtocolError{Line: strings.Join(row, "\t")}
		}
		n, err1 := strconv.Atoi(row[0])
		code, err2 := strconv.Atoi(row[1])
		if err1 != nil || err2 != nil || n < 1 || n > len(c.accepted) {
			return nil, &ctrl.ProtocolError{Line: strings.Join(row, "\t")}
		}
		refused[c.accepted[n-1]] = &ctrl.Error{Code: ctrl.Code(code), Text: row[2]}
	}
	return refused, nil
}

// forget drops what was collected.
func forget(ctx context.Context, client *ctrl.Client) error {
	_, err := client.Do(ctx, "rollback")
	var e *ctrl.Error
	if errors.As(err, &e) { // there is nothing to forget
		return nil
	}
	return err
}

// runAtomic runs the lines as one transaction.
func (b *batch) runAtomic(ctx context.Context, client *ctrl.Client, stopping <-chan struct{}) error {
	lines := b.lines
	stop := func() bool { return stopped(stopping) || b.failed > 0 }
	gather := func() (*collection, error) {
		return collect(ctx, client, len(lines), func(i int) []string { return lines[i].args },
			func(i int, e *ctrl.Error) bool {
				b.fail(lines[i], statusOf(e.Code), commandOf(lines[i].args)+": "+e.Error())
				return false
			}, stop)
	}
	c, err := gather()
	if err == nil && !stop() && (b.o.existsOK || b.o.missingOK) {
		if lines, err = b.dropTolerated(ctx, client, c); err == nil {
			c, err = gather()
		}
	}
	switch {
	case errors.Is(err, errNoTransactions):
		fmt.Fprintf(b.p.stderr, "%s: %v; nothing was done. Without --atomic the commands run one by one\n", visible(b.name, false), err)
		return &toldError{exitRefused}
	case err != nil:
		b.lose(err)
		return b.finish()
	case stop():
		forget(ctx, client)
		return b.nothing()
	}
	_, err = client.Do(ctx, "commit")
	var refused *ctrl.Error
	var unknown *ctrl.UnknownOutcomeError
	switch {
	case err == nil:
		b.done, b.next = len(b.lines), len(b.lines)
		b.summary(" as one transaction")
		return nil
	case errors.As(err, &unknown):
		b.next = len(b.lines)
		fmt.Fprintf(b.p.stderr, "%s: the outcome is unknown: all of it was done, or nothing\n", visible(b.name, false))
		b.lose(err)
		return b.finish()
	case errors.As(err, &refused):
		l, text := guilty(c, lines, refused)
		if l == nil {
			b.failed, b.exit = 1, statusOf(refused.Code)
			fmt.Fprintf(b.p.stderr, "%s: commit: %s\n", visible(b.name, false), visible(refused.Error(), false))
			return b.nothing()
		}
		b.fail(*l, statusOf(refused.Code), commandOf(l.args)+": "+text)
		return b.nothing()
	}
	b.lose(err)
	return b.finish()
}

// dropTolerated returns the lines without those that --exists-ok and
// --missing-ok make a success of, as the server has nothing to do for them. What
// was collected is forgotten.
func (b *batch) dropTolerated(ctx context.Context, client *ctrl.Client, c *collection) ([]batchLine, error) {
	refused, err := c.check(ctx, client)
	if err == nil {
		err = forget(ctx, client)
	}
	var rest []batchLine
	for i, l := range b.lines {
		if e := refused[i]; e != nil && b.o.tolerated(l.args, e.Code) {
			b.skipped++
			continue
		}
		rest = append(rest, l)
	}
	return rest, err
}

// guilty finds the line that a commit was refused for: its text is
// "command N (name): why".
func guilty(c *collection, lines []batchLine, e *ctrl.Error) (*batchLine, string) {
	rest, ok := strings.CutPrefix(e.Text, "command ")
	if !ok {
		return nil, ""
	}
	number, _, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(strings.TrimSuffix(number, ":"))
	if err != nil || n < 1 || n > len(c.accepted) {
		return nil, ""
	}
	_, why, ok := strings.Cut(rest, ": ")
	if !ok {
		why = rest
	}
	return &lines[c.accepted[n-1]], (&ctrl.Error{Code: e.Code, Text: why}).Error()
}

// nothing tells that a transaction did not take place.
func (b *batch) nothing() error {
	b.next, b.done, b.skipped = 0, 0, 0
	if b.exit == 0 {
		b.exit = exitFailure // stopped by a signal
	}
	b.summary(", nothing was done,")
	return &toldError{b.exit}
}
