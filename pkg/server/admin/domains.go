package admin

import (
	"context"
	"slices"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// DomainAdd makes the server handle a domain, in lower case, with its folders.
func (s *Service) DomainAdd(ctx context.Context, domain string) error {
	domain = tabfile.Fold(domain)
	return s.update(ctx, func(tx *mailroot.Tx) error {
		if err := checkDomainName(domain); err != nil {
			return err
		}
		if tx.IsDomain(domain) {
			return refuse(Exists, "domain %s is handled already", domain)
		}
		if tx.Handled(domain) {
			return refuse(Exists, "domain %s is handled already, as an alias of %s", domain, tx.RealDomain(domain))
		}
		if err := requireTable(tx.Tables, mailroot.DomainsTab, NoAliasesTable); err != nil {
			return err
		}
		for _, dir := range []func(string) (string, error){mailroot.DomainDir, mailroot.CommandAliasDir} {
			name, err := dir(domain)
			if err != nil {
				return refuse(CannotMakeDir, "%w", err)
			}
			if err := makeTree(tx, name, nil, nil); err != nil {
				return err
			}
		}
		return tx.Table(mailroot.DomainsTab).Append(domain)
	})
}

// DomainDel removes a domain with its accounts, their folders, and every row of
// other tables that belongs to the domain or leads to it.
func (s *Service) DomainDel(ctx context.Context, domain string) error {
	domain = tabfile.Fold(domain)
	remove := func(tx *mailroot.Tx) error { return s.removeDomain(tx, domain) }
	if s.hook(domain, "domaindrop") == nil {
		return s.update(ctx, remove)
	}
	return s.removeWithHook(ctx, remove, hookCall{"domaindrop", domain, map[string]string{"DOMAIN": domain}})
}

func (s *Service) removeDomain(tx *mailroot.Tx, domain string) error {
	if err := requireTable(tx.Tables, mailroot.DomainsTab, NoDomainsTable); err != nil {
		return err
	}
	rows := slices.Collect(tx.DomainRows(domain))
	if len(rows) == 0 {
		return refuse(NoDomain, "domain %s is not handled here", quote(domain))
	}
	// The reference removes in this order, and stops where a table is missing.
	for _, t := range []struct {
		name string
		kind Kind
		rows func() []tabfile.Row
	}{
		{mailroot.DomainsTab, NoDomainsTable, func() []tabfile.Row { return rows }},
		{mailroot.UsersTab, NoUsersTable, func() []tabfile.Row {
			return rowsOf(tx.UsersOf(domain), func(u mailroot.User) tabfile.Row { return u.Row })
		}},
		{mailroot.AliasesTab, NoAliasesTable, func() []tabfile.Row { return aliasRows(tx, domain) }},
		{mailroot.ExtAliasesTab, NoExtAliasesTable, func() []tabfile.Row {
			return rowsOf(tx.ExtAliasesInto(domain), func(a mailroot.ExtAlias) tabfile.Row { return a.Row })
		}},
		{mailroot.LinksTab, NoLinksTable, func() []tabfile.Row { return nil }},
		{mailroot.AliasDomainTab, NoAliasDomainTable, func() []tabfile.Row {
			return rowsOf(tx.AliasDomainsOf(domain), func(a mailroot.AliasDomain) tabfile.Row { return a.Row })
		}},
	} {
		if err := requireTable(tx.Tables, t.name, t.kind); err != nil {
			return err
		}
		if err := deleteRows(tx, t.name, t.rows()); err != nil {
			return err
		}
	}
	if err := removeLinks(tx, slices.Collect(tx.LinksOf(domain))); err != nil {
		return err
	}
	return s.removeDomainDirs(tx, domain)
}

// aliasRows returns the aliases in a domain, and those of other domains that
// lead to its accounts.
func aliasRows(tx *mailroot.Tx, domain string) []tabfile.Row {
	row := func(a mailroot.Alias) tabfile.Row { return a.Row }
	rows := rowsOf(tx.AliasesOf(domain), row)
	return append(rows, rowsOf(filter(tx.AliasesInto(domain), func(a mailroot.Alias) bool {
		return !tabfile.EqualFold(a.Domain, domain)
	}), row)...)
}

func (s *Service) removeDomainDirs(tx *mailroot.Tx, domain string) error {
	for _, dir := range []func(string) (string, error){mailroot.DomainDir, mailroot.CommandAliasDir} {
		name, err := dir(domain)
		if err != nil {
			s.log.Warn("the folder of a removed domain stays", "domain", domain, "err", err)
			continue
		}
		if err := tx.RemoveTree(name); err != nil {
			return refuse(CannotRemoveDir, "%s: %w", name, err)
		}
	}
	return nil
}
