package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/olekukonko/tablewriter"
)

// A comparison is a figure here and there.
type comparison struct{ here, there result }

// compare measures the chosen figures against an earlier result or against another
// checkout, this one and that one in turns. A figure that fails does not keep the others
// from being compared.
func (b *bench) compare(ctx context.Context) error {
	earlier, other, err := b.there(ctx)
	if err != nil {
		return err
	}
	var (
		all    []comparison
		absent []string
		failed []string
	)
	for _, f := range b.figures {
		there, known := earlier[f.name]
		if other == nil && !known {
			absent = append(absent, f.name)
			continue
		}
		here, err := b.turns(ctx, f, other, &there)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			fmt.Fprintf(b.stderr, "%v\n", err)
			failed = append(failed, f.name)
			continue
		}
		if other == nil && (here.Machine != there.Machine || here.Quick != there.Quick) {
			fmt.Fprintf(b.stderr, "warning: %s: the earlier result is %s\n", f.name, otherwise(there))
		}
		all = append(all, comparison{here, there})
	}
	if len(absent) > 0 {
		fmt.Fprintf(b.stderr, "not in %s: %s\n", b.against, strings.Join(absent, ", "))
	}
	err = b.show(all)
	switch {
	case ctx.Err() != nil:
		return errors.Join(context.Cause(ctx), err)
	case len(failed) > 0:
		return errors.Join(fmt.Errorf("failed: %s", strings.Join(failed, ", ")), err)
	case len(all) == 0:
		return fmt.Errorf("%s has none of the figures", b.against)
	}
	return err
}

// otherwise says how a result was measured.
func otherwise(r result) string {
	if r.Quick {
		return fmt.Sprintf("from a quick run on %s", r.Machine)
	}
	return fmt.Sprintf("from a whole run on %s", r.Machine)
}

// there is what to compare with: results by the names of their figures, or programs.
func (b *bench) there(ctx context.Context) (map[string]result, *programs, error) {
	if isFolder(b.against) {
		dir, err := os.MkdirTemp(b.work, "other-*")
		if err != nil {
			return nil, nil, err
		}
		other, err := buildPrograms(ctx, b.against, dir, b.symbols)
		return nil, other, err
	}
	results, err := readJSON(b.against)
	earlier := map[string]result{}
	for _, r := range results {
		earlier[r.Name] = r
	}
	return earlier, nil, err
}

// show prints comparisons.
func (b *bench) show(all []comparison) error {
	if len(all) == 0 {
		return nil
	}
	if b.json {
		for _, c := range all {
			if err := writeJSON(b.stdout, []result{c.here, c.there}); err != nil {
				return err
			}
		}
		return nil
	}
	t := tablewriter.NewTable(b.stdout)
	t.Header("Figure", "Here", "There", "Here/There", "By ratio")
	for _, c := range all {
		row := []string{c.here.Name, c.here.value(), c.there.value(), quotient(c.here.Value, c.there.Value), quotient(c.here.Ratio, c.there.Ratio)}
		if err := t.Append(row); err != nil {
			return err
		}
	}
	if err := t.Render(); err != nil {
		return err
	}
	last := all[len(all)-1]
	_, err := fmt.Fprintf(b.stdout, "%s\nhere: commit %s, %s\nthere: commit %s, %s\n", last.here.Machine,
		last.here.Commit, last.here.Date.Format("2006-01-02"), last.there.Commit, last.there.Date.Format("2006-01-02"))
	return err
}

// turns measures a figure here and, where the programs of another checkout are given,
// there, in turns.
func (b *bench) turns(ctx context.Context, f figure, other *programs, there *result) (here result, err error) {
	var a, c []measure
	for range b.runs {
		for _, side := range []struct {
			progs *programs
			runs  *[]measure
		}{{b.progs, &a}, {other, &c}} {
			if side.progs == nil {
				continue
			}
			m, err := b.once(ctx, f, side.progs)
			if err != nil {
				return result{}, err
			}
			*side.runs = append(*side.runs, m)
		}
	}
	if other != nil {
		*there = b.result(f, c)
		there.Commit = commitOf(b.against)
	}
	return b.result(f, a), nil
}

// quotient is a divided by b, for a reader.
func quotient(a, b float64) string {
	if a == 0 || b == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", a/b)
}
