package ctrld

import (
	"context"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

var domainCommands = map[string]command{
	"domainadd": func(ctx context.Context, c *call) ctrl.Reply {
		return c.answer(c.admin.DomainAdd(ctx, c.args[0]))
	},
	"domaindel": func(ctx context.Context, c *call) ctrl.Reply {
		return c.answer(c.admin.DomainDel(ctx, c.args[0]))
	},
	"domainlist": func(_ context.Context, c *call) ctrl.Reply {
		return list(c.admin.Domains(c.args...), func(d string) []string { return []string{d} })
	},
	"aliasdomainadd": func(ctx context.Context, c *call) ctrl.Reply {
		return c.answer(c.admin.AliasDomainAdd(ctx, c.args[0], c.args[1]))
	},
	"aliasdomaindel": func(ctx context.Context, c *call) ctrl.Reply {
		return c.answer(c.admin.AliasDomainDel(ctx, c.args[0]))
	},
	"aliasdomainlist": func(_ context.Context, c *call) ctrl.Reply {
		return list(c.admin.AliasDomains(c.arg(0, "*"), c.arg(1, "*")), func(a mailroot.AliasDomain) []string {
			return []string{a.Real, a.Alias}
		})
	},
	"custdomget":  customGet,
	"custdomset":  customSet,
	"custdomlist": customList,
}

func customGet(ctx context.Context, c *call) ctrl.Reply {
	f, err := c.admin.CustomDomain(ctx, c.args[0])
	if err != nil {
		return c.answer(err)
	}
	return c.files(f)
}

func customSet(ctx context.Context, c *call) ctrl.Reply {
	if err := c.admin.CheckSetCustomDomain(ctx, c.args[0]); err != nil {
		return c.answer(err)
	}
	return ctrl.Upload(0, func(ctx context.Context, content []byte) ctrl.Reply {
		return c.answer(c.admin.SetCustomDomain(ctx, c.args[0], content))
	})
}

func customList(_ context.Context, c *call) ctrl.Reply {
	names, err := c.admin.CustomDomains()
	if err != nil {
		return c.answer(err)
	}
	return list(names, func(name string) []string { return []string{name} })
}
