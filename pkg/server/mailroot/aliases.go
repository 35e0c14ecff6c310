package mailroot

import (
	"iter"
	"strings"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// An Alias gives an account another name, or many by a pattern (aliases.tab).
type Alias struct {
	Domain, Name string // either may be a pattern
	Target       string // a user of the domain, or user@domain
	Row          tabfile.Row
}

func parseAlias(row tabfile.Row) Alias {
	f := row.Fields()
	return Alias{Domain: f[0], Name: f[1], Target: f[2], Row: row}
}

// anyDomain is the key of patterns whose domain is a pattern. It cannot be the
// name of a domain, since no field holds a TAB.
const anyDomain = "\t"

func aliasSchema() *tabfile.Schema {
	return &tabfile.Schema{Columns: 3, Indexes: []tabfile.Index{
		byColumns("name", 0, 1),
		{Name: "pattern", Key: func(f []string) (string, bool) {
			switch {
			case tabfile.HasWildcard(f[0]):
				return anyDomain, true
			case tabfile.HasWildcard(f[1]):
				return tabfile.Fold(f[0]), true
			}
			return "", false
		}},
		{Name: "target", Key: func(f []string) (string, bool) {
			return key(Alias{Target: f[2]}.TargetOf(f[0])), true
		}},
	}}
}

// TargetOf returns the account that the alias stands for where it was looked up
// in domain.
func (a Alias) TargetOf(domain string) (targetDomain, name string) {
	if name, host, ok := strings.Cut(a.Target, "@"); ok {
		return host, name
	}
	return domain, a.Target
}

// Aliases returns the rows of aliases.tab in file order.
func (t Tables) Aliases() iter.Seq[Alias] { return typed(t.table(AliasesTab).Rows(), parseAlias) }

// AliasesNamed returns the rows of exactly that domain and name, patterns being
// ordinary texts.
func (t Tables) AliasesNamed(domain, name string) iter.Seq[Alias] {
	return typed(t.table(AliasesTab).All("name", key(domain, name)), parseAlias)
}

// HasAlias reports whether there is a row of exactly that domain and name.
func (t Tables) HasAlias(domain, name string) bool {
	_, ok := t.table(AliasesTab).First("name", key(domain, name))
	return ok
}

// AliasesOf returns the aliases in a domain.
func (t Tables) AliasesOf(domain string) iter.Seq[Alias] {
	return typed(t.table(AliasesTab).Prefix("name", key(domain, "")), parseAlias)
}

// AliasesTo returns the aliases, of whichever domain, that stand for a user.
func (t Tables) AliasesTo(domain, name string) iter.Seq[Alias] {
	return typed(t.table(AliasesTab).All("target", key(domain, name)), parseAlias)
}

// AliasesInto returns the aliases, of whichever domain, that stand for any user
// of a domain.
func (t Tables) AliasesInto(domain string) iter.Seq[Alias] {
	return typed(t.table(AliasesTab).Prefix("target", key(domain, "")), parseAlias)
}

// MatchAlias returns the alias that an address has: the one of exactly that
// domain and name, or else, among the patterns that match, the longest one,
// counting domain and name; the earliest of equally long ones.
func (t Tables) MatchAlias(domain, name string) (Alias, bool) {
	v := t.table(AliasesTab)
	if a, ok := first(v, "name", key(domain, name), parseAlias); ok {
		return a, true
	}
	var best Alias
	length := -1
	for _, k := range []string{tabfile.Fold(domain), anyDomain} {
		for row := range v.All("pattern", k) {
			a := parseAlias(row)
			n := len(a.Domain) + len(a.Name)
			if n < length || n == length && !row.Before(best.Row) {
				continue
			}
			if tabfile.Match(a.Domain, domain) && tabfile.Match(a.Name, name) {
				best, length = a, n
			}
		}
	}
	return best, length >= 0
}

// An ExtAlias says that a local account is known elsewhere by another address
// (extaliases.tab).
type ExtAlias struct {
	RemoteDomain, RemoteName string
	LocalDomain, LocalName   string
	Row                      tabfile.Row
}

func parseExtAlias(row tabfile.Row) ExtAlias {
	f := row.Fields()
	return ExtAlias{RemoteDomain: f[0], RemoteName: f[1], LocalDomain: f[2], LocalName: f[3], Row: row}
}

func extAliasSchema() *tabfile.Schema {
	return &tabfile.Schema{Columns: 4, Indexes: []tabfile.Index{
		byColumns("remote", 0, 1),
		byColumns("local", 2, 3),
	}}
}

// ExtAliases returns the rows of extaliases.tab in file order.
func (t Tables) ExtAliases() iter.Seq[ExtAlias] {
	return typed(t.table(ExtAliasesTab).Rows(), parseExtAlias)
}

// ExtAliasesNamed returns the rows of a remote address.
func (t Tables) ExtAliasesNamed(remoteDomain, remoteName string) iter.Seq[ExtAlias] {
	return typed(t.table(ExtAliasesTab).All("remote", key(remoteDomain, remoteName)), parseExtAlias)
}

// ExtAliasesTo returns the rows of a local account.
func (t Tables) ExtAliasesTo(domain, name string) iter.Seq[ExtAlias] {
	return typed(t.table(ExtAliasesTab).All("local", key(domain, name)), parseExtAlias)
}

// ExtAliasesInto returns the rows of all local accounts of a domain.
func (t Tables) ExtAliasesInto(domain string) iter.Seq[ExtAlias] {
	return typed(t.table(ExtAliasesTab).Prefix("local", key(domain, "")), parseExtAlias)
}
