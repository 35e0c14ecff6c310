package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/ctrl/commands"
)

// bulkGrace is how long the replies to what is under way may take after a signal.
const bulkGrace = 10 * time.Second

func batchVerb() verb {
	return verb{
		name: "batch", args: "[file]", most: 1,
		short: "Run many commands of the server, one a line, over one connection",
		long: `Run commands of the server from a file, or from standard input ("-", and without
a file), one a line, over one connection.

A line with a TAB in it is as the server reads it. In any other, words are
separated by blanks; a word with blanks is put in double quotes, and \" is a
quote in it. Lines that begin with # are comments. Uploads cannot be in a batch.

Nothing is sent where a line cannot be read. The batch stops at the first
command that fails, with nothing after it done; so each change waits for the
reply to the one before. With --keep-going, and with --atomic, commands are sent
without waiting. Each failure is told with its line. Where the connection is
lost, the lines whose outcome is unknown are named; nothing is sent again.`,
		options: []option{
			toggle("keep-going", "go on after a failure", func(b *bulkOptions) *bool { return &b.keepGoing }),
			toggle("atomic", "all or nothing, as one transaction of the server (begin, commit)", func(b *bulkOptions) *bool { return &b.atomic }),
		},
		run: (*program).runBatch,
		complete: func(args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveDefault
		},
	}
}

// A batch is one run of a file of commands.
type batch struct {
	p     *program
	o     *options
	name  string // of the file
	lines []batchLine
	start time.Time

	next    int         // the first line not sent yet
	sent    []batchLine // whose replies are awaited
	done    int
	failed  int
	skipped int // done by --exists-ok or --missing-ok
	unknown []int
	lost    error // why the connection is gone
	exit    int   // of the first failure
}

func (p *program) runBatch(o *options) int {
	if o.bulk.atomic && o.bulk.keepGoing {
		return p.report(usagef("--atomic does all or nothing, and cannot --keep-going"), true, o)
	}
	path := "-"
	if len(o.words) > 1 {
		path = o.words[1]
	}
	name, content, err := p.readInput(path)
	if err != nil {
		return p.report(err, true, o)
	}
	b := &batch{p: p, o: o, name: name, lines: parseBatch(string(content), o.noCheck)}
	if err := b.readable(); err != nil {
		return p.report(err, true, o)
	}
	dialer, err := p.dialer(o)
	if err != nil {
		return p.report(err, true, o)
	}
	return p.supervise(o, task{grace: bulkGrace, run: func(ctx context.Context, stopping <-chan struct{}) (bool, error) {
		client, err := p.connect(ctx, o, dialer)
		if err != nil {
			return true, err
		}
		defer client.Close()
		b.start = p.time()
		if o.bulk.atomic {
			err = b.runAtomic(ctx, client, stopping)
		} else {
			err = b.run(ctx, client, stopping)
		}
		if b.lost == nil && err == nil {
			goodbye(client, o)
		}
		return false, err
	}})
}

// readable tells of the lines that cannot be sent. They are failures of their
// own with --keep-going, and otherwise the end of it all.
func (b *batch) readable() error {
	bad := false
	for i := range b.lines {
		l := &b.lines[i]
		if l.err == nil && b.o.bulk.atomic && l.known && !l.command.Collectable() {
			l.err = fmt.Errorf("%s cannot be part of a transaction", l.command.Name)
		}
		if l.err != nil && !b.o.bulk.keepGoing {
			b.tell(*l, l.err.Error())
			bad = true
		}
	}
	if bad {
		return &usageError{msg: b.name + ": nothing was sent, since lines of it cannot be", command: b.o.verb.usage()}
	}
	return nil
}

// tell prints a failure of a line.
func (b *batch) tell(l batchLine, text string) {
	fmt.Fprintf(b.p.stderr, "%s:%d: %s\n", visible(b.name, false), l.n, visible(text, false))
}

// fail counts and tells a failure of a line.
func (b *batch) fail(l batchLine, exit int, text string) {
	b.failed++
	if b.exit == 0 {
		b.exit = exit
	}
	b.tell(l, text)
}

// run sends the lines and deals with the replies.
func (b *batch) run(ctx context.Context, client *ctrl.Client, stopping <-chan struct{}) error {
	pipe := client.Pipeline(ctx)
	defer pipe.Stop()
	halted := func() bool {
		return stopped(stopping) || b.lost != nil || b.failed > 0 && !b.o.bulk.keepGoing
	}
	for {
		for b.next < len(b.lines) && !halted() && b.maySend(pipe, b.lines[b.next]) {
			l := b.lines[b.next]
			b.next++
			if l.err != nil {
				b.fail(l, exitFailure, l.err.Error())
				continue
			}
			if err := pipe.Send(l.args...); err != nil {
				b.fail(l, exitFailure, err.Error())
				continue
			}
			b.sent = append(b.sent, l)
		}
		if pipe.Len() == 0 {
			break
		}
		// Half of them at a time, so that not every reply is a write of its own.
		for low := pipe.Len() / 2; pipe.Len() > low; {
			l := b.sent[0]
			b.sent = b.sent[1:]
			resp, err := pipe.Receive()
			if err == nil {
				err = b.show(resp, l)
			}
			if err := b.settle(l, err); err != nil {
				return err
			}
		}
	}
	return b.finish()
}

