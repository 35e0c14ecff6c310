package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/ctrl/commands"
)

// run sends the rows and deals with the replies. The steps of a row after the
// first are sent when the one before was done, so that an account which was
// there already is not changed.
func (i *importer) run(ctx context.Context, client *ctrl.Client, stopping <-chan struct{}) error {
	pipe := client.Pipeline(ctx)
	defer pipe.Stop()
	for {
		if err := i.fill(pipe, stopping); err != nil {
			i.abandon()
			return err
		}
		if pipe.Len() == 0 {
			break
		}
		for low := pipe.Len() / 2; pipe.Len() > low; {
			f := i.flights[0]
			i.flights = i.flights[1:]
			resp, err := pipe.Receive()
			if err == nil && resp.Status != ctrl.StatusOK {
				err = &ctrl.UnknownOutcomeError{Command: f.row.steps[f.step][0], Err: &ctrl.ProtocolError{Line: resp.Status.String() + " " + resp.Text}}
			}
			i.land(f, err)
		}
		i.progress.show(i.settled(), i.failures())
	}
	for _, f := range i.ready {
		i.broken(f.row)
	}
	return nil
}

// fill sends as much as may be under way. What is sent is in the report before, and
// on the disk where a password was made for it.
func (i *importer) fill(pipe *ctrl.Pipeline, stopping <-chan struct{}) error {
	halted := i.lost != nil
	select {
	case <-stopping:
		halted = true
	default:
	}
	sync := false
	for !pipe.Full() && i.lost == nil {
		var f flight
		switch {
		case len(i.ready) > 0:
			f, i.ready = i.ready[0], i.ready[1:]
		case i.next < len(i.rows) && !halted:
			f.row = i.rows[i.next]
			i.next++
			if f.row.verdict != "" {
				continue
			}
			i.report.put(f.row.line, reportRow{object: f.row.object, verdict: verdictSent, password: f.row.generated})
			sync = sync || f.row.generated != ""
		default:
			return i.write(pipe, sync)
		}
		words := f.row.steps[f.step]
		if f.verify {
			words = []string{"userauth", words[1], words[2], words[3]}
		}
		if err := pipe.Send(words...); err != nil {
			return err // plan has tried to encode them
		}
		i.flights = append(i.flights, f)
	}
	return i.write(pipe, sync)
}

// write writes the report and then the commands.
func (i *importer) write(pipe *ctrl.Pipeline, sync bool) error {
	if err := i.report.flush(sync); err != nil {
		return &localError{code: codeWriteFile, info: fmt.Sprintf("report: %v; nothing more was sent", err)}
	}
	pipe.Flush()
	return nil
}

// land deals with the reply to a command.
func (i *importer) land(f flight, err error) {
	r := f.row
	var unknown *ctrl.UnknownOutcomeError
	refused, _ := err.(*ctrl.Error) // one that is wrapped was for a command before
	switch {
	case err == nil && f.step+1 < len(r.steps):
		i.ready = append(i.ready, flight{row: r, step: f.step + 1})
	case err == nil && f.verify:
		i.settle(r, verdictDone, "", "done by the run that was interrupted", 0)
	case err == nil:
		i.settle(r, verdictDone, "", "", 0)
	case refused != nil && refused.Code != ctrl.CodeShutdown:
		i.refuse(f, refused)
	case errors.As(err, &unknown):
		i.lose(err)
		i.settle(r, verdictUnknown, "", unknown.Error(), exitUnknown)
	default:
		i.lose(err)
		if f.step > 0 || f.verify {
			i.broken(r)
			return
		}
		i.settle(r, verdictUnsent, "", "", 0)
	}
}

// broken settles a row whose next step cannot be sent any more.
func (i *importer) broken(r *row) {
	i.settle(r, verdictPartly, "", "the connection was lost before all of it was done", exitUnknown)
}

