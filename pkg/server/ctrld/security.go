package ctrld

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/admin"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// securityCommands are on the tables that say who may do what by address or name.
var securityCommands = map[string]command{
	"relayadd": func(ctx context.Context, c *call) ctrl.Reply {
		a, rest := takeAddress(c.args)
		force, rest := takeForce(rest)
		if len(rest) > 0 {
			return tooMuch(rest)
		}
		return c.answer(c.admin.RelayAdd(ctx, a, force))
	},
	"relaydel": func(ctx context.Context, c *call) ctrl.Reply {
		return c.deleteAddress(c.args, func(a admin.Address) error { return c.admin.RelayDel(ctx, a) })
	},
	"relaylist": func(_ context.Context, c *call) ctrl.Reply {
		return list(c.admin.Relays(c.arg(0, "*"), c.arg(1, "*")), func(n mailroot.Network) []string { return []string{n.Address, n.Mask} })
	},

	"spammeradd": spammerAdd,
	"spammerdel": func(ctx context.Context, c *call) ctrl.Reply {
		return c.deleteAddress(c.args, func(a admin.Address) error { return c.admin.SpammerDel(ctx, a) })
	},
	"spammerlist": func(_ context.Context, c *call) ctrl.Reply {
		return list(c.admin.Spammers(c.arg(0, "*"), c.arg(1, "*")), func(n admin.NumberedNetwork) []string {
			return []string{n.Address, n.Mask, n.Params(), strconv.Itoa(n.Number)}
		})
	},

	"spamaddradd": func(ctx context.Context, c *call) ctrl.Reply { return c.answer(c.admin.SpamAddrAdd(ctx, c.args[0])) },
	"spamaddrdel": func(ctx context.Context, c *call) ctrl.Reply { return c.answer(c.admin.SpamAddrDel(ctx, c.args[0])) },
	"spamaddrlist": func(_ context.Context, c *call) ctrl.Reply {
		return list(c.admin.SpamAddrs(c.arg(0, "*")), func(pattern string) []string { return []string{pattern} })
	},

	"ipmapadd":  ipMapAdd,
	"ipmapdel":  ipMapDel,
	"ipmaplist": ipMapList,

	"ippropadd": ipPropAdd,
	"ippropdel": func(ctx context.Context, c *call) ctrl.Reply {
		return c.deleteAddress(c.args, func(a admin.Address) error { return c.admin.IPPropDel(ctx, a) })
	},
	"ipproplist": func(_ context.Context, c *call) ctrl.Reply {
		return list(c.admin.IPProps(c.arg(0, "*"), c.arg(1, "*")), func(n admin.NumberedNetwork) []string {
			return []string{n.Address, strings.Join(n.Rest, ","), strconv.Itoa(n.Number)}
		})
	},

	"hnpropadd": func(ctx context.Context, c *call) ctrl.Reply {
		before, props, err := takeBefore(c.args[1:])
		if err != nil {
			return err.Reply()
		}
		return c.placed(c.admin.HNPropAdd(ctx, c.args[0], props, before))
	},
	"hnpropdel": func(ctx context.Context, c *call) ctrl.Reply { return c.answer(c.admin.HNPropDel(ctx, c.args[0])) },
	"hnproplist": func(_ context.Context, c *call) ctrl.Reply {
		return list(c.admin.HNProps(c.arg(0, "*"), c.arg(1, "*")), func(n admin.NumberedName) []string {
			return []string{n.Name, strings.Join(n.Rest, ","), strconv.Itoa(n.Number)}
		})
	},

	"smtpgwadd": func(ctx context.Context, c *call) ctrl.Reply {
		before, rest, err := takeBefore(c.args[2:])
		if err != nil {
			return err.Reply()
		}
		if len(rest) > 0 {
			return tooMuch(rest)
		}
		return c.placed(c.admin.GatewayAdd(ctx, c.args[0], c.args[1], before))
	},
	"smtpgwdel": func(ctx context.Context, c *call) ctrl.Reply { return c.answer(c.admin.GatewayDel(ctx, c.args[0])) },
	"smtpgwlist": func(_ context.Context, c *call) ctrl.Reply {
		return list(c.admin.Gateways(c.arg(0, "*"), c.arg(1, "*")), func(r admin.NumberedRoute) []string {
			return []string{r.Domain, r.Hosts, strconv.Itoa(r.Number)}
		})
	},

	"smtpfwdadd": smtpForwardAdd,
	"smtpfwddel": func(ctx context.Context, c *call) ctrl.Reply { return c.answer(c.admin.ForwardDel(ctx, c.args[0])) },
	"smtpfwdlist": func(_ context.Context, c *call) ctrl.Reply {
		return list(c.admin.Forwards(c.arg(0, "*"), c.arg(1, "*")), func(r admin.NumberedRoute) []string {
			return []string{r.Domain, r.Hosts, r.Options, strconv.Itoa(r.Number)}
		})
	},

	"ipcheck": ipCheck,
}

// takeAddress takes an address from the beginning of args: a netmask is what
// begins with a digit after an address. An empty argument stands for no netmask,
// as in the lists.
func takeAddress(args []string) (admin.Address, []string) {
	a := admin.Address{IP: args[0]}
	args = args[1:]
	if len(args) > 0 && (args[0] == "" || args[0][0] >= '0' && args[0][0] <= '9') {
		a.Mask = args[0]
		args = args[1:]
	}
	return a, args
}

