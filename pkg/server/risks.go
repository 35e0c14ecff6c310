package server

import (
	"net"
	"net/netip"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// warnRisks says once which of the reference's risky defaults are in force, and
// which settings let strangers do more than they should.
func (s *Server) warnRisks(vars mailroot.ServerVars) {
	if s.Administrator() == "" {
		s.log.Warn("nobody can administer this server: ctrlaccounts.tab has no account", "missing", !s.root.Exists(mailroot.AccountsTab))
	}
	if open(s.listeners.ctrl) || open(s.listeners.ctrls) {
		s.log.Warn("risky: the control port is open on all addresses; bind it with -CI and -WI, or set CompatLevel to 1 in server.tab",
			"ctrl", addrs(s.listeners.ctrl), "ctrls", addrs(s.listeners.ctrls))
	}
	s.warnRelaying(vars)
	if vars.CompatLevel() >= 1 {
		return
	}
	s.log.Warn("risky: CompatLevel is 0, so userlist and poplnklist show passwords, and cfgfileget shows keys and password tables")
	if !vars.On("CTRL-RequireTLS") {
		s.log.Warn("risky: CompatLevel is 0, so administrators may log in with a clear-text password from anywhere; CTRL-RequireTLS in server.tab forbids it")
	}
	if len(s.listeners.smtp)+len(s.listeners.pop3) > 0 && !vars.On("LOGIN-RequireTLS") {
		s.log.Warn("risky: CompatLevel is 0, so users may log in to SMTP and POP3 with a clear-text password from anywhere; LOGIN-RequireTLS in server.tab forbids it")
	}
	if len(s.listeners.smtp)+len(s.listeners.smtps) > 0 && vars.On("EnableAuthSMTP-POP3") {
		s.log.Warn("risky: CompatLevel is 0, so whoever shares an address with a user of POP3 may send mail as that user for a while; EnableAuthSMTP-POP3 in server.tab forbids it")
	}
	if len(s.listeners.finger) > 0 {
		s.log.Warn("risky: finger tells strangers which users there are; -F- switches it off", "finger", addrs(s.listeners.finger))
	}
}

// warnRelaying tells of what makes the server an open relay.
func (s *Server) warnRelaying(vars mailroot.ServerVars) {
	if len(s.listeners.smtp)+len(s.listeners.smtps) == 0 {
		return
	}
	for n := range s.root.Relays().All() {
		if n.Rule.Matches(netip.MustParseAddr("192.0.2.1")) && n.Rule.Matches(netip.MustParseAddr("198.51.100.1")) {
			s.log.Warn("risky: a row of smtprelay.tab lets everybody send mail through this server", "address", n.Address, "mask", n.Mask)
		}
	}
	if file, err := s.root.CustomDomain("."); err == nil && file != "" && vars.On("CatchAllRelay") {
		s.log.Warn("risky: the catch-all custom domain takes mail for every domain, so this server relays for everybody; CatchAllRelay in server.tab forbids it", "file", file)
	}
}

// open reports whether one of the listeners is for every address of the machine.
func open(ls []net.Listener) bool {
	for _, a := range addrPorts(ls) {
		if a.Addr().IsUnspecified() {
			return true
		}
	}
	return false
}
