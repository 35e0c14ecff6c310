package ctrld

import (
	"context"
	"io"
	"strconv"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/admin"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

var queueCommands = map[string]command{
	"frozlist":   frozenList,
	"frozsubmit": frozenChange((*admin.Service).FrozenSubmit),
	"frozdel":    frozenChange((*admin.Service).FrozenDel),
	"frozgetlog": frozenFile((*admin.Service).FrozenLog),
	"frozgetmsg": frozenFile((*admin.Service).FrozenMessage),
	"etrn": func(ctx context.Context, c *call) ctrl.Reply {
		return c.answer(c.admin.Flush(ctx, c.args...))
	},
	"queuelist":   queueList,
	"queueshow":   queueShow,
	"queueretry":  queueChange((*admin.Service).RetryQueued),
	"queuefreeze": queueChange((*admin.Service).FreezeQueued),
	"queuedel":    queueChange((*admin.Service).DeleteQueued),
}

func frozenList(ctx context.Context, c *call) ctrl.Reply {
	filter, err := c.admin.ParseFrozenFilter(c.args...)
	if err != nil {
		return c.answer(err)
	}
	return ctrl.List(func(w *ctrl.ListWriter) error {
		for f, err := range c.admin.Frozen(ctx, filter) {
			if err != nil {
				return c.refusal(err)
			}
			err = w.Row(f.File, strconv.Itoa(f.Level0), strconv.Itoa(f.Level1), "<"+f.From+">", "<"+f.To+">",
				f.Last.Local().Format("2006-01-02 15:04:05"), strconv.FormatInt(f.Size, 10), strconv.Itoa(f.Tries), "froz")
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func frozenChange(change func(*admin.Service, context.Context, spool.Name) error) command {
	return func(ctx context.Context, c *call) ctrl.Reply {
		name, err := admin.FrozenName(c.args[0], c.args[1], c.args[2])
		if err == nil {
			err = change(c.admin, ctx, name)
		}
		return c.answer(err)
	}
}

func frozenFile(open func(*admin.Service, context.Context, spool.Name) (io.ReadCloser, error)) command {
	return func(ctx context.Context, c *call) ctrl.Reply {
		name, err := admin.FrozenName(c.args[0], c.args[1], c.args[2])
		if err != nil {
			return c.answer(err)
		}
		f, err := open(c.admin, ctx, name)
		if err != nil {
			return c.answer(err)
		}
		return c.files(f)
	}
}
