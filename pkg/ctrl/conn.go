package ctrl

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
)

const (
	// lingerTime is how long a closed connection is read, so that input that nobody
	// wants does not make the kernel throw away the last reply with it.
	lingerTime = 2 * time.Second
	// refusedLinger is the same for who is not let in.
	refusedLinger = 200 * time.Millisecond
	// maxRefusing is how many connections at a time may take their time to be refused.
	maxRefusing = 64
	// refusedUploadWait is how long is waited for the data that follow a refused
	// upload command unasked.
	refusedUploadWait = 10 * time.Millisecond
)

// A conn is one connection. All of it belongs to the goroutine of run; only raw
// and cancel are used by others.
type conn struct {
	s      *Server
	raw    net.Conn // as accepted
	cancel context.CancelFunc

	nc      net.Conn // raw, or TLS over it
	w       *bufio.Writer
	r       lineReader
	by      time.Time // when the line that is read must be complete
	native  bool
	session Session

	changed   func(Session, bool) // of Server.Track
	killed    atomic.Bool         // somebody has asked for the end of this session
	timestamp string              // of the greeting
	linger    time.Duration
}

func newConn(s *Server, raw net.Conn, native bool) *conn {
	c := &conn{s: s, raw: raw, nc: raw, native: native, linger: lingerTime}
	c.w = bufio.NewWriterSize(writerFunc(c.write), 16<<10)
	c.r.src = readerFunc(c.read)
	c.session = Session{
		ID:         s.nextID.Add(1),
		RemoteAddr: addrPort(raw.RemoteAddr()),
		LocalAddr:  addrPort(raw.LocalAddr()),
		Start:      s.now(),
	}
	return c
}

// addrPort returns the address of a TCP connection, unmapped and without a zone.
func addrPort(a net.Addr) netip.AddrPort {
	if a, ok := a.(interface{ AddrPort() netip.AddrPort }); ok {
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
	}
	return netip.AddrPort{}
}

type (
	readerFunc func([]byte) (int, error)
	writerFunc func([]byte) (int, error)
)

func (f readerFunc) Read(p []byte) (int, error)  { return f(p) }
func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// read sends what waits to be sent before it waits for input. So replies to
// commands that came together leave together, and none is held back.
func (c *conn) read(p []byte) (int, error) {
	if err := c.w.Flush(); err != nil {
		return 0, err
	}
	c.readBy(c.by)
	return c.nc.Read(p)
}

func (c *conn) write(p []byte) (int, error) {
	c.nc.SetWriteDeadline(time.Now().Add(c.s.limits.Write))
	return c.nc.Write(p)
}

// readBy sets the time by which the next input must be there. Shutdown sets the
// flag and then a deadline that has passed; in either order of events reading ends.
func (c *conn) readBy(t time.Time) {
	c.nc.SetReadDeadline(t)
	if c.ending() {
		c.nc.SetReadDeadline(past)
	}
}

// ending reports whether the session is to end for no fault of the client's.
func (c *conn) ending() bool { return c.s.draining.Load() || c.killed.Load() }

var past = time.Unix(1, 0)

// killTime is how long a session may take to end when it was asked to.
const killTime = 10 * time.Second

// track tells Server.Track of the session until the function that it returns is called.
func (c *conn) track() (done func()) {
	if c.s.Track == nil {
		return func() {}
	}
	var cut atomic.Pointer[time.Timer]
	c.changed = c.s.Track(c.session, func() {
		if c.killed.Swap(true) {
			return
		}
		cut.Store(time.AfterFunc(killTime, c.cancel))
		c.raw.SetReadDeadline(past)
	})
	return func() {
		c.changed(c.session, true)
		if t := cut.Load(); t != nil {
			t.Stop()
		}
	}
}

// tell says that the session has changed.
func (c *conn) tell() {
	if c.changed != nil {
		c.changed(c.session, false)
	}
}

// readLine returns the next line, which must be complete at the time given.
func (c *conn) readLine(limit int, by time.Time) ([]byte, error) {
	c.by = by // for when it is not there already
	return c.r.line(limit)
}

