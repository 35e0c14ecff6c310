package ctrld

import (
	"context"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/admin"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

var listCommands = map[string]command{
	"mluseradd": func(ctx context.Context, c *call) ctrl.Reply {
		return c.answer(c.admin.MemberAdd(ctx, c.args[0], c.args[1], c.args[2], c.arg(3, admin.DefaultPerms)))
	},
	"mluserdel": func(ctx context.Context, c *call) ctrl.Reply {
		return c.answer(c.admin.MemberDel(ctx, c.args[0], c.args[1], c.args[2]))
	},
	"mluserlist": func(ctx context.Context, c *call) ctrl.Reply {
		members, err := c.admin.Members(ctx, c.args[0], c.args[1])
		if err != nil {
			return c.answer(err)
		}
		return list(members, func(m mailroot.Member) []string { return []string{m.Address, m.Perms} })
	},
}
