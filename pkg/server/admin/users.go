package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/program"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// UserAdd makes an account with its folder: typ "U" has a mailbox, "M" is a
// mailing list. Its variables are those of the domain's userdef.tab, else of the
// server's. A mailing list may have an empty password, by which nobody gets in.
func (s *Service) UserAdd(ctx context.Context, domain, name, password, typ string) error {
	sealed, err := s.seal(ctx, domain, password, func(t mailroot.Tables, plain secret) error {
		if err := checkNewUser(t, domain, name); err != nil {
			return err
		}
		return checkUserValues(t, domain, name, plain, typ)
	})
	if err != nil {
		return err
	}
	return s.userAdd(ctx, domain, name, sealed, typ)
}

func (s *Service) userAdd(ctx context.Context, domain, name string, password secret, typ string) error {
	var u mailroot.User
	err := s.update(ctx, func(tx *mailroot.Tx) error {
		if err := checkNewUser(tx.Tables, domain, name); err != nil {
			return err
		}
		if err := checkUserValues(tx.Tables, domain, name, password, typ); err != nil {
			return err
		}
		id, err := tx.NextID()
		if err != nil {
			return err
		}
		u = mailroot.User{Domain: domain, Name: name, Stored: password.stored, ID: id, Dir: name, Type: typ}
		if err := s.makeAccount(tx, u); err != nil {
			return err
		}
		return tx.Table(mailroot.UsersTab).Append(u.Fields()...)
	})
	if err == nil {
		s.userHook(ctx, "useradd", u, password.clear)
	}
	return err
}

// checkNewUser refuses what the reference refuses.
func checkNewUser(t mailroot.Tables, domain, name string) error {
	if err := requireDomain(t, domain); err != nil {
		return err
	}
	if err := checkHostSyntax(domain); err != nil {
		return err
	}
	if err := checkUserSyntax(name); err != nil {
		return err
	}
	if t.HasAlias(domain, name) {
		return refuse(AliasExists, "there is an alias %s in domain %s", quote(name), quote(domain))
	}
	if err := requireTable(t, mailroot.UsersTab, NoUsersTable); err != nil {
		return err
	}
	if _, ok := t.User(domain, name); ok {
		return refuse(UserExists, "there is a user %s in domain %s", quote(name), quote(domain))
	}
	return nil
}

// checkUserValues refuses what the reference takes.
func checkUserValues(t mailroot.Tables, domain, name string, password secret, typ string) error {
	if !t.IsDomain(domain) {
		return refuse(NoDomain, "domain %s is an alias of %s; accounts belong there", quote(domain), quote(t.RealDomain(domain)))
	}
	if err := checkUserName(name); err != nil {
		return err
	}
	if typ != "U" && typ != "M" {
		return refuse(Invalid, "type %s of the account is neither U nor M", quote(typ))
	}
	return password.check(typ == "U")
}

// makeAccount makes the folder of an account.
func (s *Service) makeAccount(tx *mailroot.Tx, u mailroot.User) error {
	dir, err := u.Path()
	if err != nil {
		return refuse(CannotMakeDir, "%w", err)
	}
	defaults, err := tx.UserDefaults(u.Domain)
	if err != nil {
		return err
	}
	files := map[string][]byte{mailroot.UserTab: []byte(userTab(defaults))}
	var dirs []string
	switch {
	case u.IsList():
		files[mailroot.MembersTab] = nil
	case s.opts.Plain:
		dirs = []string{plainDir}
	default:
		dirs = []string{maildirDir, maildirDir + "/tmp", maildirDir + "/new", maildirDir + "/cur"}
	}
	return makeTree(tx, dir, dirs, files)
}

// makeTree makes a folder that may not be there yet.
func makeTree(tx *mailroot.Tx, dir string, dirs []string, files map[string][]byte) error {
	err := tx.MakeTree(dir, dirs, files)
	switch {
	case errors.Is(err, fs.ErrExist):
		return refuse(CannotMakeDir, "folder %s is there already", dir)
	case errors.Is(err, fs.ErrNotExist):
		return refuse(CannotMakeDir, "folder %s is missing", path.Dir(dir))
	}
	return err
}

// userTab returns the rows of a table of variables without its comments, and without
// what is for the making of accounts alone.
func userTab(vars mailroot.Variables) string {
	var b strings.Builder
	for v := range vars.All() {
		if v.Name == mailroot.VarPasswordScheme {
			continue
		}
		if row, err := tabfile.JoinCells(v.Name, v.Value); err == nil {
			b.WriteString(row + "\n")
		}
	}
	return b.String()
}

