package mailroot

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// RightsTab says what control accounts may do. It is ours, so that
// ctrlaccounts.tab stays as the reference reads it.
const RightsTab = "ctrlrights.tab"

// Rights are what a control account may do. The zero value may do nothing.
type Rights struct {
	All     bool     // everything, secrets as CompatLevel says
	Read    bool     // look at everything but mail and secrets
	Secrets bool     // with All or Read: mail and secrets too
	Domains []string // change what belongs to these, in lower case
}

// Owns reports whether the rights are for what belongs to a domain.
func (r Rights) Owns(domain string) bool {
	return r.All || slices.Contains(r.Domains, tabfile.Fold(domain))
}

// String returns the rights as [ParseRights] reads them, and "" for none.
func (r Rights) String() string {
	words := slices.Clone(r.Domains)
	if r.All {
		words = append(words, "all")
	}
	if r.Read {
		words = append(words, "read")
	}
	if r.Secrets {
		words = append(words, "secrets")
	}
	return strings.Join(words, ",")
}

var errNoRights = errors.New("no rights are given: all, read, secrets besides either, or DOMAIN[,DOMAIN]")

// ParseRights reads "all", "read", either with ",secrets", or domains with commas
// between them. "secrets" alone is "all,secrets".
func ParseRights(text string) (Rights, error) {
	var r Rights
	for word := range strings.SplitSeq(tabfile.Fold(text), ",") {
		switch word = strings.TrimSpace(word); word {
		case "":
			return Rights{}, errNoRights
		case "all":
			r.All = true
		case "read":
			r.Read = true
		case "secrets":
			r.Secrets = true
		default:
			if strings.ContainsAny(word, "*?[ ") {
				return Rights{}, fmt.Errorf("%.64q is not one domain", word)
			}
			if !slices.Contains(r.Domains, word) {
				r.Domains = append(r.Domains, word)
			}
		}
	}
	switch {
	case len(r.Domains) > 0 && (r.All || r.Read || r.Secrets):
		return Rights{}, errors.New("the rights to domains go together with no other")
	case r.All && r.Read:
		return Rights{}, errors.New("the rights are either all or read")
	}
	r.All = r.All || !r.Read && len(r.Domains) == 0
	return r, nil
}

// rightsSchema keeps rows that say nothing readable: a name that stands there has no
// more rights than its row says.
func rightsSchema() *tabfile.Schema {
	return &tabfile.Schema{Columns: 1, Indexes: []tabfile.Index{byColumns("name", 0)},
		CheckNew: func(f []string) error {
			if len(f) < 2 {
				return errNoRights
			}
			_, err := ParseRights(f[1])
			return err
		}}
}

// RightsOf returns the rights of a control account: those of its row in
// ctrlrights.tab, and without a row all. A name that is no account has none.
func (t Tables) RightsOf(name string) Rights {
	a, ok := t.Account(name)
	if !ok {
		return Rights{}
	}
	row, ok := t.table(RightsTab).First("name", key(name))
	if !ok {
		return Rights{All: true, Secrets: slices.Contains(a.Rights, "secrets")}
	}
	f := row.Fields()
	if len(f) < 2 {
		return Rights{}
	}
	r, err := ParseRights(f[1])
	if err != nil {
		return Rights{}
	}
	return r
}

// RightsRows returns the rows of ctrlrights.tab of a name.
func (t Tables) RightsRows(name string) []tabfile.Row {
	return slices.Collect(t.table(RightsTab).All("name", key(name)))
}

// HasFullAdministrator reports whether a control account has the rights to
// everything.
func (t Tables) HasFullAdministrator() bool {
	for row := range t.table(AccountsTab).Rows() {
		if t.RightsOf(row.Field(0)).All {
			return true
		}
	}
	return false
}

// Within returns the tables as somebody sees them who has rights to some domains
// only: an alias, or an alias domain, leads to no account of any other. owns is
// called for domains as they are written.
func (t Tables) Within(owns func(domain string) bool) Tables {
	t.owns = owns
	return t
}

// inside reports whether an account of a domain may be found.
func (t Tables) inside(domain string) bool { return t.owns == nil || t.owns(domain) }
