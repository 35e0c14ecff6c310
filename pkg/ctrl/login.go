package ctrl

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"
)

// admit decides whether c is greeted. When it is, it is counted.
func (s *Server) admit(c *conn) *Error {
	addr := c.session.RemoteAddr.Addr()
	if s.Allow != nil {
		if err := s.Allow(addr); err != nil {
			s.log().Debug("control connection refused", "addr", addr, "reason", err)
			if e, ok := errors.AsType[*Error](err); ok {
				return e
			}
			return &Error{Code: CodeNotAllowed}
		}
	}
	if e := s.blocked(addr); e != nil {
		return e
	}
	if s.counts.Add(addr, s.limits.Sessions, s.limits.AddressSessions) != nil {
		if silent, ok := s.crowded.Pass(time.Now(), time.Second); ok {
			s.log().Warn("control connection refused: too many sessions", "addr", addr, "unreported before", silent)
		}
		return &Error{Code: CodeTooManySessions}
	}
	return nil
}

func (s *Server) blocked(addr netip.Addr) *Error {
	if !s.failures.Blocked(addr, s.now()) {
		return nil
	}
	return &Error{CodeNotAllowed, "too many failed logins from your address, try again later"}
}

// login reads the request for TLS, if there is one, and the login. It reports
// whether the session may go on; else the refusal is in the buffer.
func (c *conn) login(ctx context.Context) bool {
	by := time.Now().Add(c.s.limits.Login)
	line, err := c.readLine(c.s.limits.LoginLine, by)
	if err == nil && string(line) == "#!TLS" {
		if !c.upgrade(ctx) {
			return false
		}
		line, err = c.readLine(c.s.limits.LoginLine, by)
	}
	if err != nil {
		c.refuseInput(err)
		return false
	}
	arrived := time.Now()
	fields := split(string(line))
	if len(fields) != 2 {
		c.delay(ctx, arrived)
		c.refuse(&Error{CodeLogin, "login refused: not a user and a password"})
		return false
	}
	l := Login{
		User:      fields[0],
		Password:  fields[1],
		Timestamp: c.timestamp,
		Remote:    c.session.RemoteAddr,
		TLS:       c.session.TLS,
	}
	if digest, ok := strings.CutPrefix(l.Password, "#"); ok {
		l.MD5, l.Digest, l.Password = true, digest, ""
	}
	if e := c.authenticate(ctx, l, arrived); e != nil {
		c.refuse(e)
		return false
	}
	c.session.User = l.User
	c.tell()
	c.reply(StatusOK.String(), "OK")
	return true
}

// authenticate returns nil for a good login, and otherwise the refusal, when it is time to
// send it: always as long after the line arrived, so that the time tells nothing.
func (c *conn) authenticate(ctx context.Context, l Login, arrived time.Time) *Error {
	s, addr := c.s, l.Remote.Addr()
	s.logLogin(LoginEvent{Remote: l.Remote, User: l.User, Status: LoginRequest})
	refusal, counts := c.decide(ctx, l)
	if refusal == nil {
		s.failures.Succeed(addr)
		s.logLogin(LoginEvent{Remote: l.Remote, User: l.User, Status: LoginOK})
		return nil
	}
	s.logLogin(LoginEvent{Remote: l.Remote, User: l.User, Status: LoginFailed, Err: refusal})
	s.log().Warn("control login refused", "addr", addr, "user", l.User, "reason", refusal)
	if counts && s.failures.Fail(addr, s.now(), s.limits.failures()) {
		s.log().Warn("address blocked after failed control logins", "addr", addr, "for", s.limits.BlockTime)
	}
	c.delay(ctx, arrived)
	return refusal
}

// decide returns nil for a good login, and otherwise the refusal and whether it
// counts as a failed one.
func (c *conn) decide(ctx context.Context, l Login) (refusal *Error, counts bool) {
	s := c.s
	if e := s.blocked(l.Remote.Addr()); e != nil { // since the greeting
		return e, false
	}
	if !l.MD5 && l.TLS == nil && s.RequireTLS != nil && s.RequireTLS(l.Remote.Addr()) {
		return &Error{CodeTLSRequired, "a password in clear needs TLS"}, false
	}
	err := s.Authenticator.Authenticate(ctx, l)
	if err == nil {
		return nil, false
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Code != CodeLogin {
		return e, false
	}
	return &Error{Code: CodeLogin}, true // one text for all reasons
}

// delay waits until it is time to refuse a login line, or the server shuts down.
func (c *conn) delay(ctx context.Context, arrived time.Time) {
	wait := time.Until(arrived.Add(c.s.limits.FailureDelay))
	if wait <= 0 {
		return
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-c.s.stopping():
	}
}

// upgrade answers #!TLS. It reports whether the session goes on, under TLS.
func (c *conn) upgrade(ctx context.Context) bool {
	if c.session.TLS != nil {
		c.refuse(&Error{Code: CodeTLSActive})
		return false
	}
	if c.s.TLSEnabled != nil && !c.s.TLSEnabled() {
		c.refuse(&Error{Code: CodeTLSOff})
		return false
	}
	config, refusal := c.tlsConfig()
	if refusal != nil {
		c.refuse(refusal)
		return false
	}
	if c.r.buffered() > 0 {
		// Whoever sits between could have put it there, for it to be taken for input under
		// TLS.
		c.refuse(&Error{Code: CodeBadInput})
		return false
	}
	c.reply(StatusOK.String(), "OK Ready to start TLS mode")
	if c.w.Flush() != nil || !c.startTLS(ctx, config) {
		return false
	}
	return true
}

func (s *Server) logLogin(e LoginEvent) {
	if s.LoginLog != nil {
		e.Time = s.now()
		s.LoginLog(e)
	}
}
