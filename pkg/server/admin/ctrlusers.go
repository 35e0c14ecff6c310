package admin

import (
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// CtrlUserAdd makes a control account, which may log in at the control port.
// Its password is kept in the reversible form, since MD5 logins need it.
func (s *Service) CtrlUserAdd(ctx context.Context, name, password string) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		if err := requireTable(tx.Tables, mailroot.AccountsTab, NoAccountsTable); err != nil {
			return err
		}
		for range tx.AccountsNamed(name) {
			return refuse(Exists, "there is a control account %s", quote(name))
		}
		if err := checkLogin(name, password); err != nil {
			return err
		}
		if err := checkCtrlSecret(password); err != nil {
			return err
		}
		return tx.Table(mailroot.AccountsTab).Append(name, auth.Scramble(password))
	})
}

// CtrlUserDel removes a control account with its rights, but never the last one, nor
// the last that has all rights.
func (s *Service) CtrlUserDel(ctx context.Context, name string) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		accounts, err := requireCtrlUser(tx.Tables, name)
		if err != nil {
			return err
		}
		if tx.Table(mailroot.AccountsTab).Len() == len(accounts) {
			return refuse(Conflict, "%s is the last control account: without it nobody could log in", quote(name))
		}
		if err := removeRights(tx, name); err != nil {
			return err
		}
		return deleteRows(tx, mailroot.AccountsTab, rowsOf(slices.Values(accounts), func(a mailroot.Account) tabfile.Row { return a.Row }))
	})
}

// CtrlUserPasswd gives a control account another password. Sessions that are
// logged in go on.
func (s *Service) CtrlUserPasswd(ctx context.Context, name, password string) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		accounts, err := requireCtrlUser(tx.Tables, name)
		if err != nil {
			return err
		}
		if err := checkNewSecret(password); err != nil {
			return err
		}
		if err := checkCtrlSecret(password); err != nil {
			return err
		}
		fields := accounts[0].Row.Fields()
		fields[1] = auth.Scramble(password)
		return tx.Table(mailroot.AccountsTab).Replace(accounts[0].Row, fields...)
	})
}

// CtrlUsers returns the control accounts whose names match the pattern.
func (s *Service) CtrlUsers(pattern string) iter.Seq[mailroot.Account] {
	return filter(s.root.Accounts(), func(a mailroot.Account) bool { return tabfile.Match(pattern, a.Name) })
}

func requireCtrlUser(t mailroot.Tables, name string) ([]mailroot.Account, error) {
	if err := requireTable(t, mailroot.AccountsTab, NoAccountsTable); err != nil {
		return nil, err
	}
	accounts := slices.Collect(t.AccountsNamed(name))
	if len(accounts) == 0 {
		return nil, refuse(NoRecord, "there is no control account %s", quote(name))
	}
	return accounts, nil
}

// checkCtrlSecret refuses what a login would take for an MD5 digest
// (docs/reference/control-protocol.md 1.3).
func checkCtrlSecret(password string) error {
	if strings.HasPrefix(password, "#") {
		return refuse(Invalid, "the password begins with #, which announces an MD5 digest in a login")
	}
	return nil
}
