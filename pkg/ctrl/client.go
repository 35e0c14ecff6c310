package ctrl

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// ErrBusy says that a reply has a list that was not read or an upload that was not made.
var ErrBusy = errors.New("the reply before was not finished")

// A ProtocolError is a reply that is none.
type ProtocolError struct{ Line string }

func (e *ProtocolError) Error() string { return fmt.Sprintf("reply not understood: %q", e.Line) }

// An UnknownOutcomeError says that the connection failed after a command, or the
// end of an upload, was sent and before its reply was read: it may have been done
// or not.
type UnknownOutcomeError struct {
	Command string // the command word
	Err     error  // what failed
}

func (e *UnknownOutcomeError) Error() string {
	return e.Command + ": outcome unknown: " + e.Err.Error()
}
func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// A Client is a logged-in connection, made by a [Dialer]. It is for one goroutine
// at a time, Close apart. After an error that is not an [*Error], an [*ArgError],
// an [*UploadError] of [Client.Upload] or [ErrBusy] the connection is no good any
// more; all that is left is to close it.
type Client struct {
	raw, nc   net.Conn // nc is raw, or TLS over it
	r         lineReader
	timeout   time.Duration
	ctx       context.Context // of the operation under way
	greeting  string
	timestamp string
	original  bool // it is XMail, with its limits
	pending   *Response
	broken    error
}

// maxReplyLine bounds what a server can make a client hold for one line.
const maxReplyLine = 1 << 20

// Greeting returns the server's greeting line without its end.
func (c *Client) Greeting() string { return c.greeting }

// ConnectionState returns the state of TLS, and nil in clear text.
func (c *Client) ConnectionState() *tls.ConnectionState {
	tc, ok := c.nc.(*tls.Conn)
	if !ok {
		return nil
	}
	state := tc.ConnectionState()
	return &state
}

// Do sends a command and returns the reply to it, or an [*Error] when it is a
// refusal. A reply with [StatusList] or [StatusData] must be finished
// ([Response.Lines], [Response.Upload]) before the next Do, which otherwise is
// [ErrBusy]. ctx is for the reply and what follows it: when it is done the connection is cut.
//
// Errors: [*Error], [*ArgError] (nothing was sent), [*UnknownOutcomeError],
// [ErrBusy], and others, after which the command was not done.
func (c *Client) Do(ctx context.Context, args ...string) (*Response, error) {
	line, err := EncodeLine(args...)
	if err != nil {
		return nil, err
	}
	if c.pending != nil {
		return nil, ErrBusy
	}
	if c.broken != nil {
		return nil, fmt.Errorf("%s not sent: %w", args[0], c.broken)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s not sent: %w", args[0], err)
	}
	r := &Response{client: c, command: args[0], stop: c.watch(ctx)}
	b := []byte(line + "\r\n")
	if n, err := c.write(b); err != nil {
		if n == len(b) {
			return nil, r.fail(&UnknownOutcomeError{args[0], err})
		}
		// Without its end the line is none. Perhaps the server said why it left.
		if e := r.lastWords(); e != nil {
			return nil, e
		}
		return nil, r.fail(fmt.Errorf("%s not sent: %w", args[0], err))
	}
	if err := r.read(); err != nil {
		return nil, err
	}
	if r.Status == StatusList || r.Status == StatusData {
		c.pending = r
	} else {
		r.stop()
	}
	return r, nil
}

// List runs a command and returns the lines of its list; it is for lists that fit
// in memory. A reply without a list has no lines. With a [*CutError] it returns
// what came.
func (c *Client) List(ctx context.Context, args ...string) ([]string, error) {
	r, err := c.Do(ctx, args...)
	if err != nil {
		return nil, err
	}
	if r.Status == StatusData {
		return nil, r.abandon()
	}
	var lines []string
	for line, err := range r.Lines() {
		if err != nil {
			return lines, err
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// Upload runs a command that takes an upload. All of content is read and checked before
// anything is sent: a line longer than the server takes (64 KiB, or 2044 bytes where it is
// XMail itself) and a NUL byte are an [*UploadError]. Lines may end in LF or CR LF,
// the last one may have no end. Without a byte in content the file is removed:
// that is the protocol. [ErrNoUpload] is a command that was done without the upload.
func (c *Client) Upload(ctx context.Context, content io.Reader, args ...string) error {
	if _, err := EncodeLine(args...); err != nil {
		return err
	}
	data, err := c.prepare(content)
	if err != nil {
		return err
	}
	r, err := c.Do(ctx, args...)
	if err != nil {
		return err
	}
	switch r.Status {
	case StatusData:
		return r.send(data)
	case StatusList:
		for _, err := range r.Lines() {
			if err != nil {
				return err
			}
		}
	}
	return ErrNoUpload
}

// Quit ends the session and closes the connection.
func (c *Client) Quit() error {
	defer c.Close()
	_, err := c.Do(context.Background(), "quit")
	return err
}

// Close closes the connection without a word. It may be called at any time.
func (c *Client) Close() error { return c.raw.Close() }

// watch makes reads and writes fail when ctx is done, until stop is called. After
// that it touches the connection no more.
func (c *Client) watch(ctx context.Context) (stop func()) {
	c.ctx = ctx
	done := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(done)
		c.raw.SetDeadline(past)
	})
	return sync.OnceFunc(func() {
		if !cancel() {
			<-done
		}
	})
}

// readBy and writeBy set the deadline of one wait. Whatever order they and the end of
// the context come in, the deadline is over in the end.
func (c *Client) readBy() {
	c.nc.SetReadDeadline(time.Now().Add(c.timeout))
	if c.ctx.Err() != nil {
		c.nc.SetReadDeadline(past)
	}
}

func (c *Client) writeBy() {
	c.nc.SetWriteDeadline(time.Now().Add(c.timeout))
	if c.ctx.Err() != nil {
		c.nc.SetWriteDeadline(past)
	}
}

func (c *Client) read(p []byte) (int, error) { return c.nc.Read(p) }

func (c *Client) write(p []byte) (int, error) {
	c.writeBy()
	n, err := c.nc.Write(p)
	return n, c.explain(err)
}

func (c *Client) readLine() (string, error) {
	c.readBy()
	line, err := c.r.line(maxReplyLine)
	if err == io.EOF {
		err = errors.New("the server closed the connection")
		err = &closedError{err}
	}
	return string(line), c.explain(err)
}

// A closedError is an io.ErrUnexpectedEOF that says what happened.
type closedError struct{ error }

func (e *closedError) Is(target error) bool { return target == io.ErrUnexpectedEOF }

// explain names the context as the cause where it is.
func (c *Client) explain(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) && c.ctx.Err() != nil {
		return c.ctx.Err()
	}
	return err
}

// parseReply returns the status and the text of a reply line, or the refusal that it is.
func parseReply(line string) (Status, string, error) {
	if line == "" || line[0] != '+' && line[0] != '-' {
		return 0, "", &ProtocolError{line}
	}
	number, text, _ := strings.Cut(line[1:], " ")
	n := 0
	for _, ch := range []byte(number) {
		if ch < '0' || ch > '9' || n > 1e6 {
			return 0, "", &ProtocolError{line}
		}
		n = 10*n + int(ch-'0')
	}
	switch {
	case number == "":
		return 0, "", &ProtocolError{line}
	case line[0] == '-':
		return 0, "", &Error{Code: Code(n), Text: text}
	}
	return Status(n), text, nil
}
