// Package smtpd is the SMTP service: what is spoken with the clients of the ports
// for mail, submission and SMTPS (docs/reference/services.md 1). It holds a
// conversation, and leaves to others what it is about: a Policy decides who may
// send what to whom, a Login who somebody is, a Queue keeps the messages.
//
// go-smtp is the engine. Between it and the network stands the front, which gives
// it one command line at a time.
package smtpd

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/obs"
)

const (
	defaultTimeout    = 90 * time.Second // -St
	defaultRecipients = 100              // -Sr
	defaultPopLife    = 900 * time.Second
	handshakeTime     = 30 * time.Second
	refusalTime       = 30 * time.Second
)

// A Server serves the clients of SMTP. Its fields are not changed once it serves;
// ServeConn and RefuseConn may be called concurrently.
type Server struct {
	Root    *mailroot.Root
	Policy  Policy
	Login   Login
	Queue   Queue
	Filters Filters // nil: none

	// TLS returns the configuration for one handshake. Nil, or an error: there is no
	// TLS at the moment, and STARTTLS is not offered.
	TLS func() (*tls.Config, error)

	Log     *slog.Logger     // nil discards
	SMTPLog *obs.TabLog      // the log of docs/reference/services.md 5.1; nil: none
	Clock   func() time.Time // of headers, dates and logs; nil: time.Now

	Timeout       time.Duration // for the next command; 0: 90 seconds
	DataTimeout   time.Duration // for the next part of a message; 0: Timeout, but at least 90 seconds
	MaxRecipients int           // of one message; 0: 100
	PopLife       time.Duration // how long a POP3 login counts for SMTP; 0: 15 minutes

	// Flush makes waiting messages due, those that the argument of ETRN is for: a
	// pattern of recipients where it has an @, else of their domains. Nil: ETRN is
	// answered as where nothing waits.
	Flush func(ctx context.Context, arg string) error

	buffers buffers
}

func (s *Server) now() time.Time {
	if s.Clock != nil {
		return s.Clock()
	}
	return time.Now()
}

func (s *Server) timeout() time.Duration {
	if s.Timeout > 0 {
		return s.Timeout
	}
	return defaultTimeout
}

func (s *Server) dataTimeout() time.Duration {
	if s.DataTimeout > 0 {
		return s.DataTimeout
	}
	return max(s.timeout(), defaultTimeout)
}

func (s *Server) maxRecipients() int {
	if s.MaxRecipients > 0 {
		return s.MaxRecipients
	}
	return defaultRecipients
}

func (s *Server) popLife() time.Duration {
	if s.PopLife > 0 {
		return s.PopLife
	}
	return defaultPopLife
}

// ServeConn holds the session of a client. It returns when the session is over;
// closing the connection is left to the caller. When ctx is done it ends without
// waiting for anything but the connection, which the caller cuts then.
func (s *Server) ServeConn(ctx context.Context, c Conn) {
	x := &session{server: s, ctx: ctx, conn: c, vars: s.Root.Vars()}
	x.front = &front{x: x, conn: c, net: c}
	if !x.meet() {
		return
	}
	for x.front.serve() {
		x.forget()
		if !x.startTLS() {
			return
		}
	}
}

// RefuseConn tells a client that there are too many sessions. Inside TLS it says
// nothing, since that would take a handshake.
func (s *Server) RefuseConn(c Conn, why error) {
	if c.ImplicitTLS() {
		return
	}
	r := say(421, "4.3.2", identity(s.Root.Vars())+" - Server too busy, retry later")
	c.SetWriteDeadline(time.Now().Add(refusalTime))
	if _, err := c.Write(r.append(nil)); err != nil {
		return // the client has gone
	}
}

// identity is what the server calls itself in greetings and headers. The reference
// names its version there.
func identity(v mailroot.ServerVars) string {
	name := v.Value("ServerIdentity")
	if name == "" {
		return "[ESMTP Server]"
	}
	return "[" + name + " ESMTP Server]"
}

// errorLog takes what go-smtp has to say of errors inside it. That a session is over
// is none: clients leave when they like.
type errorLog struct{ x *session }

func (l errorLog) Printf(format string, v ...any) {
	if slices.Contains(v, any(errOver)) {
		return
	}
	l.x.log().Error("SMTP engine", "err", fmt.Sprintf(format, v...))
}

func (l errorLog) Println(v ...any) {
	l.x.log().Error("SMTP engine", "err", strings.TrimSpace(fmt.Sprintln(v...)))
}
