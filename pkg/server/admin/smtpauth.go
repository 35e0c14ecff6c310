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

// smtpPerms are the letters of permissions (docs/reference/tables.md 3.12).
const smtpPerms = "MRVTZS"

// SMTPAuthAdd lets somebody who has no account log in to SMTP. The permissions
// are letters of M (send), R (relay), V (VRFY), T (ETRN), Z (messages of any
// size) and S (without TLS where it is wanted), and may be none. The password is kept
// by PasswordScheme: in clear, where that is reversible.
func (s *Service) SMTPAuthAdd(ctx context.Context, name, password, perms string) error {
	stored, err := s.sealLogin(ctx, password, func(t mailroot.Tables) error { return checkNewLogin(t, name, password, perms) })
	if err != nil {
		return err
	}
	return s.update(ctx, func(tx *mailroot.Tx) error {
		if err := checkNewLogin(tx.Tables, name, password, perms); err != nil {
			return err
		}
		return tx.Table(mailroot.SMTPAuthTab).Append(name, stored, perms)
	})
}

func checkNewLogin(t mailroot.Tables, name, password, perms string) error {
	if err := requireTable(t, mailroot.SMTPAuthTab, CannotRead); err != nil {
		return err
	}
	for range t.SMTPLoginsNamed(name) {
		return refuse(Exists, "there is an SMTP login %s", quote(name))
	}
	if err := checkLogin(name, password); err != nil {
		return err
	}
	if rest := strings.Trim(perms, smtpPerms); rest != "" {
		return refuse(Invalid, "%s is no permission; they are the letters %s", quote(rest[:1]), smtpPerms)
	}
	return nil
}

// sealLogin returns the password of an SMTP login in the form that new ones get.
// refused returns why nobody needs it.
func (s *Service) sealLogin(ctx context.Context, password string, refused func(mailroot.Tables) error) (string, error) {
	t := s.tables()
	scheme := t.Vars().Word(mailroot.VarPasswordScheme)
	if scheme == auth.Reversible && auth.LooksHashed(password) {
		if err := refused(t); err != nil {
			return "", translate(err)
		}
		return "", refuse(Invalid, "the password begins as a hash does, and would be read as one")
	}
	return s.hash(ctx, scheme, password, password, func() error { return refused(t) })
}

// SMTPAuthDel removes an SMTP login.
func (s *Service) SMTPAuthDel(ctx context.Context, name string) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		logins, err := requireSMTPLogin(tx.Tables, name)
		if err != nil {
			return err
		}
		return deleteRows(tx, mailroot.SMTPAuthTab, rowsOf(slices.Values(logins), func(l mailroot.SMTPLogin) tabfile.Row { return l.Row }))
	})
}

// SMTPAuthPasswd gives an SMTP login another password.
func (s *Service) SMTPAuthPasswd(ctx context.Context, name, password string) error {
	stored, err := s.sealLogin(ctx, password, func(t mailroot.Tables) error {
		if _, err := requireSMTPLogin(t, name); err != nil {
			return err
		}
		return checkNewSecret(password)
	})
	if err != nil {
		return err
	}
	return s.update(ctx, func(tx *mailroot.Tx) error {
		logins, err := requireSMTPLogin(tx.Tables, name)
		if err != nil {
			return err
		}
		if err := checkNewSecret(password); err != nil {
			return err
		}
		fields := logins[0].Row.Fields()
		fields[1] = stored
		return tx.Table(mailroot.SMTPAuthTab).Replace(logins[0].Row, fields...)
	})
}

// SMTPLogins returns the SMTP logins whose names match the pattern.
func (s *Service) SMTPLogins(pattern string) iter.Seq[mailroot.SMTPLogin] {
	return filter(s.root.SMTPLogins(), func(l mailroot.SMTPLogin) bool { return tabfile.Match(pattern, l.Name) })
}

func requireSMTPLogin(t mailroot.Tables, name string) ([]mailroot.SMTPLogin, error) {
	if err := requireTable(t, mailroot.SMTPAuthTab, CannotRead); err != nil {
		return nil, err
	}
	logins := slices.Collect(t.SMTPLoginsNamed(name))
	if len(logins) == 0 {
		return nil, refuse(NoRecord, "there is no SMTP login %s", quote(name))
	}
	return logins, nil
}

// checkLogin refuses names and passwords that do not come back from a table as
// they went, or not from a login.
func checkLogin(name, password string) error {
	switch {
	case name == "":
		return refuse(Invalid, "the name is empty")
	case len(name) > maxAddress || !isPlainText(name) || strings.ContainsAny(name, `"\`) || name[0] == '#':
		return refuse(Invalid, "%s is no name of a login: it has a blank, a quote, a \\, a # in front, or more than %d bytes", quote(name), maxAddress)
	}
	return checkNewSecret(password)
}

// checkNewSecret refuses a password that nobody ought to have.
func checkNewSecret(password string) error {
	if password == "" {
		return refuse(Invalid, "the password is empty")
	}
	return checkSecret(password)
}