// UserDel removes an account with its folder, its POP3 links, and the aliases
// and external aliases that stand for it.
func (s *Service) UserDel(ctx context.Context, domain, name string) error {
	remove := func(tx *mailroot.Tx) error {
		if err := requireDomain(tx.Tables, domain); err != nil {
			return err
		}
		if err := requireTable(tx.Tables, mailroot.UsersTab, NoUsersTable); err != nil {
			return err
		}
		users := slices.Collect(tx.UsersNamed(domain, name))
		if len(users) == 0 {
			return refuse(NoUser, "there is no user %s in domain %s", quote(name), quote(domain))
		}
		return s.removeUsers(tx, domain, name, users)
	}
	u, ok := s.tables().User(domain, name)
	if !ok || s.hook(domain, "userdel") == nil {
		return s.update(ctx, remove)
	}
	clear, _ := u.Password().Clear()
	return s.removeWithHook(ctx, remove, s.userHookCall("userdel", u, clear))
}

func (s *Service) removeUsers(tx *mailroot.Tx, domain, name string, users []mailroot.User) error {
	for _, u := range users {
		dir, err := u.Path()
		if err == nil && !tx.OwnsPath(u) {
			err = fmt.Errorf("other accounts are in it")
		}
		if err != nil {
			s.log.Warn("the folder of a removed account stays", "domain", u.Domain, "user", u.Name, "dir", u.Dir, "err", err)
			continue
		}
		if err := tx.RemoveTree(dir); err != nil {
			return err
		}
	}
	if err := removeLinks(tx, linksTo(tx, domain, name)); err != nil {
		return err
	}
	for _, d := range []struct {
		table string
		rows  []tabfile.Row
	}{
		{mailroot.UsersTab, rowsOf(slices.Values(users), func(u mailroot.User) tabfile.Row { return u.Row })},
		{mailroot.AliasesTab, rowsOf(tx.AliasesTo(domain, name), func(a mailroot.Alias) tabfile.Row { return a.Row })},
		{mailroot.ExtAliasesTab, rowsOf(tx.ExtAliasesTo(domain, name), func(a mailroot.ExtAlias) tabfile.Row { return a.Row })},
	} {
		if err := deleteRows(tx, d.table, d.rows); err != nil {
			return err
		}
	}
	return nil
}

// linksTo returns the POP3 links of an account, under the name of its domain and
// those of the alias domains that lead to it.
func linksTo(tx *mailroot.Tx, domain, name string) []mailroot.Link {
	links := slices.Collect(tx.LinksOf(domain, name))
	for a := range tx.AliasDomainsOf(domain) {
		if _, own := tx.User(a.Alias, name); !own && !tabfile.EqualFold(a.Alias, domain) {
			links = slices.AppendSeq(links, tx.LinksOf(a.Alias, name))
		}
	}
	return links
}

// UserPasswd gives an account another password.
func (s *Service) UserPasswd(ctx context.Context, domain, name, password string) error {
	sealed, err := s.seal(ctx, domain, password, func(t mailroot.Tables, plain secret) error {
		return checkNewPassword(t, domain, name, plain)
	})
	if err != nil {
		return err
	}
	return s.userPasswd(ctx, domain, name, sealed)
}

// checkNewPassword refuses what is no account, or no password for it.
func checkNewPassword(t mailroot.Tables, domain, name string, password secret) error {
	u, err := requireAccount(t, domain, name)
	if err != nil {
		return err
	}
	if err := requireTable(t, mailroot.UsersTab, NoUsersTable); err != nil {
		return err
	}
	return password.check(!u.IsList())
}

func (s *Service) userPasswd(ctx context.Context, domain, name string, password secret) error {
	var u mailroot.User
	err := s.update(ctx, func(tx *mailroot.Tx) error {
		if err := checkNewPassword(tx.Tables, domain, name, password); err != nil {
			return err
		}
		u, _ = tx.Login(domain, name)
		fields := u.Row.Fields()
		fields[2] = password.stored
		return tx.Table(mailroot.UsersTab).Replace(u.Row, fields...)
	})
	if err == nil {
		s.userHook(ctx, "useredit", u, password.clear)
	}
	return err
}

// UserAuth returns nil when password is the account's, as POP3 would find it: where
// there is a program for the passwords of the domain it is asked.
func (s *Service) UserAuth(ctx context.Context, domain, name, password string) error {
	u, err := requireUser(s.tables(), domain, name)
	if err != nil {
		return err
	}
	var good bool
	words, err := s.tables().LoginHook(domain)
	switch {
	case err != nil:
	case words != nil && checkSecret(password) == nil:
		var result program.Result
		words = program.Expand(words, map[string]string{"USER": name, "DOMAIN": domain, "PASSWD": password, "PATH": ""})
		result, err = s.program(words, password).Run(ctx)
		good = result.OK()
	case words == nil:
		good, err = s.hasher.Verify(ctx, u.Password(), password)
	}
	if ctx.Err() != nil {
		return translate(ctx.Err())
	}
	if err != nil { // not of a file of ours, whatever a program failed by
		return translate(fmt.Errorf("check the password of %s@%s: %v", u.Name, u.Domain, err))
	}
	if !good {
		return refuse(WrongPassword, "wrong password")
	}
	return nil
}

// Users returns the accounts whose domain and name match the patterns, in the
// order of the table.
func (s *Service) Users(domain, name string) iter.Seq[mailroot.User] {
	return s.root.UsersLike(domain, name)
}
