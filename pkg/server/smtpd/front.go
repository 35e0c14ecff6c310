package smtpd

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime/debug"
	"time"

	"github.com/emersion/go-smtp"
)

// A front is the connection that go-smtp sees. It hands over one command line at a
// time, and only what go-smtp is to deal with: it keeps the order of commands,
// answers those that go-smtp does not have, finds the end of messages, and turns
// the answers of go-smtp into ours. Reading and writing are done by one goroutine,
// that of go-smtp.
type front struct {
	x    *session
	conn Conn     // the transport
	net  net.Conn // conn, or TLS upon it
	in   input
	out  []byte // replies that are not sent yet

	mode  mode
	rest  []byte // of what go-smtp has not had room for
	next  string // the command line to hand over as soon as go-smtp waits for one
	verb  string // of the command that go-smtp is at
	said  *reply // what to say in place of go-smtp's next reply
	wrote []byte // of a reply of go-smtp that is not complete yet

	data  dataScanner
	chunk chunkScanner
	left  uint32 // octets of the chunk
	last  bool   // the chunk is the last one

	quiet    int  // replies of go-smtp that are not for the client: its greeting, and to the EHLO of run
	distrust bool // nothing more is believed of the client than that it wants to go
	over     bool // nothing more is read or said
	secure   bool // ended by STARTTLS: the handshake comes next
	errors   int  // replies that count for SMTP-MaxErrors

	engine bool          // go-smtp runs
	closed bool          // by go-smtp
	done   chan struct{} // closed when go-smtp has closed the connection
}

type mode byte

const (
	inCommands mode = iota
	inSASL          // the next line is an answer in an AUTH exchange
	inData          // after 354
	inChunk         // in the octets of a BDAT
	inChunks        // between the BDATs of a message: go-smtp believes to read the text of DATA
	inAbort         // go-smtp is to give up the message that it reads
)

var (
	errOver    = errors.New("smtpd: the session is over")
	errAborted = errors.New("smtpd: the message was given up")
)

// serve holds the conversation until it ends, or TLS is to begin, which it reports.
// go-smtp, which takes some memory, is started by the first command that needs it:
// many clients never send one.
func (f *front) serve() (startTLS bool) {
	f.mode, f.rest, f.wrote, f.in = inCommands, nil, nil, input{r: f.net, large: &f.x.server.buffers}
	for !f.over && f.rest == nil {
		f.step()
	}
	if !f.over {
		f.run()
	}
	f.flush()
	if c, ok := f.net.(*tls.Conn); ok && !f.secure {
		c.CloseWrite() // tells the client that this is the end, where it still listens
	}
	return f.secure
}

// step does one command that go-smtp is not there for yet.
func (f *front) step() {
	defer f.recover()
	if err := f.readCommand(); err != nil {
		f.fail(err)
	}
}

// recover ends the session after a panic.
func (f *front) recover() {
	if r := recover(); r != nil {
		f.x.log().Error("panic in an SMTP session", "panic", r, "stack", string(debug.Stack()))
		f.finish(&replyBroken)
	}
}

// run runs go-smtp until the connection has ended, or TLS begins.
func (f *front) run() {
	f.done, f.closed = make(chan struct{}), false
	// Before the command for which it is started it is to read an EHLO.
	f.engine, f.quiet = true, 2
	f.rest = append([]byte("EHLO client\r\n"), f.rest...)
	s := smtp.NewServer(backend{f})
	s.ErrorLog = errorLog{f.x}
	s.AllowInsecureAuth = true // what is offered is decided by us
	s.EnableSMTPUTF8, s.EnableDSN = true, true
	s.MaxLineLength = 0 // lines are limited by us
	// The listener has one connection only; Serve returns when it asks for another.
	if err := s.Serve(&oneConn{conn: f}); !errors.Is(err, net.ErrClosed) {
		f.x.log().Error("SMTP session", "err", err)
	}
	<-f.done
	// The goroutine of the connection is about to end; this waits for it.
	s.Shutdown(context.WithoutCancel(f.x.ctx))
	f.in.bulk(false)
	f.engine = false
}

// A oneConn is a listener with one connection.
type oneConn struct{ conn net.Conn }

func (l *oneConn) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return nil }

