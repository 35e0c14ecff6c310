// Package outbound sends mail to other hosts by SMTP. It says by which hosts the
// mail for a domain goes (docs/reference/delivery.md 2.6 to 2.8), and takes a message
// there. It knows nothing of the queue: what came of an attempt is told for each
// recipient, and whether and when there is another one is for others to decide.
//
// What it does other than the reference:
//
//   - A domain of smtpgw.tab is sent to the first host of its route with a plain
//     envelope, since no server of today takes a source route.
//   - STARTTLS is used wherever it is offered, unless NeedTLS=0 forbids it. Where the
//     handshake fails the message goes in clear by a new connection, unless NeedTLS=2,
//     which also wants a certificate that is good for the name of the host.
//   - A password goes in clear only to a host without TLS, and only at level 0 or where
//     NeedTLS=0 is said; a host that may not be trusted without its certificate wants
//     NeedTLS=2.
//   - Text of 8 bits for a host without 8BITMIME is refused at level 1, as RFC 6152 3
//     has it; at level 0 it is sent as it is. UTF-8 in addresses, or in the header of a
//     message that came with SMTPUTF8, is refused for a host that does not know it; but
//     domains are written in ASCII then.
//   - A refusal of the connection, of EHLO or of a login is not one of the message:
//     the next host is tried, and the message waits where there is none.
//   - All addresses of all hosts are tried; a host that is dead is left alone for a
//     while, so that it does not hold up other mail.
package outbound

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/resolve"
)

// A Resolver looks names up; [resolve.Resolver] is the real one. Errors wrap
// [resolve.ErrNotFound] where there is no such record.
type Resolver interface {
	LookupMX(ctx context.Context, domain string) ([]resolve.MX, error)
	LookupIP(ctx context.Context, host string) ([]netip.Addr, error)
	LookupIP4(ctx context.Context, host string) ([]netip.Addr, error)
	LookupPTR(ctx context.Context, ip netip.Addr) ([]string, error)
}

// A Family says which addresses of a host count, and which of them first.
type Family int

// The reference's -M4, -M6, -M5 and -M7.
const (
	IPv4 Family = iota
	IPv6
	IPv4First
	IPv6First
)

// Timeouts say how long a [Sender] waits. What is 0 has the default.
type Timeouts struct {
	Connect  time.Duration // for a connection to one address; 30 s
	Greeting time.Duration // for the first line; 90 s
	Command  time.Duration // for a reply, and for the handshake of TLS; 5 min (RFC 5321 4.5.3.2)
	Block    time.Duration // for a block of the text to be taken; 3 min
	Final    time.Duration // for the reply to the whole message; 10 min
	Idle     time.Duration // that a connection is kept for the next message; 15 s
}

// Options say how a [Sender] works. The zero value is good.
type Options struct {
	Log      *slog.Logger     // nil: that of the MailRoot
	Clock    func() time.Time // of certificates, and of how long a host is dead; nil: that of the MailRoot
	Timeouts Timeouts
	Family   Family

	PerHost       int // connections to one address at once, once it has answered; 0: 10. Before, there is one
	PerConnection int // messages that one connection takes; 0: 100
	MaxIdle       int // connections that are kept for the next message, in all; 0: 100

	// Roots returns whose certificates are good. Nil: those that the system trusts.
	Roots func() (*x509.CertPool, error)

	// Own reports whether an address is one of this server, so that mail for a domain
	// whose MX it is would come back. Nil: those of the machine's interfaces. The names
	// that server.tab gives it are known besides.
	Own func(ip netip.Addr) bool

	// Dial opens a TCP connection, from the address bind where that is valid. Nil:
	// that of package net.
	Dial func(ctx context.Context, bind netip.Addr, to netip.AddrPort) (net.Conn, error)
}

// A Sender sends messages. Its methods may be called concurrently. It keeps
// connections for the next message; Close ends them.
type Sender struct {
	root *mailroot.Root
	dns  Resolver
	o    Options
	log  *slog.Logger
	pool *pool
	told sync.Map // warnings
}

// New returns a Sender.
func New(root *mailroot.Root, dns Resolver, o Options) *Sender {
	if o.Log == nil {
		o.Log = root.Log
	}
	if o.Clock == nil {
		o.Clock = root.Now
	}
	if o.Dial == nil {
		o.Dial = dial
	}
	if o.Own == nil {
		o.Own = own
	}
	if o.Roots == nil {
		o.Roots = x509.SystemCertPool
	}
	o.Timeouts = o.Timeouts.defaults()
	o.PerHost = or(o.PerHost, 10)
	o.PerConnection = or(o.PerConnection, 100)
	o.MaxIdle = or(o.MaxIdle, 100)
	return &Sender{root: root, dns: dns, o: o, log: o.Log, pool: newPool(o)}
}

func (t Timeouts) defaults() Timeouts {
	return Timeouts{
		Connect: or(t.Connect, 30*time.Second), Greeting: or(t.Greeting, 90*time.Second), Command: or(t.Command, 5*time.Minute),
		Block: or(t.Block, 3*time.Minute), Final: or(t.Final, 10*time.Minute), Idle: or(t.Idle, 15*time.Second),
	}
}

func or[T int | time.Duration](value, def T) T {
	if value <= 0 {
		return def
	}
	return value
}

// Forget makes hosts that did not answer be tried again at once, as when somebody
// asks for the queue to be worked on now.
func (s *Sender) Forget() { s.pool.forget() }

// Close ends the connections that wait for the next message, and waits until they
// are closed: some seconds at most. Messages that are being sent go on; their
// connections are not kept. There is nothing to be sent afterwards: it fails for now.
func (s *Sender) Close() { s.pool.close() }

// dial opens a TCP connection by package net.
func dial(ctx context.Context, bind netip.Addr, to netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	if bind.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(bind, 0))
	}
	return d.DialContext(ctx, "tcp", to.String())
}
