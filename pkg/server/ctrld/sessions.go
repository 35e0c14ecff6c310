package ctrld

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/ctrl/commands"
	"github.com/xmaild/xmaild/pkg/server/session"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// Sessions are the sessions of all services: a [session.Registry].
type Sessions interface {
	List() []session.Info
	Kill(id uint64) bool
	KillUser(address string) int
}

// WithSessions returns a handler that lists and ends sessions, and ends those of an
// account which may not log in as it did any more.
func (h *Handler) WithSessions(s Sessions) *Handler {
	with := *h
	with.sessions = s
	return &with
}

var sessionCommands = map[string]command{
	"sesslist": func(_ context.Context, c *call) ctrl.Reply {
		service, user := c.arg(0, "*"), c.arg(1, "*")
		return ctrl.List(func(w *ctrl.ListWriter) error {
			if c.sessions == nil {
				return nil
			}
			for _, s := range c.sessions.List() {
				if !tabfile.Match(service, s.Service) || !tabfile.Match(user, s.User) {
					continue
				}
				secure := "0"
				if s.TLS {
					secure = "1"
				}
				if err := w.Row(strconv.FormatUint(s.ID, 10), s.Service, s.User, s.Remote.String(), s.Local.String(),
					s.Started.Local().Format(time.DateTime), secure); err != nil {
					return err
				}
			}
			return nil
		})
	},
	"sesskill": func(_ context.Context, c *call) ctrl.Reply {
		id, err := strconv.ParseUint(c.args[0], 10, 64)
		if err != nil {
			return ctrl.Refuse(ctrl.CodeInvalid, "%.64q is no number of a session", c.args[0])
		}
		there := false
		switch {
		case c.sessions == nil:
		case c.trying:
			for _, s := range c.sessions.List() {
				there = there || s.ID == id
			}
		default:
			there = c.sessions.Kill(id)
		}
		if !there {
			return ctrl.Refuse(ctrl.CodeNoRecord, "there is no session %d", id)
		}
		return ctrl.OK()
	},
}

// endSessions ends the sessions that a change has made impossible: those of an
// account that is gone, is disabled, or has another name or password.
func (c *call) endSessions(known commands.Command, args []string) {
	if c.sessions == nil || c.trying {
		return
	}
	switch known.Name {
	case "userdel", "userdisable", "userpasswd", "userrename":
		address := args[1] + "@" + c.admin.RealDomain(args[0])
		if n := c.sessions.KillUser(address); n > 0 {
			c.log.Info("sessions ended", "user", address, "because", known.Name, "sessions", n)
		}
	case "domaindel":
		suffix := "@" + args[0]
		for _, s := range c.sessions.List() {
			if n := len(s.User) - len(suffix); n > 0 && s.Service != session.Ctrl && strings.EqualFold(s.User[n:], suffix) {
				c.sessions.Kill(s.ID)
			}
		}
	}
}
