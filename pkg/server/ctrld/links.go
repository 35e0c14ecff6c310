package ctrld

import (
	"context"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/admin"
)

var linkCommands = map[string]command{
	"poplnkadd": func(ctx context.Context, c *call) ctrl.Reply {
		return c.answer(c.admin.LinkAdd(ctx, admin.NewLink{
			Domain: c.args[0], Name: c.args[1], Host: c.args[2], RemoteName: c.args[3], Password: c.args[4], Options: c.args[5],
		}))
	},
	"poplnkdel": func(ctx context.Context, c *call) ctrl.Reply {
		return c.answer(c.admin.LinkDel(ctx, c.args[0], c.args[1], c.args[2], c.args[3]))
	},
	"poplnklist": func(_ context.Context, c *call) ctrl.Reply {
		return list(c.admin.Links(c.args...), func(l admin.LinkState) []string {
			state := "OFF"
			if l.On {
				state = "ON"
			}
			return []string{l.Domain, l.Name, l.Host, l.RemoteName, c.shown(l.Password()), l.Options, state}
		})
	},
	"poplnkenable": linkEnable,
}

func linkEnable(ctx context.Context, c *call) ctrl.Reply {
	enable, domain, name := c.args[0], c.args[1], c.args[2]
	remote := c.args[3:min(len(c.args), 5)]
	if enable != "0" && enable != "1" {
		if err := c.admin.Try().LinkEnable(ctx, true, domain, name, remote...); err != nil {
			return c.answer(err)
		}
		return ctrl.Refuse(ctrl.CodeInvalid, "%.64q is neither 1 (on) nor 0 (off)", enable)
	}
	return c.answer(c.admin.LinkEnable(ctx, enable == "1", domain, name, remote...))
}
