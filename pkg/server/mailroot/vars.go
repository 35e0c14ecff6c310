package mailroot

import (
	"errors"
	"strings"
)

var errNoPassword = errors.New("an empty password")

// ServerVars are the variables of server.tab at one moment. Numbers are read as
// the reference reads them: blanks, a sign and the digits that follow, and what
// comes after is not looked at.
type ServerVars struct{ Variables }

// Vars returns the server's variables as they are now.
func (t Tables) Vars() ServerVars { return ServerVars{Variables{t.table(ServerTab)}} }

// String returns the value of a variable, empty where it is absent.
func (v ServerVars) String(name string) string {
	s, _ := v.Lookup(name)
	return s
}

// Int returns the number in a variable, def where it is absent or empty.
func (v ServerVars) Int(name string, def int) int {
	if s := v.String(name); s != "" {
		return Atoi(s)
	}
	return def
}

// Flag reports whether the number in a variable is other than 0, def where it
// is absent. An empty variable is off, and so is any word.
func (v ServerVars) Flag(name string, def bool) bool {
	if s, ok := v.Lookup(name); ok {
		return Atoi(s) != 0
	}
	return def
}

// CompatLevel says which defaults are in force: 0 those of the reference, 1 the
// safe ones (docs/design.md, Safety).
func (v ServerVars) CompatLevel() int { return v.Int("CompatLevel", 0) }

// Atoi reads a number as the reference does: 0 where there is none. Numbers
// that do not fit are cut at the greatest one of 32 bits.
func Atoi(s string) int {
	const limit = 1<<31 - 1
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	sign := 1
	if s != "" && (s[0] == '-' || s[0] == '+') {
		if s[0] == '-' {
			sign = -1
		}
		s = s[1:]
	}
	n := 0
	for i := 0; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		n = min(n*10+int(s[i]-'0'), limit)
	}
	return sign * n
}
