package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The markers in README.md; what stands between them is written by scripts/bench --readme.
const (
	readmeBegin = "<!-- bench:begin -->"
	readmeEnd   = "<!-- bench:end -->"
)

// writeReadme puts the table of results between the markers in the README of a checkout.
func writeReadme(checkout string, results []result) error {
	name := filepath.Join(checkout, "README.md")
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(content, []byte(readmeBegin))
	_, after, ends := bytes.Cut(rest, []byte(readmeEnd))
	if !ok || !ends {
		return fmt.Errorf("%s has no lines %s and %s", name, readmeBegin, readmeEnd)
	}
	page := readmePage(results)
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	return os.WriteFile(name, bytes.Join([][]byte{before, []byte(readmeBegin + "\n"), []byte(page), []byte(readmeEnd), after}, nil), info.Mode())
}

// readmePage is the table as Markdown, what was missed and why below it.
func readmePage(results []result) string {
	var b, remarks strings.Builder
	cell := strings.NewReplacer("|", "\\|", "\n", " ").Replace
	b.WriteString("| figure | goal | measured | ratio | reached |\n|---|---|---|---|---|\n")
	for _, r := range results {
		fmt.Fprintf(&b, "| %s (`%s`) | %s | %s | %s | %s |\n", cell(r.Title), r.Name, cell(r.Goal), cell(r.value()), r.ratio(), r.verdict())
		switch {
		case r.Skipped != "":
			fmt.Fprintf(&remarks, "- `%s` was skipped: %s.\n", r.Name, r.Skipped)
		case !r.Reached && r.Note != "":
			fmt.Fprintf(&remarks, "- `%s`: %s.\n", r.Name, r.Note)
		}
	}
	if len(results) > 0 {
		last := results[len(results)-1]
		fmt.Fprintf(&b, "\nMeasured on %s (%s), at commit %s with %s.\n", last.Date.Format("2 January 2006"), last.Machine, last.Commit, last.Go)
	}
	if remarks.Len() > 0 {
		b.WriteString("\nMissed or left out:\n\n" + remarks.String())
	}
	return b.String()
}
