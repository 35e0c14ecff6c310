package server

import (
	"github.com/xmaild/xmaild/pkg/server/admin"
	"github.com/xmaild/xmaild/pkg/server/ctrld"
)

// newHandler answers the commands of the control port.
func (s *Server) newHandler() *ctrld.Handler {
	service := admin.New(s.root, admin.Options{Log: s.log, Plain: s.config.Mailbox == MailboxPlain})
	return ctrld.New(service, s.log).WithAudit(s.audit)
}
