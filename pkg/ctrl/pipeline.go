package ctrl

import (
	"context"
	"errors"
	"fmt"
)

// What a Pipeline has under way at most before [Pipeline.Full] says so. The bytes are
// fewer than a socket takes without a reader, so that a client which writes and a
// server which replies never wait for each other, however long the replies are.
const (
	pipelineBytes    = 16 << 10
	pipelineCommands = 128
)

// ErrIdle says that no command awaits a reply.
var ErrIdle = errors.New("no command awaits a reply")

// A Pipeline sends commands without waiting for the replies to those before; the
// server runs them in order. It is for one goroutine at a time, and while commands
// await replies it is the only user of its Client. It is not for commands that take
// an upload: the server would read the next commands as its content.
type Pipeline struct {
	c       *Client
	stop    func()
	awaited []awaited // oldest first
	size    int       // bytes of the awaited commands
	buf     []byte    // encoded and not yet written
	ended   error     // why nothing more is written or read
}

// awaited is a command whose reply was not read yet.
type awaited struct {
	command string
	size    int
	written bool
}

// Pipeline returns a pipeline over the connection. When ctx is done the connection is
// cut. [Pipeline.Stop] gives the Client back.
func (c *Client) Pipeline(ctx context.Context) *Pipeline {
	return &Pipeline{c: c, stop: c.watch(ctx)}
}

// Len returns how many commands await a reply, those included that were not written yet.
func (p *Pipeline) Len() int { return len(p.awaited) }

// Full reports whether replies should be read before more is sent.
func (p *Pipeline) Full() bool { return p.size >= pipelineBytes || len(p.awaited) >= pipelineCommands }

// Send adds a command. It is written by [Pipeline.Flush], or when a reply is waited for.
// Its only error is an [*ArgError], after which the command is not awaited.
func (p *Pipeline) Send(args ...string) error {
	line, err := EncodeLine(args...)
	if err != nil {
		return err
	}
	p.buf = append(append(p.buf, line...), '\r', '\n')
	p.awaited = append(p.awaited, awaited{command: args[0], size: len(line) + 2})
	p.size += len(line) + 2
	return nil
}

// Flush writes what was not written yet. A failure to write shows in [Pipeline.Receive],
// which still returns the replies that came before it.
func (p *Pipeline) Flush() {
	if len(p.buf) == 0 || p.ended != nil || p.c.broken != nil {
		return
	}
	n, err := p.c.write(p.buf)
	for i := range p.awaited {
		w := &p.awaited[i]
		if w.written {
			continue
		}
		if n < w.size {
			break // without its end the line is none
		}
		n -= w.size
		w.written = true
	}
	p.buf = p.buf[:0]
	if err != nil {
		p.ended = err
	}
}

// Receive returns the reply to the oldest command that awaits one. Its errors are
// those of [Client.Do]: an [*Error] is a refusal, an [*UnknownOutcomeError] a command that
// may have been done, after any other the command was not done. When the connection
// fails, all that is awaited can be received still, to learn what became of it.
func (p *Pipeline) Receive() (*Response, error) {
	if len(p.awaited) == 0 {
		return nil, ErrIdle
	}
	if p.c.pending != nil {
		return nil, ErrBusy
	}
	p.Flush()
	head := p.awaited[0]
	p.awaited = p.awaited[1:]
	p.size -= head.size
	if p.c.broken != nil {
		return nil, p.lost(head)
	}
	if !head.written {
		if e := (&Response{client: p.c, command: head.command, stop: func() {}}).lastWords(); e != nil {
			return nil, e
		}
		return nil, p.lost(head)
	}
	r := &Response{client: p.c, command: head.command, stop: func() {}}
	if err := r.read(); err != nil {
		if e, ok := errors.AsType[*UnknownOutcomeError](err); ok && p.ended != nil {
			e.Err = p.ended // what failed first
		}
		return nil, err
	}
	if r.Status == StatusList || r.Status == StatusData {
		p.c.pending = r
	}
	return r, nil
}

// lost returns what became of a command whose reply cannot come any more.
func (p *Pipeline) lost(w awaited) error {
	// A server that said why it closes the session has run nothing after that.
	if e, ok := errors.AsType[*Error](p.c.broken); ok {
		return fmt.Errorf("%s not done: %w", w.command, e)
	}
	cause := p.ended
	if cause == nil {
		cause = p.c.broken
	}
	if e, ok := errors.AsType[*UnknownOutcomeError](cause); ok {
		cause = e.Err
	}
	if w.written {
		return &UnknownOutcomeError{w.command, cause}
	}
	return fmt.Errorf("%s not sent: %w", w.command, cause)
}

// Stop ends the pipeline. Commands that still await a reply make the connection useless.
func (p *Pipeline) Stop() {
	p.stop()
	if len(p.awaited) > 0 && p.c.broken == nil {
		p.c.broken = errAbandoned
		p.c.raw.Close()
	}
}
