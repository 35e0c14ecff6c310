package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/term"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/ctrl/commands"
)

// recentRows is how much of the past watch begins with.
const recentRows = 10

func watchVerb() verb {
	return verb{
		name: "watch", args: "[pattern]", most: 1,
		short: "Follow who changes what on the server",
		long: `Follow the audit log of the server, until interrupted: who ran which command that
changed something, or read mail or secrets, from where, and with what result.
The pattern, with * and ?, is that of the server's auditlist. It begins with
the last ` + strconv.Itoa(recentRows) + ` rows of the last day, or with --since. A connection that is lost is made
again, as often as --retry says.`,
		options: []option{
			word("since", "time", "begin there: 2026-11-22T10:00:00Z, or seconds since 1970", func(b *bulkOptions) *string { return &b.since }),
			{0, "interval", "seconds", "how often to ask the server (default 2)", func(o *options, v string) error {
				n, err := strconv.Atoi(v)
				if err != nil || n < 1 {
					return fmt.Errorf("%q is not a number of seconds from 1", v)
				}
				o.bulk.interval = n
				return nil
			}},
		},
		run: (*program).runWatch,
	}
}

// A watch is what was seen of an audit log.
type watch struct {
	p       *program
	o       *options
	pattern string
	since   string         // the time of the last row
	seen    map[string]int // the rows of that time, which the server sends again
}

func (p *program) runWatch(o *options) int {
	w := &watch{p: p, o: o, pattern: "*", since: o.bulk.since, seen: map[string]int{}}
	if len(o.words) > 1 {
		w.pattern = o.words[1]
	}
	if w.since != "" {
		if _, err := strconv.ParseInt(w.since, 10, 64); err != nil {
			if _, err := time.Parse(time.RFC3339, w.since); err != nil {
				return p.report(usagef("--since %q is no time such as 2026-11-22T10:00:00Z, and no number of seconds", w.since), true, o)
			}
		}
	}
	dialer, err := p.dialer(o)
	if err != nil {
		return p.report(err, true, o)
	}
	return p.supervise(o, task{run: func(ctx context.Context, stopping <-chan struct{}) (bool, error) {
		return w.follow(ctx, dialer)
	}})
}

// follow asks for new rows again and again.
func (w *watch) follow(ctx context.Context, dialer ctrl.Dialer) (dialing bool, err error) {
	interval := 2 * time.Second
	if n := w.o.bulk.interval; n > 0 {
		interval = time.Duration(n) * time.Second
	}
	client, err := w.p.connect(ctx, w.o, dialer)
	if err != nil {
		return true, err
	}
	defer func() { client.Close() }()
	for answered := false; ; { // by this connection
		err := w.poll(ctx, client)
		var refused *ctrl.Error
		var local *localError
		switch {
		case errors.As(err, &refused) && refused.Code == ctrl.CodeCommand:
			return false, &ctrl.Error{Code: refused.Code, Text: "this server keeps no audit log: " + refused.Text}
		case errors.As(err, &local):
			return false, err
		case ctx.Err() != nil: // a signal is how it ends: nothing was lost that should be told
			return true, ctx.Err()
		case errors.As(err, &refused) && refused.Code != ctrl.CodeShutdown && refused.Code != ctrl.CodeTimeout:
			return false, err
		case err != nil: // it only reads: asking again does nothing twice
			client.Close()
			if !answered { // nor may the next one
				if err := w.p.pause(ctx, interval); err != nil {
					return true, err
				}
			}
			again, e := w.p.connect(ctx, w.o, dialer)
			if e != nil {
				return true, e
			}
			client, answered = again, false
			continue
		}
		answered = true
		if err := w.p.pause(ctx, interval); err != nil {
			return true, err
		}
	}
}

// poll prints the rows that are new.
func (w *watch) poll(ctx context.Context, client *ctrl.Client) error {
	since, first := w.since, w.since == ""
	if first {
		since = w.p.time().Add(-24 * time.Hour).UTC().Format(time.RFC3339)
	}
	lines, err := client.List(ctx, "auditlist", since, w.pattern)
	if err != nil {
		return err
	}
	var fresh []string
	again := map[string]int{}
	for _, line := range lines {
		row := ctrl.SplitRow(line)
		if len(row) == 0 {
			continue
		}
		if row[0] != w.since {
			w.since, again = row[0], map[string]int{}
		}
		again[line]++
		if row[0] == since && again[line] <= w.seen[line] {
			continue
		}
		fresh = append(fresh, line)
	}
	if len(lines) > 0 {
		w.seen = again
	}
	if first {
		fresh = fresh[max(0, len(fresh)-recentRows):]
		if w.since == "" { // nothing yet: whatever comes is new
			w.since = since
		}
	}
	return w.print(fresh)
}

// print prints rows of the log as -o says.
func (w *watch) print(lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	c, _ := commands.Lookup("auditlist")
	out := newListWriter(w.o.format, w.p.stdout, shape{columns: c.Rows}, term.IsTerminal(int(w.p.stdout.Fd())))
	for _, line := range lines {
		if err := out.line(line); err != nil {
			return outputError(err)
		}
	}
	return outputError(out.close())
}
