package main

import (
	"context"
	"os"
	"os/signal"
	"time"
)

// A task is work that a signal can end.
type task struct {
	// run does the work. dialing reports that it got no further than the login.
	// stopping is closed when a signal came; ctx ends after the grace, at once
	// where there is none.
	run     func(ctx context.Context, stopping <-chan struct{}) (dialing bool, err error)
	grace   time.Duration
	discard func() // drops what is unfinished on this side; may be nil
}

// supervise runs a task and returns the exit status. On a signal the program
// ends by it, once the task has ended.
func (p *program) supervise(o *options, t task) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	caught := make(chan os.Signal, 1)
	for _, sig := range stopSignals {
		if !signal.Ignored(sig) { // as under nohup
			signal.Notify(caught, sig)
		}
	}
	defer signal.Stop(caught)
	type outcome struct {
		err     error
		dialing bool
	}
	done := make(chan outcome, 1)
	stopping := make(chan struct{})
	go func() {
		dialing, err := t.run(ctx, stopping)
		done <- outcome{err, dialing}
	}()
	var sig os.Signal
	select {
	case r := <-done:
		return p.report(r.err, r.dialing, o)
	case sig = <-caught:
	}
	close(stopping)
	grace := time.AfterFunc(t.grace, cancel)
	defer grace.Stop()
	select {
	case r := <-done:
		if r.err == nil {
			return 0 // done before the signal came
		}
		if !r.dialing {
			p.report(r.err, false, o)
		}
		if t.discard != nil {
			t.discard()
		}
	case <-caught: // somebody is impatient
	case <-time.After(t.grace + time.Second): // standard output, say, takes nothing any more
	}
	dieOf(sig)
	return exitFailure
}
