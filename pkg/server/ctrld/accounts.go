package ctrld

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/admin"
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
			password := ""
			if level < 1 {
				password, _ = l.Password().Clear()
			}
			return []string{l.Name, password, l.Perms}
		})
	},
	"userrename": func(ctx context.Context, c *call) ctrl.Reply {
		return c.answer(c.admin.UserRename(ctx, c.args[0], c.args[1], c.args[2], len(c.args) > 3))
	},
	"userdisable": userDisable,
	"userenable": func(ctx context.Context, c *call) ctrl.Reply {
		return c.answer(c.admin.UserEnable(ctx, c.args[0], c.args[1]))
	},
	"userexport": func(_ context.Context, c *call) ctrl.Reply {
		return list(c.admin.Users(c.arg(0, "*"), c.arg(1, "*")), func(u mailroot.User) []string {
			return []string{u.Domain, u.Name, u.Stored, u.Type}
		})
	},
	"userusage": func(ctx context.Context, c *call) ctrl.Reply {
		return list(c.admin.UserUsage(ctx, c.arg(0, "*"), c.arg(1, "*")), userUsageRow)
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
	"svarset": serverVarsSet,
	"svarget": func(_ context.Context, c *call) ctrl.Reply {
		v, err := c.admin.ServerVar(c.args[0])
		if err != nil {
			return c.answer(err)
		}
		return list(slices.Values([]admin.ServerVar{v}), serverVarRow)
	},
	"svarlist": func(_ context.Context, c *call) ctrl.Reply {
		return list(slices.Values(c.admin.ServerVars(c.arg(0, "*"))), serverVarRow)
	},
}

func serverVarsSet(ctx context.Context, c *call) ctrl.Reply {
	var settings []admin.Setting
	for i := 0; i+1 < len(c.args); i += 2 {
		settings = append(settings, admin.Setting{Name: c.args[i], Value: c.args[i+1]})
	}
	return c.answer(c.admin.SetServerVars(ctx, settings...))
}

// serverVarRow says of a variable that nobody knows that it has no effect.
func serverVarRow(v admin.ServerVar) []string {
	kind, set, applies := string(v.Type), "no", "now"
	if v.Set {
		set = "yes"
	}
	if v.Restart {
		applies = "restart"
	}
	if !v.Known {
		kind, applies = "unknown", "never"
	}
	return []string{v.Name, kind, v.Default, v.Value, set, applies}
}

// receive is the word that closes an account to mail, too. It may stand in the
// place of the reason.
const receive = "receive"

func userDisable(ctx context.Context, c *call) ctrl.Reply {
	reason, noMail := c.arg(2, ""), len(c.args) > 3
	if len(c.args) == 3 && reason == receive {
		reason, noMail = "", true
	}
	return c.answer(c.admin.UserDisable(ctx, c.args[0], c.args[1], reason, noMail))
}

func userUsageRow(u admin.UserUsage) []string {
	last := ""
	if !u.LastLogin.IsZero() {
		last = u.LastLogin.UTC().Format(time.RFC3339)
	}
	return []string{u.Domain, u.Name, strconv.FormatInt(u.Bytes, 10), strconv.FormatInt(u.Limit, 10), strconv.Itoa(u.Messages), last}
}
