package server

import (
	"github.com/xmaild/xmaild/pkg/server/ctrld"
	"github.com/xmaild/xmaild/pkg/server/explain"
)

// newHandler answers the commands of the control port.
func (s *Server) newHandler() *ctrld.Handler {
	return ctrld.New(s.admin, s.log).WithAudit(s.audit).WithSessions(s.registry).
		WithExplainer(explain.Parts{Root: s.root, Policy: s.mail.policy, Sender: s.mail.sender, Boxes: s.mail.boxes, Filters: s.mail.filters})
}
