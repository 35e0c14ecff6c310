package smtpd

import (
	"context"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/server/filter"
	"github.com/xmaild/xmaild/pkg/server/login"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/policy"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// A Conn is a connection as the accepting of connections hands it over
// (*session.Conn).
type Conn interface {
	net.Conn
	ID() uint64
	ImplicitTLS() bool
	Remote() netip.AddrPort
	Local() netip.AddrPort
	SetUser(address string)
	SetTLS(on bool)
	Busy()
	Idle()
	Ending() bool
}

// A Queue takes messages (*spool.Queue).
type Queue interface {
	NextID(letter byte) string
	Begin(e spool.Envelope) (*spool.Draft, error)
}

// A Policy decides what the tables and the DNS decide (*policy.Policy).
type Policy interface {
	// Client looks at a client that has connected.
	Client(ctx context.Context, remote, local netip.AddrPort) policy.Client
	// Sender decides on MAIL. Nil: the sender is taken.
	Sender(ctx context.Context, c *policy.Client, s policy.Session, from address.Path) *policy.Reply
	// Recipient decides on RCPT. Nil: the recipient is taken.
	Recipient(ctx context.Context, c *policy.Client, s policy.Session, to address.Path) (policy.Recipient, *policy.Reply)
	// Verify answers VRFY.
	Verify(c *policy.Client, s policy.Session, argument string) policy.Reply
	// MayVerify and MayETRN report whether these commands are for the client.
	MayVerify(c *policy.Client, s policy.Session) bool
	MayETRN(c *policy.Client, s policy.Session) bool
}

// A Login says who may log in (*login.Checker).
type Login interface {
	SMTP(ctx context.Context, cr login.Credentials) (login.Identity, error)
	Stands(ctx context.Context, u mailroot.User, cr login.Credentials) bool
	Mechanisms(remote netip.Addr, tls bool) []string
	Perms(u mailroot.User) string
	PopBeforeSMTP(u mailroot.User, ip netip.Addr, life time.Duration) bool
}

// Filters run the programs that look at mail inside a session (*filter.Runner).
type Filters interface {
	// Any reports whether there are filters of a kind.
	Any(kind string) bool
	PostRcpt(ctx context.Context, m filter.Message) filter.Verdict
	PreData(ctx context.Context, m filter.Message) filter.Verdict
	PostData(ctx context.Context, m filter.Message, body *io.SectionReader) filter.Verdict
}