// takeForce takes the word force from the end of args.
func takeForce(args []string) (force bool, rest []string) {
	if n := len(args); n > 0 && args[n-1] == "force" {
		return true, args[:n-1]
	}
	return false, args
}

// takeBefore takes the place of a new row, before=N, from the end of args.
func takeBefore(args []string) (before int, rest []string, refusal *ctrl.Error) {
	n := len(args)
	if n == 0 {
		return admin.AtEnd, args, nil
	}
	value, ok := strings.CutPrefix(args[n-1], "before=")
	if !ok {
		return admin.AtEnd, args, nil
	}
	before, err := strconv.Atoi(value)
	if err != nil || before < 1 {
		return 0, nil, &ctrl.Error{Code: ctrl.CodeInvalid, Text: "before= takes the number of a row, from 1"}
	}
	return before, args[:n-1], nil
}

// tooMuch refuses arguments that mean nothing.
func tooMuch(rest []string) ctrl.Reply {
	return ctrl.Refuse(ctrl.CodeInvalid, "%.64q means nothing here", rest[0])
}

// deleteAddress answers a command that has an address and nothing else.
func (c *call) deleteAddress(args []string, f func(admin.Address) error) ctrl.Reply {
	a, rest := takeAddress(args)
	if len(rest) > 0 {
		return tooMuch(rest)
	}
	return c.answer(f(a))
}

// placed answers a command that adds a row where the first match decides.
func (c *call) placed(shadow admin.Shadow, err error) ctrl.Reply {
	if err != nil || shadow.Row == 0 {
		return c.answer(err)
	}
	return ctrl.OKf("without effect, since row %d above matches all of it: %s", shadow.Row, shadow.Text)
}

func spammerAdd(ctx context.Context, c *call) ctrl.Reply {
	a, rest := takeAddress(c.args)
	before, rest, err := takeBefore(rest)
	if err != nil {
		return err.Reply()
	}
	if len(rest) > 1 {
		return tooMuch(rest[1:])
	}
	return c.placed(c.admin.SpammerAdd(ctx, a, strings.Join(rest, ""), before))
}

func ipMapAdd(ctx context.Context, c *call) ctrl.Reply {
	a, rest := takeAddress(c.args[1:])
	force, rest := takeForce(rest)
	if len(rest) < 2 {
		return ctrl.Refuse(ctrl.CodeInvalid, "ALLOW or DENY and a precedence are needed after the address")
	}
	e := admin.IPMapEntry{Permission: rest[0], Precedence: rest[1]}
	rest = rest[2:]
	if len(rest) > 0 {
		var ok bool
		if e.Expires, ok = strings.CutPrefix(rest[0], mailroot.SpammerExpires+"="); !ok && rest[0] != "" {
			return tooMuch(rest)
		}
		rest = rest[1:]
	}
	if len(rest) > 0 {
		return tooMuch(rest)
	}
	return c.answer(c.admin.IPMapAdd(ctx, c.mapChange(a, force), e))
}

func ipMapDel(ctx context.Context, c *call) ctrl.Reply {
	a, rest := takeAddress(c.args[1:])
	force, rest := takeForce(rest)
	if len(rest) > 0 {
		return tooMuch(rest)
	}
	return c.answer(c.admin.IPMapDel(ctx, c.mapChange(a, force)))
}

func (c *call) mapChange(a admin.Address, force bool) admin.MapChange {
	return admin.MapChange{Service: c.args[0], Address: a, Asker: c.remote, Force: force}
}

func ipMapList(_ context.Context, c *call) ctrl.Reply {
	rows, err := c.admin.IPMaps(c.arg(0, "*"), c.arg(1, "*"))
	if err != nil {
		return c.answer(err)
	}
	return list(rows, func(r admin.IPMapRow) []string {
		expires := ""
		if at := r.Expires(); !at.IsZero() {
			expires = fmt.Sprintf("%s=%d", mailroot.SpammerExpires, at.Unix())
		}
		return []string{r.Service, r.Address, r.Mask, r.Rest[0], r.Rest[1], expires}
	})
}

func ipPropAdd(ctx context.Context, c *call) ctrl.Reply {
	a, rest := takeAddress(c.args)
	force, rest := takeForce(rest)
	before, props, err := takeBefore(rest)
	if err != nil {
		return err.Reply()
	}
	if !force { // the two may stand in either order
		force, props = takeForce(props)
	}
	return c.placed(c.admin.IPPropAdd(ctx, a, props, before, force))
}

func smtpForwardAdd(ctx context.Context, c *call) ctrl.Reply {
	before, rest, err := takeBefore(c.args[2:])
	if err != nil {
		return err.Reply()
	}
	if len(rest) > 1 {
		return tooMuch(rest[1:])
	}
	return c.placed(c.admin.ForwardAdd(ctx, admin.Route{Domain: c.args[0], Hosts: c.args[1], Options: strings.Join(rest, "")}, before))
}

func ipCheck(ctx context.Context, c *call) ctrl.Reply {
	rows, err := c.admin.IPCheck(ctx, c.args[0], c.args[1], c.arg(2, ""))
	if err != nil {
		return c.answer(err)
	}
	return ctrl.List(func(w *ctrl.ListWriter) error {
		for _, r := range rows {
			number := ""
			if r.Row > 0 {
				number = strconv.Itoa(r.Row)
			}
			if err := w.Row(r.Table, number, r.Entry, r.Effect); err != nil {
				return err
			}
		}
		return nil
	})
}
