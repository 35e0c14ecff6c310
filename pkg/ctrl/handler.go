package ctrl

import (
	"context"
	"crypto/tls"
	"net/netip"
	"time"
)

// A Handler answers commands. ServeCtrl is called for one command of a session
// at a time, and for several sessions at once. The context ends when the server
// gives up waiting at the end of [Server.Shutdown]; it does not end when the client
// leaves. The server answers itself: lines without a command ([CodeCommand]) and
// "quit" without arguments. A panic is logged, answered by [CodeInternal], and
// ends the session only.
type Handler interface {
	ServeCtrl(ctx context.Context, req *Request) Reply
}

// A Pipeliner is a [Handler] that may work on several commands of a session at a time,
// where the client has sent them without waiting for the replies. Replies go out in
// order all the same.
type Pipeliner interface {
	Handler

	// Begin begins a command while those of the session that were begun before may not
	// have ended, and returns what waits for its reply. It is as if ServeCtrl were called
	// after them. Nil says that nothing was done, and that ServeCtrl is to be called when
	// they have ended; first says that there are none. The Request's Session is not
	// changed by what is begun.
	Begin(ctx context.Context, req *Request, first bool) (wait func() Reply)
}

// A HandlerFunc is a function as a [Handler].
type HandlerFunc func(ctx context.Context, req *Request) Reply

// ServeCtrl calls f.
func (f HandlerFunc) ServeCtrl(ctx context.Context, req *Request) Reply { return f(ctx, req) }

// A Request is one command line. Args are bytes, mostly UTF-8; they hold neither
// TAB, LF nor NUL, but possibly other control characters.
type Request struct {
	Command string   // in lower case (ASCII)
	Args    []string // without the command
	Session *Session
}

// A Session is one logged-in connection. It is the same value for all of its
// requests and must not be changed, but for Value.
type Session struct {
	ID         uint64 // of this connection in this server, from 1
	User       string // as the client wrote it
	RemoteAddr netip.AddrPort
	LocalAddr  netip.AddrPort
	TLS        *tls.ConnectionState // nil in clear text
	Start      time.Time            // when the connection was accepted

	// Value is the Handler's own: what it keeps of a session from one command to the
	// next. It goes when the session ends.
	Value any
}

// An Authenticator decides on logins. It is called for existing names and others
// alike, and takes about the same time for both. It is called by many sessions at
// once. It returns nil for a good login. A refusal is [ErrLogin] or any error that
// is not an [*Error]: the client sees [CodeLogin], the attempt counts against the
// address. An [*Error] of another code is sent as it is and does not count; it is
// for trouble of the server's own, such as [CodeNoAccountsTable].
type Authenticator interface {
	Authenticate(ctx context.Context, login Login) error
}

// An AuthenticatorFunc is a function as an [Authenticator].
type AuthenticatorFunc func(ctx context.Context, login Login) error

// Authenticate calls f.
func (f AuthenticatorFunc) Authenticate(ctx context.Context, login Login) error {
	return f(ctx, login)
}

// ErrLogin is the refusal of a login.
var ErrLogin error = &Error{Code: CodeLogin}

// A Login is what a client sent to log in: a password in clear, or the digest of one.
type Login struct {
	User      string
	Password  string // clear text; "" where there is a digest
	MD5       bool   // a digest was sent
	Digest    string // as sent, without the "#"
	Timestamp string // of the greeting, with its < and >
	Remote    netip.AddrPort
	TLS       *tls.ConnectionState // nil in clear text
}

// String keeps secrets out of logs: a Login prints as user and address.
func (l Login) String() string { return l.User + "@" + l.Remote.String() }

// A LoginEvent is a step of a login: two a login, LoginRequest before it is
// checked and then one of the others. It has no password.
type LoginEvent struct {
	Time   time.Time
	Remote netip.AddrPort
	User   string
	Status LoginStatus
	Err    error // why it failed, for logs; nil unless LoginFailed
}

// A LoginStatus is the word of the reference's login log.
type LoginStatus string

// The words of the reference's login log.
const (
	LoginRequest LoginStatus = "REQ"
	LoginOK      LoginStatus = "AUTH"
	LoginFailed  LoginStatus = "FAIL"
)

// A CommandEvent is one answered command. Args are those of the request, secrets
// and all: whoever writes them anywhere masks them (commands.Mask does).
type CommandEvent struct {
	Request  *Request
	Code     Code          // CodeOK unless refused
	Text     string        // of the reply
	Uploaded int           // bytes of the upload, if there was one
	Err      error         // why a list or an upload broke off
	Duration time.Duration // from the complete line to the complete reply
}
