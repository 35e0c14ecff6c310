package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/server/filter"
	"github.com/xmaild/xmaild/pkg/server/program"
)

// Run makes one attempt at a job: it carries out the commands that are left, in order.
//
// A command that has to wait lets those after it go on, unless it is a program: what
// comes after an external or a filter may hang on what that says, and waits for it.
// A filter that has run well is run again in the next attempt as long as there are
// commands after it, since they are to get the message as it makes it.
func (r *Runner) Run(ctx context.Context, j Job, a Actions, p Progress) Outcome {
	log := r.o.Log.With("message", j.Message.ID, "key", j.Message.Key, "to", j.Message.To.Address)
	for _, problem := range j.Commands.Problems {
		log.Warn("file of commands", "err", problem)
	}
	list := j.Commands.List
	switch {
	case j.Commands.Discards():
		log.Info("message is discarded: there is a file of commands, and nothing in it")
		return Outcome{Kind: Drop}
	case len(list) == 0:
		return Outcome{Kind: Defer, Err: errors.New("file of commands: none of its rows can be carried out")}
	}
	x := &attempt{r: r, job: j, a: a, p: p, log: log, copy: r.filters.Copy(j.Message)}
	defer func() {
		if err := x.copy.Close(); err != nil {
			log.Warn("the folder of a program stays", "err", err)
		}
	}()
	last := -1 // command that is left
	for i, c := range list {
		if !p.Done(c.Mark) {
			last = i
		}
	}
	for i, c := range list[:last+1] {
		if err := ctx.Err(); err != nil {
			return Outcome{Kind: Defer, Err: err}
		}
		if p.Done(c.Mark) && c.Word != Filter {
			continue
		}
		if end := x.step(ctx, c, list[i+1:]); end != nil {
			return *end
		}
	}
	if x.waits != nil {
		return Outcome{Kind: Defer, Err: x.waits}
	}
	return Outcome{Kind: Done, Failed: x.failed}
}

// An attempt is one at a job.
type attempt struct {
	r    *Runner
	job  Job
	a    Actions
	p    Progress
	log  *slog.Logger
	copy *filter.Copy

	decided map[string]filter.Decision // of the filters of the queue, by their kind
	waits   error                      // why a command waits, the first one
	failed  int
}

// A heldError is the error of a command that those after it have to wait for.
type heldError struct{ error }

func (e heldError) Unwrap() error { return e.error }

// An ended is what ends the attempt before the last command.
type ended struct{ Outcome }

func (e ended) Error() string { return "the message is " + e.Kind.String() }

// errStop is a program's wish that no further command is carried out.
var errStop = errors.New("stopped by a program")

// step carries out a command. It returns how the attempt ends, or nil where it goes on.
func (x *attempt) step(ctx context.Context, c Command, rest []Command) *Outcome {
	err := x.command(ctx, c)
	if errors.As(err, new(Permanent)) {
		x.log.Warn("command has failed for good", "command", c.String(), "err", err)
		x.failed++
		err = x.a.Failed(ctx, x.copy.Message(), c, err)
	}
	marks := []Command{c}
	stop := errors.Is(err, errStop)
	if stop {
		err, marks = nil, append(marks, rest...)
	}
	var end ended
	if errors.As(err, &end) {
		return &end.Outcome
	}
	if err == nil {
		if err = x.record(ctx, marks); err != nil {
			// To go on would mean to do more that nobody remembers.
			err = heldError{err}
		}
	}
	switch {
	case err != nil:
		err = fmt.Errorf("%s: %w", c, err)
		x.log.Warn("command waits", "err", err)
		if x.waits == nil || isBusy(x.waits) {
			x.waits = err
		}
		if errors.As(err, new(heldError)) || ctx.Err() != nil {
			return &Outcome{Kind: Defer, Err: x.waits}
		}
	case stop && x.waits != nil:
		return &Outcome{Kind: Defer, Err: x.waits}
	case stop:
		return &Outcome{Kind: Stop, Failed: x.failed}
	}
	return nil
}

