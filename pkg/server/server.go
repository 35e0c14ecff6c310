// Package server puts a whole mail server together over one MailRoot: it opens
// the tables, binds the addresses, and starts, reloads and stops the services.
package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/admin"
	"github.com/xmaild/xmaild/pkg/server/certs"
	"github.com/xmaild/xmaild/pkg/server/check"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/obs"
	"github.com/xmaild/xmaild/pkg/server/pidfile"
	"github.com/xmaild/xmaild/pkg/server/session"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// shutdownFile asks a running server to stop when it appears in MailRoot, and
// is gone when the server has stopped.
const shutdownFile = ".shutdown"

// A Server is one running server. Its methods are safe for concurrent use.
type Server struct {
	config Config
	log    *slog.Logger

	root      *mailroot.Root
	certs     *certs.Store
	registry  *session.Registry
	listeners listeners
	admin     *admin.Service
	ctrl      *ctrl.Server
	mail      *mail         // nil: not open
	ctrlLog   *obs.CtrlLog  // nil: none
	logs      []*obs.TabLog // of the other services
	audit     *obs.Audit
	pid       *pidfile.File // nil: none

	stop    context.CancelFunc // ends what runs beside the services
	running sync.WaitGroup

	doneOnce sync.Once
	done     chan struct{}
	err      error // why done was closed; set before

	shutdownOnce sync.Once
	shutdownErr  error
}

