package check

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/filter"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/process"
	"github.com/xmaild/xmaild/pkg/server/program"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// filters checks that there are the files that the tables of filters name, and those.
func (c *checker) filters() error {
	seen := map[string]bool{}
	for _, kind := range []string{filter.In, filter.Out} {
		table := "filters." + kind + ".tab"
		for _, r := range c.tables[table] {
			file := mailroot.FiltersDir + "/" + r.fields[4]
			if seen[file] {
				continue
			}
			seen[file] = true
			if !fs.ValidPath(file) || !c.exists(file) {
				c.report(table, r.line, "there is no file %s", file)
			} else if err := c.table(file, &tabfile.Schema{Columns: 1}); err != nil {
				return err
			}
		}
	}
	return nil
}

// isFilters reports whether the rows of a table are filters.
func isFilters(name string) bool {
	switch name {
	case "filters." + filter.PostRcpt + ".tab", "filters." + filter.PreData + ".tab", "filters." + filter.PostData + ".tab":
		return true
	}
	return strings.HasPrefix(name, mailroot.FiltersDir+"/")
}

// filterWarnings are what is wrong with a filter.
func filterWarnings(fields []string) []string {
	var all []string
	if flags, ok := strings.CutPrefix(fields[0], "!"); ok {
		for flag := range strings.SplitSeq(flags, ",") {
			flag, _, _ = strings.Cut(strings.TrimSpace(flag), "=")
			if flag != "aex" && flag != "wlex" && flag != "timeo" {
				all = append(all, fmt.Sprintf("there is no flag %q", flag))
			}
		}
		if fields = fields[1:]; len(fields) == 0 {
			return append(all, "a row without a program")
		}
	}
	return append(all, programWarnings(fields[0])...)
}

// isCommands reports whether the rows of a table are commands.
func isCommands(name string) bool {
	top, _, _ := strings.Cut(name, "/")
	return path.Base(name) == mailroot.MailProcTab || top == "custdomains" || top == "cmdaliases"
}

// commandWarnings are what is wrong with a command.
func commandWarnings(name string, fields []string) []string {
	var all []string
	if err := process.Check(fields, path.Base(name) == mailroot.MailProcTab); err != nil {
		all = append(all, err.Error())
	} else if word := process.Word(tabfile.Fold(fields[0])); word == process.External || word == process.Filter {
		for _, field := range fields[1:3] {
			if _, err := strconv.Atoi(field); err != nil {
				all = append(all, fmt.Sprintf("%q is no number, and counts as 0", field))
			}
		}
		all = append(all, programWarnings(fields[3])...)
	}
	return all
}

// programWarnings say that a program cannot be run.
func programWarnings(name string) []string {
	if strings.HasPrefix(name, "@@") || strings.Contains(name, "$(") {
		return nil // a macro
	}
	if err := program.Check(name); err != nil {
		return []string{fmt.Sprintf("the program cannot be run: %v", err)}
	}
	return nil
}
