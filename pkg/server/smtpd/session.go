package smtpd

import (
	"context"
	"crypto/tls"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/login"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/policy"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// A session is what is known of a client, and what it has said so far. It belongs
// to the goroutine of its front.
type session struct {
	server *Server
	ctx    context.Context
	conn   Conn
	front  *front

	vars     mailroot.ServerVars // as the connection found them
	identity string              // of the server
	name     string              // the server's, in greeting and headers
	domain   string              // the server's, in replies to HELO
	client   policy.Client       // outlives STARTTLS, as the client's address does
	profile  profile

	secure bool // inside TLS
	helo   string
	esmtp  bool
	authed bool           // by AUTH
	who    login.Identity // by AUTH, or a POP3 login before
	known  bool           // who is somebody
	limit  int64          // octets of a message; 0: any
	tx     *transaction
}

// A transaction is a message that a client begins to send.
type transaction struct {
	id    string
	line  string // the MAIL command
	from  address.Path
	size  int64
	opts  smtp.MailOptions
	began time.Time
	to    address.Path // of the RCPT at hand
	rcpt  string       // the last recipient that was named, for the log
	rcpts []spool.Recipient
	draft *spool.Draft
}

// log returns where to tell about the session.
func (x *session) log() *slog.Logger {
	if x.server.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return x.server.Log.With("session", x.conn.ID(), "address", x.conn.Remote().Addr())
}

// meet finds out whom it is about, and greets or refuses. It reports whether the
// session goes on.
func (x *session) meet() bool {
	// Tables are asked before the handshake, which costs more than a refusal.
	x.client = x.server.Policy.Client(x.ctx, x.conn.Remote(), x.conn.Local())
	x.settings()
	if refusal := x.client.Refuse; refusal != nil {
		x.log().Debug("SMTP client refused", "reason", x.client.Reason)
		if r := x.policyReply(refusal); !x.conn.ImplicitTLS() {
			x.front.finish(r)
		}
		return false
	}
	if x.conn.ImplicitTLS() && !x.startTLS() {
		return false
	}
	x.front.send(x.greeting())
	x.front.flush()
	return true
}

// settings takes note of what the variables say for this client.
func (x *session) settings() {
	x.identity = identity(x.vars)
	x.name = x.client.Domain
	for _, name := range []string{x.vars.String("RootDomain"), "localhost"} {
		if x.name == "" {
			x.name = name
		}
	}
	if x.domain = x.vars.String("RootDomain"); x.domain == "" {
		x.domain = x.name
	}
	x.profile = profileOf(x.vars, x.conn.Local())
	x.limit = int64(x.vars.Number("MaxMessageSize")) << 10
}

// forget forgets everything that the client said, before TLS begins (RFC 3207 4.2).
func (x *session) forget() {
	x.helo, x.esmtp, x.authed, x.known, x.who, x.tx = "", false, false, false, login.Identity{}, nil
	x.conn.SetUser("")
	x.limit = int64(x.vars.Number("MaxMessageSize")) << 10
}

// greeting is the first line. Its positions are those of the reference, whose
// timestamp is here as hard to guess as a challenge is.
func (x *session) greeting() reply {
	return say(220, "", strings.Join([]string{x.name, auth.Challenge(x.name), x.identity, "service ready;", date(x.server.now())}, " "))
}

// date is the time as headers have it (RFC 5322 3.3).
func date(t time.Time) string { return t.Format("Mon, 2 Jan 2006 15:04:05 -0700") }

// tlsConfig returns the configuration for STARTTLS. Nil: it is not to be had.
func (x *session) tlsConfig() *tls.Config {
	if x.secure || x.server.TLS == nil || !x.vars.On("EnableSMTP-TLS") {
		return nil
	}
	config, err := x.server.TLS()
	if err != nil {
		return nil // told by whoever looks after the certificates
	}
	return config
}

// startTLS does the handshake. Without it the session cannot go on.
func (x *session) startTLS() bool {
	if x.server.TLS == nil {
		return false
	}
	config, err := x.server.TLS()
	if err == nil {
		err = x.front.handshake(config)
	}
	if err != nil {
		x.record("SMTP=ESSL", 0)
		x.log().Debug("TLS handshake failed", "service", "smtp", "err", err)
		return false
	}
	x.secure = true
	return true
}

// may reports whether the client has one of the permissions of
// docs/reference/services.md 1.14.
func (x *session) may(letter string) bool { return x.known && strings.Contains(x.who.Perms, letter) }

// grant gives the client the rights of somebody.
func (x *session) grant(who login.Identity) {
	x.known, x.who = true, who
	if x.may("Z") {
		x.limit = 0
	}
	if who.MaxMessage >= 0 {
		x.limit = who.MaxMessage
	}
	user := who.Address()
	if user == "" {
		user = who.Name
	}
	x.conn.SetUser(user)
}

// facts are what the Policy is to know of the session.
func (x *session) facts() policy.Session {
	s := policy.Session{TLS: x.secure, MailAuth: x.profile.mailAuth, WantTLS: x.profile.wantTLS}
	if x.known {
		s.Login, s.Account, s.Perms = x.who.Name, x.who.Address(), x.who.Perms
	}
	if x.tx != nil {
		s.From, s.Size = x.tx.from, x.tx.size
	}
	return s
}

// drop ends a transaction.
func (x *session) drop() {
	if x.tx != nil && x.tx.draft != nil {
		x.tx.draft.Abort()
	}
	x.tx = nil
}

// policyReply records what a Policy has to say, and returns it as it is said.
func (x *session) policyReply(r *policy.Reply) *reply {
	x.record(r.Log, 0)
	out := say(r.Code, r.Enhanced, r.Text)
	out.hangUp = r.Code == 421
	return &out
}

func formatInt(n int64) string { return strconv.FormatInt(n, 10) }
