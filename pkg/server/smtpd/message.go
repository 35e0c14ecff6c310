package smtpd

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// leastHops is how many Received headers a message may have at least before it is
// taken for one that goes in circles. RFC 5321 6.3 wants a large limit, normally of
// at least 100, where mail is refused; MaxMTAOps, which is 16 by default, counts at
// each attempt at delivery (docs/reference/delivery.md 2.10), where a loop through
// this server is found sooner and the administrator is told. A greater MaxMTAOps
// counts here too.
const leastHops = 100

// open begins the draft of the message, whose recipients are known now.
func (x *session) open() *reply {
	tx := x.tx
	e := spool.Envelope{
		ID: tx.id, Time: tx.began, Client: x.conn.Remote(), ClientName: x.client.Name, Server: x.conn.Local(),
		Helo: x.helo, Domain: x.name, Proto: x.protocol(), TLS: x.secure,
		From: tx.from.String(), Mail: tx.line, WhiteList: x.client.WhiteList,
		Body: string(tx.opts.Body), UTF8: tx.opts.UTF8, Ret: string(tx.opts.Return), EnvID: tx.opts.EnvelopeID,
		Recipients: tx.rcpts,
	}
	if x.known {
		e.Login, e.Account = x.who.Name, x.who.Address()
	}
	draft, err := x.server.Queue.Begin(e)
	if err != nil {
		return x.localError(err)
	}
	tx.draft = draft
	return nil
}

// localError is the reply to a message that the server cannot take at the moment.
func (x *session) localError(err error) *reply {
	x.log().Error("a message could not be taken", "id", x.tx.id, "err", err)
	r := replyLocal
	if errors.Is(err, syscall.ENOSPC) {
		r = say(452, "4.3.1", "Requested action not taken: insufficient system storage")
	}
	return &r
}

// receive takes the message that r has, and returns what to say: that it is on
// disk and will be delivered, or why not. Who was promised nothing has nothing in
// the queue.
func (x *session) receive(r io.Reader) *reply {
	tx := x.tx
	prefix := x.authUser() + x.received()
	if _, err := io.WriteString(tx.draft, prefix); err != nil {
		return x.localError(err)
	}
	h := &headerReader{w: tx.draft}
	if x.known {
		h.missing = x.missing
	}
	size, err := x.copyMessage(h, r)
	switch {
	case errors.Is(err, errTooBig):
		return &replyTooBig
	case errors.Is(err, errOver), errors.Is(err, errAborted):
		return &replyLocal // nobody is there to hear it
	case err != nil:
		return x.localError(err)
	case x.front.data.bad || x.front.chunk.bad:
		r := say(550, "5.6.11", "Message refused: a line must end in CR LF, and CR, LF and NUL may not stand elsewhere (RFC 5321 2.3.8)")
		return &r
	case h.received > max(leastHops, x.vars.Number("MaxMTAOps")):
		r := say(554, "5.4.6", "Too many hops: the message goes in circles")
		return &r
	}
	if r := x.postData(prefix); r != nil {
		return r
	}
	if err := tx.draft.Commit(); err != nil {
		return x.localError(err)
	}
	tx.draft = nil
	tx.rcpt = tx.rcpts[len(tx.rcpts)-1].Address
	x.record("RECV=OK", size)
	x.log().Info("message is taken", "message", tx.id, "from", tx.from.String(), "login", x.who.Name, "recipients", len(tx.rcpts), "size", size)
	ok := say(250, "2.0.0", "OK <"+tx.id+">")
	return &ok
}

var errTooBig = errors.New("smtpd: message too big")

// copyMessage copies the message and returns how many octets it has.
func (x *session) copyMessage(h *headerReader, r io.Reader) (size int64, err error) {
	buf := x.server.buffers.get()
	defer x.server.buffers.put(buf)
	for {
		n, err := r.Read(buf[:])
		size += int64(n)
		if x.limit > 0 && size > x.limit {
			return size, errTooBig
		}
		if _, werr := h.Write(buf[:n]); werr != nil {
			return size, werr
		}
		if err == io.EOF {
			return size, h.Close()
		}
		if err != nil {
			return size, err
		}
	}
}

// missing returns the fields that a submission must have and does not (RFC 6409 8).
func (x *session) missing(hasDate, hasID bool) string {
	fields := ""
	if !hasDate {
		fields += fmt.Sprintf("Date: %s\r\n", date(x.server.now()))
	}
	if !hasID {
		fields += fmt.Sprintf("Message-ID: %s\r\n", auth.Challenge(headerText(x.name)))
	}
	return fields
}

// userVar returns a variable of an account, empty where it is absent.
func (x *session) userVar(u mailroot.User, name string) string {
	vars, err := x.server.Root.UserVars(u)
	if err != nil {
		x.log().Error("variables of an account", "account", u.Name+"@"+u.Domain, "err", err)
		return ""
	}
	value, _ := vars.Lookup(name)
	return value
}

func atoi(s string) int { return mailroot.Atoi(s) }
