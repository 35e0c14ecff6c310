package ctrld

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/admin"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// counts reports whether a command answers how much it was about, and when it is
// tried, how much it would be about.
func counts(name string) bool {
	return slices.Contains([]string{"queueretry", "queuefreeze", "queuedel"}, strings.ToLower(name))
}

// listTime is how lists show a time: that of this machine.
func listTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.DateTime)
}

func queueList(ctx context.Context, c *call) ctrl.Reply {
	filter, err := c.admin.ParseQueueFilter(c.args...)
	if err != nil {
		return c.answer(err)
	}
	return ctrl.List(func(w *ctrl.ListWriter) error {
		for i, err := range c.admin.Queued(ctx, filter) {
			if err != nil {
				return c.refusal(err)
			}
			err := w.Row(i.Key, i.ID, i.From, i.Recipient, i.State, strconv.Itoa(i.Tries), listTime(i.Next), listTime(i.Time),
				strconv.FormatInt(i.Size, 10), user(i.Login, i.Account))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// user is who logged in to send a message: the account where there is one.
func user(login, account string) string {
	if account != "" {
		return account
	}
	return login
}

func queueShow(ctx context.Context, c *call) ctrl.Reply {
	messages, err := c.admin.QueuedMessages(ctx, c.args[0])
	if err != nil {
		return c.answer(err)
	}
	return ctrl.List(func(w *ctrl.ListWriter) error {
		for _, m := range messages {
			for _, row := range messageRows(m) {
				if err := w.Row(row[0], row[1]); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// messageRows are what queueshow shows of a message; what is empty is left out, but
// for the sender.
func messageRows(m admin.QueuedMessage) [][2]string {
	client := ""
	if m.Client.IsValid() {
		client = m.Client.String()
	}
	rows := [][2]string{
		{"key", m.Recipients[0].Key}, {"message", m.ID}, {"received", listTime(m.Time)}, {"size", strconv.FormatInt(m.Recipients[0].Size, 10)},
		{"client", client}, {"client-name", m.ClientName}, {"helo", m.Helo}, {"protocol", m.Proto},
		{"login", m.Login}, {"account", m.Account}, {"sender", "<" + m.From + ">"},
	}
	rows = slices.DeleteFunc(rows, func(row [2]string) bool { return row[1] == "" })
	for _, i := range m.Recipients {
		rows = append(rows, [2]string{"recipient", describe(i)})
	}
	for line := range strings.Lines(m.Log) {
		rows = append(rows, [2]string{"attempt", strings.TrimRight(line, "\r\n")})
	}
	return rows
}

func describe(i spool.Item) string {
	text := fmt.Sprintf("<%s> %s, %d attempts", i.Recipient, i.State, i.Tries)
	if !i.Next.IsZero() {
		text += ", next " + listTime(i.Next)
	}
	return text
}

func queueChange(change func(*admin.Service, context.Context, admin.QueueFilter) (spool.Count, error)) command {
	return func(ctx context.Context, c *call) ctrl.Reply {
		filter, err := c.admin.ParseQueueFilter(c.args...)
		if err != nil {
			return c.answer(err)
		}
		n, err := change(c.admin, ctx, filter)
		if err != nil {
			return c.answer(err)
		}
		if n.Active > 0 {
			return ctrl.OKf("%d messages, %d recipients, %d of them active", n.Messages, n.Recipients, n.Active)
		}
		return ctrl.OKf("%d messages, %d recipients", n.Messages, n.Recipients)
	}
}