// maySend reports whether a line may be sent ahead of the replies that are
// awaited. Where a failure stops the batch, nothing may come after a change, and no
// change after anything. What asks for an upload must be alone.
func (b *batch) maySend(pipe *ctrl.Pipeline, l batchLine) bool {
	if pipe.Len() == 0 || l.err != nil {
		return true
	}
	last := b.sent[len(b.sent)-1]
	if pipe.Full() || !l.known || !last.known {
		return false
	}
	return b.o.bulk.keepGoing || !l.command.Changes && !last.command.Changes
}

// show prints the list of a reply.
func (b *batch) show(resp *ctrl.Response, l batchLine) error {
	switch resp.Status {
	case ctrl.StatusData:
		return fmt.Errorf("%s asks for an upload, which a batch has no place for", l.args[0])
	case ctrl.StatusList:
		silent := b.failed > 0 && !b.o.bulk.keepGoing // it was sent before the failure showed
		return b.p.printList(b.o, resp, l.command, l.known, silent)
	}
	if note := noteOf(resp, l.command); note != "" && !b.o.quiet {
		fmt.Fprintf(b.p.stderr, "%s:%d: %s: %s\n", visible(b.name, false), l.n, l.command.Name, note)
	}
	return nil
}

// settle counts what became of a line. It returns an error only where nothing
// can go on: standard output cannot be written.
func (b *batch) settle(l batchLine, err error) error {
	var (
		unknown *ctrl.UnknownOutcomeError
		local   *localError
		cut     *ctrl.CutError
	)
	// One that is wrapped was for a command before.
	refused, _ := err.(*ctrl.Error)
	switch {
	case err == nil:
		b.done++
	case errors.As(err, &local):
		return err
	case errors.As(err, &unknown):
		b.lose(err)
		b.unknown = append(b.unknown, l.n)
	case errors.As(err, &cut):
		b.lose(err)
		b.fail(l, exitUnknown, commandOf(l.args)+": "+err.Error())
	case refused != nil && refused.Code != ctrl.CodeShutdown:
		if b.o.tolerated(l.args, refused.Code) {
			b.done++
			b.skipped++
			return nil
		}
		b.fail(l, statusOf(refused.Code), commandOf(l.args)+": "+refused.Error())
	default:
		b.lose(err)
		b.next = min(b.next, b.indexOf(l))
	}
	return nil
}

// indexOf returns where a line stands in lines.
func (b *batch) indexOf(l batchLine) int {
	for i := range b.lines {
		if b.lines[i].n == l.n {
			return i
		}
	}
	return len(b.lines)
}

// lose remembers why the connection is gone.
func (b *batch) lose(err error) {
	if b.lost == nil {
		b.lost = err
	}
}

// finish tells how it ended.
func (b *batch) finish() error {
	if len(b.unknown) > 0 {
		fmt.Fprintf(b.p.stderr, "%s: the outcome of line %s is unknown: it was sent and may have been done\n", visible(b.name, false), lineRanges(b.unknown))
	}
	if b.lost != nil {
		f := describe(b.lost, false)
		if b.exit == 0 {
			b.exit = f.exit
		}
		fmt.Fprintf(b.p.stderr, "%s: %s: %s\n", visible(b.name, false), phrases[f.code], visible(f.info, false))
		if b.next < len(b.lines) {
			fmt.Fprintf(b.p.stderr, "%s: nothing from line %d on was done\n", visible(b.name, false), b.lines[b.next].n)
		}
	}
	b.summary("")
	if b.exit == 0 && b.next < len(b.lines) {
		b.exit = exitFailure // stopped by a signal
	}
	if b.exit != 0 {
		return &toldError{b.exit}
	}
	return nil
}

// summary prints the line that a cron job mails.
func (b *batch) summary(note string) {
	if b.o.quiet {
		return
	}
	parts := []string{fmt.Sprintf("%d done", b.done)}
	if b.skipped > 0 {
		parts[0] += fmt.Sprintf(" (%d had nothing to do)", b.skipped)
	}
	parts = append(parts, fmt.Sprintf("%d failed", b.failed))
	if len(b.unknown) > 0 {
		parts = append(parts, fmt.Sprintf("%d unknown", len(b.unknown)))
	}
	if n := len(b.lines) - b.next; n > 0 {
		parts = append(parts, fmt.Sprintf("%d not sent", n))
	}
	fmt.Fprintf(b.p.stderr, "%s: %s: %s%s in %s\n", b.p.name, visible(b.name, false), strings.Join(parts, ", "), note, roundTime(b.p.time().Sub(b.start)))
}

// roundTime makes a duration fit for people.
func roundTime(d time.Duration) time.Duration {
	if d < 10*time.Second {
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(time.Second)
}

// time returns the present time.
func (p *program) time() time.Time {
	if p.now != nil {
		return p.now()
	}
	return time.Now()
}

// printList prints a list to standard output, or only reads it to its end.
func (p *program) printList(o *options, resp *ctrl.Response, c commands.Command, known, silent bool) error {
	s := shape{columns: c.Rows, text: known && len(c.Rows) == 0 && c.Kind == commands.List}
	w := newListWriter(o.format, p.stdout, s, term.IsTerminal(int(p.stdout.Fd())))
	for line, err := range resp.Lines() {
		if err != nil {
			w.flush()
			return err
		}
		if silent {
			continue
		}
		if err := w.line(line); err != nil {
			return outputError(err)
		}
	}
	if silent {
		return nil
	}
	return outputError(w.close())
}
