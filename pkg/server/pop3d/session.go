package pop3d

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/xmaild/xmaild/pkg/server/mailbox"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/session"
)

// The states of a session.
type state int

const (
	initial  state = iota // nobody has logged in
	named                 // USER has been given
	loggedIn              // the mailbox is open
)

// maxErrors is how many commands in a row may fail before the login.
const maxErrors = 50

// A pop is one session. What it holds while it waits for a command is little:
// there may be thousands of them.
type pop struct {
	*Server
	c    *session.Conn // below TLS
	conn net.Conn      // with TLS
	in   lineReader
	out  *bufio.Writer // while something is to be sent
	tls  bool

	domain    string // of names without one
	localName string
	challenge string // of APOP; "" where it is not offered

	state  state
	name   string        // of USER
	delay  time.Duration // of the next failed login
	errors int

	user mailroot.User
	drop *mailbox.Drop
	gone []bool // messages that are to be deleted; nil: none
	left int    // messages without them
	size int64  // of these
	last int    // the message that was used last, from 1
}

// A reply is what a command is answered by.
type reply struct {
	text string                    // with +OK or -ERR in front, without the line end
	body func(*bufio.Writer) error // writes the lines that follow, with the dot at the end
	then next
}

// next is what comes after a reply.
type next int

const (
	goOn next = iota
	hangUp
	startTLS
)

func ok(text string) reply  { return reply{text: "+OK " + text} }
func bad(text string) reply { return reply{text: "-ERR " + text} }

var (
	errLeave         = errors.New("the session is to end")
	errNoCertificate = errors.New("there is no certificate for TLS")
)

// run leads the session from the greeting to its end. Errors are those of the
// connection.
func (x *pop) run(ctx context.Context) error {
	if !x.allows(x.c.Remote().Addr()) {
		return x.refuse("Server does not like Your IP")
	}
	if x.lacksMemory() {
		return x.refuse("[SYS/TEMP] System low in virtual memory")
	}
	if x.c.ImplicitTLS() {
		if err := x.handshake(ctx, x.offersTLS()); err != nil {
			return err
		}
	}
	x.domain, x.localName = x.Server.domain(ctx, x.c.Local().Addr())
	x.delay = x.FailureDelay
	x.send(ok(x.greeting()))
	for {
		line, err := x.next()
		if err != nil {
			return x.leave(err)
		}
		r := x.command(ctx, line)
		if err := x.send(r); err != nil {
			return err
		}
		switch r.then {
		case hangUp:
			return x.flush()
		case startTLS:
			if err := x.upgrade(ctx); err != nil {
				return err
			}
		}
	}
}

// refuse ends the session before it begins. Inside TLS that is done without a word.
func (x *pop) refuse(text string) error {
	if x.c.ImplicitTLS() {
		return nil
	}
	x.send(bad(text))
	return x.flush()
}

// leave tells a client that is still there why the session ends.
func (x *pop) leave(err error) error {
	text, ours := parting(err)
	if !ours {
		return err
	}
	x.send(bad(text))
	return x.flush()
}

// parting says why the session ends, where it is not the client that has gone.
func parting(err error) (text string, ours bool) {
	switch {
	case errors.Is(err, errLeave):
		return "[SYS/TEMP] The session is being ended; nothing was deleted", true
	case errors.Is(err, errLineTooLong):
		return "Line too long", true
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "Nothing heard for too long; nothing was deleted", true
	}
	return "The session has ended", false
}

// close ends the use of the mailbox, and gives buffers back.
func (x *pop) close() {
	x.closeDrop()
	x.releaseWriter()
	if x.conn != x.c {
		// Close of TLS says goodbye in TLS; whether the client still hears it or not.
		_ = x.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		_ = x.conn.Close()
	}
}

func (x *pop) closeDrop() {
	if x.drop != nil {
		x.drop.Close()
	}
	x.drop, x.gone = nil, nil
}

func (x *pop) greeting() string {
	text := "service ready; " + x.now().Format("Mon, 2 Jan 2006 15:04:05 -0700")
	if name := x.identity(); name != "" {
		text = name + " " + text
	}
	if x.Login.Digests() {
		x.challenge = newChallenge(x.now(), x.domain)
		text = x.challenge + " " + text
	}
	return text
}

