package ctrld

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/ctrl/commands"
	"github.com/xmaild/xmaild/pkg/server/admin"
)

// What a session may collect between "begin" and "commit".
const (
	maxCollected     = 100_000
	maxCollectedSize = 64 << 20 // bytes of names and arguments
)

// A collection is what a session keeps from "begin" on. It goes with the session.
type collection struct {
	commands []collected
	size     int
	checked  bool        // the last word was "commit check": what comes next may begin anew
	refused  *ctrl.Error // the first command that was not taken, with its name
}

type collected struct {
	known commands.Command
	args  []string
}

// collecting returns what the session has collected; nil outside a transaction.
func collecting(s *ctrl.Session) *collection {
	if st, ok := s.Value.(*sessionState); ok {
		return st.open
	}
	return nil
}

func begin(_ context.Context, c *call) ctrl.Reply {
	if open := collecting(c.session); open != nil && !open.checked {
		return ctrl.Refuse(ctrl.CodeConflict, "a transaction has begun already: commit or rollback ends it")
	}
	if !c.trying {
		stateOf(c.session).open = &collection{}
	}
	return ctrl.OK()
}

func rollback(_ context.Context, c *call) ctrl.Reply {
	open := collecting(c.session)
	if open == nil {
		return noTransaction()
	}
	stateOf(c.session).open = nil
	return ctrl.OKf("%d commands forgotten", len(open.commands))
}

func noTransaction() ctrl.Reply {
	return ctrl.Refuse(ctrl.CodeConflict, "no transaction has begun")
}

// collect answers a command between "begin" and "commit".
func (c *call) collect(known commands.Command) ctrl.Reply {
	open := collecting(c.session)
	if !known.Collectable() {
		return ctrl.Refuse(ctrl.CodeConflict, "%s cannot be part of a transaction", known.Name)
	}
	size := len(known.Name)
	for _, a := range c.args {
		size += len(a)
	}
	if len(open.commands) >= maxCollected || open.size+size > maxCollectedSize {
		return ctrl.Refuse(ctrl.CodeTooMany, "a transaction has at most %d commands and %d bytes", maxCollected, maxCollectedSize)
	}
	open.size += size
	open.commands = append(open.commands, collected{known, c.args})
	open.checked = false
	return ctrl.OKf("collected %d", len(open.commands))
}

// inTransaction answers a command of a session that has begun a transaction. One that
// is refused spoils the transaction, which would not be what it was meant to be.
func (h *Handler) inTransaction(ctx context.Context, c *call, name string) ctrl.Reply {
	switch name {
	case "begin", "commit", "rollback", "noop":
		return h.serve(ctx, c, name)
	}
	r := h.checked(c, name, c.collect)
	if open := collecting(c.session); r.Code() != ctrl.CodeOK && open.refused == nil {
		open.refused = &ctrl.Error{Code: r.Code(), Text: fmt.Sprintf("%.64s was refused, so nothing is done: %s", name, r.Text())}
	}
	return r
}

// commit runs what was collected, or says what of it would be refused.
func commit(ctx context.Context, c *call) ctrl.Reply {
	open := collecting(c.session)
	if open == nil {
		return noTransaction()
	}
	if len(c.args) > 0 {
		return c.checkCollected(ctx, open)
	}
	stateOf(c.session).open = nil
	if open.refused != nil {
		return open.refused.Reply()
	}
	var internal error
	at, err := c.admin.Batch(ctx, len(open.commands), func(s *admin.Service, i int) error {
		return c.run(ctx, s, open.commands[i], &internal)
	})
	refused := (*ctrl.Error)(nil)
	switch {
	case err == nil:
		for _, x := range open.commands {
			c.record(c.session, x.known.Name, x.args, ctrl.CodeOK)
			c.endSessions(x.known, x.args)
		}
		return ctrl.OKf("%d changes", len(open.commands))
	case !errors.As(err, &refused):
		return c.answer(err)
	case refused.Code == ctrl.CodeInternal && internal != nil:
		c.log.Error("control command failed", "err", internal)
	}
	return ctrl.Refuse(refused.Code, "command %d (%s): %s", at+1, open.commands[at].known.Name, refused.Text)
}

// checkCollected lists the commands that would be refused.
func (c *call) checkCollected(ctx context.Context, open *collection) ctrl.Reply {
	open.checked = true
	failed, err := c.admin.CheckBatch(ctx, len(open.commands), func(s *admin.Service, i int) error {
		return c.run(ctx, s, open.commands[i], new(error))
	})
	if err != nil {
		return c.answer(err)
	}
	return ctrl.List(func(w *ctrl.ListWriter) error {
		for i, err := range failed {
			if refused := (*ctrl.Error)(nil); errors.As(err, &refused) {
				if err := w.Row(strconv.Itoa(i+1), fmt.Sprintf("%05d", int(refused.Code)), refused.Text); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// run runs a collected command and returns its refusal. It may run again, so it does not
// log; what went wrong with the server itself it leaves in internal.
func (c *call) run(ctx context.Context, s *admin.Service, x collected, internal *error) error {
	t := *c
	t.admin, t.args = s, x.args
	t.failed = func(err error) { *internal = err }
	if refused := t.allowed(x.known); refused != nil {
		return refused
	}
	if r := table(x.known.Name)(ctx, &t); r.Code() != ctrl.CodeOK {
		return &ctrl.Error{Code: r.Code(), Text: r.Text()}
	}
	return nil
}
