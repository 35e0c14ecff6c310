package session

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

// killTime is how long a session that was killed may take to end by itself.
const killTime = 10 * time.Second

var past = time.Unix(1, 0)

// A Conn is one connection: the transport, below TLS where there is TLS. Reading
// and its deadlines belong to one goroutine; the other methods are safe for
// concurrent use.
//
// A session tells by Idle and Busy whether it waits for the client's next
// command or is at work. It begins busy.
type Conn struct {
	net.Conn

	id       uint64
	service  string
	implicit bool
	remote   netip.AddrPort
	local    netip.AddrPort
	started  time.Time
	cancel   context.CancelFunc // cuts the connection

	mu       sync.Mutex
	user     string
	tls      bool
	idle     bool
	closed   bool        // by the session
	draining bool        // the server shuts down
	killed   bool        // this session is to end
	cut      *time.Timer // of killed
	ended    bool        // Handle has returned
}

// NewConn makes a Conn of a connection that no [Server] accepted: in tests.
func NewConn(nc net.Conn, service string, implicitTLS bool) *Conn {
	return &Conn{
		Conn: nc, service: service, implicit: implicitTLS, cancel: func() { nc.Close() },
		remote: addrPort(nc.RemoteAddr()), local: addrPort(nc.LocalAddr()), started: time.Now(),
	}
}

// addrPort returns the address of a TCP connection, unmapped and without a zone.
func addrPort(a net.Addr) netip.AddrPort {
	if a, ok := a.(interface{ AddrPort() netip.AddrPort }); ok {
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
	}
	return netip.AddrPort{}
}

// ID is the number of the session in the [Registry]; 0 where it is in none.
func (c *Conn) ID() uint64 { return c.id }

// Service is the name of the [Server].
func (c *Conn) Service() string { return c.service }

// ImplicitTLS reports whether the connection begins with a TLS handshake.
func (c *Conn) ImplicitTLS() bool { return c.implicit }

// Remote is the client's address: never IPv4-mapped, and without a zone.
func (c *Conn) Remote() netip.AddrPort { return c.remote }

// Local is the address that the client connected to, in the same form.
func (c *Conn) Local() netip.AddrPort { return c.local }

// SetUser tells who has logged in: "ann@example.org".
func (c *Conn) SetUser(address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.user = address
}

// SetTLS tells whether the connection is inside TLS now.
func (c *Conn) SetTLS(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tls = on
}

// Idle says that the session waits for the client from now on. Where it is to
// end, the next read fails at once with os.ErrDeadlineExceeded.
func (c *Conn) Idle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = true
	if c.draining {
		c.Conn.SetReadDeadline(past)
	}
}

// Busy says that the client's command has come.
func (c *Conn) Busy() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = false
}

// Ending reports whether the session is to end: the server shuts down, or
// somebody has killed the session. Take leave of the client and return.
func (c *Conn) Ending() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining || c.killed
}

// SetReadDeadline is that of net.Conn. It has no effect on a session that was
// killed, and on an idle one of a server that shuts down: they read nothing any
// more. A command at work may go on reading while the server shuts down.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.killed || c.draining && c.idle {
		t = past
	}
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline sets both deadlines, that of reading like SetReadDeadline.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.Conn.SetWriteDeadline(t)
}

// Close ends what is sent, and the reading. The [Server] closes the connection
// when Handle has returned and the client has had the time to read the last reply.
func (c *Conn) Close() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return c.Conn.Close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	c.Conn.SetReadDeadline(past)
	return half.CloseWrite()
}

// Info tells about the session, but for its number.
func (c *Conn) Info() Info {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Info{
		Service: c.service, Remote: c.remote, Local: c.local,
		User: c.user, Started: c.started, TLS: c.tls,
	}
}

// End ends the session: its reads fail from now on, and the connection is cut
// where that does not end it within ten seconds.
func (c *Conn) End() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed || c.ended {
		return
	}
	c.killed = true
	c.cut = time.AfterFunc(killTime, c.cancel)
	c.Conn.SetReadDeadline(past)
}

// drain ends the session when it is idle.
func (c *Conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	if c.idle {
		c.Conn.SetReadDeadline(past)
	}
}

// over says that the session has ended.
func (c *Conn) over() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut != nil {
		c.cut.Stop()
	}
	c.ended = true
}
