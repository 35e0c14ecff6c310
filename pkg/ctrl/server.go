package ctrl

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/xmaild/xmaild/pkg/limit"
)

// ErrServerClosed is returned by [Server.Serve] and [Server.ServeTLS] after
// [Server.Shutdown].
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
	// CodeTLSRequired where there is no TLS. It is refused unseen, but it has then
	// been on the wire. A digest is not clear text. Nil requires nothing.
	RequireTLS func(netip.Addr) bool

	// Product is the name and version after "XMail 1.27 CTRL Server" in the greeting;
	// "xmaild" where empty. It is cut where the greeting would be longer than 128 bytes.
	Product string

	// Track is told of each session that is let in, before its greeting, and by the
	// function that it returns of each change: after a login, inside TLS. done says
	// that the session is over, which is said once. end ends the session, soon after
	// it returns: idle it is told CodeShutdown, a command that runs may finish, and
	// after ten seconds the connection is cut. Nil: nobody is told.
	Track func(s Session, end func()) (changed func(s Session, done bool))

	Limits Limits

	LoginLog   func(LoginEvent)   // called before the reply is sent; nil: none
	CommandLog func(CommandEvent) // called after the reply is complete; nil: none
	Log        *slog.Logger       // failed logins, blocked addresses, full house, trouble; nil discards

	// Clock is the time of greetings, events and blocked addresses; nil is time.Now.
	// Time-outs are always of the real clock.
	Clock func() time.Time

	once     sync.Once
	limits   Limits // with defaults
	counts   limit.Sessions
	failures limit.Failures
	crowded  limit.Reports // of reports of too many sessions
	refusing atomic.Int32  // connections being refused
	nextID   atomic.Uint64
	draining atomic.Bool

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	stop      chan struct{} // closed when draining begins
	ended     chan struct{} // closed when the last connection has ended
}
