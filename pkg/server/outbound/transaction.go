package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/emersion/go-smtp"
)

// maxBatch is how many recipients a transaction has: as many as every host takes (RFC
// 5321 4.5.3.1.8).
const maxBatch = 100

// deliver sends the message to the recipients that are left, by as many transactions
// as it takes, and gives the connection back. It reports whether nothing came of it
// since the connection, used before, turned out to be closed or in no state for it.
func (a *attempt) deliver(c *conn, about Result, reused bool) (stale bool) {
	stop := context.AfterFunc(a.ctx, func() { c.raw.Close() })
	good := true
	defer func() { a.pool.put(c, stop() && good) }()
	pending := slices.Clone(a.left)
	if !a.fits(c, about) {
		return false
	}
	for first := true; len(pending) > 0 && good; first = false {
		batch := pending[:min(len(pending), maxBatch)]
		t := &transaction{attempt: a, c: c, about: about}
		came := t.run(batch)
		if (came == cutEarly || came == notNow) && reused && first && a.ctx.Err() == nil {
			good = false
			return true
		}
		good = came == usable || came == notNow
		t.tell()
		pending = append(t.later, pending[len(batch):]...)
	}
	a.noteFor(pending, temporary("4.4.2", "the connection was lost"), about)
	return false
}

// fits refuses a message that the host says it does not take. It reports whether it
// does.
func (a *attempt) fits(c *conn, about Result) bool {
	var f failure
	if most := c.hello.maxSize(); most > 0 && a.m.Size > most {
		f = permanent("5.3.4", "Message too big for the remote SMTP server: it has %d bytes, and host %s takes %d", a.m.Size, about.Host, most)
	}
	if !c.hello.has("8BITMIME") && a.root.Vars().CompatLevel() >= 1 {
		// RFC 6152 3 has it so. At level 0 it is sent as it is, as by the reference:
		// nearly all hosts take it.
		switch eight, err := has8bit(a.m.Body, false); {
		case err != nil:
			f = unreadable(err)
		case eight:
			f = permanent("5.6.3", "the message has 8-bit text, and host %s takes 7-bit text only", about.Host)
		}
	}
	if !c.hello.has("SMTPUTF8") {
		header := false
		var err error
		if a.m.UTF8 {
			header, err = has8bit(a.m.Body, true)
		}
		_, ok := plain(a.from)
		switch {
		case err != nil:
			f = unreadable(err)
		case header:
			f = permanent("5.6.9", "the header of the message is in UTF-8, which host %s does not take (SMTPUTF8)", about.Host)
		case !ok:
			f = permanent("5.6.7", "the address of the sender is in UTF-8, which host %s does not take (SMTPUTF8)", about.Host)
		}
	}
	if f.text == "" {
		return true
	}
	r := f.result()
	r.Host, r.Addr, r.TLS, r.Verified = about.Host, about.Addr, about.TLS, about.Verified
	a.finish(slices.Clone(a.left), r)
	return false
}

func unreadable(err error) failure {
	return temporary("4.3.0", "the text of the message cannot be read: %v", err)
}

// An outcome says what state a transaction leaves the connection in.
type outcome int

const (
	usable   outcome = iota
	notNow           // usable, but MAIL was answered by 4yz or by 503: see below
	cutEarly         // before the host answered to MAIL
	cut
)

// That MAIL is not taken now may be said of a connection that was used before, and not of
// the message: it has waited too long ("451 timeout", which was said before MAIL was sent
// perhaps, so that the next reply is that to MAIL), or has had as many messages as it may.

// A transaction sends the message to some recipients. What becomes of them is kept
// until tell, since the end of the message is the end of them all.
type transaction struct {
	*attempt
	c        *conn
	about    Result
	accepted []int
	later    []int // for another transaction with the same host
	next     []int // refused, by why
	why      []failure
}

func (t *transaction) run(batch []int) outcome {
	t.c.sent++
	t.c.step()
	if err := unlessTaken(t.c.client.Mail(t.mail())); err != nil {
		f := judge(err)
		t.refuse(batch, f)
		switch {
		case !f.replied():
			return cutEarly
		case f.code/100 == 4 || f.code == 503:
			return notNow
		case f.code/100 != 5:
			return cut // who knows what it means
		}
		return usable
	}
	if !t.rcpt(batch) {
		t.refuse(t.accepted, temporary("4.4.2", "the connection was lost"))
		t.accepted = nil
		return cut
	}
	if len(t.accepted) == 0 {
		if t.c.reset() != nil {
			return cut
		}
		return usable
	}
	return t.data()
}

// mail returns what MAIL says.
func (t *transaction) mail() (string, *smtp.MailOptions) {
	o := &smtp.MailOptions{Size: t.m.Size}
	switch ret := smtp.DSNReturn(t.m.Ret); ret {
	case smtp.DSNReturnFull, smtp.DSNReturnHeaders:
		o.Return = ret
	}
	if isPrintable(t.m.EnvID) {
		o.EnvelopeID = t.m.EnvID
	}
	if !t.c.hello.has("SMTPUTF8") {
		from, _ := plain(t.from)
		return from, o
	}
	o.UTF8 = t.m.UTF8 || t.from.UTF8()
	for _, to := range t.to {
		o.UTF8 = o.UTF8 || to.UTF8()
	}
	return t.from.String(), o
}

