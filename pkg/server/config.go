package server

import (
	"log/slog"
	"time"

	"github.com/xmaild/xmaild/pkg/server/deliver"
	"github.com/xmaild/xmaild/pkg/server/outbound"
	"github.com/xmaild/xmaild/pkg/server/resolve"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// Config says how to run a server: what a command line and the environment
// decide. What the MailRoot decides (server.tab) is read from there, and read
// again when it changes.
type Config struct {
	// Root is the MailRoot folder. It must exist.
	Root string

	Ctrl  Endpoint // the control port, clear text with an upgrade to TLS
	Ctrls Endpoint // the control port inside TLS

	CtrlTimeout  time.Duration // wait for the next command of a session; 0: 120 s
	CtrlSessions int           // sessions at once on both control ports; 0: 512
	CtrlLog      bool          // write logs/ctrl-*

	SMTP  Endpoint // mail; further ports, for submission, are further addresses
	SMTPS Endpoint // the same inside TLS
	POP3  Endpoint
	POP3S Endpoint // POP3 inside TLS

	// Finger is off where CompatLevel is 1, unless FingerAsked.
	Finger      Endpoint
	FingerAsked bool

	SMTPTimeout  time.Duration // wait for the next command; 0: 90 s
	SMTPSessions int           // sessions at once, with SMTPS; 0: 1024
	SMTPLog      bool          // write logs/smtp-*
	Recipients   int           // of one message; 0: 100
	PopLife      time.Duration // how long a POP3 login lets send mail; 0: 15 min

	POP3Timeout  time.Duration // wait for the next command; 0: 90 s
	POP3Sessions int           // sessions at once, with POP3S; 0: 1024
	POP3Log      bool          // write logs/pop3-*
	POP3Delay    time.Duration // of the first failed login of a connection; 0: 5 s, less than 0: none
	POP3HangUp   bool          // close the connection after a failed login
	FingerLog    bool          // write logs/finger-*

	QueueLog      bool             // write logs/smail-*
	QueueWorkers  int              // messages being delivered at once; 0: 16
	SpoolSplit    int              // folders at each of two levels of the frozen messages, rounded up to a prime; 0: as many as there are, or 23
	Retries       deliver.Schedule // of deliveries
	FilterTimeout time.Duration    // of programs that filter; 0: 90 s
	FilterLog     bool             // write logs/filters-*

	// Drop is a folder that every user of the machine can put mail into; empty: there
	// is none. It is made where it is missing.
	Drop          string
	LocalWorkers  int           // files of Drop and spool/local at once; 0: 3
	LocalInterval time.Duration // between looks at these folders; 0: 2 s
	LocalLog      bool          // write logs/lmail-*

	LinksOff     bool          // fetch no mail by POP3 links
	LinkInterval time.Duration // between two looks at a POP3 link; 0: 120 s; less: only where .psync-trigger is made
	LinkThreads  int           // POP3 links at once; 0: 8
	LinkTimeout  time.Duration // for a connection, and for each reply; 0: 90 s
	LinkLog      bool          // write logs/psync-*

	// Outbound says how mail is sent to other hosts. Its log, clock and family do not
	// count: they are those of the server.
	Outbound outbound.Options

	// User is whom a server that is root becomes once it listens: a name or a
	// number. Empty: the owner of the MailRoot, unless that is root.
	User string

	// CtrlFailureDelay, unless 0, is how long the refusal of a login is held
	// back, whatever server.tab says.
	CtrlFailureDelay time.Duration

	LogRotation time.Duration // period of one log file, whole hours; 0: 24 h

	// Resolve is how a host name in an endpoint's address is looked up.
	Resolve Resolve

	// Mailbox is the kind of mailbox that new accounts get.
	Mailbox MailboxKind

	// PIDFile is where the process id is written; empty: nowhere. Where it
	// belongs to another live process or cannot be written, a file of the
	// same name in Root is used instead.
	PIDFile string

	// Version is what we call ourselves in the greeting and the log.
	Version string

	// Log takes structured logs; nil discards them.
	Log *slog.Logger

	// Resolver asks the DNS; nil: the servers of SmartDNSHost, or else those of the
	// machine.
	Resolver *resolve.Resolver

	// Clock tells the time; nil: time.Now.
	Clock func() time.Time

	// FS is the file system of tables, queue and mailboxes; nil: that of the operating
	// system. With another one, which tests break, the MailRoot is not locked.
	FS spool.FS

	// Poll is how often the .shutdown file is looked for; 0: every 500 ms.
	Poll time.Duration

	// Sweep is how often rows that have expired are removed; 0: every minute.
	Sweep time.Duration
}

// Endpoint is where a service listens.
type Endpoint struct {
	Off bool

	// Addrs are the addresses to bind, each "host:port". When there are none,
	// Port is bound on every address of IPv4, or of both families where IPv6 is
	// set; that of the control service on the loopback where CompatLevel is 1.
	Addrs []string

	Port int  // used where Addrs is empty; 0: any free port
	IPv6 bool // bind the IPv6 wildcard address where Addrs is empty
}

// The ports of the services unless told otherwise.
const (
	DefaultSMTPPort   = 25
	DefaultSMTPSPort  = 465
	DefaultPOP3Port   = 110
	DefaultPOP3SPort  = 995
	DefaultFingerPort = 79
	DefaultCtrlPort   = 6017
	DefaultCtrlsPort  = 6018
)

// Resolve says which addresses of a host name count.
type Resolve int

// The reference's -M4, -M6, -M5 and -M7.
const (
	ResolveIPv4 Resolve = iota
	ResolveIPv6
	ResolveIPv4First
	ResolveIPv6First
)

// MailboxKind is the way a mailbox keeps its messages.
type MailboxKind int

// The reference's -MM and -Mm.
const (
	MailboxMaildir MailboxKind = iota
	MailboxPlain
)

func (k MailboxKind) String() string {
	if k == MailboxPlain {
		return "mailbox"
	}
	return "Maildir"
}
