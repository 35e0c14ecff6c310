package ctrl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// commands answers commands until the session ends.
func (c *conn) commands(ctx context.Context) {
	var p pipeline
	for c.command(ctx, &p) {
	}
}

// command reads and answers a command, or begins it and leaves the answer for later
// where another one is there already. It reports whether the session goes on.
func (c *conn) command(ctx context.Context, p *pipeline) bool {
	if len(p.begun) == mostBegun || len(p.begun) > 0 && !c.r.hasLine() {
		return c.answerAll(p)
	}
	line, err := c.readLine(c.s.limits.CommandLine, time.Now().Add(c.s.limits.Idle))
	if err != nil {
		if c.answerAll(p) {
			c.refuseInput(err)
		}
		return false
	}
	if c.ending() { // this one came with others, or just now
		if c.answerAll(p) {
			c.refuse(&Error{Code: CodeShutdown})
		}
		return false
	}
	fields := split(string(line))
	if len(fields) == 0 || fields[0] == "" {
		if !c.answerAll(p) {
			return false
		}
		c.refuse(&Error{CodeCommand, "no command"})
		return true
	}
	req := &Request{Command: lower(fields[0]), Args: fields[1:], Session: &c.session}
	if c.begin(ctx, p, req) {
		return true
	}
	return c.answerAll(p) && c.serve(ctx, req)
}

// lower returns s with its ASCII letters in lower case.
func lower(s string) string {
	b := []byte(s)
	for i, ch := range b {
		if 'A' <= ch && ch <= 'Z' {
			b[i] = ch + 'a' - 'A'
		}
	}
	return string(b)
}

// An exchange is what became of a request.
type exchange struct {
	reply    Reply // the last one
	uploaded int
	err      error // why it broke off; the session ends
}

// serve answers one request and reports whether the session goes on.
func (c *conn) serve(ctx context.Context, req *Request) bool {
	start := time.Now()
	var x exchange
	if req.Command == "quit" && len(req.Args) == 0 {
		x.reply = OK().ThenClose()
	} else {
		x.reply = c.guard(func() Reply { return c.s.Handler.ServeCtrl(ctx, req) })
	}
	switch r := x.reply; {
	case r.code != CodeOK && r.ofUpload && c.dataWaits():
		x.reply = r.ThenClose()
		c.send(x.reply)
	case r.code == CodeOK && r.upload != nil:
		c.upload(ctx, &x)
	case r.code == CodeOK && r.list != nil:
		c.list(&x)
	default:
		c.send(r)
	}
	c.logCommand(req, start, x)
	return x.err == nil && !x.reply.thenClose
}

// guard calls f. A panic in it is logged and becomes a refusal that ends the session.
func (c *conn) guard(f func() Reply) (r Reply) {
	defer func() {
		if p := recover(); p != nil {
			c.s.logPanic(c, p)
			r = Refuse(CodeInternal, "").ThenClose()
		}
	}()
	return f()
}

// send puts a reply of one line into the buffer.
func (c *conn) send(r Reply) {
	if r.code != CodeOK {
		c.reply(r.code.String(), r.Text())
		return
	}
	c.reply(StatusOK.String(), r.Text())
}

// dataWaits reports whether the client has sent more than it was asked for.
func (c *conn) dataWaits() bool {
	if c.r.buffered() > 0 {
		return true
	}
	c.nc.SetReadDeadline(time.Now().Add(refusedUploadWait))
	n := c.r.buffered()
	return c.r.peek(c.nc.Read) == nil && c.r.buffered() > n
}

// list writes a list.
func (c *conn) list(x *exchange) {
	announced := false
	w := &ListWriter{w: c.w, start: func() {
		announced = true
		c.reply(StatusList.String(), x.reply.Text())
	}}
	var err error
	panicked := c.guard(func() Reply { err = x.reply.list(w); return OK() })
	switch {
	case panicked.code != CodeOK:
		err = &Error{Code: panicked.code}
	case err == nil:
		err = w.err
	}
	switch {
	case err == nil:
		if !announced {
			w.start()
		}
		c.w.WriteString(".\r\n")
	case announced:
		x.err = fmt.Errorf("list cut short: %w", err)
		c.s.log().Warn("control list cut short", "addr", c.session.RemoteAddr, "error", err)
	default:
		x.reply = c.failedList(err)
		x.reply.thenClose = panicked.thenClose
		c.send(x.reply)
	}
}

// failedList returns the reply to a list of which no line was written.
func (c *conn) failedList(err error) Reply {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reply()
	}
	c.s.log().Error("control list failed", "addr", c.session.RemoteAddr, "error", err)
	return Refuse(CodeInternal, "")
}

// upload asks for an upload, reads it and answers what becomes of it.
func (c *conn) upload(ctx context.Context, x *exchange) {
	limit := c.s.limits.Upload
	if l := x.reply.limit; l > 0 && l < limit {
		limit = l
	}
	c.reply(StatusData.String(), "OK")
	content, refusal, err := c.readUpload(limit)
	x.uploaded = len(content)
	switch {
	case err != nil:
		x.err = fmt.Errorf("upload broken off, nothing changed: %w", err)
		c.refuseInput(err)
		if refusal != nil {
			c.refuse(refusal)
			x.reply = refusal.Reply()
		}
	case refusal != nil:
		x.reply = refusal.Reply()
		c.send(x.reply)
	default:
		done := x.reply.upload
		x.reply = c.guard(func() Reply { return done(ctx, content) })
		if x.reply.upload != nil {
			x.reply = Refuse(CodeInternal, "")
		}
		if x.reply.list != nil {
			c.list(x)
			return
		}
		c.send(x.reply)
	}
}

// errTooBig ends a session whose upload is too big.
var errTooBig = errors.New("upload too big")

// readUpload reads to the dot. With an error the session is lost; with a refusal alone it
// is not.
func (c *conn) readUpload(limit int64) (content []byte, refusal *Error, err error) {
	content = []byte{}
	size := int64(0)
	for n := 1; ; n++ {
		line, err := c.readLine(c.s.limits.UploadLine, time.Now().Add(c.s.limits.UploadGap))
		if err != nil {
			return content, nil, err
		}
		if len(line) > 0 && line[0] == '.' {
			if line = line[1:]; len(line) == 0 {
				return content, refusal, nil
			}
		}
		if size += int64(len(line)) + 1; size > limit {
			return nil, &Error{CodeTooBig, fmt.Sprintf("the upload is bigger than %d bytes", limit)}, errTooBig
		}
		if refusal != nil {
			continue
		}
		if bytes.IndexByte(line, 0) >= 0 {
			refusal = &Error{CodeBadFile, fmt.Sprintf("line %d holds a NUL byte", n)}
			content = nil
			continue
		}
		content = append(append(content, line...), '\n')
	}
}