// refuse deals with a refusal.
func (i *importer) refuse(f flight, e *ctrl.Error) {
	r := f.row
	exists := (&options{existsOK: true}).tolerated(r.steps[0], e.Code) && f.step == 0
	switch {
	case f.verify, exists && (i.o.bulk.skipExisting || i.o.existsOK) && !r.sentBefore:
		i.exists(f, e)
	case exists && r.sentBefore && r.steps[0][0] == "useradd" && len(r.steps[0]) == 5:
		// Ours, if it has the password that was sent.
		f.verify = true
		i.ready = append(i.ready, f)
	case exists && r.sentBefore && len(r.steps) > 1:
		i.ready = append(i.ready, flight{row: r, step: 1})
	case exists && r.sentBefore:
		i.settle(r, verdictDone, "", "done by the run that was interrupted", 0)
	case f.step > 0:
		i.settle(r, verdictPartly, e.Code.String(), r.steps[f.step][0]+": "+e.Text, statusOf(e.Code))
	default:
		i.settle(r, verdictRefused, e.Code.String(), e.Text, statusOf(e.Code))
	}
}

// exists settles a row that was there before.
func (i *importer) exists(f flight, e *ctrl.Error) {
	switch {
	case i.o.bulk.skipExisting || i.o.existsOK:
		i.settle(f.row, verdictExists, "", "", 0)
	case f.verify:
		i.settle(f.row, verdictRefused, ctrl.CodeUserExists.String(), "there is an account of this name with another password", exitExists)
	default:
		i.settle(f.row, verdictRefused, e.Code.String(), e.Text, exitExists)
	}
}

// lose remembers why the connection is gone.
func (i *importer) lose(err error) {
	if i.lost == nil {
		i.lost = err
	}
}

// abandon settles what was under way when the report could not be written.
func (i *importer) abandon() {
	for _, f := range i.flights {
		if f.row.verdict == "" {
			i.settle(f.row, verdictUnknown, "", "the import was broken off", exitUnknown)
		}
	}
}

// transactionMax is how many commands a server collects.
const transactionMax = 100000

// dryRun has the server try the rows, those that build on others included, and
// change nothing.
func (i *importer) dryRun(ctx context.Context, client *ctrl.Client, stopping <-chan struct{}) error {
	var flights []flight
	for _, r := range i.rows {
		if r.verdict != "" {
			continue
		}
		if len(flights)+len(r.steps) > transactionMax {
			fmt.Fprintf(i.p.stderr, "%s: only what stands before line %d is checked, since a server takes %d commands at a time\n", visible(i.name, false), r.line, transactionMax)
			break
		}
		for step := range r.steps {
			flights = append(flights, flight{row: r, step: step})
		}
	}
	refuse := func(n int, e *ctrl.Error) bool {
		f := flights[n]
		if f.row.verdict == "" {
			i.refuse(f, e)
		}
		return true
	}
	stop := func() bool {
		select {
		case <-stopping:
			return true
		default:
			return false
		}
	}
	c, err := collect(ctx, client, len(flights), func(n int) []string { return flights[n].row.steps[flights[n].step] }, refuse, stop)
	switch {
	case errors.Is(err, errNoTransactions):
		fmt.Fprintf(i.p.stderr, "%s: %v; the rows were checked here only, and the server may refuse some of them\n", visible(i.name, false), err)
		for _, f := range flights {
			if err := checkValues(f.row.steps[f.step]); err != nil && f.row.verdict == "" {
				i.settle(f.row, verdictInvalid, "", err.Error(), exitFailure)
			}
		}
	case err != nil:
		i.lose(err)
		return nil
	case stop():
		return forget(ctx, client)
	default:
		refused, err := c.check(ctx, client)
		if err != nil {
			i.lose(err)
			return nil
		}
		for n := range flights {
			if e := refused[n]; e != nil {
				refuse(n, e)
			}
		}
		if err := forget(ctx, client); err != nil {
			i.lose(err)
			return nil
		}
	}
	for _, f := range flights {
		if f.row.verdict == "" {
			i.settle(f.row, verdictValid, "", "", 0)
		}
	}
	return nil
}

// checkValues returns what the command table has against a command.
func checkValues(words []string) error {
	c, ok := commands.Lookup(words[0])
	if !ok {
		return nil
	}
	if err := c.CheckArgs(words[1:]); err != nil {
		return err
	}
	for n, a := range c.Args {
		// Words that commas join are for the server to judge.
		if v := words[min(n+1, len(words)-1)]; n+1 < len(words) && len(a.Values) > 0 && !slices.Contains(a.Values, v) && !strings.Contains(v, ",") {
			return fmt.Errorf("%s is %q, none of %s", a.Name, v, strings.Join(a.Values, ", "))
		}
	}
	return nil
}
