package ctrl

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
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
	// buffer written. 0 is 90 seconds, negative is none. What the server takes to run
	// a command is such a wait.
	Timeout time.Duration

	// DialContext makes the connection; nil uses a net.Dialer.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
}

// ErrNoDigest says that the server's greeting has nothing to make a digest from,
// and that sending the password in clear was not asked for.
var ErrNoDigest = errors.New("the server offers no digest login; the password was not sent in clear")

// A LoginError is a refused login.
type LoginError struct{ Err *Error }

func (e *LoginError) Error() string { return "cannot log in: " + e.Err.Error() }
func (e *LoginError) Unwrap() error { return e.Err }

// A TLSError is a TLS handshake that failed, or a certificate that was not accepted.
type TLSError struct{ Err error }

func (e *TLSError) Error() string { return "TLS handshake: " + e.Err.Error() }
func (e *TLSError) Unwrap() error { return e.Err }

// Dial connects with a [Dialer] that has nothing but a user and a password set.
func Dial(ctx context.Context, address, user, password string) (*Client, error) {
	d := Dialer{User: user, Password: password}
	return d.Dial(ctx, address)
}

// Dial connects to address, goes under TLS as the Dialer says, and logs in. The
// address is "host", "host:port", an IP address of either family, or "[IPv6]:port";
// without a port it has the default port of the TLS mode. ctx is for Dial alone.
//
// Errors: of the network, as they come from package net; [*TLSError]; [*Error] for
// a refused greeting or #!TLS; [*LoginError]; [*ProtocolError]; [ErrNoDigest];
// and, before anything is sent, [*ArgError] for a user name or password that no
// line can hold.
func (d *Dialer) Dial(ctx context.Context, address string) (*Client, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	host, port := splitAddress(address)
	if port == "" {
		port = DefaultPort
		if d.TLS == TLSNative {
			port = DefaultPortTLS
		}
	}
	c := &Client{ctx: ctx, timeout: d.Timeout}
	switch {
	case c.timeout == 0:
		c.timeout = 90 * time.Second
	case c.timeout < 0:
		c.timeout = 1 << 62
	}
	dial := d.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	dctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	nc, err := dial(dctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	c.raw, c.nc = nc, nc
	c.r.src = readerFunc(c.read)
	stop := c.watch(ctx)
	defer stop()
	if err := c.open(d, host); err != nil {
		nc.Close()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("connect to %s: %w", address, ctx.Err())
		}
		return nil, err
	}
	return c, nil
}

// check returns an error for what no login line can hold.
func (d *Dialer) check() error {
	if _, err := d.loginLine("", d.ClearText); err != nil {
		return err
	}
	if d.User == "" {
		return &ArgError{Name: "user name", Reason: "is empty"}
	}
	return nil
}

// loginLine returns the login line for a greeting with that timestamp.
func (d *Dialer) loginLine(timestamp string, clear bool) (string, error) {
	password := "#" + Digest(timestamp, d.Password)
	if clear {
		if strings.HasPrefix(d.Password, "#") {
			return "", &ArgError{Index: 1, Name: "password", Reason: "begins with #, and such a one can only be sent as a digest"}
		}
		password = d.Password
	}
	line, err := encodeFields([]string{d.User, password})
	if e, ok := errors.AsType[*ArgError](err); ok {
		e.Name = [...]string{"user name", "password"}[e.Index]
	}
	return line, err
}

// splitAddress returns host and port of an address, the port empty where it has none.
func splitAddress(address string) (host, port string) {
	if _, err := netip.ParseAddr(address); err == nil {
		return address, ""
	}
	if host, port, err := net.SplitHostPort(address); err == nil {
		return host, port
	}
	return strings.Trim(address, "[]"), ""
}

// open brings a new connection to where commands can be sent.
func (c *Client) open(d *Dialer, host string) error {
	config := d.TLSConfig
	if config == nil {
		config = new(tls.Config)
	}
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName = host
	}
	if d.TLS == TLSNative {
		if err := c.startTLS(config); err != nil {
			return err
		}
	}
	if err := c.greet(); err != nil {
		return err
	}
	if d.TLS == TLSUpgrade {
		if _, err := c.exchange("#!TLS"); err != nil {
			return fmt.Errorf("ask for TLS: %w", err)
		}
		if c.r.buffered() > 0 {
			return &ProtocolError{"input in clear after the reply to #!TLS"}
		}
		if err := c.startTLS(config); err != nil {
			return err
		}
	}
	clear := d.ClearText
	if !clear && c.timestamp == "" {
		if c.nc == c.raw || !verifies(config) {
			return ErrNoDigest
		}
		clear = true
	}
	line, err := d.loginLine(c.timestamp, clear)
	if err != nil {
		return err
	}
	_, err = c.exchange(line)
	if e, ok := errors.AsType[*Error](err); ok {
		return &LoginError{e}
	}
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	return nil
}

// verifies reports whether a handshake with this configuration proves who the server is.
func verifies(config *tls.Config) bool {
	return !config.InsecureSkipVerify || config.VerifyPeerCertificate != nil || config.VerifyConnection != nil
}

func (c *Client) greet() error {
	line, err := c.readLine()
	if err != nil {
		return fmt.Errorf("read the greeting: %w", err)
	}
	if _, _, err := parseReply(line); err != nil {
		return err
	}
	c.greeting = line
	// XMail itself has nothing between Server and the semicolon.
	c.original = strings.Contains(line, " CTRL Server;")
	if i := strings.IndexByte(line, '<'); i >= 0 {
		if n := strings.IndexByte(line[i:], '>'); n > 0 {
			c.timestamp = line[i : i+n+1]
		}
	}
	return nil
}

func (c *Client) startTLS(config *tls.Config) error {
	tc := tls.Client(c.raw, config)
	c.readBy()
	c.writeBy()
	if err := tc.HandshakeContext(c.ctx); err != nil {
		return &TLSError{err}
	}
	c.nc = tc
	return nil
}

// exchange sends a line and returns the status of the reply, or its *Error.
func (c *Client) exchange(line string) (Status, error) {
	if _, err := c.write([]byte(line + "\r\n")); err != nil {
		return 0, err
	}
	reply, err := c.readLine()
	if err != nil {
		return 0, err
	}
	status, _, err := parseReply(reply)
	return status, err
}
