package admin

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// UserRename gives an account another name, with its folder, the aliases,
// external aliases and POP3 links that lead to it, and its entries in the
// mailing lists of this server. With keepAlias the old name becomes an alias.
// No external program is told: none of them knows of such a change.
//
// It looks into every mailing list, so that it costs the more the more of them
// there are; nothing else of its cost grows with the tables.
func (s *Service) UserRename(ctx context.Context, domain, name, newName string, keepAlias bool) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		u, err := requireAccount(tx.Tables, domain, name)
		if err != nil {
			return err
		}
		if err := checkRename(tx.Tables, u, newName, keepAlias); err != nil {
			return err
		}
		r := renaming{tx: tx, old: u, name: newName}
		for _, change := range []func() error{r.lists, r.aliases, r.extAliases, r.links, r.account} {
			if err := change(); err != nil {
				return err
			}
		}
		if keepAlias {
			return tx.Table(mailroot.AliasesTab).Append(u.Domain, u.Name, newName)
		}
		return nil
	})
}

// checkRename refuses a new name as UserAdd would.
func checkRename(t mailroot.Tables, u mailroot.User, newName string, keepAlias bool) error {
	if err := checkUserSyntax(newName); err != nil {
		return err
	}
	if t.HasAlias(u.Domain, newName) {
		return refuse(AliasExists, "there is an alias %s in domain %s", quote(newName), quote(u.Domain))
	}
	if err := requireTable(t, mailroot.UsersTab, NoUsersTable); err != nil {
		return err
	}
	onlyCase := tabfile.EqualFold(u.Name, newName)
	if _, ok := t.User(u.Domain, newName); ok && (!onlyCase || u.Name == newName) {
		return refuse(UserExists, "there is a user %s in domain %s", quote(newName), quote(u.Domain))
	}
	if err := checkUserName(newName); err != nil {
		return err
	}
	if !keepAlias {
		return nil
	}
	if onlyCase {
		return refuse(Invalid, "the old name and the new one are the same to mail, so that it can be no alias")
	}
	if err := requireTable(t, mailroot.AliasesTab, NoAliasesTable); err != nil {
		return err
	}
	if t.HasAlias(u.Domain, u.Name) {
		return refuse(AliasExists, "there is an alias %s in domain %s", quote(u.Name), quote(u.Domain))
	}
	return nil
}

// A renaming changes what says the old name of an account.
type renaming struct {
	tx   *mailroot.Tx
	old  mailroot.User
	name string // the new one
}

// domains returns the domain of the account and the exact names of its alias
// domains.
func (r *renaming) domains() []string {
	names := []string{r.old.Domain}
	for a := range r.tx.AliasDomainsOf(r.old.Domain) {
		if !tabfile.HasWildcard(a.Alias) {
			names = append(names, a.Alias)
		}
	}
	return names
}

// account changes the row of the account, and moves the folder where it is named
// after the account and nobody else's.
func (r *renaming) account() error {
	from, err := r.old.Path()
	if err != nil {
		return refuse(CannotRename, "%w", err)
	}
	fields := r.old.Row.Fields()
	fields[1] = r.name
	if tabfile.EqualFold(r.old.Dir, r.old.Name) && r.tx.OwnsPath(r.old) && r.tx.IsDir(from) {
		fields[4] = r.name
		to := path.Join(path.Dir(from), r.name)
		if err := r.tx.MoveTree(from, to); errors.Is(err, fs.ErrExist) {
			return refuse(CannotMakeDir, "folder %s is there already", to)
		} else if err != nil {
			return refuse(CannotRename, "folder %s: %w", from, cause(err))
		}
	}
	return r.tx.Table(mailroot.UsersTab).Replace(r.old.Row, fields...)
}

func (r *renaming) aliases() error {
	for _, domain := range r.domains() {
		for _, a := range slices.Collect(r.tx.AliasesTo(domain, r.old.Name)) {
			fields := a.Row.Fields()
			fields[2] = r.name
			if _, host, ok := strings.Cut(a.Target, "@"); ok {
				fields[2] += "@" + host
			}
			if err := r.replace(mailroot.AliasesTab, a.Row, fields); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *renaming) extAliases() error {
	for _, domain := range r.domains() {
		for _, a := range slices.Collect(r.tx.ExtAliasesTo(domain, r.old.Name)) {
			fields := a.Row.Fields()
			fields[3] = r.name
			if err := r.replace(mailroot.ExtAliasesTab, a.Row, fields); err != nil {
				return err
			}
		}
	}
	return nil
}

// links changes the POP3 links. The files that go with a link are named after
// the remote account, and those in the folder move with it.
func (r *renaming) links() error {
	for _, domain := range r.domains() {
		for _, l := range slices.Collect(r.tx.LinksOf(domain, r.old.Name)) {
			fields := l.Row.Fields()
			fields[1] = r.name
			if err := r.replace(mailroot.LinksTab, l.Row, fields); err != nil {
				return err
			}
		}
	}
	return nil
}

// lists changes the entries in mailing lists. One that has the new address, too,
// loses the old one.
func (r *renaming) lists() error {
	for list := range r.tx.Lists() {
		members, err := r.tx.Members(list)
		if err != nil || !members.Exists() {
			continue // a list that nobody can read has no entry that anybody uses
		}
		for _, domain := range r.domains() {
			if err := r.entry(list, members, domain); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *renaming) entry(list mailroot.User, members mailroot.Members, domain string) error {
	rows := rowsOf(members.Named(r.old.Name+"@"+domain), func(m mailroot.Member) tabfile.Row { return m.Row })
	if len(rows) == 0 {
		return nil
	}
	table, err := r.tx.ChangeMembers(list)
	if err != nil {
		return err
	}
	address := r.name + "@" + domain
	for range members.Named(address) {
		if !tabfile.EqualFold(r.name, r.old.Name) {
			return table.Delete(rows...)
		}
	}
	for _, row := range rows {
		fields := row.Fields()
		_, host, _ := strings.Cut(fields[0], "@")
		fields[0] = r.name + "@" + host
		if err := table.Replace(row, fields...); err != nil {
			return err
		}
	}
	return nil
}

// replace changes a row that says the old name. A table without its file has
// none to change, whatever is remembered of it.
func (r *renaming) replace(table string, row tabfile.Row, fields []string) error {
	if !r.tx.Tables.Exists(table) {
		return nil
	}
	return r.tx.Table(table).Replace(row, fields...)
}
