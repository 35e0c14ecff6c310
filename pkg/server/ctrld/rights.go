package ctrld

import (
	"context"
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/ctrl/commands"
	"github.com/xmaild/xmaild/pkg/server/admin"
)

var rightsCommands = map[string]command{
	"adminset": func(ctx context.Context, c *call) ctrl.Reply {
		return c.answer(c.admin.SetRights(ctx, c.args[0], c.args[1]))
	},
	"adminlist": func(_ context.Context, c *call) ctrl.Reply {
		return list(c.admin.Administrators(), func(a admin.Administrator) []string { return []string{a.Name, a.Rights.String()} })
	},
	"auditlist": auditList,
}

// ownVariables are those of an account that the administrator of its domain may set
// (docs/rights.md). The others decide what the server does for the account.
var ownVariables = []string{"RealName", "HomePage", "Address", "Telephone", "ClosedML", "UseReplyTo"}

// newCall is a call of a command by whoever has the session, with the rights of this
// moment.
func (h *Handler) newCall(req *ctrl.Request) *call {
	c := &call{
		Handler: h, admin: h.admin, session: req.Session, user: req.Session.User,
		remote: req.Session.RemoteAddr.Addr(), args: req.Args, rights: h.admin.Rights(req.Session.User),
	}
	if len(c.rights.Domains) > 0 {
		c.admin = c.admin.Within(c.rights.Owns)
	}
	return c
}

// allowed returns why the administrator may not send the command, or nil.
func (c *call) allowed(known commands.Command) *ctrl.Error {
	a := known.Access()
	switch {
	case known.Name == "userexport" && c.rights.All && !c.admin.SeesSecrets(c.rights):
		return c.forbidden("stored passwords need the right secrets at CompatLevel 1")
	case a.Need == commands.Own, c.rights.All:
		return nil
	case c.rights.Read && (a.Need == commands.Read || a.Need == commands.Secrets && c.rights.Secrets):
		return nil
	case len(c.rights.Domains) == 0 || a.Need != commands.Read && a.Need != commands.Change || !a.Domains():
		return c.forbidden("%s needs the right %q", known.Name, a.Need)
	}
	if a.DomainArg >= 0 {
		domain := c.arg(a.DomainArg, "")
		if a.Address {
			_, domain, _ = strings.Cut(domain, "@")
		}
		if !c.rights.Owns(domain) {
			return c.forbidden("domain %.64q is not yours", domain)
		}
	}
	return c.insideDomain(known)
}

// insideDomain refuses arguments that reach beyond the domain that a command is about.
func (c *call) insideDomain(known commands.Command) *ctrl.Error {
	switch known.Name {
	case "useradd", "userpasswd":
		if len(c.args) > known.Min {
			return c.forbidden("passwords in their stored form need all rights")
		}
	case "aliasadd":
		if _, domain, ok := strings.Cut(c.args[2], "@"); ok && !c.rights.Owns(domain) {
			return c.forbidden("the alias leads to domain %.64q, which is not yours", domain)
		}
	case "uservarsset":
		for i := 2; i < len(c.args); i += 2 {
			if !slices.Contains(ownVariables, c.args[i]) {
				return c.forbidden("variable %.64q needs all rights", c.args[i])
			}
		}
	}
	return nil
}

// forbidden is a refusal by rights, which is logged.
func (c *call) forbidden(format string, args ...any) *ctrl.Error {
	r := ctrl.Refuse(ctrl.CodeForbidden, format, args...)
	c.log.Warn("control command refused by rights", "user", c.user, "address", c.remote.String(), "why", r.Text())
	return &ctrl.Error{Code: r.Code(), Text: r.Text()}
}

// limited is a reply with the rows and columns that the administrator may see.
func (c *call) limited(known commands.Command, r ctrl.Reply) ctrl.Reply {
	password := -1
	if !c.rights.All && !c.rights.Secrets {
		password = slices.Index(known.Rows, "password")
	}
	domain := -1
	if len(c.rights.Domains) > 0 {
		domain = known.Access().Column
	}
	if password < 0 && domain < 0 {
		return r
	}
	return r.Rows(func(fields []string) []string {
		if domain >= 0 && (domain >= len(fields) || !c.rights.Owns(fields[domain])) {
			return nil
		}
		if password >= 0 && password < len(fields) {
			fields = slices.Clone(fields)
			fields[password] = ""
		}
		return fields
	})
}
