package admin

import (
	"context"

	"github.com/xmaild/xmaild/pkg/server/auth"
)

// A secret is the password of an account that is to be kept.
type secret struct {
	stored string // as a table has it
	clear  string // "" where it cannot be known
	err    error  // why it is none
}

// clearSecret is a password in the form that new accounts get.
func clearSecret(clear string) secret { return secret{stored: auth.Scramble(clear), clear: clear} }

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

// UserPasswdStored is [Service.UserPasswd] with a password in the form in which a
// table of accounts has it.
func (s *Service) UserPasswdStored(ctx context.Context, domain, name, stored string) error {
	return s.userPasswd(ctx, domain, name, storedSecret(stored))
}