// New checks a configuration. It opens nothing.
func New(c Config) (*Server, error) {
	if c.Root == "" {
		return nil, errors.New("no MailRoot is given")
	}
	root, err := filepath.Abs(c.Root)
	if err != nil {
		return nil, fmt.Errorf("MailRoot %s: %w", c.Root, err)
	}
	c.Root = root
	if c.PIDFile != "" {
		if c.PIDFile, err = filepath.Abs(c.PIDFile); err != nil {
			return nil, fmt.Errorf("pid file: %w", err)
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Poll == 0 {
		c.Poll = 500 * time.Millisecond
	}
	if c.Sweep == 0 {
		c.Sweep = time.Minute
	}
	if c.Version == "" {
		c.Version = "devel"
	}
	return &Server{config: c, log: c.Log, done: make(chan struct{})}, nil
}

// Start opens the MailRoot and begins to serve. When it returns an error
// nothing is left open, and the server cannot be started again.
func (s *Server) Start(ctx context.Context) (err error) {
	// What runs from now on outlives the call.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	defer func() {
		if err != nil {
			err = errors.Join(err, s.release())
		}
	}()
	if err := s.inspect(); err != nil {
		return err
	}
	s.certs = certs.New(s.config.Root, s.log, s.config.Clock)
	s.registry = session.NewRegistry(s.config.Clock)
	next, err := s.successor()
	if err != nil {
		return err
	}
	if next != nil {
		// What takes the rights of root comes first: the tables are opened by whom the
		// process will be, so that what it writes is its own. Nobody is served before.
		if err := s.asRoot(ctx, next); err != nil {
			return err
		}
		if err := s.become(next); err != nil {
			return err
		}
	}
	if err := s.openRoot(ctx); err != nil {
		return err
	}
	// Only now, holding the lock, is the file ours to remove.
	if err := os.Remove(s.path(shutdownFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the shutdown request of before: %w", err)
	}
	if s.pid == nil {
		if err := s.writePID(); err != nil {
			return err
		}
	}
	if next == nil {
		if err := s.bind(ctx, s.root.Vars().CompatLevel()); err != nil {
			return err
		}
	}
	s.certify()
	if err := s.openMail(ctx); err != nil {
		return err
	}
	s.openCtrl()
	s.warnRisks(s.root.Vars())
	s.warnSettings()
	s.startMail(running)
	s.startCtrl(running)
	if err := s.root.Announce(strings.Fields(addrs(s.listeners.ctrl) + " " + addrs(s.listeners.ctrls))...); err != nil {
		return fmt.Errorf("lock file: %w", err)
	}
	s.running.Go(func() { s.watch(running) })
	s.running.Go(func() { s.sweep(running) })
	s.running.Go(func() { s.certs.Watch(running) })
	s.running.Go(func() { s.mail.tidy(running, func(err error) { s.log.Warn("queue cannot be tidied", "err", err) }) })
	s.log.Info("serving", "version", s.config.Version, "root", s.config.Root,
		"ctrl", addrs(s.listeners.ctrl), "ctrls", addrs(s.listeners.ctrls), "smtp", addrs(s.listeners.smtp), "smtps", addrs(s.listeners.smtps),
		"pop3", addrs(s.listeners.pop3), "pop3s", addrs(s.listeners.pop3s), "finger", addrs(s.listeners.finger), "pid", os.Getpid())
	return nil
}

// asRoot does what the rights of root are for.
func (s *Server) asRoot(ctx context.Context, next *account) error {
	if err := s.bind(ctx, s.levelBefore()); err != nil {
		return err
	}
	if err := s.certs.Load(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("no TLS until this is right", "err", err)
	}
	if within(s.config.PIDFile, s.config.Root) {
		return nil // the file there may be that of a server that has the lock
	}
	if err := s.writePID(); err != nil || s.pid == nil {
		return err
	}
	return s.pid.Give(next.uid, next.gid)
}

// within reports whether a file is one of a folder.
func within(file, folder string) bool {
	its, err := os.Stat(filepath.Dir(file))
	if err != nil {
		return false
	}
	info, err := os.Stat(folder)
	return err == nil && os.SameFile(its, info)
}

func (s *Server) writePID() (err error) {
	if s.config.PIDFile == "" {
		return nil
	}
	var note string
	if s.pid, note, err = pidfile.Write(s.config.PIDFile, s.config.Root); err != nil {
		return fmt.Errorf("pid file: %w", err)
	}
	if note != "" {
		s.log.Info(note)
	}
	return nil
}

// inspect says what is wrong with the folder before anything is done with it.
func (s *Server) inspect() error {
	dir := s.config.Root
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("MailRoot %s does not exist; make one with: xmaild init %s", dir, dir)
	case err != nil:
		return fmt.Errorf("MailRoot: %w", err)
	case !info.IsDir():
		return fmt.Errorf("MailRoot %s is not a folder", dir)
	}
	return nil
}

func (s *Server) openRoot(ctx context.Context) (err error) {
	dir := s.config.Root
	options := mailroot.Options{Log: s.log, Clock: s.config.Clock}
	if s.config.FS != nil { // an interface of a nil one would not be nil
		options.FS = s.config.FS
	}
	s.root, err = mailroot.Open(ctx, dir, options)
	if err != nil {
		return err
	}
	if !s.root.Exists(mailroot.ServerTab) && !s.root.Exists(mailroot.DomainsTab) {
		return fmt.Errorf("%s is no MailRoot: it has neither server.tab nor domains.tab", dir)
	}
	return nil
}

// path is the full name of a file in MailRoot.
func (s *Server) path(name string) string { return filepath.Join(s.config.Root, name) }

// Root is the full name of the MailRoot.
func (s *Server) Root() string { return s.config.Root }

// Administrator is the name of the first account of the control port, empty
// where there is none.
func (s *Server) Administrator() string {
	for row := range s.root.Store.Table(mailroot.AccountsTab).Rows() {
		return row.Field(0)
	}
	return ""
}

// CtrlAddrs are the addresses of the control port.
func (s *Server) CtrlAddrs() []netip.AddrPort { return addrPorts(s.listeners.ctrl) }

// CtrlsAddrs are the addresses of the control port inside TLS.
func (s *Server) CtrlsAddrs() []netip.AddrPort { return addrPorts(s.listeners.ctrls) }

// SMTPAddrs are the addresses of SMTP, those of submission among them.
func (s *Server) SMTPAddrs() []netip.AddrPort { return addrPorts(s.listeners.smtp) }

// SMTPSAddrs are the addresses of SMTP inside TLS.
func (s *Server) SMTPSAddrs() []netip.AddrPort { return addrPorts(s.listeners.smtps) }

// POP3Addrs are the addresses of POP3.
func (s *Server) POP3Addrs() []netip.AddrPort { return addrPorts(s.listeners.pop3) }

// POP3SAddrs are the addresses of POP3 inside TLS.
func (s *Server) POP3SAddrs() []netip.AddrPort { return addrPorts(s.listeners.pop3s) }

// FingerAddrs are the addresses of finger.
func (s *Server) FingerAddrs() []netip.AddrPort { return addrPorts(s.listeners.finger) }

// PIDFile is where the process id stands; empty where there is none.
func (s *Server) PIDFile() string {
	if s.pid == nil {
		return ""
	}
	return s.pid.Path()
}

// Done is closed when the server should be shut down: the file .shutdown has
// appeared in MailRoot, or a service has failed. Err says which.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err is nil where a stop was asked for, and otherwise the failure that closed
// [Server.Done]. It is valid after that.
func (s *Server) Err() error { return s.err }

// finish closes done, once.
func (s *Server) finish(err error) {
	s.doneOnce.Do(func() {
		s.err = err
		close(s.done)
	})
}

// watch looks for the .shutdown file.
func (s *Server) watch(ctx context.Context) {
	ticker := time.NewTicker(s.config.Poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if _, err := os.Lstat(s.path(shutdownFile)); err == nil {
			s.log.Info("shutdown asked for by " + shutdownFile)
			s.finish(nil)
			return
		}
	}
}

// Reload looks at all tables now, instead of when their files have rested, and
// opens log files anew. It logs what changed, and what is wrong with it.
func (s *Server) Reload(ctx context.Context) error {
	before := map[string]*tabfile.View{}
	for name := range mailroot.Schemas() {
		before[name] = s.root.Store.Table(name)
	}
	changed, err := s.root.Store.Reload(ctx)
	// The store looks at its files by itself as well, perhaps a moment earlier.
	for name, view := range before {
		if s.root.Store.Table(name) != view && !slices.Contains(changed, name) {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	if s.ctrlLog != nil {
		s.ctrlLog.Reopen()
	}
	for _, l := range s.logs {
		l.Reopen()
	}
	s.audit.Reopen()
	if err != nil {
		s.log.Error("reload failed", "err", err)
		return fmt.Errorf("reload: %w", err)
	}
	s.log.Info("reloaded", "changed", changed)
	for _, problem := range s.root.Problems() {
		s.log.Warn("table has a problem", "problem", problem.Error())
	}
	s.warnSettings()
	return nil
}

// warnSettings tells of variables and files whose names are probably mistakes.
func (s *Server) warnSettings() {
	findings, err := check.Settings(s.config.Root)
	if err != nil {
		s.log.Warn("settings cannot be checked", "err", err)
		return
	}
	known := map[tabfile.Error]bool{}
	for _, problem := range s.root.Problems() {
		problem.Msg = "" // the store has told of it, in its own words
		known[problem] = true
	}
	for _, f := range findings {
		if !known[tabfile.Error{File: f.File, Line: f.Line}] {
			s.log.Warn("setting has a problem", "problem", f.String())
		}
	}
}

// Shutdown stops the services. Sessions finish the command that runs; those that
// have not when ctx is done are cut. Every change is on disk when it returns;
// the error says why one is not, or what was left behind. Calls after the first do
// nothing and return what the first returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.shutdownOnce.Do(func() {
		s.log.Info("shutting down")
		// Scripts wait for this file to go away again.
		line := s.config.Clock().Format("Mon, 2 Jan 2006 15:04:05 -0700") + "\n"
		if err := os.WriteFile(s.path(shutdownFile), []byte(line), 0o600); err != nil {
			s.log.Debug("no shutdown file", "err", err)
		}
		s.drain(ctx)
		errs := []error{s.release()}
		if err := os.Remove(s.path(shutdownFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		s.shutdownErr = errors.Join(errs...)
		s.finish(nil)
		s.log.Info("stopped")
	})
	return s.shutdownErr
}

// drain closes the listeners of all services, waits for their sessions, and then for
// the deliveries under way: mail that a session has just taken is perhaps delivered.
func (s *Server) drain(ctx context.Context) {
	var ending sync.WaitGroup
	end := func(what string, shutdown func(context.Context) error) {
		ending.Go(func() {
			if err := shutdown(ctx); err != nil {
				s.log.Warn("sessions were cut", "service", what, "err", err)
			}
		})
	}
	if s.ctrl != nil {
		end("ctrl", s.ctrl.Shutdown)
	}
	if s.mail != nil {
		end("smtp", s.mail.smtp.Shutdown)
		end("pop3", s.mail.pop3.Shutdown)
		end("finger", s.mail.finger.Shutdown)
		end("psync", s.mail.stopLinks)
	}
	ending.Wait()
	if s.mail != nil {
		if err := s.mail.stopDelivery(ctx); err != nil {
			s.log.Error("queue could not be closed", "err", err)
		}
	}
}

// release gives back everything that Start took.
func (s *Server) release() error {
	if s.stop == nil {
		return nil // never started
	}
	s.stop()
	if err := s.listeners.close(); err != nil {
		s.log.Debug("close listeners", "err", err)
	}
	s.running.Wait()
	var errs []error
	if s.mail != nil {
		errs = append(errs, s.mail.close())
	}
	if s.ctrlLog != nil {
		errs = append(errs, s.ctrlLog.Close())
	}
	for _, l := range s.logs {
		errs = append(errs, l.Close())
	}
	if s.audit != nil {
		errs = append(errs, s.audit.Close())
	}
	if s.pid != nil {
		errs = append(errs, s.pid.Remove())
	}
	if s.root != nil {
		errs = append(errs, s.root.Close())
	}
	return errors.Join(errs...)
}

func addrPorts(ls []net.Listener) []netip.AddrPort {
	var all []netip.AddrPort
	for _, l := range ls {
		if a, ok := l.Addr().(*net.TCPAddr); ok {
			a := a.AddrPort()
			all = append(all, netip.AddrPortFrom(a.Addr().Unmap(), a.Port()))
		}
	}
	return all
}
