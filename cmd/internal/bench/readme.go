package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The markers in README.md; what stands between them is written by scripts/bench --readme.
const (
	readmeBegin = "<!-- bench:begin -->"
	readmeEnd   = "<!-- bench:end -->"
)

// plotFolder is where the README has its plots.
const plotFolder = "docs/plots"

// A readme is the README of a checkout, with a page that is written by --readme.
type readme struct {
	name          string
	before, after []byte // what is around the page, the markers included
}

// openReadme finds the page in the README, and that it can be written.
func openReadme(checkout string) (readme, error) {
	r := readme{name: filepath.Join(checkout, "README.md")}
	f, err := os.OpenFile(r.name, os.O_RDWR, 0)
	if err != nil {
		return r, err
	}
	f.Close() // nothing was written
	content, err := os.ReadFile(r.name)
	if err != nil {
		return r, err
	}
	begin := bytes.Index(content, []byte(readmeBegin))
	end := bytes.Index(content, []byte(readmeEnd))
	if begin < 0 || end < begin {
		return r, fmt.Errorf("%s has no lines %s and %s", r.name, readmeBegin, readmeEnd)
	}
	r.before, r.after = content[:begin+len(readmeBegin)], content[end:]
	return r, nil
}

// write writes the page of some results.
func (r readme) write(results []result) error {
	for _, m := range results {
		if m.Quick {
			return fmt.Errorf("%s: %s comes from a quick run, whose values say nothing", r.name, m.Name)
		}
	}
	text := slices.Concat(r.before, []byte("\n"+readmePage(results)), r.after)
	info, err := os.Stat(r.name)
	if err != nil {
		return err
	}
	return os.WriteFile(r.name, text, info.Mode())
}

// readmePage is the table as Markdown, with the machine, what was missed and why, and the
// plots below it.
func readmePage(results []result) string {
	if len(results) == 0 {
		return "Not measured yet.\n"
	}
	var b, remarks strings.Builder
	cell := strings.NewReplacer("|", "\\|", "\n", " ").Replace
	b.WriteString("| figure | goal | measured | ratio, and of what | reached |\n|---|---|---|---|---|\n")
	for _, r := range results {
		ratio := r.ratio()
		if ratio != "" && r.Base != "" {
			ratio += " (" + r.Base + ")"
		}
		fmt.Fprintf(&b, "| %s (`%s`) | %s | %s | %s | %s |\n", cell(r.Title), r.Name, cell(r.Goal), cell(r.value()), cell(ratio), r.verdict())
		if r.Skipped != "" {
			fmt.Fprintf(&remarks, "* `%s` was left out: %s.\n", r.Name, r.Skipped)
			continue
		}
		if r.Reached {
			continue
		}
		var all []string
		for _, text := range []string{r.missedBy(), r.why(), r.Note} {
			if text != "" {
				all = append(all, text)
			}
		}
		fmt.Fprintf(&remarks, "* `%s`: %s.\n", r.Name, strings.Join(all, "; "))
	}
	b.WriteString("\n" + measuredOn(results))
	if remarks.Len() > 0 {
		b.WriteString("\nMissed or left out:\n\n" + remarks.String())
	}
	var absent []string
	for _, f := range allFigures() {
		if !slices.ContainsFunc(results, func(r result) bool { return r.Name == f.name }) {
			absent = append(absent, "`"+f.name+"`")
		}
	}
	if len(absent) > 0 {
		b.WriteString("\nNot measured: " + strings.Join(absent, ", ") + ".\n")
	}
	for _, c := range charts() {
		fmt.Fprintf(&b, "\n![%s](%s/%s)\n", c.title, plotFolder, c.file)
	}
	return b.String()
}

// measuredOn says where and when results were measured: once where it is the same for all.
func measuredOn(results []result) string {
	var where []string
	names := map[string][]string{}
	for _, r := range results {
		text := fmt.Sprintf("Measured on %s (%s), at commit %s with %s", r.Date.Format("2 January 2006"), r.Machine, r.Commit, r.Go)
		if names[text] == nil {
			where = append(where, text)
		}
		names[text] = append(names[text], "`"+r.Name+"`")
	}
	if len(where) == 1 {
		return where[0] + ".\n"
	}
	var b strings.Builder
	for _, text := range where {
		fmt.Fprintf(&b, "* %s: %s.\n", text, strings.Join(names[text], ", "))
	}
	return b.String()
}
