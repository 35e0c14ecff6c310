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
	"github.com/xmaild/xmaild/pkg/server/certs"
	"github.com/xmaild/xmaild/pkg/server/check"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/obs"
	"github.com/xmaild/xmaild/pkg/server/pidfile"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// shutdownFile asks a running server to stop when it appears in MailRoot, and
// is gone when the server has stopped.
const shutdownFile = ".shutdown"

// A Server is one running server. Its methods are safe for concurrent use.
type Server struct {
	config Config
	log    *slog.Logger

	root    *mailroot.Root
	certs   *certs.Store
	ctrl    *ctrl.Server
	ctrlLog *obs.CtrlLog // nil: none
	audit   *obs.Audit
	pid     *pidfile.File // nil: none

	ctrlListeners, ctrlsListeners []net.Listener

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
	if err := s.openRoot(ctx); err != nil {
		return err
	}
	// Only now, holding the lock, is the file ours to remove.
	if err := os.Remove(s.path(shutdownFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the shutdown request of before: %w", err)
	}
	if s.config.PIDFile != "" {
		var note string
		if s.pid, note, err = pidfile.Write(s.config.PIDFile, s.config.Root); err != nil {
			return fmt.Errorf("pid file: %w", err)
		}
		if note != "" {
			s.log.Info(note)
		}
	}
	if err := s.startCtrl(ctx, running); err != nil {
		return err
	}
	if err := s.root.Announce(strings.Fields(addrs(s.ctrlListeners) + " " + addrs(s.ctrlsListeners))...); err != nil {
		return fmt.Errorf("lock file: %w", err)
	}
	s.warnSettings()
	s.running.Go(func() { s.watch(running) })
	s.running.Go(func() { s.sweep(running) })
	s.running.Go(func() { s.certs.Watch(running) })
	s.log.Info("serving", "version", s.config.Version, "root", s.config.Root,
		"ctrl", addrs(s.ctrlListeners), "ctrls", addrs(s.ctrlsListeners), "pid", os.Getpid())
	return nil
}

func (s *Server) openRoot(ctx context.Context) error {
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
	s.root, err = mailroot.Open(ctx, dir, mailroot.Options{Log: s.log, Clock: s.config.Clock})
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
func (s *Server) CtrlAddrs() []netip.AddrPort { return addrPorts(s.ctrlListeners) }

// CtrlsAddrs are the addresses of the control port inside TLS.
func (s *Server) CtrlsAddrs() []netip.AddrPort { return addrPorts(s.ctrlsListeners) }

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
		if s.ctrl != nil {
			if err := s.ctrl.Shutdown(ctx); err != nil {
				s.log.Warn("control sessions were cut", "err", err)
			}
		}
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

// release gives back everything that Start took.
func (s *Server) release() error {
	if s.stop == nil {
		return nil // never started
	}
	s.stop()
	for _, l := range append(s.ctrlListeners, s.ctrlsListeners...) {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			s.log.Debug("close a listener", "err", err)
		}
	}
	s.running.Wait()
	var errs []error
	if s.ctrlLog != nil {
		errs = append(errs, s.ctrlLog.Close())
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