// Read hands over the next line, or the next part of a message.
func (f *front) Read(p []byte) (n int, err error) {
	defer func() {
		if f.over && n == 0 && err == nil {
			err = errOver // after a panic
		}
	}()
	defer f.recover()
	for {
		switch {
		case len(f.rest) > 0:
			n := copy(p, f.rest)
			if f.rest = f.rest[n:]; len(f.rest) == 0 {
				f.rest = nil
			}
			return n, nil
		case f.over && f.mode == inCommands:
			return 0, io.EOF
		case f.over:
			// Not the end of the input, which would pass for the end of a message.
			return 0, errOver
		}
		switch f.mode {
		case inAbort:
			return 0, errAborted
		case inSASL:
			err = f.readSASL()
		case inData:
			n, err = f.readData(p)
		case inChunk:
			n, err = f.readChunk(p)
		default:
			err = f.readCommand()
		}
		if err != nil {
			f.fail(err)
		} else if n > 0 {
			return n, nil
		}
	}
}

// hand gives go-smtp a line.
func (f *front) hand(line string) { f.rest = append([]byte(line), '\r', '\n') }

// readData hands over a part of the text after DATA.
func (f *front) readData(p []byte) (int, error) {
	if err := f.fill(); err != nil {
		return 0, err
	}
	src := f.in.buffered()
	dst := f.room(p, len(src)+maxGrowth)
	if cap(dst) < len(src)+maxGrowth {
		src = src[:cap(dst)-maxGrowth]
	}
	out, n, _ := f.data.scan(dst, src)
	f.in.discard(n)
	return f.give(p, out), nil
}

// readChunk hands over a part of a chunk of BDAT, dots doubled.
func (f *front) readChunk(p []byte) (int, error) {
	if f.left == 0 {
		return f.endChunk(p)
	}
	if err := f.fill(); err != nil {
		return 0, err
	}
	src := f.in.buffered()
	src = src[:min(uint32(len(src)), f.left)]
	dst := f.room(p, maxGrowth+2)
	src = src[:min(len(src), (cap(dst)-maxGrowth)/2)]
	out := f.chunk.scan(dst, src)
	f.in.discard(len(src))
	f.left -= uint32(len(src))
	return f.give(p, out), nil
}

// fill waits for a part of a message, where none is there.
func (f *front) fill() error {
	if len(f.in.buffered()) > 0 {
		return nil
	}
	f.flush()
	f.conn.SetReadDeadline(time.Now().Add(f.x.server.dataTimeout()))
	return f.in.fill()
}

// room returns where to write what go-smtp reads: p, unless it is too small.
func (f *front) room(p []byte, least int) []byte {
	if len(p) < min(least, 64) {
		return make([]byte, 0, 64)
	}
	return p[:0:len(p)]
}

// give returns what a read of p returns when out, which may be in p, is to be read.
func (f *front) give(p, out []byte) int {
	n := copy(p, out)
	if n < len(out) {
		f.rest = out[n:]
	}
	return n
}

// fail ends the session because of an error in reading.
func (f *front) fail(err error) {
	switch {
	case f.conn.Ending():
		f.finish(&replyEnding)
	case isTimeout(err):
		f.finish(&replyTimeout)
	default:
		f.finish(nil)
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// finish says a last word and ends the session.
func (f *front) finish(r *reply) {
	if f.over {
		return
	}
	if r != nil {
		f.out = r.append(f.out)
		f.flush()
	}
	f.over = true
}

// flush sends the replies that wait for it. They wait as long as more commands of
// the client are there.
func (f *front) flush() {
	if len(f.out) == 0 {
		return
	}
	f.conn.SetWriteDeadline(time.Now().Add(f.x.server.timeout()))
	_, err := f.net.Write(f.out)
	f.out = nil
	if err != nil {
		f.over = true
	}
}

// Close is called by go-smtp when it is done with the connection, perhaps twice.
func (f *front) Close() error {
	f.over = true
	if !f.closed {
		f.closed = true
		close(f.done)
	}
	return nil
}

// LocalAddr and the like are for go-smtp, whose deadlines are not wanted: ours are
// set for each wait.
func (f *front) LocalAddr() net.Addr              { return f.conn.LocalAddr() }
func (f *front) RemoteAddr() net.Addr             { return f.conn.RemoteAddr() }
func (f *front) SetDeadline(time.Time) error      { return nil }
func (f *front) SetReadDeadline(time.Time) error  { return nil }
func (f *front) SetWriteDeadline(time.Time) error { return nil }

// handshake puts TLS upon the connection.
func (f *front) handshake(config *tls.Config) error {
	c := tls.Server(f.conn, config)
	f.conn.SetDeadline(time.Now().Add(handshakeTime))
	f.conn.Idle() // a client that does not say anything holds no shutdown up
	err := c.HandshakeContext(f.x.ctx)
	f.conn.Busy()
	if err != nil {
		return err
	}
	f.net, f.over, f.secure = c, false, false
	f.conn.SetTLS(true)
	return nil
}
