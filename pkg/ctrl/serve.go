package ctrl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"syscall"
	"time"
)

// Serve accepts connections on l that begin in clear text. It returns when l
// fails for good, when ctx is done, or after [Server.Shutdown] with
// [ErrServerClosed]; l is then closed, and the connections that Serve accepted have
// ended. When ctx is done they are cut; a Shutdown is kinder. ctx is also the
// parent of the contexts that the Handler gets. When no files or memory are left
// for new connections Serve waits and tries again.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return s.serve(ctx, l, false)
}

// ServeTLS is Serve for connections that begin with a TLS handshake.
func (s *Server) ServeTLS(ctx context.Context, l net.Listener) error {
	return s.serve(ctx, l, true)
}

func (s *Server) serve(ctx context.Context, l net.Listener, native bool) error {
	s.once.Do(func() { s.limits = s.Limits.withDefaults() })
	defer l.Close()
	if !s.addListener(l) {
		return ErrServerClosed
	}
	defer s.removeListener(l)
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var conns sync.WaitGroup
	defer conns.Wait()
	backoff := time.Duration(0)
	for {
		nc, err := l.Accept()
		if err == nil {
			backoff = 0
			s.start(ctx, &conns, nc, native)
			continue
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case s.draining.Load():
			return ErrServerClosed
		case !temporary(err):
			return fmt.Errorf("accept control connections on %s: %w", l.Addr(), err)
		}
		backoff = min(max(2*backoff, 5*time.Millisecond), time.Second)
		s.log().Error("control connections cannot be accepted for now", "error", err, "again in", backoff)
		s.pause(ctx, backoff)
	}
}

// temporary reports whether Accept may succeed later, which it may unless the listener
// is lost: when there are no file descriptors or no memory left, or where the system
// tells of what was wrong with one connection (accept(2) of Linux has a list).
func temporary(err error) bool {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno != syscall.EBADF && errno != syscall.EINVAL && errno != syscall.ENOTSOCK
	}
	e, ok := err.(interface{ Temporary() bool })
	return ok && e.Temporary()
}

// pause waits, but not longer than until ctx is done or the server shuts down.
func (s *Server) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-s.stopping():
	}
}

// start serves nc on a goroutine that wg waits for.
func (s *Server) start(ctx context.Context, wg *sync.WaitGroup, nc net.Conn, native bool) {
	c := newConn(s, nc, native)
	ctx, c.cancel = context.WithCancel(ctx)
	if !s.addConn(c) {
		c.cancel()
		nc.Close()
		return
	}
	wg.Go(func() {
		defer s.removeConn(c)
		defer c.cancel()
		// Whoever cancels the context means to cut the connection too.
		stop := context.AfterFunc(ctx, func() { nc.Close() })
		defer stop()
		c.run(ctx)
	})
}

func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	if s.listeners == nil {
		s.listeners = make(map[net.Listener]struct{})
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) removeListener(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

func (s *Server) addConn(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	if s.conns == nil {
		s.conns = make(map[*conn]struct{})
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) removeConn(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if len(s.conns) == 0 && s.ended != nil {
		close(s.ended)
		s.ended = nil
	}
}

// stopping returns a channel that is closed when Shutdown begins.
func (s *Server) stopping() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop == nil {
		s.stop = make(chan struct{})
	}
	return s.stop
}

// Shutdown ends the server. It closes the listeners, ends idle connections and
// uploads that are still arriving (each is told [CodeShutdown]; nothing was
// done), and lets commands that run finish. When ctx is done before all have, their
// contexts are cancelled and their connections cut, and Shutdown returns an
// error that wraps ctx.Err() within a second, whether they ended or not. It may
// be called more than once.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopping() // there is a channel to close
	s.mu.Lock()
	if !s.draining.Swap(true) {
		close(s.stop)
	}
	for l := range s.listeners {
		l.Close()
	}
	for c := range s.conns {
		c.raw.SetReadDeadline(past)
	}
	if len(s.conns) == 0 {
		s.mu.Unlock()
		return nil
	}
	if s.ended == nil {
		s.ended = make(chan struct{})
	}
	ended := s.ended
	s.mu.Unlock()

	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	left := len(s.conns)
	for c := range s.conns {
		c.cancel()
	}
	s.mu.Unlock()
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
	}
	return fmt.Errorf("%d control sessions cut: %w", left, ctx.Err())
}

func (s *Server) logPanic(c *conn, p any) {
	s.log().Error("panic in a control session", "session", c.session.ID, "user", c.session.User,
		"addr", c.session.RemoteAddr, "panic", p, "stack", string(debug.Stack()))
}
