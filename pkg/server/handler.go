package server

import (
	"context"

	"github.com/xmaild/xmaild/pkg/ctrl"
)

// newHandler answers the commands of the control port.
func (s *Server) newHandler() ctrl.Handler {
	return ctrl.HandlerFunc(func(_ context.Context, r *ctrl.Request) ctrl.Reply {
		if r.Command == "noop" {
			return ctrl.OK()
		}
		return ctrl.Refuse(ctrl.CodeCommand, "no command %s", r.Command)
	})
}
