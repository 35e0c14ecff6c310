package admin

import (
	"context"
	"slices"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// A secret is the password of an account that is to be kept.
type secret struct {
	stored string // as a table has it
	clear  string // "" where it cannot be known
	err    error  // why it is none
}

// clearSecret is a password in the reversible form.
func clearSecret(clear string) secret { return secret{stored: auth.Scramble(clear), clear: clear} }

// seal returns a password in the form that new ones of a domain's accounts get.
// refused returns why nobody needs it yet, without looking at the form.
func (s *Service) seal(ctx context.Context, domain, clear string, refused func(mailroot.Tables, secret) error) (secret, error) {
	t := s.tables()
	plain := clearSecret(clear)
	stored, err := s.hash(ctx, t.PasswordScheme(t.RealDomain(domain)), clear, plain.stored, func() error { return refused(t, plain) })
	return secret{stored: stored, clear: clear}, err
}

// hash returns a password as a scheme stores it, and plain where that is the reversible
// one. It takes a moment, so that it must not be in the way of others: a transaction
// finds it done. refused is asked before.
func (s *Service) hash(ctx context.Context, scheme, clear, plain string, refused func() error) (string, error) {
	if scheme == auth.Reversible || clear == "" {
		return plain, nil
	}
	if err := refused(); err != nil {
		return "", translate(err)
	}
	if err := auth.CheckHash(scheme, clear); err != nil {
		return "", refuse(Invalid, "the password: %w", err)
	}
	switch {
	case s.try:
		return plain, nil
	case s.batch != nil:
		return s.batch.hashed(scheme, clear, plain), nil
	}
	stored, err := s.hasher.Hash(ctx, scheme, clear)
	return stored, translate(err)
}

// storedSecret is a password that comes in the form of a table.
func storedSecret(stored string) secret {
	s := secret{stored: stored}
	p, err := auth.Parse(stored)
	if err != nil {
		s.err = refuse(Invalid, "the stored password cannot be read: %w", err)
		return s
	}
	s.clear, _ = p.Clear()
	s.err = checkValues("the stored password", stored)
	return s
}

// check returns why nobody ought to have the password; needed tells that there
// has to be one.
func (s secret) check(needed bool) error {
	switch {
	case s.err != nil:
		return s.err
	case s.stored == "" && needed:
		return refuse(Invalid, "the password is empty")
	}
	return checkSecret(s.clear)
}

// UserAddStored is [Service.UserAdd] with a password in the form in which a table
// of accounts has it, such as [Service.Users] returns it. Hooks are told of it as
// far as it can be known.
func (s *Service) UserAddStored(ctx context.Context, domain, name, stored, typ string) error {
	return s.userAdd(ctx, domain, name, storedSecret(stored), typ)
}

// UpgradePassword stores the password of an account, which the caller knows to be
// right, by the scheme of new ones, where the account still has the form that u was
// read with. Hooks are not told, since the password stays.
func (s *Service) UpgradePassword(ctx context.Context, u mailroot.User, clear string) error {
	password, err := s.seal(ctx, u.Domain, clear, func(mailroot.Tables, secret) error { return nil })
	if err != nil {
		return err
	}
	return s.update(ctx, func(tx *mailroot.Tx) error {
		rows := slices.Collect(tx.UsersNamed(u.Domain, u.Name))
		if len(rows) == 0 || rows[0].Stored != u.Stored {
			return nil
		}
		fields := rows[0].Row.Fields()
		fields[2] = password.stored
		return tx.Table(mailroot.UsersTab).Replace(rows[0].Row, fields...)
	})
}

// UserPasswdStored is [Service.UserPasswd] with a password in the form in which a
// table of accounts has it.
func (s *Service) UserPasswdStored(ctx context.Context, domain, name, stored string) error {
	return s.userPasswd(ctx, domain, name, storedSecret(stored))
}
