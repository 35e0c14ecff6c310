package ctrld

import (
	"context"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

var accountCommands = map[string]command{
	"smtpauthadd": func(ctx context.Context, c *call) ctrl.Reply {
		return c.answer(c.admin.SMTPAuthAdd(ctx, c.args[0], c.args[1], c.args[2]))
	},
	"smtpauthdel": func(ctx context.Context, c *call) ctrl.Reply {
		return c.answer(c.admin.SMTPAuthDel(ctx, c.args[0]))
	},
	"smtpauthpasswd": func(ctx context.Context, c *call) ctrl.Reply {
		return c.answer(c.admin.SMTPAuthPasswd(ctx, c.args[0], c.args[1]))
	},
	"smtpauthlist": func(_ context.Context, c *call) ctrl.Reply {
		level := c.admin.Root().Vars().CompatLevel()
		return list(c.admin.SMTPLogins(c.arg(0, "*")), func(l mailroot.SMTPLogin) []string {
			if level >= 1 {
				l.Password = ""
			}
			return []string{l.Name, l.Password, l.Perms}
		})
	},
	"ctrluseradd": func(ctx context.Context, c *call) ctrl.Reply {
		return c.answer(c.admin.CtrlUserAdd(ctx, c.args[0], c.args[1]))
	},
	"ctrluserdel": func(ctx context.Context, c *call) ctrl.Reply {
		return c.answer(c.admin.CtrlUserDel(ctx, c.args[0]))
	},
	"ctrluserpasswd": func(ctx context.Context, c *call) ctrl.Reply {
		return c.answer(c.admin.CtrlUserPasswd(ctx, c.args[0], c.args[1]))
	},
	"ctrluserlist": func(_ context.Context, c *call) ctrl.Reply {
		return list(c.admin.CtrlUsers(c.arg(0, "*")), func(a mailroot.Account) []string { return []string{a.Name} })
	},
}