// identity returns what the server calls itself.
func (x *pop) identity() string {
	if name := printable(x.Root.Vars().Value("ServerIdentity")); name != "" {
		return "[" + name + " POP3 Server]"
	}
	return ""
}

// newChallenge returns one that nobody can guess, and that never comes twice.
func newChallenge(now time.Time, domain string) string {
	var random [16]byte
	rand.Read(random[:]) // never fails
	if domain == "" || strings.ContainsFunc(domain, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("<>@", r) }) {
		domain = "localhost"
	}
	return fmt.Sprintf("<%d.%s@%s>", now.Unix(), hex.EncodeToString(random[:]), domain)
}

// printable returns a text without what would end a line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// next waits for the next command. Before it waits, everything is sent and nothing
// is held that is not needed.
func (x *pop) next() ([]byte, error) {
	if x.in.buffered() {
		if x.c.Ending() {
			return nil, errLeave
		}
		return x.in.line()
	}
	if err := x.flush(); err != nil {
		return nil, err
	}
	x.releaseWriter()
	if err := x.conn.SetReadDeadline(time.Now().Add(x.timeout())); err != nil {
		return nil, err
	}
	x.c.Idle()
	line, err := x.in.line()
	x.c.Busy()
	if err != nil && x.c.Ending() {
		err = errLeave
	}
	return line, err
}

// send writes a reply into the buffer.
func (x *pop) send(r reply) error {
	if x.state != loggedIn {
		x.errors++
		if strings.HasPrefix(r.text, "+") {
			x.errors = 0
		}
	}
	w := x.writer()
	w.WriteString(r.text)
	_, err := w.WriteString("\r\n")
	if r.body != nil {
		err = r.body(w) // which meets an error of w as well, and closes what it sends
	}
	return err
}

var writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 16<<10) }}

func (x *pop) writer() *bufio.Writer {
	if x.out == nil {
		x.out = writers.Get().(*bufio.Writer)
		x.out.Reset(timed{x.conn})
	}
	return x.out
}

func (x *pop) flush() error {
	if x.out == nil {
		return nil
	}
	return x.out.Flush()
}

func (x *pop) releaseWriter() {
	if x.out == nil {
		return
	}
	x.out.Reset(nil)
	writers.Put(x.out)
	x.out = nil
}

// timed gives the client its time for each piece that is written.
type timed struct{ net.Conn }

func (t timed) Write(b []byte) (int, error) {
	if err := t.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return t.Conn.Write(b)
}

// handshake puts the session inside TLS.
func (x *pop) handshake(ctx context.Context, config *tls.Config) error {
	if config == nil {
		return errNoCertificate
	}
	inner := tls.Server(x.c, config)
	if err := inner.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return err
	}
	x.c.Idle() // a client that does not say anything holds no shutdown up
	err := inner.HandshakeContext(ctx)
	x.c.Busy()
	if err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	x.conn, x.tls = inner, true
	x.in = lineReader{src: inner}
	x.c.SetTLS(true)
	return nil
}

// upgrade starts TLS after its reply.
func (x *pop) upgrade(ctx context.Context) error {
	if err := x.flush(); err != nil {
		return err
	}
	x.releaseWriter()
	return x.handshake(ctx, x.offersTLS())
}

// pause holds back the answer to a failed login. It ends early when the client goes
// or the session is to end.
func (x *pop) pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	if err := x.flush(); err != nil {
		return err
	}
	until := time.Now().Add(d)
	if err := x.conn.SetReadDeadline(until); err != nil {
		return err
	}
	x.c.Idle()
	defer x.c.Busy()
	for {
		err := x.in.fill()
		switch {
		case err == nil:
			continue // commands that came early wait
		case x.c.Ending():
			return errLeave
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case !errors.Is(err, errLineTooLong):
			return err
		}
		// Nothing more is read: now and then it is looked whether the session is to end.
		left := time.Until(until)
		if left <= 0 {
			return nil
		}
		t := time.NewTimer(min(left, time.Second))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}
