package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/xmaild/xmaild/pkg/ctrl"
)

// run sends the rows and deals with the replies.
func (i *importer) run(ctx context.Context, client *ctrl.Client, stopping <-chan struct{}) error {
	t := transactions{i: i, client: client, size: firstChunk, off: i.original}
	for i.next < len(i.rows) && i.lost == nil && !stopped(stopping) {
		end := t.next()
		if done, err := t.run(ctx, end, stopping); done || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		if err := i.runEach(ctx, client, end, stopping); err != nil {
			return err
		}
	}
	return nil
}

func stopped(stopping <-chan struct{}) bool {
	select {
	case <-stopping:
		return true
	default:
		return false
	}
}

// runEach sends the rows before end one by one, ahead of the replies. The steps of
// a row after the first are sent when the one before was done, so that an account
// which was there already is not changed.
func (i *importer) runEach(ctx context.Context, client *ctrl.Client, end int, stopping <-chan struct{}) error {
	pipe := client.Pipeline(ctx)
	defer pipe.Stop()
	for {
		if err := i.fill(pipe, end, stopping); err != nil {
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
	i.ready = nil
	return nil
}

// fill sends as much as may be under way. What is sent is in the report before, and
// on the disk where a password was made for it.
func (i *importer) fill(pipe *ctrl.Pipeline, end int, stopping <-chan struct{}) error {
	halted := i.lost != nil || stopped(stopping)
	sync := false
	for !pipe.Full() && i.lost == nil {
		var f flight
		switch {
		case len(i.ready) > 0:
			f, i.ready = i.ready[0], i.ready[1:]
		case i.next < end && !halted:
			f.row = i.rows[i.next]
			i.next++
			if f.row.verdict != "" {
				continue
			}
			sync = i.announce(f.row) || sync
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

// announce puts into the report that a row is about to be sent. It returns whether that must
// be on the disk before, since a password was made for it.
func (i *importer) announce(r *row) bool {
	i.report.put(r.line, reportRow{object: r.object, verdict: verdictSent, password: r.generated})
	return r.generated != ""
}

// write writes the report and then the commands.
func (i *importer) write(pipe *ctrl.Pipeline, sync bool) error {
	if err := i.writeReport(sync); err != nil {
		return err
	}
	pipe.Flush()
	return nil
}

func (i *importer) writeReport(sync bool) error {
	if err := i.report.flush(sync); err != nil {
		return &localError{code: codeWriteFile, info: fmt.Sprintf("report: %v; nothing more was sent", err)}
	}
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
	case exists && r.sentBefore && r.steps[0][0] == "useradd" && len(r.steps[0]) == 5 && r.steps[0][3] != "":
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
