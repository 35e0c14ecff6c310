package ctrl

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"iter"
	"net"
	"time"
)

// A TLSMode says when a connection goes under TLS.
type TLSMode int

const (
	TLSNone    TLSMode = iota // never
	TLSUpgrade                // by #!TLS after the greeting, before the login
	TLSNative                 // from the first byte
)

// Ports that servers listen on unless told otherwise.
const (
	DefaultPort    = "6017" // clear text, and TLS by upgrade
	DefaultPortTLS = "6018" // TLS from the first byte
)

// A Dialer connects to a server and logs in.
type Dialer struct {
	User     string
	Password string

	TLS TLSMode
	// TLSConfig is used as the caller gives it, except that an empty ServerName is
	// the host of the address. Nil verifies the server against the system's roots.
	TLSConfig *tls.Config

	// ClearText sends the password itself and not a digest of it. Without it, it
	// is sent in clear only where the server offers no digest and the connection is
	// under TLS with the server's certificate verified; elsewhere that is ErrNoDigest.
	ClearText bool

	// Timeout bounds each wait for the network: a connection, a handshake, a line, a
	// buffer written. 0 is 90 seconds, negative is none. What the server takes to run a
	// command is such a wait.
	Timeout time.Duration

	// DialContext makes the connection; nil uses a net.Dialer.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
}

// Dial is a [Dialer] without TLS: address is "host", "host:port", an IP address,
// or "[IPv6]:port".
func Dial(ctx context.Context, address, user, password string) (*Client, error) {
	d := Dialer{User: user, Password: password}
	return d.Dial(ctx, address)
}

// Dial connects to address, goes under TLS as the Dialer says, and logs in. An
// address without a port has the default port of the TLS mode. ctx is for Dial alone.
//
// Errors: of the network as they come from package net; [*TLSError];
// [*Error] for a greeting or a #!TLS that was refused; [*LoginError]; [*ProtocolError];
// [*ArgError] for a user or password that no line can hold (before connecting); [ErrNoDigest].
func (d *Dialer) Dial(ctx context.Context, address string) (*Client, error) {
	return d.dial(ctx, address)
}

// ErrNoDigest says that the server's greeting has nothing to make a digest from,
// and that sending the password in clear was not asked for.
var ErrNoDigest = errors.New("the server offers no digest login; the password was not sent in clear")

// ErrBusy says that a reply has a list that was not read or an upload that was not made.
var ErrBusy = errors.New("the reply before was not finished")

// A LoginError is a refused login.
type LoginError struct{ Err *Error }

func (e *LoginError) Error() string { return "login refused: " + e.Err.Error() }
func (e *LoginError) Unwrap() error { return e.Err }

// A TLSError is a TLS handshake that failed, or a certificate that was not accepted.
type TLSError struct{ Err error }

func (e *TLSError) Error() string { return "TLS handshake: " + e.Err.Error() }
func (e *TLSError) Unwrap() error { return e.Err }

// A ProtocolError is a reply that is none.
type ProtocolError struct{ Line string }

// An UnknownOutcomeError says that the connection failed after a command, or the end of
// an upload, was sent and before its reply was read: it may have been done or not.
type UnknownOutcomeError struct {
	Command string // the command word
	Err     error  // what failed
}

func (e *UnknownOutcomeError) Error() string {
	return e.Command + ": outcome unknown: " + e.Err.Error()
}
func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// A CutError says that a list broke off before its end: what was read is
// part of it.
type CutError struct{ Err error }

func (e *CutError) Error() string { return "list cut short: " + e.Err.Error() }
func (e *CutError) Unwrap() error { return e.Err }

// A Client is a logged-in connection. It is for one goroutine at a time, Close apart.
// After an error that is not an [*Error] of a command, [ErrBusy] or an [*ArgError], the connection is no
// good any more: close it.
type Client struct {
	*clientConn
}

// A Response is a reply that is not a refusal.
type Response struct {
	Status Status
	Text   string

	client *Client
	ctx    context.Context
	done   bool
	err    error
	cmd    string
}

// Greeting returns the server's greeting line without its end.
func (c *Client) Greeting() string { return c.greeting }

// ConnectionState returns the state of TLS, and nil in clear text.
func (c *Client) ConnectionState() *tls.ConnectionState { return c.tlsState() }

// Do sends a command and returns the reply to it, or an [*Error] when it is a refusal. A reply with StatusList or StatusData must
// be finished (see [Response.Lines], [Response.Upload]) before the next Do, which else is ErrBusy.
// ctx is for the whole reply: when it is done the connection is cut.
//
// Errors: [*Error], [*ArgError] (nothing was sent), [*UnknownOutcomeError], [ErrBusy],
// and others, where nothing was done.
func (c *Client) Do(ctx context.Context, args ...string) (*Response, error) { return c.do(ctx, args) }

// List runs a command and returns the lines of its list; it is for lists that
// fit in memory. A reply without a list has no lines.
func (c *Client) List(ctx context.Context, args ...string) ([]string, error) {
	return c.listAll(ctx, args)
}

// Upload runs a command that takes an upload. All of r is read and
// checked before anything is sent: a line longer than the server takes (64 KiB; 2043 bytes where it
// is XMail itself) and a NUL byte are an [*UploadError]. Lines may end in LF or CR LF. Without a
// byte in r the file is removed: that is the protocol. A reply other than StatusData is
// the command done without the upload, which is [ErrNoUpload].
func (c *Client) Upload(ctx context.Context, r io.Reader, args ...string) error {
	return c.uploadAll(ctx, r, args)
}

// ErrNoUpload says that a command was done without asking for the upload that was meant for it.
var ErrNoUpload = errors.New("the command took no upload")

// An UploadError is content that cannot be uploaded. Nothing was changed by it.
type UploadError struct {
	Line int // from 1; 0 where reading failed
	Err  error
}

// Lines returns the lines of a list, without their ends and their dot-stuffing. They are read from the network as the
// loop goes on. A list that breaks off ends with a [*CutError]. Lines can be ranged over once; leaving the
// loop early closes the connection, since the rest would have to be read.
func (r *Response) Lines() iter.Seq2[string, error] { return r.lines() }

// Rows is [Response.Lines] with each line split into its fields. A value that
// holds a double quote comes unescaped in lists and is taken whole where that is
// possible: a field ends at a quote before a TAB or the end of the line.
func (r *Response) Rows() iter.Seq2[[]string, error] { return r.rows() }

// Upload sends the content that a reply with StatusData asks for and returns the error of the reply that follows.
// Unlike [Client.Upload] it sends while it reads; where the content turns out to be bad, or reading
// it fails, the connection is closed, and a server of this project changes nothing. (XMail
// 1.27 takes what it has got: use Client.Upload with it.)
func (r *Response) Upload(content io.Reader) error { return r.upload(content) }

// Quit ends the session and closes the connection.
func (c *Client) Quit() error { return c.quit() }

// Close closes the connection without a word. It may be called at any time.
func (c *Client) Close() error { return c.close() }

// SplitRow returns the fields of a list row.
func SplitRow(line string) []string { return splitRow(line) }

// Digest returns what a client sends in place of its password, without the "#": the
// hexadecimal MD5 of the greeting's timestamp (with its < and >) and the password.
func Digest(timestamp, password string) string { return digest(timestamp, password) }