// rcpt names the recipients. It reports whether the connection is still there.
func (t *transaction) rcpt(batch []int) bool {
	for n, i := range batch {
		to := t.to[i].String()
		if !t.c.hello.has("SMTPUTF8") {
			var ok bool
			if to, ok = plain(t.to[i]); !ok {
				t.end([]int{i}, permanent("5.6.7", "the address is in UTF-8, which host %s does not take (SMTPUTF8)", t.about.Host))
				continue
			}
		}
		t.c.step()
		err := unlessTaken(t.c.client.Rcpt(to, t.m.Recipients[i].dsn()))
		if err == nil {
			t.accepted = append(t.accepted, i)
			continue
		}
		f := judge(err)
		switch {
		case !f.replied():
			t.refuse(batch[n:], f)
			return false
		case f.code == 452 && len(t.accepted) > 0:
			t.later = append(t.later, i) // RFC 5321 4.5.3.1.10
			t.refuse([]int{i}, f)        // unless the next one goes well
		default:
			t.refuse([]int{i}, f)
		}
	}
	return true
}

// data sends the text and takes the answer to it.
func (t *transaction) data() outcome {
	if _, err := t.m.Body.Seek(0, io.SeekStart); err != nil {
		t.end(t.accepted, unreadable(err))
		return cut
	}
	t.c.step()
	w, err := t.c.client.Data()
	if err != nil {
		f := judge(err)
		t.refuse(t.accepted, f)
		if !f.replied() || t.c.reset() != nil {
			return cut
		}
		return usable
	}
	// A host that takes less than a kibibyte a second is not waited for.
	t.c.wire.step(t.c.times.Final+time.Duration(t.m.Size/1024)*time.Second, t.c.times.Block)
	body := &source{r: t.m.Body}
	clean := &cleaner{w: w}
	_, err = io.CopyBuffer(struct{ io.Writer }{clean}, body, make([]byte, 32<<10))
	if err == nil {
		err = clean.end()
	}
	switch {
	case body.err != nil:
		t.end(t.accepted, unreadable(body.err))
		return cut // without the final dot
	case err != nil:
		t.refuse(t.accepted, judge(err))
		return cut
	}
	t.c.wire.step(t.c.times.Final, 0)
	answer, err := w.CloseWithResponse()
	code, text, ok := taken(answer, err)
	if !ok {
		f := judge(err)
		if f.code == 0 {
			f.text = "all of the message was sent, and no reply came: " + f.text
			r := t.describe(f.result())
			r.Uncertain = true
			t.finish(t.accepted, r) // another host would surely double it
			return cut
		}
		t.refuse(t.accepted, f)
		if !f.replied() {
			return cut
		}
		return usable
	}
	r := t.describe(Result{State: Delivered, Code: code, Enhanced: "2.0.0", Reply: fmt.Sprintf("%d %s", code, oneLine(text, maxReply)), RemoteID: remoteID(text)})
	r.DSN = t.c.hello.has("DSN")
	t.finish(t.accepted, r)
	return usable
}

// taken returns the reply to the whole message where it says that the host has taken
// it. By its first digit (RFC 5321 4.2): to send again what has an unusual code would
// double it.
func taken(answer *smtp.DataResponse, err error) (code int, text string, ok bool) {
	var reply *smtp.SMTPError
	switch {
	case err == nil:
		return 250, answer.StatusText, true
	case errors.As(err, &reply) && reply.Code/100 == 2:
		return reply.Code, reply.Message, true
	}
	return 0, "", false
}

// unlessTaken returns the error of a command unless it is a reply that says by its first
// digit that the host has done it: a recipient whom the host has and we do not count would
// get the message again.
func unlessTaken(err error) error {
	if reply := (*smtp.SMTPError)(nil); errors.As(err, &reply) && reply.Code/100 == 2 && reply.Code != 221 {
		return nil
	}
	return err
}

// A source remembers that it could not be read.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// describe says in a result which host it is of.
func (t *transaction) describe(r Result) Result {
	r.Host, r.Addr, r.TLS, r.Verified = t.about.Host, t.about.Addr, t.about.TLS, t.about.Verified
	return r
}

// end is the end for some recipients.
func (t *transaction) end(which []int, f failure) {
	t.finish(slices.Clone(which), t.describe(f.result()))
}

// refuse takes a refusal for some recipients down: the end where it is for good.
func (t *transaction) refuse(which []int, f failure) {
	for _, i := range which {
		t.next = append(t.next, i)
		t.why = append(t.why, f)
	}
}

// tell makes the refusals of a transaction count.
func (t *transaction) tell() {
	for n, i := range t.next {
		if t.why[n].state == Permanent {
			t.end([]int{i}, t.why[n])
		} else {
			t.noteFor([]int{i}, t.why[n], t.about)
		}
	}
}
