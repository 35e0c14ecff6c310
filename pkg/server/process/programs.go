package process

import (
	"context"
	"fmt"

	"github.com/xmaild/xmaild/pkg/server/filter"
	"github.com/xmaild/xmaild/pkg/server/program"
)

// The exit status of an external.
const (
	exitStop  = 16 // the program has dealt with the message: no further commands
	exitLater = 75 // EX_TEMPFAIL of sysexits(3)
)

// external runs a program with the message.
func (x *attempt) external(ctx context.Context, c Command) error {
	if err := x.queueFilters(ctx, filter.In); err != nil {
		return heldError{err}
	}
	result, path, err := x.run(ctx, c)
	if err != nil {
		return err
	}
	switch {
	case result.Exit == exitStop:
		x.a.Ran(x.copy.Message(), "EXTRN", path)
		return errStop
	case result.OK():
	case result.Exit == exitLater, x.r.root.Vars().Word("FilterFailure") == "defer":
		return heldError{fmt.Errorf("%s: %s", path, filter.Ended(result))}
	default:
		x.log.Warn("program has failed, and counts as run, as FilterFailure says", "command", c.String(), "program", path, "err", filter.Ended(result))
	}
	x.a.Ran(x.copy.Message(), "EXTRN", path)
	return nil
}

// filter runs a program that decides on the message.
func (x *attempt) filter(ctx context.Context, c Command) error {
	result, path, err := x.run(ctx, c)
	if err != nil {
		return err
	}
	before := x.copy.Message()
	d, stop := x.copy.Judge(result)
	if d.Action == filter.Defer {
		return heldError{fmt.Errorf("%s: %w", path, d.Err)}
	}
	if err := decision(d); err != nil {
		x.log.Info("filter has decided", "command", c.String(), "program", path, "action", d.Action.String(), "reason", d.Reason, "err", d.Err)
		return err
	}
	if now := x.copy.Message(); now.Text != before.Text || now.From != before.From || now.To != before.To {
		x.decided = nil // the filters of the queue have not seen this one
	}
	x.a.Ran(x.copy.Message(), "FILTER", path)
	if stop {
		return errStop
	}
	return nil
}

// run runs the program of a command. Its error is that the program could not be run,
// was killed, or could not do its work.
func (x *attempt) run(ctx context.Context, c Command) (result program.Result, path string, err error) {
	result, words, err := x.copy.Run(ctx, filter.Program{
		Words: c.program(), Timeout: c.timeout(x.r.o.Timeout), Nice: c.nice(), Vars: map[string]string{"RRCPT": x.job.Account},
	})
	path = words[0]
	if err == nil && result.Signal {
		err = fmt.Errorf("%s: %s", path, filter.Ended(result))
	}
	if err != nil {
		return result, path, heldError{err}
	}
	return result, path, nil
}
