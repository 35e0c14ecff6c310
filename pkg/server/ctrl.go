package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/ctrl/commands"
	"github.com/xmaild/xmaild/pkg/server/access"
	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/certs"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/obs"
	"github.com/xmaild/xmaild/pkg/server/session"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// openCtrl makes the control port ready.
func (s *Server) openCtrl() {
	vars := s.root.Vars()
	if s.config.CtrlLog {
		s.ctrlLog = obs.NewCtrlLog(s.logOptions())
	}
	s.audit = obs.NewAudit(obs.Options{Dir: s.path("logs"), Log: s.log, Clock: s.config.Clock})
	handler := s.newHandler()
	s.ctrl = &ctrl.Server{
		Handler:       handler,
		Authenticator: ctrl.AuthenticatorFunc(s.authenticate),
		Allow:         s.allowCtrl,
		TLSConfig:     s.tlsConfig,
		TLSEnabled:    func() bool { return s.root.Vars().Flag("EnableCTRL-TLS", true) },
		RequireTLS:    s.requireTLS,
		Product:       "xmaild " + s.config.Version,
		Limits:        s.ctrlLimits(vars),
		Track:         s.trackCtrl,
		LoginLog:      s.logLogin,
		CommandLog: func(e ctrl.CommandEvent) {
			handler.Record(e)
			s.logCommand(e)
		},
		Log:   s.log,
		Clock: s.config.Clock,
	}
}

// startCtrl begins to serve the control port.
func (s *Server) startCtrl(running context.Context) {
	for _, l := range s.listeners.ctrl {
		s.serve(running, "control port", l, s.ctrl.Serve)
	}
	for _, l := range s.listeners.ctrls {
		s.serve(running, "control port", l, s.ctrl.ServeTLS)
	}
}

// serve runs one listener until it ends. That it ends unasked stops the server.
func (s *Server) serve(running context.Context, what string, l net.Listener, serve func(context.Context, net.Listener) error) {
	s.running.Go(func() {
		err := serve(running, l)
		if err != nil && !errors.Is(err, ctrl.ErrServerClosed) && !errors.Is(err, session.ErrServerClosed) && running.Err() == nil {
			s.log.Error("service failed", "service", what, "address", l.Addr().String(), "err", err)
			s.finish(fmt.Errorf("%s at %s: %w", what, l.Addr(), err))
		}
	})
}

// A ctrlSession is a session of the control port among those of the services.
type ctrlSession struct {
	end func()

	mu   sync.Mutex
	info session.Info
}

func (c *ctrlSession) End() { c.end() }

func (c *ctrlSession) Info() session.Info {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.info
}

func (c *ctrlSession) set(now ctrl.Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.info = session.Info{
		Service: session.Ctrl, Remote: now.RemoteAddr, Local: now.LocalAddr, User: now.User, Started: now.Start, TLS: now.TLS != nil,
	}
}

// trackCtrl keeps a session of the control port in the registry.
func (s *Server) trackCtrl(now ctrl.Session, end func()) func(ctrl.Session, bool) {
	c := &ctrlSession{end: end}
	c.set(now)
	id := s.registry.Add(c)
	return func(now ctrl.Session, done bool) {
		if done {
			s.registry.Remove(id)
			return
		}
		c.set(now)
	}
}

// ctrlLimits are the limits of the control port: those of the command line,
// and variables of server.tab that the reference does not have (README).
func (s *Server) ctrlLimits(vars mailroot.ServerVars) ctrl.Limits {
	// In the tables 0 means no limit; in Limits it means the default.
	number := func(name string) int {
		switch n := vars.Int(name, -1); {
		case n == 0:
			return -1
		case n < 0:
			return 0
		default:
			return n
		}
	}
	seconds := func(name string) time.Duration {
		n := number(name)
		if n < 0 {
			return -1
		}
		return time.Duration(n) * time.Second
	}
	limits := ctrl.Limits{
		Sessions:        s.config.CtrlSessions,
		AddressSessions: number("CTRL-MaxSessionsPerAddress"),
		FailedLogins:    number("CTRL-MaxFailedLogins"),
		FailureWindow:   seconds("CTRL-FailedLoginWindow"),
		BlockTime:       seconds("CTRL-BlockTime"),
		FailureDelay:    seconds("CTRL-FailedLoginDelay"),
		CommandLine:     number("CTRL-MaxLineSize"),
		UploadLine:      number("CTRL-MaxUploadLineSize"),
		Handshake:       seconds("CTRL-HandshakeTimeout"),
		Login:           seconds("CTRL-LoginTimeout"),
		Idle:            s.config.CtrlTimeout,
	}
	if s.config.CtrlFailureDelay != 0 {
		limits.FailureDelay = s.config.CtrlFailureDelay
	}
	if kb := number("CTRL-MaxUploadSize"); kb < 0 {
		limits.Upload = -1
	} else {
		limits.Upload = int64(kb) << 10
	}
	return limits
}

