// Package admin has every change of a server's state as a plain function: what
// a control command does, a program that imports accounts and a test call the
// same one. Each is one transaction, folders included: it happens, also when
// the machine stops in the middle, or it does not. Each returns an [*Error] that
// says what is wrong; nothing has changed then.
//
// Refusals come in the order of the reference, and what only this server
// refuses comes after them (docs/reference/control-protocol.md 3).
package admin

import (
	"context"
	"log/slog"
	"time"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/mailbox"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/program"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// Options say how a [Service] works. The zero value is good.
type Options struct {
	// Log is told of hooks and of what was found odd on the way. Nil: that of
	// the MailRoot.
	Log *slog.Logger

	// Plain gives new accounts a "mailbox" folder instead of a Maildir.
	Plain bool

	// DNS is asked by IPCheck what SMTP asks of a client (*policy.Policy). Nil:
	// nothing is asked.
	DNS ClientDNS

	// Queue is the running queue. Nil: there is none.
	Queue Queue

	// HookTimeout is how long an external program may take; 0: 60 seconds.
	HookTimeout time.Duration
}

// A Service administers a MailRoot. Its functions may be called concurrently.
type Service struct {
	root *mailroot.Root
	opts Options
	log  *slog.Logger
	try  bool

	usage  *mailbox.Counter
	hasher *auth.Hasher

	owns  func(domain string) bool // nil: no limit
	batch *batch                   // nil: each function is a transaction of its own
	undo  bool                     // takes back in a batch what it changes
}

// New returns the service of a MailRoot.
func New(root *mailroot.Root, o Options) *Service {
	if o.Log == nil {
		o.Log = root.Log
	}
	if o.HookTimeout <= 0 {
		o.HookTimeout = program.DefaultTimeout
	}
	return &Service{root: root, opts: o, log: o.Log, usage: mailbox.NewCounter(root, root.Now), hasher: auth.NewHasher(0)}
}

// Try returns a service whose functions return what those of s would, and
// change nothing. No hooks run.
func (s *Service) Try() *Service {
	t := *s
	t.try, t.undo = true, s.batch != nil
	return &t
}

// Within returns a service for an administrator who has rights to some domains
// only: accounts of others are not found by it, also where aliases and alias
// domains lead to them, and what reaches beyond the domains is refused
// ([Forbidden]). That a domain which is given is one of them, the caller sees to.
func (s *Service) Within(owns func(domain string) bool) *Service {
	t := *s
	t.owns = owns
	return &t
}

// tables are those that the functions of s read: as committed, or in a batch as its
// transaction sees them.
func (s *Service) tables() mailroot.Tables {
	if s.batch != nil {
		return s.batch.tx.Tables.Within(s.owns)
	}
	return s.root.Tables.Within(s.owns)
}

// Root returns the MailRoot.
func (s *Service) Root() *mailroot.Root { return s.root }

// Sync returns when every table on disk shows every acknowledged change.
func (s *Service) Sync(ctx context.Context) error { return translate(s.root.Store.Sync(ctx)) }

// update runs f as a transaction, or tries to. f may run more than once.
func (s *Service) update(ctx context.Context, f func(*mailroot.Tx) error) error {
	f = s.guarded(f)
	switch {
	case s.batch != nil && s.undo:
		return translate(s.batch.only(f))
	case s.batch != nil:
		return translate(f(s.batch.tx))
	case s.try:
		return translate(s.root.Try(ctx, f))
	}
	return translate(s.root.Update(ctx, f))
}

// guarded makes f keep what every transaction keeps.
func (s *Service) guarded(f func(*mailroot.Tx) error) func(*mailroot.Tx) error {
	return func(tx *mailroot.Tx) error {
		if err := f(&mailroot.Tx{Tables: tx.Tables.Within(s.owns), Tx: tx.Tx}); err != nil {
			return err
		}
		if !tx.Changes(mailroot.AccountsTab) && !tx.Changes(mailroot.RightsTab) {
			return nil
		}
		if !tx.HasFullAdministrator() && s.root.HasFullAdministrator() {
			return refuse(Conflict, "no control account would have the rights to everything")
		}
		return nil
	}
}

// check returns why f would fail.
func (s *Service) check(ctx context.Context, f func(*mailroot.Tx) error) error {
	f = s.guarded(f)
	if s.batch != nil {
		return translate(s.batch.only(f))
	}
	return translate(s.root.Try(ctx, f))
}

func (s *Service) spool() spool.Tree { return spool.Tree{Dir: s.root.Path("spool")} }

// mailboxDir is the folder of a mailbox in that of its account.
func (s *Service) mailboxDir() string {
	if s.opts.Plain {
		return plainDir
	}
	return maildirDir
}

const (
	maildirDir = "Maildir"
	plainDir   = "mailbox"
)

// requireDomain refuses domains that are not handled here.
func requireDomain(t mailroot.Tables, domain string) error {
	if !t.Handled(domain) {
		return refuse(NoDomain, "domain %s is not handled here", quote(domain))
	}
	return nil
}

// requireUser returns the account that logs in by that name.
func requireUser(t mailroot.Tables, domain, name string) (mailroot.User, error) {
	u, ok := t.Login(domain, name)
	if !ok {
		return u, noUser(t, domain, name)
	}
	return u, nil
}

// noUser is the refusal of a name that is no user's. Its kind depends on the
// domain, as in the reference.
func noUser(t mailroot.Tables, domain, name string) error {
	kind := NoRecord
	if _, ok := t.AliasDomain(domain); ok {
		kind = NoUser
	}
	return refuse(kind, "there is no user %s in domain %s", quote(name), quote(domain))
}

// requireAccount is requireDomain and requireUser, as most commands want.
func requireAccount(t mailroot.Tables, domain, name string) (mailroot.User, error) {
	if err := requireDomain(t, domain); err != nil {
		return mailroot.User{}, err
	}
	return requireUser(t, domain, name)
}

// requireTable refuses changes of a table whose file is not there.
func requireTable(t mailroot.Tables, name string, kind Kind) error {
	if !t.Exists(name) {
		return refuse(kind, "table %s is missing", name)
	}
	return nil
}
