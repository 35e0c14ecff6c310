// Package ctrld answers the commands of the control protocol: it reads their
// arguments, calls package admin, and writes lists and codes. The grammar of the
// commands is in package commands, what they do in package admin.
package ctrld

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/ctrl/commands"
	"github.com/xmaild/xmaild/pkg/server/admin"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/obs"
)

// A Handler answers control commands. It implements [ctrl.Handler].
type Handler struct {
	admin *admin.Service
	log   *slog.Logger
	audit *obs.Audit // nil: none

	sessions Sessions // nil: none

	explainer Explainer // nil: none
}

// New returns a handler of the commands on what s administers. log is told of
// failures that are nobody's mistake; nil is slog.Default().
func New(s *admin.Service, log *slog.Logger) *Handler {
	if log == nil {
		log = slog.Default()
	}
	return &Handler{admin: s, log: log}
}

// WithAudit returns a handler that writes to a log who does what ([Handler.Record]) and
// lists what is in it.
func (h *Handler) WithAudit(a *obs.Audit) *Handler {
	with := *h
	with.audit = a
	return &with
}

// A call is one command with the right number of arguments.
type call struct {
	*Handler
	session *ctrl.Session
	rights  mailroot.Rights // of the administrator
	failed  func(error)     // is told of failures that are nobody's mistake; nil logs them
	admin   *admin.Service  // changes nothing where the command is tried
	user    string          // the administrator
	remote  netip.Addr      // from where
	args    []string
	trying  bool
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
	accountCommands, securityCommands, rightsCommands, sessionCommands, resolveCommands,
}

// grouped has the commands of all groups.
var grouped = sync.OnceValue(func() map[string]command {
	all := make(map[string]command)
	for _, group := range groups {
		maps.Copy(all, group)
	}
	return all
})

// table has the commands by their names; "quit" is answered by the connection.
func table(name string) command {
	if f := grouped()[name]; f != nil {
		return f
	}
	switch name {
	case "noop", "quit":
		return noop
	case "help":
		return help
	case "sync":
		return syncAll
	case "try":
		return tried
	case "begin":
		return begin
	case "commit":
		return commit
	case "rollback":
		return rollback
	}
	return nil
}

// noop also stands for a quit that is tried.
func noop(context.Context, *call) ctrl.Reply { return ctrl.OK() }

func syncAll(ctx context.Context, c *call) ctrl.Reply { return c.answer(c.admin.Sync(ctx)) }

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
	c := h.newCall(req)
	if collecting(req.Session) != nil {
		return h.inTransaction(ctx, c, req.Command)
	}
	return h.serve(ctx, c, req.Command)
}

func (h *Handler) serve(ctx context.Context, c *call, name string) ctrl.Reply {
	return h.checked(c, name, func(known commands.Command) ctrl.Reply {
		r := table(known.Name)(ctx, c)
		if r.Code() == ctrl.CodeOK {
			c.endSessions(known, c.args)
		}
		return c.limited(known, r)
	})
}

// checked answers a command by what do answers, where there is one of that name, with so
// many arguments, that the administrator may send.
func (h *Handler) checked(c *call, name string, do func(commands.Command) ctrl.Reply) ctrl.Reply {
	known, ok := commands.Lookup(name)
	if !ok || table(known.Name) == nil {
		return ctrl.Refuse(ctrl.CodeCommand, "there is no command %.64q", name)
	}
	if err := known.CheckArgs(c.args); err != nil {
		return forUpload(known, ctrl.Refuse(ctrl.CodeCommand, "%v", err))
	}
	if refused := c.allowed(known); refused != nil {
		return forUpload(known, refused.Reply())
	}
	return forUpload(known, do(known))
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
		if c.failed != nil {
			c.failed(err)
		} else {
			c.log.Error("control command failed", "err", err)
		}
		return &ctrl.Error{Code: ctrl.CodeInternal}
	}
	return &ctrl.Error{Code: codeOf(e.Kind), Text: e.Text}
}

// tried answers "try COMMAND…": what the command would be refused for, or OK.
func tried(ctx context.Context, c *call) ctrl.Reply {
	t := *c
	t.admin, t.args, t.trying = c.admin.Try(), slices.Clone(c.args[1:]), true
	r := c.serve(ctx, &t, c.args[0])
	switch {
	case r.Code() != ctrl.CodeOK:
		return r
	case r.Status() == ctrl.StatusOK && counts(c.args[0]):
		return ctrl.OKf("nothing was done to %s", strings.TrimPrefix(r.Text(), "OK "))
	case r.Status() == ctrl.StatusOK:
		return ctrl.OKf("nothing was done")
	}
	return ctrl.OKf("nothing was done; the command would answer %v", r.Status())
}
