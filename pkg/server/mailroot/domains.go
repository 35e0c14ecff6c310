package mailroot

import (
	"fmt"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

func domainSchema() *tabfile.Schema {
	return &tabfile.Schema{Columns: 1, Keep: true, Indexes: []tabfile.Index{byColumns("name", 0)}, Check: func(f []string) error {
		// Of a file that was damaged nothing is to be taken for a domain.
		if f[0] == "" || !utf8.ValidString(f[0]) || strings.ContainsFunc(f[0], unicode.IsControl) {
			return fmt.Errorf("%q is no domain", f[0])
		}
		return nil
	}}
}

// An AliasDomain says that a domain, or every domain that matches a pattern,
// stands for another one (aliasdomain.tab).
type AliasDomain struct {
	Alias, Real string
	Row         tabfile.Row
}

func parseAliasDomain(row tabfile.Row) AliasDomain {
	f := row.Fields()
	return AliasDomain{Alias: f[0], Real: f[1], Row: row}
}

// aliasDomainSchema has exact names in "alias". Patterns are in "pattern" by
// the text after their last wildcard, so that a look-up asks only for those
// that end as the domain does.
func aliasDomainSchema() *tabfile.Schema {
	return &tabfile.Schema{Columns: 2, Indexes: []tabfile.Index{
		byColumns("alias", 0),
		byColumns("real", 1),
		{Name: "pattern", Key: func(f []string) (string, bool) {
			return tabfile.Fold(fixedEnd(f[0])), tabfile.HasWildcard(f[0])
		}},
	}}
}

// fixedEnd returns the part of a pattern after its last special character.
func fixedEnd(pattern string) string {
	for i := len(pattern); i > 0; i-- {
		switch pattern[i-1] {
		case '*', '?', ']', '[', '\\':
			return pattern[i:]
		}
	}
	return pattern
}

// Domains returns the rows of domains.tab in file order.
func (t Tables) Domains() iter.Seq[string] {
	return typed(t.table(DomainsTab).Rows(), func(row tabfile.Row) string { return row.Fields()[0] })
}

// DomainRows returns the rows of domains.tab that name domain.
func (t Tables) DomainRows(domain string) iter.Seq[tabfile.Row] {
	return t.table(DomainsTab).All("name", key(domain))
}

// IsDomain reports whether domain stands in domains.tab.
func (t Tables) IsDomain(domain string) bool {
	_, ok := t.table(DomainsTab).First("name", key(domain))
	return ok
}

// AliasDomains returns the rows of aliasdomain.tab in file order.
func (t Tables) AliasDomains() iter.Seq[AliasDomain] {
	return typed(t.table(AliasDomainTab).Rows(), parseAliasDomain)
}

// AliasDomainsNamed returns the rows whose alias is spelled so, a pattern being
// an ordinary text.
func (t Tables) AliasDomainsNamed(alias string) iter.Seq[AliasDomain] {
	return typed(t.table(AliasDomainTab).All("alias", key(alias)), parseAliasDomain)
}

// AliasDomainsOf returns the rows that lead to the domain real.
func (t Tables) AliasDomainsOf(real string) iter.Seq[AliasDomain] {
	return typed(t.table(AliasDomainTab).All("real", key(real)), parseAliasDomain)
}

// AliasDomain returns the row that makes domain an alias domain: the one that
// is spelled so, or else the first pattern in the file that matches.
func (t Tables) AliasDomain(domain string) (AliasDomain, bool) {
	v := t.table(AliasDomainTab)
	if a, ok := first(v, "alias", key(domain), parseAliasDomain); ok {
		return a, true
	}
	var found AliasDomain
	ok := false
	folded := tabfile.Fold(domain)
	for i := range len(folded) + 1 {
		for row := range v.All("pattern", folded[i:]) {
			if ok && !row.Before(found.Row) {
				break
			}
			if a := parseAliasDomain(row); tabfile.Match(a.Alias, domain) {
				found, ok = a, true
				break
			}
		}
	}
	return found, ok
}

// RealDomain returns the domain whose accounts a domain has: itself where it
// stands in domains.tab, else what it is an alias of, else itself. A real
// domain wins over a pattern that matches it, unlike in the reference.
func (t Tables) RealDomain(domain string) string {
	if t.IsDomain(domain) {
		return domain
	}
	if a, ok := t.AliasDomain(domain); ok {
		return a.Real
	}
	return domain
}

// Handled reports whether mail for domain is for accounts of this server.
func (t Tables) Handled(domain string) bool {
	return t.IsDomain(domain) || t.IsDomain(t.RealDomain(domain))
}
