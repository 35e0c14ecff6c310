package ctrl

import (
	"context"
	"time"
)

// mostBegun is how many commands of a session are worked on at a time at most.
const mostBegun = 128

// A pipeline has the commands of a session that were begun and not yet answered, the
// oldest first.
type pipeline struct {
	begun []begun
	over  bool // a reply has ended the session
}

type begun struct {
	req   *Request
	start time.Time
	wait  func() Reply
}

// begin begins a command where the client has sent more than it, and the handler may.
func (c *conn) begin(ctx context.Context, p *pipeline, req *Request) bool {
	h, ok := c.s.Handler.(Pipeliner)
	if !ok || len(p.begun) == 0 && !c.r.hasLine() {
		return false
	}
	start := time.Now()
	wait := h.Begin(ctx, req, len(p.begun) == 0)
	if wait == nil {
		return false
	}
	p.begun = append(p.begun, begun{req, start, wait})
	return true
}

// answerAll waits for the commands that were begun, and answers them. It reports whether
// the session goes on; after a reply that ends it there is no other.
func (c *conn) answerAll(p *pipeline) bool {
	for _, b := range p.begun {
		r := c.guard(b.wait)
		if !p.over {
			c.send(r)
		}
		p.over = p.over || r.thenClose
		c.logCommand(b.req, b.start, exchange{reply: r})
	}
	clear(p.begun)
	p.begun = p.begun[:0]
	return !p.over
}

// logCommand tells of an answered command.
func (c *conn) logCommand(req *Request, start time.Time, x exchange) {
	if c.s.CommandLog == nil {
		return
	}
	c.s.CommandLog(CommandEvent{
		Request:  req,
		Code:     x.reply.Code(),
		Text:     x.reply.Text(),
		Uploaded: x.uploaded,
		Err:      x.err,
		Duration: time.Since(start),
	})
}
