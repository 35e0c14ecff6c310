package mailroot

import (
	"iter"
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// The tables whose rows begin with a name or a pattern.
const (
	ForwardsTab    = "smtpfwd.tab"
	GatewaysTab    = "smtpgw.tab"
	HNPropTab      = "smtp.hnprop.tab"
	SpamAddressTab = "spam-address.tab"
)

// A Named is a row that begins with a name or a pattern.
type Named struct {
	Name string
	Rest []string
	Row  tabfile.Row
}

func parseNamed(row tabfile.Row) Named {
	f := row.Fields()
	return Named{Name: f[0], Rest: f[1:], Row: row}
}

// Text returns the row for a message: its fields with blanks between them.
func (n Named) Text() string {
	return strings.Join(append([]string{n.Name}, n.Rest...), " ")
}

// Names is a table whose rows begin with a name or a pattern.
type Names struct{ v *tabfile.View }

// Named returns one of smtpfwd.tab, smtpgw.tab, smtp.hnprop.tab and
// spam-address.tab.
func (t Tables) Named(table string) Names { return Names{t.table(table)} }

// All returns the rows in file order.
func (n Names) All() iter.Seq[Named] { return typed(n.v.Rows(), parseNamed) }

// Same returns the rows with that text, which is no pattern here.
func (n Names) Same(name string) iter.Seq[Named] {
	return typed(n.v.All("name", key(name)), parseNamed)
}

// Position returns the number of a row of the table, from 1, not counting
// comments and rows that cannot be read.
func (n Names) Position(row tabfile.Row) int { return position(n.v, row) }

// CoveringHost returns the rows of smtp.hnprop.tab that match every host which a
// host, or with a dot before it the hosts below a domain, stands for. They are in
// file order. A dot at the end of a row does not count.
func (n Names) CoveringHost(host string) []Named {
	var found []Named
	add := func(name string) {
		found = slices.AppendSeq(found, n.Same(name))
		found = slices.AppendSeq(found, n.Same(name+"."))
	}
	add(host)
	for i := 1; i < len(host); i++ {
		if host[i] == '.' {
			add(host[i:])
		}
	}
	slices.SortFunc(found, func(a, b Named) int { return order(a.Row, b.Row) })
	return found
}

// Match returns the first row in the file whose text is s or a pattern that matches
// s. It asks only for the patterns that end as s does; the table is one of
// smtpgw.tab, smtpfwd.tab and spam-address.tab.
func (n Names) Match(s string) (Named, bool) {
	found, ok := first(n.v, "name", key(s), parseNamed)
	folded := tabfile.Fold(s)
	for i := range len(folded) + 1 {
		for row := range n.v.All("pattern", folded[i:]) {
			if ok && !row.Before(found.Row) {
				break
			}
			if p := parseNamed(row); tabfile.Match(p.Name, s) {
				found, ok = p, true
				break
			}
		}
	}
	return found, ok
}

// CoveringDomain returns the rows of smtpgw.tab or smtpfwd.tab that match every
// domain which a domain or a pattern does, as far as that is plain to see. They
// are in file order.
func (n Names) CoveringDomain(pattern string) []Named {
	found := slices.Collect(n.Same(pattern))
	end := tabfile.Fold(fixedEnd(pattern))
	for i := range len(end) + 1 {
		for row := range n.v.All("pattern", end[i:]) {
			if p := parseNamed(row); !tabfile.EqualFold(p.Name, pattern) && coversPattern(p.Name, pattern) {
				found = append(found, p)
			}
		}
	}
	slices.SortFunc(found, func(a, b Named) int { return order(a.Row, b.Row) })
	return found
}

// coversPattern reports whether wide matches all that narrow does. It may
// overlook that it does, where there are classes of characters.
func coversPattern(wide, narrow string) bool {
	if !strings.ContainsAny(narrow, `*?[\`) {
		return tabfile.Match(wide, narrow)
	}
	if strings.Contains(wide, "[^") {
		return false
	}
	// A byte that no table has stands for any that narrow may have there.
	for _, run := range []string{"", "\x01", "\x01\x01\x01"} {
		if !tabfile.Match(wide, sample(narrow, run)) {
			return false
		}
	}
	return true
}

// sample returns a text that a pattern matches, were its classes to have all
// bytes, with run for every star.
func sample(pattern, run string) string {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '*':
			b.WriteString(run)
		case '[':
			end := strings.IndexByte(pattern[i:], ']')
			if end < 0 {
				return ""
			}
			i += end
			b.WriteByte(1)
		case '?':
			b.WriteByte(1)
		case '\\':
			if i++; i < len(pattern) {
				b.WriteByte(pattern[i])
			}
		default:
			b.WriteByte(pattern[i])
		}
	}
	return b.String()
}

// nameSchema is a table whose rows begin with a name.
func nameSchema(columns int) *tabfile.Schema {
	return &tabfile.Schema{Columns: columns, Indexes: []tabfile.Index{byColumns("name", 0)}}
}

// patternSchema is a table whose rows begin with a domain or a pattern of domains.
// Patterns are in "pattern" by the text after their last wildcard.
func patternSchema(columns int) *tabfile.Schema {
	schema := nameSchema(columns)
	schema.Indexes = append(schema.Indexes, tabfile.Index{Name: "pattern", Key: func(f []string) (string, bool) {
		return tabfile.Fold(fixedEnd(f[0])), isPattern(f[0])
	}})
	return schema
}

func isPattern(s string) bool { return strings.ContainsAny(s, `*?[\`) }
