package main

import (
	"context"
	"fmt"
	"os"

	"github.com/olekukonko/tablewriter"
)

// compare measures the chosen figures against an earlier result or against another
// checkout, this one and that one in turns.
func (b *bench) compare(ctx context.Context) error {
	earlier := map[string]result{}
	var other *programs
	if isFolder(b.against) {
		dir, err := os.MkdirTemp(b.work, "other-*")
		if err != nil {
			return err
		}
		if other, err = buildPrograms(ctx, b.against, dir, b.symbols); err != nil {
			return err
		}
	} else {
		results, err := readJSON(b.against)
		if err != nil {
			return err
		}
		for _, r := range results {
			earlier[r.Name] = r
		}
	}
	t := tablewriter.NewTable(b.stdout)
	t.Header("Figure", "Here", "There", "Here/There", "By ratio")
	for _, f := range b.figures {
		there, known := earlier[f.name]
		if other == nil && !known {
			continue
		}
		here, err := b.turns(ctx, f, other, &there)
		if err != nil {
			return err
		}
		if b.json {
			if err := writeJSON(b.stdout, []result{here, there}); err != nil {
				return err
			}
			continue
		}
		if err := t.Append(f.name, here.value(), there.value(), quotient(here.Value, there.Value), quotient(here.Ratio, there.Ratio)); err != nil {
			return err
		}
	}
	if b.json {
		return nil
	}
	return t.Render()
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
