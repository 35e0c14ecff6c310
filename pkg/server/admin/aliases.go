package admin

import (
	"context"
	"iter"
	"slices"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// AliasAdd gives an account, a user of the domain or user@domain, another name.
// Domain and name may be patterns.
func (s *Service) AliasAdd(ctx context.Context, domain, name, account string) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		t := tx.Tables
		targetDomain, target := domain, account
		if user, host, err := parseAddress(account); err == nil {
			targetDomain, target = host, user
		}
		if _, err := requireUser(t, targetDomain, target); err != nil {
			return err
		}
		if _, ok := t.Login(domain, name); ok {
			return refuse(UserExists, "there is a user %s in domain %s", quote(name), quote(domain))
		}
		if err := requireTable(t, mailroot.AliasesTab, NoAliasesTable); err != nil {
			return err
		}
		if t.HasAlias(domain, name) {
			return refuse(AliasExists, "there is an alias %s in domain %s", quote(name), quote(domain))
		}
		if err := checkAliasName(name); err != nil {
			return err
		}
		if err := checkDomainPattern(domain); err != nil {
			return err
		}
		if !tabfile.HasWildcard(domain) {
			if err := requireDomain(t, domain); err != nil {
				return err
			}
		}
		return tx.Table(mailroot.AliasesTab).Append(domain, name, account)
	})
}

// AliasDel removes an alias, whose domain and name are given as they were when
// it was added: patterns are ordinary texts.
func (s *Service) AliasDel(ctx context.Context, domain, name string) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		if err := requireTable(tx.Tables, mailroot.AliasesTab, NoAliasesTable); err != nil {
			return err
		}
		rows := rowsOf(tx.AliasesNamed(domain, name), func(a mailroot.Alias) tabfile.Row { return a.Row })
		if len(rows) == 0 {
			return refuse(NoAlias, "there is no alias %s in domain %s", quote(name), quote(domain))
		}
		return deleteRows(tx, mailroot.AliasesTab, rows)
	})
}

// Aliases returns the aliases whose columns match the patterns.
func (s *Service) Aliases(domain, name, account string) iter.Seq[mailroot.Alias] {
	return filter(s.root.AliasesLike(domain, name), func(a mailroot.Alias) bool { return tabfile.Match(account, a.Target) })
}

// ExtAliasAdd makes a local account known by the remote address. Neither the
// local domain nor the account has to exist.
func (s *Service) ExtAliasAdd(ctx context.Context, local, remote string) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		localName, localDomain, err := parseAddress(local)
		if err != nil {
			return err
		}
		remoteName, remoteDomain, err := parseAddress(remote)
		if err != nil {
			return err
		}
		if err := requireTable(tx.Tables, mailroot.ExtAliasesTab, NoExtAliasesTable); err != nil {
			return err
		}
		for range tx.ExtAliasesNamed(remoteDomain, remoteName) {
			return refuse(ExtAliasExists, "there is an external alias for %s", quote(remote))
		}
		if err := checkAddressParts(localName, localDomain); err != nil {
			return err
		}
		if err := checkAddressParts(remoteName, remoteDomain); err != nil {
			return err
		}
		if err := s.checkRemote(tx.Tables, remoteDomain); err != nil {
			return err
		}
		return tx.Table(mailroot.ExtAliasesTab).Append(remoteDomain, remoteName, localDomain, localName)
	})
}

// ExtAliasDel removes the external alias of a remote address.
func (s *Service) ExtAliasDel(ctx context.Context, remote string) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		name, domain, err := parseAddress(remote)
		if err != nil {
			return err
		}
		if err := requireTable(tx.Tables, mailroot.ExtAliasesTab, NoExtAliasesTable); err != nil {
			return err
		}
		aliases := slices.Collect(tx.ExtAliasesNamed(domain, name))
		if len(aliases) == 0 {
			return refuse(NoExtAlias, "there is no external alias for %s", quote(remote))
		}
		if err := s.checkLocal(aliases); err != nil {
			return err
		}
		return deleteRows(tx, mailroot.ExtAliasesTab, rowsOf(slices.Values(aliases), func(a mailroot.ExtAlias) tabfile.Row { return a.Row }))
	})
}

// ExtAliases returns the external aliases whose addresses match the patterns.
// A pattern must have the form of an address, so only * and ? can be in it.
func (s *Service) ExtAliases(local, remote string) (iter.Seq[mailroot.ExtAlias], error) {
	localName, localDomain, err := parseAddress(local)
	if err != nil {
		return nil, err
	}
	remoteName, remoteDomain, err := parseAddress(remote)
	if err != nil {
		return nil, err
	}
	return filter(s.root.ExtAliases(), func(a mailroot.ExtAlias) bool {
		return tabfile.Match(localDomain, a.LocalDomain) && tabfile.Match(localName, a.LocalName) &&
			tabfile.Match(remoteDomain, a.RemoteDomain) && tabfile.Match(remoteName, a.RemoteName)
	}), nil
}

// AliasDomainAdd makes alias, which may be a pattern, stand for the domain real.
func (s *Service) AliasDomainAdd(ctx context.Context, real, alias string) error {
	real, alias = tabfile.Fold(real), tabfile.Fold(alias)
	return s.update(ctx, func(tx *mailroot.Tx) error {
		if !tx.IsDomain(real) {
			return refuse(NoDomain, "domain %s is not handled here", quote(real))
		}
		if tx.IsDomain(alias) {
			return refuse(AliasDomainExists, "%s is a domain of its own", quote(alias))
		}
		if err := requireTable(tx.Tables, mailroot.AliasDomainTab, NoAliasDomainTable); err != nil {
			return err
		}
		for a := range tx.AliasDomainsNamed(alias) {
			return refuse(AliasDomainExists, "there is an alias domain %s, for %s", quote(alias), quote(a.Real))
		}
		if err := checkDomainPattern(alias); err != nil {
			return err
		}
		return tx.Table(mailroot.AliasDomainTab).Append(alias, real)
	})
}

// AliasDomainDel removes an alias domain, given as it was when it was added.
func (s *Service) AliasDomainDel(ctx context.Context, alias string) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		if err := requireTable(tx.Tables, mailroot.AliasDomainTab, NoAliasDomainTable); err != nil {
			return err
		}
		rows := rowsOf(tx.AliasDomainsNamed(alias), func(a mailroot.AliasDomain) tabfile.Row { return a.Row })
		if len(rows) == 0 {
			return refuse(NoAliasDomain, "there is no alias domain %s", quote(alias))
		}
		return deleteRows(tx, mailroot.AliasDomainTab, rows)
	})
}

// AliasDomains returns the alias domains whose columns match the patterns.
func (s *Service) AliasDomains(real, alias string) iter.Seq[mailroot.AliasDomain] {
	return filter(s.root.AliasDomains(), func(a mailroot.AliasDomain) bool {
		return tabfile.Match(real, a.Real) && tabfile.Match(alias, a.Alias)
	})
}

// RealDomain returns the domain whose accounts a domain has: itself where it is no
// alias.
func (s *Service) RealDomain(domain string) string { return s.root.RealDomain(domain) }

// Domains returns the domains that match one of the patterns, all where there
// is none.
func (s *Service) Domains(patterns ...string) iter.Seq[string] {
	return filter(s.root.Domains(), func(d string) bool {
		return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { return tabfile.Match(p, d) })
	})
}
