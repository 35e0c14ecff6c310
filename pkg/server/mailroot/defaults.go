package mailroot

import "slices"

// Value returns the value of a variable, and where it is absent its registered
// default of the level. A variable that [LookupServerVar] does not have has no
// default.
func (v ServerVars) Value(name string) string {
	if s, ok := v.Lookup(name); ok {
		return s
	}
	return v.fallback(name)
}

// Number returns the number in a variable. Where it is absent or empty, or lies
// beyond the bounds of the variable, that is its registered default of the level.
func (v ServerVars) Number(name string) int {
	n, ok := v.number(name)
	if !ok {
		return Atoi(v.fallback(name))
	}
	return n
}

func (v ServerVars) number(name string) (int, bool) {
	s := v.String(name)
	if s == "" {
		return 0, false
	}
	n := Atoi(s)
	x, ok := LookupServerVar(name)
	return n, !ok || x.Type != VarNumber || n >= x.Min && n <= x.Max
}

// On reports whether a flag is on. One that is absent has its registered default
// of the level; one that is empty, or a word, is off as in [ServerVars.Flag].
func (v ServerVars) On(name string) bool {
	return v.Flag(name, v.fallback(name) == "1")
}

// Word returns the value of a variable that takes certain words. Where it is
// absent or another word, that is its registered default of the level.
func (v ServerVars) Word(name string) string {
	x, ok := LookupServerVar(name)
	if s := v.String(name); ok && slices.Contains(x.Words, s) {
		return s
	}
	return v.fallback(name)
}

// fallback returns the registered default of a variable.
func (v ServerVars) fallback(name string) string {
	x, ok := LookupServerVar(name)
	if !ok {
		return ""
	}
	return x.Default[min(max(v.CompatLevel(), 0), len(x.Default)-1)]
}
