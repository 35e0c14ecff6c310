package program

import "strings"

// Expand replaces the macros of a hook table in its fields: $(NAME) anywhere
// in a field, @@NAME as a whole field. \$ is a dollar sign; a name that vars
// does not have becomes empty (docs/reference/delivery.md 3.2). A dollar sign
// before anything else stands for itself.
func Expand(fields []string, vars map[string]string) []string {
	out := make([]string, len(fields))
	for i, field := range fields {
		if name, ok := strings.CutPrefix(field, "@@"); ok {
			out[i] = vars[name]
			continue
		}
		out[i] = expand(field, vars)
	}
	return out
}

func expand(field string, vars map[string]string) string {
	var b strings.Builder
	for field != "" {
		if rest, ok := strings.CutPrefix(field, `\$`); ok {
			b.WriteByte('$')
			field = rest
			continue
		}
		if rest, ok := strings.CutPrefix(field, "$("); ok {
			if name, after, ok := strings.Cut(rest, ")"); ok {
				b.WriteString(vars[name])
				field = after
				continue
			}
		}
		b.WriteByte(field[0])
		field = field[1:]
	}
	return b.String()
}
