package ctrl

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// ErrServerClosed is returned by [Server.Serve] and [Server.ServeTLS] after [Server.Shutdown].
var ErrServerClosed = errors.New("ctrl: server closed")

// A Server serves the control protocol. Handler and Authenticator must be set, the
// other fields may be zero; none may be changed after the first Serve. One Server may serve
// several listeners; limits and counts are common to them. The functions in the fields
// are called by several goroutines at once.
type Server struct {
	Handler       Handler
	Authenticator Authenticator

	// Allow decides on an address before the greeting: an *Error is the reply that
	// refuses it, any other error is CodeNotAllowed. The address is never IPv4-mapped
	// and has no zone. Nil allows all.
	Allow func(netip.Addr) error

	// TLSConfig is called for each handshake, so that a new certificate counts at once.
	// An error is logged and refused with CodeTLSSetup (an *Error as it is). Nil means
	// that there is no TLS. Versions below 1.2 are never spoken.
	TLSConfig func() (*tls.Config, error)

	// TLSEnabled reports whether clients may ask for TLS with #!TLS (else
	// CodeTLSOff); nil stands for true. It has no say on ServeTLS.
	TLSEnabled func() bool

	// RequireTLS reports whether a password in clear from this address is refused with
	// CodeTLSRequired where there is no TLS. It is refused unseen, but it has then been on the
	// wire. A digest is not clear text. Nil requires nothing.
	RequireTLS func(netip.Addr) bool

	// Product is the name and version after "XMail 1.27 CTRL Server" in the greeting;
	// "xmaild" where empty. It is cut where the greeting would be longer than 128 bytes.
	Product string

	Limits Limits

	LoginLog   func(LoginEvent)   // called before the reply is sent; nil: none
	CommandLog func(CommandEvent) // called after the reply is complete; nil: none
	Log        *slog.Logger       // refused logins, blocked addresses, failures; nil discards

	// Clock is the time of greetings, events and blocked addresses; nil is time.Now.
	// Time-outs are always of the real clock.
	Clock func() time.Time

	once     sync.Once
	limits   Limits
	counts   sessionCounts
	failures failureCounts
	nextID   atomic.Uint64
	draining atomic.Bool

	mu        sync.Mutex
	closed    bool
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	wg        sync.WaitGroup // of connections
}

// Serve accepts connections on l that begin in clear text. It returns when l
// fails for good, when ctx is done, or after [Server.Shutdown] with
// [ErrServerClosed]; l is then closed, and the connections that Serve accepted have
// ended. When ctx is done they are cut; a Shutdown is kinder. ctx is also the parent of the
// contexts that the Handler gets. When no files are left for new connections
// Serve waits and tries again.
func (s *Server) Serve(ctx context.Context, l net.Listener) error { return s.serve(ctx, l, false) }

// ServeTLS is Serve for connections that begin with a TLS handshake.
func (s *Server) ServeTLS(ctx context.Context, l net.Listener) error { return s.serve(ctx, l, true) }

// Shutdown ends the server. It closes the listeners, ends idle connections and
// uploads that are still arriving (each is told CodeShutdown; nothing was done), and lets commands that
// run finish. When ctx is done before all have, their contexts are cancelled and
// their connections cut, and Shutdown returns an error that wraps ctx.Err() within
// a second, whether they ended or not. It may be called more than once.
func (s *Server) Shutdown(ctx context.Context) error { return s.shutdown(ctx) }
