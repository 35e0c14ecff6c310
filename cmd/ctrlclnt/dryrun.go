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
	stop := func() bool { return stopped(stopping) }
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
