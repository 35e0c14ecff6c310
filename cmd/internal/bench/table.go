package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/olekukonko/tablewriter"
)

// writeTable writes results for a reader.
func writeTable(w io.Writer, results []result) error {
	t := tablewriter.NewTable(w)
	t.Header("Figure", "What", "Goal", "Value", "Ratio", "Reached")
	for _, r := range results {
		if err := t.Append(r.Name, r.Title, r.Goal, r.value(), r.ratio(), r.verdict()); err != nil {
			return err
		}
	}
	if err := t.Render(); err != nil {
		return err
	}
	for _, r := range results {
		if text := r.remarks(); text != "" {
			fmt.Fprintf(w, "%s: %s\n", r.Name, text)
		}
	}
	if len(results) > 0 {
		last := results[len(results)-1]
		_, err := fmt.Fprintf(w, "%s\n%s, commit %s, %s\n", last.Machine, last.Date.Format("2006-01-02"), last.Commit, last.Go)
		return err
	}
	return nil
}

func (r result) value() string {
	if r.Skipped != "" {
		return "-"
	}
	return number(r.Value) + " " + r.Unit
}

func (r result) ratio() string {
	switch {
	case r.Skipped != "" || r.Ratio == 0:
		return ""
	case r.Second != 0:
		return number(r.Ratio) + "; " + number(r.Second)
	}
	return number(r.Ratio)
}

func (r result) verdict() string {
	switch {
	case r.Skipped != "":
		return "skipped"
	case r.Reached:
		return "yes"
	}
	return "no"
}

// remarks are what the reader may want to know beside the numbers.
func (r result) remarks() string {
	var all []string
	for _, text := range []string{r.Base, r.Note, r.Skipped, r.why()} {
		if text != "" {
			all = append(all, text)
		}
	}
	return strings.Join(all, "; ")
}
