package server

import "github.com/xmaild/xmaild/pkg/server/ctrld"

// newHandler answers the commands of the control port.
func (s *Server) newHandler() *ctrld.Handler {
	return ctrld.New(s.admin, s.log).WithAudit(s.audit).WithSessions(s.registry)
}
