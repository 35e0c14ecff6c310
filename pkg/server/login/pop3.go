package login

import (
	"context"
	"slices"

	"github.com/xmaild/xmaild/pkg/server/access"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// POP3 returns the account of a client that may log in to it. A name without a domain
// is one of defaultDomain. Aliases do not count, and mailing lists cannot log in. Where
// userauth/pop3 has a program for the domain, that decides on the password.
func (c *Checker) POP3(ctx context.Context, defaultDomain string, cr Credentials) (mailroot.User, error) {
	var u mailroot.User
	err := c.attempt(ctx, cr, func(vars mailroot.ServerVars) (err error) {
		u, err = c.pop3(ctx, vars, defaultDomain, cr)
		return err
	})
	if err != nil {
		return mailroot.User{}, err
	}
	return u, nil
}

func (c *Checker) pop3(ctx context.Context, vars mailroot.ServerVars, domain string, cr Credentials) (mailroot.User, error) {
	name, typed := Split(cr.Name)
	if typed != "" {
		domain = typed
	}
	var u mailroot.User
	exists := false
	if plain(cr.Name) && plain(domain) {
		u, exists = c.root.Login(domain, name)
	}
	good, external, err := c.password(ctx, vars, u, exists, name, domain, cr)
	switch {
	case err != nil:
		return u, err
	case !exists:
		return u, refusal("no such account")
	case !good:
		return u, refusal("wrong password")
	case u.IsList():
		return u, refusal("it is a mailing list")
	}
	settings, err := c.root.UserVars(u)
	if err != nil {
		return u, err
	}
	if d := settings.Disabled(); d.On {
		return u, refusal("the account is disabled")
	}
	if value, ok := settings.Lookup("PopEnable"); ok && mailroot.Atoi(value) == 0 {
		return u, refusal("PopEnable of the account is 0")
	}
	if err := c.allowed(u, cr); err != nil {
		return u, err
	}
	if !external && !cr.digest() {
		c.upgrade(ctx, vars, u, cr.Password)
	}
	return u, nil
}

// password reports whether the password is right, and whether a program said so.
func (c *Checker) password(ctx context.Context, vars mailroot.ServerVars, u mailroot.User, exists bool, name, domain string, cr Credentials) (good, external bool, err error) {
	hook, err := c.root.LoginHook(domain)
	if err != nil {
		return false, false, err
	}
	if hook != nil && c.root.Handled(domain) {
		good, err = c.external(ctx, hook, name, domain, cr)
		return good, true, err
	}
	var all []known
	if exists {
		all = append(all, ofUser(u))
	}
	which, err := c.verify(ctx, vars, cr, c.root.PasswordScheme(c.root.RealDomain(domain)), all...)
	return which == 0, false, err
}

// allowed looks into the address map in the folder of the account.
func (c *Checker) allowed(u mailroot.User, cr Credentials) error {
	table, err := c.root.AccountMap(u)
	if err != nil || !table.Exists() {
		return err
	}
	ip := cr.Remote.Addr()
	var rows []tabfile.Row
	for _, n := range table.Matching(ip) {
		rows = append(rows, n.Row)
	}
	if v := access.NewIPMap(mailroot.POP3MapTab+" of the account", slices.Values(rows)).Decide(ip, c.o.Clock()); !v.Allow {
		return refusal(v.Reason)
	}
	return nil
}
