// Package ctrld answers the commands of the control protocol: it reads their
// arguments, calls package admin, and writes lists and codes. The grammar of the
// commands is in package commands, what they do in package admin.
package ctrld

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/ctrl/commands"
	"github.com/xmaild/xmaild/pkg/server/admin"
)

// A Handler answers control commands. It implements [ctrl.Handler].
type Handler struct {
	admin *admin.Service
	log   *slog.Logger
}

// New returns a handler of the commands on what s administers. log is told of
// failures that are nobody's mistake; nil is slog.Default().
func New(s *admin.Service, log *slog.Logger) *Handler {
	if log == nil {
		log = slog.Default()
	}
	return &Handler{admin: s, log: log}
}

// A call is one command with the right number of arguments.
type call struct {
	*Handler
	admin  *admin.Service // changes nothing where the command is tried
	user   string         // the administrator
	remote netip.Addr     // from where
	args   []string
	trying bool
}

// arg returns an argument, or a default where there are not so many.
func (c *call) arg(i int, def string) string {
	if i < len(c.args) {
		return c.args[i]
	}
	return def
}

// A command answers one command. What can be known of a list before its first
// row is known before it returns.
type command func(ctx context.Context, c *call) ctrl.Reply

// groups are the commands, a file each, but for those that run others.
var groups = []map[string]command{
	userCommands, domainCommands, aliasCommands, listCommands, linkCommands, fileCommands, queueCommands,
	accountCommands, securityCommands,
}

// table has the commands by their names; "quit" is answered by the connection.
func table(name string) command {
	for _, group := range groups {
		if f := group[name]; f != nil {
			return f
		}
	}
	switch name {
	case "noop", "quit":
		return noop
	case "help":
		return help
	case "sync":
		return sync
	case "try":
		return tried
	}
	return nil
}

// noop also stands for a quit that is tried.
func noop(context.Context, *call) ctrl.Reply { return ctrl.OK() }

func sync(ctx context.Context, c *call) ctrl.Reply { return c.answer(c.admin.Sync(ctx)) }

// help lists the commands, or what there is to know of one, for programs.
func help(_ context.Context, c *call) ctrl.Reply {
	rows := commands.Command.DetailRows
	list := []commands.Command{}
	if len(c.args) == 0 {
		list = commands.All()
		rows = func(c commands.Command) [][]string { return [][]string{c.HelpRow()} }
	} else if known, ok := commands.Lookup(c.args[0]); ok {
		list = append(list, known)
	} else {
		return ctrl.Refuse(ctrl.CodeCommand, "there is no command %.64q", c.args[0])
	}
	return ctrl.List(func(w *ctrl.ListWriter) error {
		for _, known := range list {
			for _, row := range rows(known) {
				if err := w.Row(row...); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// ServeCtrl answers one command.
func (h *Handler) ServeCtrl(ctx context.Context, req *ctrl.Request) ctrl.Reply {
	return h.serve(ctx, &call{Handler: h, admin: h.admin, user: req.Session.User, remote: req.Session.RemoteAddr.Addr(), args: req.Args}, req.Command)
}

func (h *Handler) serve(ctx context.Context, c *call, name string) ctrl.Reply {
	known, ok := commands.Lookup(name)
	f := table(known.Name)
	if !ok || f == nil {
		return ctrl.Refuse(ctrl.CodeCommand, "there is no command %.64q", name)
	}
	if err := known.CheckArgs(c.args); err != nil {
		return forUpload(known, ctrl.Refuse(ctrl.CodeCommand, "%v", err))
	}
	return forUpload(known, f(ctx, c))
}

func forUpload(c commands.Command, r ctrl.Reply) ctrl.Reply {
	if c.Kind == commands.Upload {
		return r.ForUpload()
	}
	return r
}

// answer is OK or the refusal that an error of admin is.
func (c *call) answer(err error) ctrl.Reply {
	if err == nil {
		return ctrl.OK()
	}
	return c.refusal(err).Reply()
}

func (c *call) refusal(err error) *ctrl.Error {
	var e *admin.Error
	if !errors.As(err, &e) || e.Kind == admin.Internal {
		c.log.Error("control command failed", "err", err)
		return &ctrl.Error{Code: ctrl.CodeInternal}
	}
	return &ctrl.Error{Code: codeOf(e.Kind), Text: e.Text}
}

// tried answers "try COMMAND…": what the command would be refused for, or OK.
func tried(ctx context.Context, c *call) ctrl.Reply {
	t := &call{Handler: c.Handler, admin: c.admin.Try(), user: c.user, remote: c.remote, args: slices.Clone(c.args[1:]), trying: true}
	r := c.serve(ctx, t, c.args[0])
	switch {
	case r.Code() != ctrl.CodeOK:
		return r
	case r.Status() == ctrl.StatusOK:
		return ctrl.OKf("nothing was done")
	}
	return ctrl.OKf("nothing was done; the command would answer %v", r.Status())
}
