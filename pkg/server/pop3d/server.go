// Package pop3d serves mailboxes by POP3 (RFC 1939) and POP3S, with the extensions of
// RFC 2449 (CAPA, PIPELINING, RESP-CODES), 2595 (STLS), 3206 (AUTH-RESP-CODE), 5034
// (AUTH) and 6856 (UTF8). docs/reference/services.md section 2 says how the reference
// behaves.
package pop3d

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/xmaild/xmaild/pkg/server/access"
	"github.com/xmaild/xmaild/pkg/server/login"
	"github.com/xmaild/xmaild/pkg/server/mailbox"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/session"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

const (
	// DefaultTimeout is how long a session waits for the next command (-Pt).
	DefaultTimeout = 90 * time.Second

	// DefaultFailureDelay is how long the first failed login of a connection is
	// held back (-Pw).
	DefaultFailureDelay = 5 * time.Second

	maxFailureDelay  = 60 * time.Second // it is doubled up to here
	writeTimeout     = 90 * time.Second // for one piece of a reply
	handshakeTimeout = 30 * time.Second
	lookupTimeout    = 3 * time.Second
)

// A Login says who may log in: a [login.Checker].
type Login interface {
	POP3(ctx context.Context, defaultDomain string, cr login.Credentials) (mailroot.User, error)
	Stands(ctx context.Context, u mailroot.User, cr login.Credentials) bool
	Digests() bool
	ClearTextAllowed(remote netip.Addr, tls bool) bool
	RecordPOP3(u mailroot.User, ip netip.Addr) error
}

// A Log is where logins are written: a log file of package obs.
type Log interface {
	Write(fields ...string) error
}

// A Server serves POP3 sessions. Root, Login and Boxes must be set; no field may be
// changed after the first session.
type Server struct {
	Root  *mailroot.Root
	Login Login
	Boxes *mailbox.Store

	// TLS returns the settings for one handshake; it fails where there is no
	// certificate. Nil: there is no TLS.
	TLS func() (*tls.Config, error)

	Log     *slog.Logger     // nil discards
	POP3Log Log              // the reference's log file; nil: none
	Clock   func() time.Time // for stamps; nil: time.Now

	Timeout      time.Duration // without a command; 0: DefaultTimeout
	FailureDelay time.Duration // of the first failed login of a connection; 0: none
	HangUp       bool          // close the connection after a failed login, at once

	// LocalName returns the host name of an address of this server, "" where it has
	// none. It is asked where POP3Domain is not set. Nil: no address has one.
	LocalName func(ctx context.Context, ip netip.Addr) string

	// FreeMemory returns how many bytes of memory are free, for the variable
	// Pop3MinVirtMemSpace; false where that is not known. Nil: it is not.
	FreeMemory func() (int64, bool)
}

// ServeConn runs a whole session on a connection.
func (s *Server) ServeConn(ctx context.Context, c *session.Conn) {
	x := &pop{Server: s, c: c, conn: c}
	x.in.src = c
	defer x.close() // also where the session panics: others shall get the mailbox
	err := x.run(ctx)
	var broken net.Error
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.As(err, &broken):
		// The client has gone, or did not say anything any more.
	default:
		s.log().Info("a session ended early", "service", "pop3", "session", c.ID(), "address", c.Remote().Addr(), "err", err)
	}
}

// RefuseConn tells a client that there are too many sessions. Inside TLS it costs
// more to say so than to serve: there the connection is just closed.
func (s *Server) RefuseConn(c *session.Conn, _ error) {
	if c.ImplicitTLS() {
		return
	}
	// A client that does not read it need not know.
	_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, _ = io.WriteString(c, "-ERR [SYS/TEMP] Server too busy, retry later\r\n")
}

func (s *Server) log() *slog.Logger {
	if s.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Log
}

func (s *Server) now() time.Time {
	if s.Clock == nil {
		return time.Now()
	}
	return s.Clock()
}

func (s *Server) timeout() time.Duration {
	if s.Timeout <= 0 {
		return DefaultTimeout
	}
	return s.Timeout
}

// allows reports whether pop3.ipmap.tab lets an address in.
func (s *Server) allows(ip netip.Addr) bool {
	var rows []tabfile.Row
	for _, n := range s.Root.IPMap("pop3").Matching(ip) {
		rows = append(rows, n.Row)
	}
	verdict := access.NewIPMap(mailroot.POP3MapTab, slices.Values(rows)).Decide(ip, s.Root.Now())
	if !verdict.Allow {
		s.log().Info("client refused", "service", "pop3", "address", ip, "reason", verdict.Reason)
	}
	return verdict.Allow
}

// lacksMemory reports whether less memory is free than Pop3MinVirtMemSpace wants.
func (s *Server) lacksMemory() bool {
	least := s.Root.Vars().Number("Pop3MinVirtMemSpace")
	if least <= 0 || s.FreeMemory == nil {
		return false
	}
	free, known := s.FreeMemory()
	return known && free < int64(least)<<10
}

// offersTLS returns the settings for a handshake, nil where TLS is off or not possible.
func (s *Server) offersTLS() *tls.Config {
	if s.TLS == nil {
		return nil
	}
	config, err := s.TLS()
	if err != nil {
		s.log().Warn("no TLS", "service", "pop3", "err", err)
		return nil
	}
	return config
}

// domain returns the default domain of a connection, and the name of the address
// that the client has connected to: POP3Domain, else the longest part of the name
// that is a domain of this server, or all of the name, else RootDomain.
func (s *Server) domain(ctx context.Context, local netip.Addr) (domain, name string) {
	vars := s.Root.Vars()
	if domain = vars.String("POP3Domain"); domain != "" {
		return domain, ""
	}
	if s.LocalName != nil {
		ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
		defer cancel()
		name = s.LocalName(ctx, local)
	}
	for part := name; part != ""; part = parent(part) {
		if s.Root.Handled(part) {
			return part, name
		}
	}
	if name != "" {
		return name, name
	}
	return vars.String("RootDomain"), ""
}

// parent returns a domain without its first label.
func parent(domain string) string {
	for i := range len(domain) {
		if domain[i] == '.' {
			return domain[i+1:]
		}
	}
	return ""
}
