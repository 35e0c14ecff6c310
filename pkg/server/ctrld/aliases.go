package ctrld

import (
	"context"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

var aliasCommands = map[string]command{
	"aliasadd": func(ctx context.Context, c *call) ctrl.Reply {
		return c.answer(c.admin.AliasAdd(ctx, c.args[0], c.args[1], c.args[2]))
	},
	"aliasdel": func(ctx context.Context, c *call) ctrl.Reply {
		return c.answer(c.admin.AliasDel(ctx, c.args[0], c.args[1]))
	},
	"aliaslist": func(_ context.Context, c *call) ctrl.Reply {
		return list(c.admin.Aliases(c.arg(0, "*"), c.arg(1, "*"), c.arg(2, "*")), func(a mailroot.Alias) []string {
			return []string{a.Domain, a.Name, a.Target}
		})
	},
	"exaliasadd": func(ctx context.Context, c *call) ctrl.Reply {
		return c.answer(c.admin.ExtAliasAdd(ctx, c.args[0], c.args[1]))
	},
	"exaliasdel": func(ctx context.Context, c *call) ctrl.Reply {
		return c.answer(c.admin.ExtAliasDel(ctx, c.args[0]))
	},
	"exaliaslist": func(_ context.Context, c *call) ctrl.Reply {
		aliases, err := c.admin.ExtAliases(c.arg(0, "*@*"), c.arg(1, "*@*"))
		if err != nil {
			return c.answer(err)
		}
		return list(aliases, func(a mailroot.ExtAlias) []string {
			return []string{a.RemoteDomain, a.RemoteName, a.LocalDomain, a.LocalName}
		})
	},
}
