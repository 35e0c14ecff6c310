package tabfile

import "strings"

// newProblem returns the first problem of text whose line did not stand in the
// table before.
func newProblem(before *content, problems []Error, text string) error {
	if len(problems) == 0 {
		return nil
	}
	known := make(map[string]bool)
	before.lines.Scan(func(l *line) bool {
		if !l.row {
			known[l.body()] = true
		}
		return true
	})
	lines := strings.Split(text, "\n")
	for i := range problems {
		if !known[TrimEnd(lines[problems[i].Line-1])] {
			return &problems[i]
		}
	}
	return nil
}

// newRow returns what is wrong with the first row that did not stand in the
// table before and may not be added.
func newRow(name string, before, after *content) (err error) {
	check := after.schema.CheckNew
	if check == nil {
		return nil
	}
	known := make(map[string]bool)
	before.lines.Scan(func(l *line) bool {
		known[l.body()] = true
		return true
	})
	number := 0
	after.lines.Scan(func(l *line) bool {
		number++
		if l.row && !known[l.body()] {
			if wrong := check(Split(l.body())); wrong != nil {
				err = &Error{File: name, Line: number, Msg: wrong.Error()}
			}
		}
		return err == nil
	})
	return err
}
