package main

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
)

// A figure is one measurement of the table.
type figure struct {
	name  string // "useradd", "smtp-8"
	title string // for the table: "durable useradd, one connection"
	unit  string // "1/s", "ms", "KiB"
	goal  goal

	// run measures once, with what it needs in the folder of e. Servers that it leaves
	// behind are stopped.
	run func(ctx context.Context, e *env) (measure, error)
}

// A measure is what one run of a figure found.
type measure struct {
	value   float64
	ratio   float64 // of the floor; 0 where there is none
	base    string  // what the ratio is of: "fsync rate, 5,432 1/s"
	second  float64 // the ratio that goal.or is about
	note    string  // one line for the reader
	skipped string  // why there is no value: "Postfix is not installed"
}

// A goal says how a value is judged: by its ratio where one of ratio and or is set,
// by itself elsewhere.
type goal struct {
	text  string  // for the table: "0.7 of the account floor"
	ratio float64 // measure.ratio is at least (at most) this
	or    float64 // or measure.second is
	value float64 // measure.value is at least (at most) this
	most  bool    // the limits are not to be exceeded
}

// reached reports whether m is good enough.
func (g goal) reached(m measure) bool {
	good := func(got, limit float64) bool {
		if g.most {
			return got <= limit
		}
		return got >= limit
	}
	switch {
	case g.ratio != 0 && good(m.ratio, g.ratio):
		return true
	case g.or != 0 && good(m.second, g.or):
		return true
	case g.ratio != 0 || g.or != 0:
		return false
	}
	return good(m.value, g.value)
}

// allFigures are the figures in the order of the table.
func allFigures() []figure {
	return slices.Concat(accountFigures(), rowFigures(), tableFigures(), clientFigures(), mailFigures())
}

// chosen are the figures that the patterns name, in their order; all without patterns.
func chosen(all []figure, patterns []string) ([]figure, error) {
	if len(patterns) == 0 {
		return all, nil
	}
	var picked []figure
	for _, p := range patterns {
		found := false
		for _, f := range all {
			match, err := path.Match(p, f.name)
			if err != nil {
				return nil, usageError{fmt.Errorf("figure %q: %w", p, err)}
			}
			if !match {
				continue
			}
			found = true
			if !slices.ContainsFunc(picked, func(g figure) bool { return g.name == f.name }) {
				picked = append(picked, f)
			}
		}
		if !found {
			var names []string
			for _, f := range all {
				names = append(names, f.name)
			}
			return nil, usageError{fmt.Errorf("there is no figure %q; there are:\n  %s", p, strings.Join(names, "\n  "))}
		}
	}
	return picked, nil
}
