package smtpd

import (
	"io"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/xmaild/xmaild/pkg/server/login"
	"github.com/xmaild/xmaild/pkg/server/spool"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A backend is what go-smtp calls with the commands that it has understood. Where
// they are refused the front knows what to say, and go-smtp is told any error.
type backend struct{ f *front }

var _ smtp.AuthSession = backend{}

func (b backend) NewSession(*smtp.Conn) (smtp.Session, error) { return b, nil }
func (b backend) Reset()                                      { b.f.x.drop() }

func (b backend) Logout() error {
	b.f.x.drop()
	return nil
}

func (b backend) AuthMechanisms() []string { return b.f.x.mechanisms() }

func (b backend) Auth(mechanism string) (sasl.Server, error) {
	s, err := b.f.x.exchange(mechanism)
	if err != nil {
		return nil, err
	}
	return saslServer{s, b.f.x}, nil
}

// Mail decides on the sender. What go-smtp has made of the path is not looked at:
// the front has read it.
func (b backend) Mail(_ string, opts *smtp.MailOptions) error {
	x := b.f.x
	x.tx.opts = *opts
	return b.refused(x.mail())
}

// mail returns why the sender is refused, in the order of docs/reference/services.md 1.7.
func (x *session) mail() *reply {
	tx := x.tx
	if !tx.from.IsNull() {
		x.popBeforeSMTP()
	}
	if tx.from.UTF8() && !tx.opts.UTF8 {
		r := say(553, "5.6.7", "Non-ASCII address without SMTPUTF8")
		return &r
	}
	if x.limit > 0 && tx.size > x.limit {
		x.record("SIZE=EBIG", tx.size)
		return &replyTooBig
	}
	if refusal := x.server.Policy.Sender(x.ctx, &x.client, x.facts(), tx.from); refusal != nil {
		return x.policyReply(refusal)
	}
	tx.id = x.server.Queue.NextID('S')
	return nil
}

// popBeforeSMTP gives a sender who has lately read mail from the same address the
// rights of a login (docs/reference/services.md 1.15).
func (x *session) popBeforeSMTP() {
	if x.known || !x.vars.On("EnableAuthSMTP-POP3") || !x.tx.from.Plain() {
		return
	}
	u, ok := x.server.Root.Resolve(x.tx.from.Domain, x.tx.from.Local)
	read := func() bool {
		return x.server.Login.PopBeforeSMTP(u, x.conn.Remote().Addr(), x.server.popLife())
	}
	if !ok || u.IsList() || !read() {
		return
	}
	who := login.Identity{User: u, IsAccount: true, Perms: x.server.Login.Perms(u), MaxMessage: -1}
	who.Name = who.Address()
	// Whoever disables the account meanwhile ends the sessions that are known as its own.
	if x.conn.SetUser(who.Name); !read() {
		x.conn.SetUser("")
		return
	}
	if size := x.userVar(u, "MaxMessageSize"); size != "" {
		who.MaxMessage = int64(atoi(size)) << 10
	}
	x.grant(who)
}

// Rcpt decides on a recipient.
func (b backend) Rcpt(_ string, opts *smtp.RcptOptions) error {
	x := b.f.x
	return b.refused(x.addRecipient(opts))
}

func (x *session) addRecipient(opts *smtp.RcptOptions) *reply {
	tx := x.tx
	tx.rcpt = tx.to.String()
	if tx.to.UTF8() && !tx.opts.UTF8 {
		r := say(553, "5.6.7", "Non-ASCII address without SMTPUTF8")
		return &r
	}
	to, refusal := x.server.Policy.Recipient(x.ctx, &x.client, x.facts(), tx.to)
	if refusal != nil {
		return x.policyReply(refusal)
	}
	rcpt := spool.Recipient{Address: to.Address, Real: to.Real}
	if slices.ContainsFunc(tx.rcpts, func(r spool.Recipient) bool { return sameRecipient(r, rcpt) }) {
		return nil // one copy is enough
	}
	if opts.OriginalRecipient != "" {
		rcpt.ORcpt = string(opts.OriginalRecipientType) + ";" + opts.OriginalRecipient
	}
	words := make([]string, len(opts.Notify))
	for i, word := range opts.Notify {
		words[i] = string(word)
	}
	rcpt.Notify = strings.Join(words, ",")
	if r := x.postRcpt(rcpt); r != nil {
		return r
	}
	tx.rcpts = append(tx.rcpts, rcpt)
	x.record("RCPT=OK", 0)
	return nil
}

// sameRecipient reports whether two recipients are the same address. How the local
// part is spelled is for its server to judge; here it does not count.
func sameRecipient(a, b spool.Recipient) bool {
	return a.Address == b.Address || a.Real != "" && a.Real == b.Real && tabfile.EqualFold(a.Address, b.Address)
}

// Data takes the message.
func (b backend) Data(r io.Reader) error {
	x := b.f.x
	x.front.said = x.receive(r)
	return nil
}

// refused tells go-smtp about a refusal, and leaves the words to the front.
func (b backend) refused(r *reply) error {
	if r == nil {
		return nil
	}
	return b.f.x.refuse(*r)
}
