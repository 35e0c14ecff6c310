package smtpd

import (
	"errors"
	"io"

	"github.com/xmaild/xmaild/pkg/server/filter"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// filterMessage is what filters are told. Before its recipient at hand is taken it
// is not among the recipients (docs/reference/services.md 1.17).
func (x *session) filterMessage(at spool.Recipient) filter.Message {
	tx := x.tx
	m := filter.Message{
		From: tx.from.String(), HasFrom: true, Recipient: at.Address, RealRecipient: at.Real,
		Local: x.conn.Local(), Remote: x.conn.Remote(), Helo: x.helo, Domain: x.name, ID: tx.id,
		WhiteListed: x.client.WhiteList, Recipients: tx.rcpts, Mail: tx.line, Time: tx.began,
	}
	if x.known {
		m.User = x.who.Name
	}
	return m
}

// filtered reports whether there are filters of a kind.
func (x *session) filtered(kind string) bool {
	return x.server.Filters != nil && x.server.Filters.Any(kind)
}

// postRcpt asks the filters about a recipient.
func (x *session) postRcpt(at spool.Recipient) *reply {
	if !x.filtered(filter.PostRcpt) {
		return nil
	}
	v := x.server.Filters.PostRcpt(x.ctx, x.filterMessage(at))
	return x.verdict(v, "RCPT=EFILTER", say(550, "5.7.1", "Recipient rejected"))
}

// preData asks the filters whether the message is to be taken at all.
func (x *session) preData() *reply {
	if !x.filtered(filter.PreData) {
		return nil
	}
	v := x.server.Filters.PreData(x.ctx, x.filterMessage(x.tx.rcpts[len(x.tx.rcpts)-1]))
	return x.verdict(v, "PREDATA=EFILTER", transactionFailed())
}

// postData asks the filters about the message. What they make of it takes the place
// of what the client sent, behind the headers of ours that prefix is.
func (x *session) postData(prefix string) *reply {
	if !x.filtered(filter.PostData) {
		return nil
	}
	body, err := x.tx.draft.Open()
	if err != nil {
		return x.localError(err)
	}
	text := io.NewSectionReader(body, int64(len(prefix)), max(body.Size()-int64(len(prefix)), 0))
	v := x.server.Filters.PostData(x.ctx, x.filterMessage(x.tx.rcpts[len(x.tx.rcpts)-1]), text)
	err = body.Close()
	if v.NewBody != nil {
		if err == nil && !v.Reject && !v.Defer {
			err = x.replace(prefix, v.NewBody)
		}
		err = errors.Join(err, v.NewBody.Close())
	}
	if err != nil {
		return x.localError(err)
	}
	return x.verdict(v, "POSTDATA=EFILTER", transactionFailed())
}

// replace puts what a program has written in the place of the message. It gets the
// line ends that a message has, and may no more pretend a login than a client may.
func (x *session) replace(prefix string, text io.Reader) error {
	r, w := io.Pipe()
	copied := make(chan error, 1)
	go func() {
		h := &headerReader{w: w}
		lines := &lineWriter{w: h}
		_, err := io.WriteString(w, prefix)
		if err == nil {
			_, err = io.Copy(lines, text)
		}
		if err == nil {
			err = lines.Close()
		}
		if err == nil {
			err = h.Close()
		}
		w.CloseWithError(err)
		copied <- err
	}()
	err := x.tx.draft.Replace(r)
	r.CloseWithError(err) // ends the copying where the draft does not want more
	return errors.Join(err, <-copied)
}

func transactionFailed() reply {
	r := say(554, "5.7.1", "Transaction failed")
	r.silent = true
	return r
}

// verdict returns what is said to what filters have found.
func (x *session) verdict(v filter.Verdict, status string, refusal reply) *reply {
	switch {
	case v.Defer:
		x.record(status, 0)
		r := say(451, "4.7.1", "The message cannot be checked at the moment, try again later")
		return &r
	case v.Reject:
		x.record(status, 0)
		if r, ok := parseReply(v.Reply); ok && r.code >= 400 {
			return &r
		}
		return &refusal
	}
	return nil
}