// allowCtrl decides by ctrl.ipmap.tab on a client's address.
func (s *Server) allowCtrl(ip netip.Addr) error {
	var rows []tabfile.Row
	for _, n := range s.root.IPMap("ctrl").Matching(ip) {
		rows = append(rows, n.Row)
	}
	verdict := access.NewIPMap(mailroot.CtrlMapTab, slices.Values(rows)).Decide(ip, s.root.Now())
	if verdict.Allow {
		return nil
	}
	s.log.Warn("control client refused", "address", ip, "reason", verdict.Reason)
	return errors.New(verdict.Reason)
}

// authenticate checks a login against ctrlaccounts.tab as it is now. A name that
// is not there takes as long as a wrong password.
func (s *Server) authenticate(_ context.Context, login ctrl.Login) error {
	password := auth.Nobody()
	account, ok := s.root.Account(login.User)
	if ok {
		password = account.Password()
	}
	var good bool
	if login.MD5 {
		good = auth.VerifyDigest(password, login.Timestamp, login.Digest)
	} else {
		good = password.Verify(login.Password)
	}
	switch {
	case ok && good:
		return nil
	case !ok && !s.root.Exists(mailroot.AccountsTab):
		return &ctrl.Error{Code: ctrl.CodeNoAccountsTable, Text: "there are no control accounts"}
	}
	return ctrl.ErrLogin
}

// requireTLS refuses clear-text passwords that would cross a network.
func (s *Server) requireTLS(ip netip.Addr) bool {
	if ip.IsLoopback() {
		return false
	}
	vars := s.root.Vars()
	return vars.Flag("CTRL-RequireTLS", vars.CompatLevel() >= 1)
}

// tlsPolicy is what server.tab says of TLS.
func (s *Server) tlsPolicy() certs.Policy {
	vars := s.root.Vars()
	policy := certs.Policy{
		WantVerify:      vars.Flag("SSLWantVerify", false),
		WantCert:        vars.Flag("SSLWantCert", false),
		AllowSelfSigned: vars.Flag("SSLAllowSelfSigned", false),
		MaxDepth:        vars.Int("SSLMaxCertsDepth", 0),
		UseCertsFile:    vars.Flag("SSLUseCertsFile", false),
		UseCertsDir:     vars.Flag("SSLUseCertsDir", false),
	}
	if vars.Value("TLS-MinVersion") == "1.3" {
		policy.MinVersion = tls.VersionTLS13
	}
	return policy
}

// authorities returns whose certificates of other servers are good.
func (s *Server) authorities() (*x509.CertPool, error) { return s.certs.Authorities(s.tlsPolicy()) }

// tlsConfig is the set-up of the next handshake of any service.
func (s *Server) tlsConfig() (*tls.Config, error) {
	config, err := s.certs.Config(s.tlsPolicy())
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("TLS certificate: %w", err)
	}
	return config, err
}

func (s *Server) logLogin(e ctrl.LoginEvent) {
	if s.ctrlLog == nil {
		return
	}
	if err := s.ctrlLog.Login(e.Time, e.Remote.Addr(), e.User, string(e.Status)); err != nil {
		s.log.Debug("ctrl log", "err", err)
	}
}

func (s *Server) logCommand(e ctrl.CommandEvent) {
	level := slog.LevelDebug
	if c, ok := commands.Lookup(e.Request.Command); ok && c.Changes {
		level = slog.LevelInfo
	}
	ctx := context.Background()
	if !s.log.Enabled(ctx, level) {
		return
	}
	s.log.Log(ctx, level, "control command", "session", e.Request.Session.ID, "user", e.Request.Session.User, "address", e.Request.Session.RemoteAddr.String(),
		"command", e.Request.Command, "args", commands.Mask(e.Request.Command, e.Request.Args), "code", int(e.Code), "duration", e.Duration)
}
