package ctrld

import (
	"context"
	"slices"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// ahead are the commands that may begin before others of their session have ended: each
// is one transaction, and all that it is decided by stands in tables that no command
// before it has changed, or is looked at inside the transaction.
var ahead = []string{
	"aliasadd", "aliasdel", "aliasdomainadd", "aliasdomaindel", "exaliasadd", "exaliasdel",
	"mluseradd", "mluserdel", "poplnkadd", "relayadd", "relaydel", "spammeradd", "spammerdel",
	"useradd", "userdel", "userpasswd",
}

// A sessionState is what is kept of a session from one command to the next.
type sessionState struct {
	open  *collection    // nil: no transaction has begun
	order *tabfile.Order // of the changes that were begun and may not have ended
}

// stateOf returns the state of a session, which belongs to the goroutine that reads its
// commands.
func stateOf(s *ctrl.Session) *sessionState {
	st, ok := s.Value.(*sessionState)
	if !ok {
		st = &sessionState{}
		s.Value = st
	}
	return st
}

// Begin begins a command while those before it wait to be durable, so that they
// share a sync ([ctrl.Pipeliner]).
func (h *Handler) Begin(ctx context.Context, req *ctrl.Request, first bool) func() ctrl.Reply {
	if !slices.Contains(ahead, req.Command) {
		return nil
	}
	st := stateOf(req.Session)
	c := h.newCall(req)
	// Programs are run one after the other, and refusals by rights are logged once.
	if st.open != nil || !c.rights.All || c.runsProgram(req.Command) {
		return nil
	}
	if first {
		st.order = new(tabfile.Order)
	} else if st.order.Broken() {
		return nil
	}
	turn := st.order.Next()
	done := make(chan struct{})
	var reply ctrl.Reply
	var panicked any
	go func() {
		defer close(done)
		defer turn.End()
		defer func() { panicked = recover() }()
		reply = h.serve(turn.Context(ctx), c, req.Command)
	}()
	wait := func() ctrl.Reply {
		<-done
		if panicked != nil {
			panic(panicked) // for the session, which knows what to do
		}
		return reply
	}
	select {
	case <-turn.Queued():
		return wait
	case <-done:
	}
	select {
	case <-turn.Queued():
		return wait
	default:
	}
	// It was refused before it looked into the tables. Where others are under way it
	// may have looked too early.
	if first {
		return wait
	}
	return nil
}

// runsProgram reports whether a program is told of what a command does to an account.
func (c *call) runsProgram(command string) bool {
	action, ok := map[string]string{"useradd": "useradd", "userdel": "userdel", "userpasswd": "useredit"}[command]
	return ok && c.admin.HasHook(c.arg(0, ""), action)
}
