package ctrld

import (
	"context"
	"slices"
	"strconv"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/admin"
	"github.com/xmaild/xmaild/pkg/server/auth"
)

var userCommands = map[string]command{
	"useradd": func(ctx context.Context, c *call) ctrl.Reply {
		if len(c.args) > 4 {
			return c.answer(c.admin.UserAddStored(ctx, c.args[0], c.args[1], c.args[2], c.args[3]))
		}
		return c.answer(c.admin.UserAdd(ctx, c.args[0], c.args[1], c.args[2], c.args[3]))
	},
	"userdel": func(ctx context.Context, c *call) ctrl.Reply {
		return c.answer(c.admin.UserDel(ctx, c.args[0], c.args[1]))
	},
	"userpasswd": func(ctx context.Context, c *call) ctrl.Reply {
		if len(c.args) > 3 {
			return c.answer(c.admin.UserPasswdStored(ctx, c.args[0], c.args[1], c.args[2]))
		}
		return c.answer(c.admin.UserPasswd(ctx, c.args[0], c.args[1], c.args[2]))
	},
	"userauth": func(ctx context.Context, c *call) ctrl.Reply {
		return c.answer(c.admin.UserAuth(ctx, c.args[0], c.args[1], c.args[2]))
	},
	"userlist":     userList,
	"userstat":     userStat,
	"uservars":     userVars,
	"uservarsset":  userVarsSet,
	"usergetmproc": userGetMailProc,
	"usersetmproc": userSetMailProc,
}

// shown is what the password column of a list has: nothing at CompatLevel 1.
func (c *call) shown(p auth.Password) string {
	if c.hidesPasswords() {
		return ""
	}
	clear, _ := p.Clear()
	return clear
}

func (c *call) hidesPasswords() bool { return c.admin.Root().Vars().CompatLevel() >= 1 }

func userList(_ context.Context, c *call) ctrl.Reply {
	hidden := c.hidesPasswords()
	return ctrl.List(func(w *ctrl.ListWriter) error {
		var row []string // one for all, since there may be a million
		for u := range c.admin.Users(c.arg(0, "*"), c.arg(1, "*")) {
			clear := ""
			if !hidden {
				clear, _ = u.Password().Clear()
			}
			row = append(row[:0], u.Domain, u.Name, clear, u.Type)
			if err := w.Row(row...); err != nil {
				return err
			}
		}
		return nil
	})
}

// dateFormat is the one of the reference, with a correct sign of the zone.
const dateFormat = "Mon, 2 Jan 2006 15:04:05 -0700"

func userStat(ctx context.Context, c *call) ctrl.Reply {
	st, err := c.admin.UserStat(ctx, c.args[0], c.args[1])
	if err != nil {
		return c.answer(err)
	}
	rows := [][]string{
		{"RealAddress", st.Address},
		{"MailboxSize", strconv.FormatInt(st.Size, 10)},
		{"MailboxMessages", strconv.Itoa(st.Messages)},
		{"LastLoginTimeDate", st.LoginTime.Local().Format(dateFormat)},
		{"LastLoginIP", st.LoginIP},
	}
	// Clients of the reference see its five rows, unless there is something to say.
	if st.Disabled.On {
		rows = append(rows, []string{"Disabled", st.Disabled.Reason})
	}
	if st.Disabled.NoMail {
		rows = append(rows, []string{"ReceiveDisabled", "1"})
	}
	return list(slices.Values(rows), func(row []string) []string { return row })
}

func userVars(ctx context.Context, c *call) ctrl.Reply {
	vars, err := c.admin.UserVars(ctx, c.args[0], c.args[1])
	if err != nil {
		return c.answer(err)
	}
	return list(vars, func(v admin.Setting) []string { return []string{v.Name, v.Value} })
}

func userVarsSet(ctx context.Context, c *call) ctrl.Reply {
	var settings []admin.Setting
	for i := 2; i+1 < len(c.args); i += 2 {
		settings = append(settings, admin.Setting{Name: c.args[i], Value: c.args[i+1]})
	}
	return c.answer(c.admin.SetUserVars(ctx, c.args[0], c.args[1], settings...))
}

func userGetMailProc(ctx context.Context, c *call) ctrl.Reply {
	files, err := c.admin.MailProcFiles(ctx, c.args[0], c.args[1], c.arg(2, "DU"))
	if err != nil {
		return c.answer(err)
	}
	return c.files(files...)
}

func userSetMailProc(ctx context.Context, c *call) ctrl.Reply {
	domain, name, flag := c.args[0], c.args[1], c.arg(2, "U")
	if err := c.admin.CheckSetMailProc(ctx, domain, name, flag); err != nil {
		return c.answer(err)
	}
	return ctrl.Upload(0, func(ctx context.Context, content []byte) ctrl.Reply {
		return c.answer(c.admin.SetMailProc(ctx, domain, name, flag, content))
	})
}