// run serves the connection and closes it.
func (c *conn) run(ctx context.Context) {
	defer c.close()
	defer func() {
		if p := recover(); p != nil { // of a hook of the Server; a Handler's is caught closer by
			c.s.logPanic(c, p)
		}
	}()
	refusal := c.s.admit(c)
	if refusal == nil {
		defer c.s.counts.Remove(c.session.RemoteAddr.Addr())
	} else {
		c.linger = refusedLinger
		if c.s.refusing.Add(1) > maxRefusing {
			c.linger = 0
		}
		defer c.s.refusing.Add(-1)
		if c.native && c.linger == 0 {
			return
		}
	}
	if c.native && !c.handshake(ctx) {
		return
	}
	if refusal != nil {
		c.refuse(refusal)
		return
	}
	defer c.track()()
	c.greet()
	if c.login(ctx) {
		c.commands(ctx)
	}
}

func (c *conn) greet() {
	var line string
	product := c.s.Product
	if product == "" {
		product = "xmaild"
	}
	line, c.timestamp = greeting(c.s.now(), nonce(), c.session.LocalAddr.Addr(), product)
	c.w.WriteString(line + "\r\n")
	c.w.Flush()
}

// refuse puts a refusal into the buffer.
func (c *conn) refuse(e *Error) { c.reply(e.Code.String(), e.message()) }

// reply puts a reply line into the buffer. Errors stay in the buffer: the next
// read or flush has them.
func (c *conn) reply(number, text string) {
	c.w.WriteString(number)
	c.w.WriteByte(' ')
	c.w.WriteString(printable(text))
	c.w.WriteString("\r\n")
}

// printable returns text as the text of a reply, which must be short and one line.
func printable(text string) string {
	const maxText = 400
	b := []byte(text[:min(len(text), maxText)])
	for i, ch := range b {
		if ch < ' ' || ch == 0x7f {
			b[i] = '?'
		}
	}
	return string(b)
}

// refuseInput answers an error of reading, after which the session ends.
func (c *conn) refuseInput(err error) {
	switch {
	case errors.Is(err, errLineTooLong):
		c.refuse(&Error{Code: CodeLineTooLong})
	case errors.Is(err, os.ErrDeadlineExceeded) && c.ending():
		c.refuse(&Error{Code: CodeShutdown})
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.refuse(&Error{Code: CodeTimeout})
	}
}

// handshake puts the connection under TLS.
func (c *conn) handshake(ctx context.Context) bool {
	config, refusal := c.tlsConfig()
	if refusal != nil {
		return false // native: there is no way to say so
	}
	return c.startTLS(ctx, config)
}

func (c *conn) tlsConfig() (*tls.Config, *Error) {
	if c.s.TLSConfig == nil {
		return nil, &Error{Code: CodeTLSOff}
	}
	config, err := c.s.TLSConfig()
	if err != nil {
		c.s.log().Error("TLS cannot be set up", "error", err)
		if e, ok := errors.AsType[*Error](err); ok {
			return nil, e
		}
		return nil, &Error{Code: CodeTLSSetup}
	}
	if v := config.MinVersion; v != 0 && v < tls.VersionTLS12 {
		config = config.Clone()
		config.MinVersion = tls.VersionTLS12
	}
	return config, nil
}

func (c *conn) startTLS(ctx context.Context, config *tls.Config) bool {
	tc := tls.Server(c.raw, config)
	deadline := time.Now().Add(c.s.limits.Handshake)
	c.raw.SetWriteDeadline(deadline)
	c.readBy(deadline)
	if err := tc.HandshakeContext(ctx); err != nil {
		c.s.log().Debug("TLS handshake failed", "addr", c.session.RemoteAddr, "error", err)
		return false
	}
	c.nc = tc
	state := tc.ConnectionState()
	c.session.TLS = &state
	c.tell()
	return true
}

// close sends what is left to send, and closes the connection so that it arrives.
func (c *conn) close() {
	defer c.raw.Close()
	flushed := c.w.Flush() == nil
	if tc, ok := c.nc.(*tls.Conn); ok && flushed {
		tc.CloseWrite()
	}
	half, ok := c.raw.(interface{ CloseWrite() error })
	if !ok || c.linger == 0 || half.CloseWrite() != nil {
		return
	}
	linger := c.linger
	if c.ending() {
		linger = min(linger, refusedLinger)
	}
	c.raw.SetReadDeadline(time.Now().Add(linger))
	io.Copy(io.Discard, c.raw)
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
