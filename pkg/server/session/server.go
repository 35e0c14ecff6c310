package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/xmaild/xmaild/pkg/limit"
)

const (
	// lingerTime is how long the input of a connection that ends is thrown away, so
	// that the kernel does not throw away the last reply because of it.
	lingerTime = 2 * time.Second
	// shortLinger is the same where the server ends, or never let the client in.
	shortLinger = 200 * time.Millisecond
	// refusalTime is how long a refusal may take.
	refusalTime = 5 * time.Second
	// maxRefusing is how many connections at a time are refused with a word.
	maxRefusing = 64
)

// A Server accepts the connections of one service on any number of listeners,
// limits them, and hands each to Handle in its own goroutine. Name and Handle
// must be set; no field may be changed after the first Serve.
type Server struct {
	Name string // "smtp", "pop3", "finger"

	// Handle runs a session and returns when it is over; the connection is closed
	// then. Its context is done when the connection has been cut. A panic ends this
	// session only, and is logged.
	Handle func(ctx context.Context, c *Conn)

	// Refuse tells a client why it is not let in: ErrTooMany or ErrTooManyOfAddress.
	// It has five seconds. Nil: the connection is closed without a word, and that is
	// what happens also where many are refused at once.
	Refuse func(c *Conn, why error)

	// Limits returns how many sessions there may be at a time, in all and for one
	// address; 0: any number. An IPv6 address counts as its /64. It is asked for
	// each connection. Nil: no limits.
	Limits func() (all, perAddress int)

	Registry *Registry    // lists the sessions; nil: one of its own
	Log      *slog.Logger // nil discards

	once     sync.Once
	counts   limit.Sessions
	crowded  limit.Reports
	refusing atomic.Int32
	draining atomic.Bool

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*Conn]struct{}
	stop      chan struct{} // closed when draining begins
	ended     chan struct{} // closed when the last connection has ended; nil while nobody waits
}

func (s *Server) setUp() {
	s.once.Do(func() {
		if s.Registry == nil {
			s.Registry = NewRegistry(nil)
		}
		if s.Log == nil {
			s.Log = slog.New(slog.DiscardHandler)
		}
		s.listeners = make(map[net.Listener]struct{})
		s.conns = make(map[*Conn]struct{})
		s.stop = make(chan struct{})
	})
}

// Serve accepts connections on l until [Server.Shutdown], and returns
// [ErrServerClosed] then; other errors are those of ctx, or of l. l is closed,
// and the connections that Serve accepted have ended, when it returns. When ctx
// is done they are cut. When no files or memory are left for new connections Serve
// waits and tries again. implicitTLS says that clients begin with a TLS handshake:
// sessions are told by [Conn.ImplicitTLS].
func (s *Server) Serve(ctx context.Context, l net.Listener, implicitTLS bool) error {
	s.setUp()
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
			s.start(ctx, &conns, nc, implicitTLS)
			continue
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case s.draining.Load():
			return ErrServerClosed
		case !temporary(err):
			return fmt.Errorf("accept %s connections on %s: %w", s.Name, l.Addr(), err)
		}
		backoff = min(max(2*backoff, 5*time.Millisecond), time.Second)
		s.Log.Error("connections cannot be accepted for now", "service", s.Name, "err", err, "again in", backoff)
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
	case <-s.stop:
	}
}

// start serves nc on a goroutine that wg waits for.
func (s *Server) start(ctx context.Context, wg *sync.WaitGroup, nc net.Conn, implicitTLS bool) {
	c := NewConn(nc, s.Name, implicitTLS)
	c.started = s.Registry.clock()
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
		defer nc.Close()
		s.run(ctx, c)
	})
}

// run is the life of a connection but for the closing of it.
func (s *Server) run(ctx context.Context, c *Conn) {
	all, perAddress := 0, 0
	if s.Limits != nil {
		all, perAddress = s.Limits()
	}
	if err := s.counts.Add(c.remote.Addr(), all, perAddress); err != nil {
		s.refuse(c, err)
		return
	}
	defer s.counts.Remove(c.remote.Addr())
	s.handle(ctx, c)
	if c.Ending() {
		linger(c, shortLinger)
	} else {
		linger(c, lingerTime)
	}
}

// handle runs Handle on a session that is listed meanwhile.
func (s *Server) handle(ctx context.Context, c *Conn) {
	c.id = s.Registry.Add(c)
	defer c.over()
	defer s.Registry.Remove(c.id)
	defer s.recover(c)
	s.Handle(ctx, c)
}

func (s *Server) refuse(c *Conn, why error) {
	if held, ok := s.crowded.Pass(time.Now(), time.Minute); ok {
		s.Log.Warn("client refused: "+why.Error(), "service", s.Name, "address", c.remote.Addr(), "others", held)
	}
	defer s.refusing.Add(-1)
	if s.refusing.Add(1) > maxRefusing || s.Refuse == nil {
		return
	}
	defer s.recover(c)
	c.SetDeadline(time.Now().Add(refusalTime))
	s.Refuse(c, why)
	linger(c, shortLinger)
}

func (s *Server) recover(c *Conn) {
	if p := recover(); p != nil {
		s.Log.Error("panic in a session", "service", s.Name, "session", c.id, "address", c.remote.String(),
			"panic", p, "stack", string(debug.Stack()))
	}
}

// linger ends what is sent, and reads until the client has read it and closes,
// or until time is up.
func linger(c *Conn, d time.Duration) {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.Conn.SetReadDeadline(time.Now().Add(d))
	var waste [512]byte
	for {
		if _, err := c.Conn.Read(waste[:]); err != nil {
			return
		}
	}
}

func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) removeListener(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

func (s *Server) addConn(c *Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) removeConn(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if len(s.conns) == 0 && s.ended != nil {
		close(s.ended)
		s.ended = nil
	}
}

// Shutdown ends the server. It closes the listeners, wakes idle sessions, and
// lets those at work finish their command. When ctx is done before all have, the
// rest are cut, and Shutdown returns an error that wraps ctx.Err() within a
// second, whether they ended or not. It may be called more than once.
func (s *Server) Shutdown(ctx context.Context) error {
	s.setUp()
	s.mu.Lock()
	if !s.draining.Swap(true) {
		close(s.stop)
	}
	for l := range s.listeners {
		l.Close()
	}
	for c := range s.conns {
		c.drain()
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
	return fmt.Errorf("%d %s sessions cut: %w", left, s.Name, ctx.Err())
}