// isBusy reports whether there was no attempt, and is to be one in a moment.
func isBusy(err error) bool {
	var b interface{ Busy() bool }
	return errors.As(err, &b) && b.Busy()
}

// record keeps that commands have been carried out, or never will be.
func (x *attempt) record(ctx context.Context, commands []Command) error {
	var marks []string
	for _, c := range commands {
		if !x.p.Done(c.Mark) {
			marks = append(marks, c.Mark)
		}
	}
	if len(marks) == 0 {
		return nil
	}
	return x.p.Record(ctx, marks...)
}

func (x *attempt) command(ctx context.Context, c Command) error {
	if c.err != nil {
		return c.err
	}
	switch c.Word {
	case External:
		return x.external(ctx, c)
	case Filter:
		return x.filter(ctx, c)
	case Mailbox:
		return x.filtered(ctx, filter.In, func(m filter.Queued) error { return x.a.Mailbox(ctx, m) })
	case SMTP:
		return x.filtered(ctx, filter.Out, func(m filter.Queued) error { return x.a.Send(ctx, m) })
	case SMTPRelay:
		args := x.expand(c.Args)
		if strings.Trim(args[0], "#; ") == "" {
			return errors.New("there is no host, once macros are expanded")
		}
		options := ""
		if len(args) > 1 {
			options = args[1]
		}
		return x.filtered(ctx, filter.Out, func(m filter.Queued) error { return x.a.Relay(ctx, m, args[0], options) })
	}
	return x.redirect(ctx, c)
}

// filtered does what is to be done after the filters of the queue.
func (x *attempt) filtered(ctx context.Context, kind string, do func(filter.Queued) error) error {
	if err := x.queueFilters(ctx, kind); err != nil {
		return err
	}
	return do(x.copy.Message())
}

// queueFilters runs the filters of the queue, once in an attempt and again only where a
// filter of the file has rewritten the message since.
func (x *attempt) queueFilters(ctx context.Context, kind string) error {
	d, ok := x.decided[kind]
	if !ok {
		d = x.copy.Filter(ctx, kind)
		if x.decided == nil {
			x.decided = make(map[string]filter.Decision)
		}
		x.decided[kind] = d
	}
	return decision(d)
}

// decision returns what a decision means for a command.
func decision(d filter.Decision) error {
	switch d.Action {
	case filter.Defer:
		return d.Err
	case filter.Drop:
		return ended{Outcome{Kind: Drop}}
	case filter.Freeze:
		return ended{Outcome{Kind: Freeze, Err: d.Err}}
	case filter.Reject:
		return ended{Outcome{Kind: Reject, Reason: d.Reason}}
	}
	return nil
}

// expand replaces macros where no program and so no file is in play.
func (x *attempt) expand(args []string) []string {
	vars := x.copy.Macros()
	vars["RRCPT"] = x.job.Account
	return program.Expand(args, vars)
}

// redirect has copies sent.
func (x *attempt) redirect(ctx context.Context, c Command) error {
	m := x.copy.Message()
	r := Redirection{Written: x.expand(c.Args), From: m.From, By: x.job.by(), Mark: c.Mark}
	if r.List = c.Word == LRedirect; r.List && m.From != "" {
		r.From = r.By // but a notification stays one, of whose failure nobody is told
	}
	var err error
	if r.Targets, err = Targets(r.Written, r.By); err != nil {
		return err
	}
	return x.a.Redirect(ctx, m, r)
}

// Targets returns the addresses that mail is redirected to: those that are written in a
// row, and for a domain the name of by at it. By is whose mail it is.
func Targets(written []string, by string) ([]string, error) {
	from, err := address.Parse(by)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, target := range written {
		to := target
		if !strings.Contains(target, "@") {
			to = address.Path{Local: from.Local, Domain: target}.String()
		}
		path, err := address.Parse(to)
		if err != nil || path.Domain == "" {
			return nil, fmt.Errorf("%q is neither an address nor a domain", target)
		}
		all = append(all, path.String())
	}
	return all, nil
}
