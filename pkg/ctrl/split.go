package ctrl

import "strings"

// split returns the fields of a line: command lines and list rows have the
// syntax of the tables.
func split(line string) []string {
	var fields []string
	line, _, _ = strings.Cut(line, "\x00")
	for f := range strings.SplitSeq(line, "\t") {
		if f == "" {
			continue
		}
		if f[0] == '"' {
			f = unquote(f[1:])
		}
		fields = append(fields, f)
	}
	return fields
}

func unquote(s string) string {
	for i := range len(s) {
		if s[i] == '"' && (i == 0 || s[i-1] != '\\') {
			s = s[:i]
			break
		}
	}
	return strings.ReplaceAll(s, `\"`, `"`)
}
