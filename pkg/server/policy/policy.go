// Package policy decides what SMTP does for a client: by the access tables of the
// MailRoot, its accounts, and the DNS. It knows nothing of the protocol but the
// replies that refuse.
package policy

import (
	"context"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/resolve"
)

// A Resolver asks the DNS (*resolve.Resolver). Its errors wrap
// [resolve.ErrNotFound] where there is certainly no such record.
type Resolver interface {
	LookupPTR(ctx context.Context, ip netip.Addr) ([]string, error)
	LookupIP(ctx context.Context, host string) ([]netip.Addr, error)
	LookupIP4(ctx context.Context, host string) ([]netip.Addr, error)
	LookupMX(ctx context.Context, domain string) ([]resolve.MX, error)
}

// A Quota knows how full mailboxes are (*mailbox.Store).
type Quota interface {
	// Full reports whether the mailbox of an account cannot take extra more bytes.
	Full(ctx context.Context, u mailroot.User, extra int64) (bool, error)
}

// Options are what a Policy may be told. The zero value is good.
type Options struct {
	Log *slog.Logger // nil: that of the MailRoot

	// Timeout is how long the DNS may take for the names of a client, again for the
	// lists it may stand in, and for the domain of a sender. 0: 3 seconds.
	Timeout time.Duration

	// DiskFree returns how much the file system of a folder can still take, and
	// MemFree how much memory there is still, in bytes. Nil: the system is asked.
	DiskFree func(dir string) (uint64, error)
	MemFree  func() (uint64, error)
}

// A Policy decides. Its methods may be called concurrently.
type Policy struct {
	root    *mailroot.Root
	dns     Resolver
	boxes   Quota
	log     *slog.Logger
	timeout time.Duration
	disk    *guard
	memory  *guard

	mu    sync.Mutex
	lists map[string]string // what is wrong with lists of the DNS, as it was reported
}

// New returns a Policy by the tables of a MailRoot.
func New(root *mailroot.Root, dns Resolver, boxes Quota, o Options) *Policy {
	if o.Log == nil {
		o.Log = root.Log
	}
	if o.Timeout == 0 {
		o.Timeout = 3 * time.Second
	}
	if o.DiskFree == nil {
		o.DiskFree = diskFree
	}
	if o.MemFree == nil {
		o.MemFree = memFree
	}
	return &Policy{
		root: root, dns: dns, boxes: boxes, log: o.Log, timeout: o.Timeout,
		disk:   &guard{measure: func() (uint64, error) { return o.DiskFree(root.Dir) }},
		memory: &guard{measure: o.MemFree},
		lists:  make(map[string]string),
	}
}

// A Reply is what a client is told, most often a refusal.
type Reply struct {
	Code     int    // RFC 5321 4.2
	Enhanced string // RFC 3463, as "5.7.1"; empty where the text is an administrator's
	Text     string // one line; it may hold what a client or a table said
	Log      string // the status for the log of SMTP (docs/reference/services.md 5.1); empty: none
}

// A Session is what is known of a client by what it said.
type Session struct {
	Login   string // the name by which it logged in, as it was typed; empty before a login
	Account string // the address of the account it logged in to; empty where it is none
	Perms   string // the letters it has by that: M R V T Z S (docs/reference/services.md 1.14)
	TLS     bool
	Size    int64 // what MAIL declared, in bytes; 0: nothing

	MailAuth, WantTLS bool // the SmtpConfig of the address it came to

	From address.Path // of the transaction, for recipients
}

// loggedIn reports whether there was a login, or one to POP3 before. It lifts what
// stands against the address of a client, even where it brings no letter.
func (s Session) loggedIn() bool { return s.Login != "" }

// may reports whether a login brought a letter.
func (s Session) may(letter string) bool { return s.loggedIn() && strings.Contains(s.Perms, letter) }

// MayVerify reports whether VRFY is answered.
func (p *Policy) MayVerify(c *Client, s Session) bool {
	return c.VRFY || s.may("V") || p.root.Vars().On("AllowSmtpVRFY")
}

// MayETRN reports whether ETRN is taken.
func (p *Policy) MayETRN(c *Client, s Session) bool {
	return c.ETRN || s.may("T") || p.root.Vars().On("AllowSmtpETRN")
}

// custom returns the reply in a variable of server.tab, with more behind its text,
// or else the reply given. A text without a code that refuses gets that of the
// reply.
func custom(vars mailroot.ServerVars, name, more string, reply Reply) *Reply {
	text := strings.TrimSpace(vars.String(name))
	if text == "" {
		return &reply
	}
	reply.Enhanced = ""
	code, rest, _ := strings.Cut(text, " ")
	if n, err := strconv.Atoi(code); err == nil && len(code) == 3 && n >= 400 && n <= 599 {
		reply.Code, text = n, strings.TrimSpace(rest)
	}
	if text == "" { // a code alone
		return &reply
	}
	reply.Text = strings.TrimSpace(text + more)
	return &reply
}
