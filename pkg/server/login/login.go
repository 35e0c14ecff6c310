// Package login decides who may log in to SMTP and POP3: by the password of an
// account, by a row of smtpauth.tab, or by an external program
// (docs/reference/services.md 1.13, 2.3, 2.6). It counts failures, and knows no
// word of the protocols.
package login

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/xmaild/xmaild/pkg/limit"
	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/program"
)

// Errors of a login. What a client may know is in their kind alone.
var (
	// ErrBadLogin stands for every reason that lies in the name, the password or the
	// account; which one it was, the log tells.
	ErrBadLogin = errors.New("bad login")

	// ErrBlocked is the refusal of an address from which too many logins failed. The
	// credentials were not looked at.
	ErrBlocked = errors.New("too many failed logins")

	// ErrNeedTLS is the refusal of a password in clear text that would cross a
	// network. The credentials were not looked at.
	ErrNeedTLS = errors.New("passwords need TLS")

	// ErrTemporary wraps what keeps a login from being checked: a program that cannot
	// be run, a table that cannot be read.
	ErrTemporary = errors.New("the login cannot be checked")
)

// Options say how a [Checker] works. The zero value is good.
type Options struct {
	Log   *slog.Logger     // nil: that of the MailRoot
	Clock func() time.Time // nil: that of the MailRoot

	// Upgrade stores the password of an account anew, by the scheme of new passwords.
	// It is called after a good login where PasswordUpgrade asks for it. Nil: never.
	Upgrade func(ctx context.Context, u mailroot.User, clear string) error

	Hasher         *auth.Hasher  // nil: one of its own
	ProgramTimeout time.Duration // of external programs; 0: a minute
	TempDir        string        // for the files that programs answer by; "": os.TempDir()

	// Delay waits before a failure is reported, until ctx ends. Nil: by the clock of
	// the machine, and no longer than the session goes on.
	Delay func(ctx context.Context, d time.Duration)
}

// A Checker checks logins. It is safe for concurrent use; the services of a server
// share one, so that failures count for all of them together.
type Checker struct {
	root     *mailroot.Root
	o        Options
	failures limit.Failures
	cache    *cache
	programs chan struct{} // how many external programs run at a time
}

// maxPrograms is how many external programs check logins at a time.
const maxPrograms = 32

// New returns the checker of the logins to a MailRoot.
func New(root *mailroot.Root, o Options) *Checker {
	if o.Log == nil {
		o.Log = root.Log
	}
	if o.Clock == nil {
		o.Clock = root.Now
	}
	if o.Hasher == nil {
		o.Hasher = auth.NewHasher(0)
	}
	if o.ProgramTimeout <= 0 {
		o.ProgramTimeout = program.DefaultTimeout
	}
	return &Checker{root: root, o: o, cache: newCache(), programs: make(chan struct{}, maxPrograms)}
}

func (c *Checker) delay(ctx context.Context, d time.Duration, ending func() bool) {
	if c.o.Delay != nil {
		c.o.Delay(ctx, d)
		return
	}
	wait(ctx, d, ending)
}

// wait waits without reading from the client. It looks each second whether the session
// is to end.
func wait(ctx context.Context, d time.Duration, ending func() bool) {
	for until := time.Now().Add(d); ending == nil || !ending(); {
		left := time.Until(until)
		if left <= 0 {
			return
		}
		t := time.NewTimer(min(left, time.Second))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// Credentials are what a client shows to log in.
type Credentials struct {
	Name      string // as the client gave it
	Mechanism string // PLAIN, LOGIN, CRAM-MD5, APOP, or USER for USER and PASS

	Password            string // of PLAIN, LOGIN and USER
	Challenge, Response string // of APOP (MD5 of challenge and password) and CRAM-MD5 (HMAC)

	Service string // "smtp", "pop3"
	Remote  netip.AddrPort
	TLS     bool

	// Ending reports whether the session is to end: a failure is held back no longer then.
	// Nil: it never is.
	Ending func() bool
}

// digest reports whether the password itself was not sent.
func (cr Credentials) digest() bool { return cr.Mechanism == "APOP" || cr.Mechanism == auth.CRAMMD5 }

// right reports whether a digest is right.
func (cr Credentials) right(p auth.Password) bool {
	if cr.Mechanism == "APOP" {
		return auth.VerifyDigest(p, cr.Challenge, cr.Response)
	}
	return auth.VerifyCRAM(p, cr.Challenge, cr.Response)
}

// Split cuts a name as clients give it into user and domain: at the first @, else at
// the first :, else at the first %. The domain is empty where there is none of these.
func Split(name string) (user, domain string) {
	for _, sep := range []string{"@", ":", "%"} {
		if user, domain, ok := strings.Cut(name, sep); ok {
			return user, domain
		}
	}
	return name, ""
}

// maxName is how long names and passwords of logins may be, in bytes.
const maxName = 1000

// plain reports whether a text of a client is none that could do harm in an
// argument, a line or a log.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return len(s) <= maxName
}

// A refusal is why somebody may not log in, for the log. It is an [ErrBadLogin].
type refusal string

func (r refusal) Error() string     { return string(r) }
func (r refusal) Is(err error) bool { return err == ErrBadLogin }

// attempt runs check for an address that may try, and counts how it ends.
func (c *Checker) attempt(ctx context.Context, cr Credentials, check func(mailroot.ServerVars) error) error {
	vars := c.root.Vars()
	log := c.o.Log.With("service", cr.Service, "address", cr.Remote.Addr().String(), "mechanism", cr.Mechanism)
	if c.failures.Blocked(cr.Remote.Addr(), c.o.Clock()) {
		log.Debug("login from a blocked address")
		return ErrBlocked
	}
	if !cr.digest() && !c.ClearTextAllowed(cr.Remote.Addr(), cr.TLS) {
		return ErrNeedTLS
	}
	err := check(vars)
	switch {
	case err == nil:
		c.failures.Succeed(cr.Remote.Addr())
		return nil
	case !errors.Is(err, ErrBadLogin):
		if ctx.Err() == nil {
			log.Error("login cannot be checked", "name", cr.Name, "err", err)
		}
		return fmt.Errorf("%w: %w", ErrTemporary, err)
	}
	log.Warn("login failed", "name", cr.Name, "reason", err.Error())
	if c.failures.Fail(cr.Remote.Addr(), c.o.Clock(), failureLimit(vars)) {
		log.Warn("address blocked after failed logins", "seconds", vars.Number("LOGIN-BlockTime"))
	}
	if d := time.Duration(vars.Number("LOGIN-FailureDelay")) * time.Second; d > 0 {
		c.delay(ctx, d, cr.Ending)
	}
	return ErrBadLogin
}

// A known password is one of those that a name may log in by.
type known struct {
	stored   string // its form in the table, by which good logins are remembered
	password auth.Password
}

func ofUser(u mailroot.User) known { return known{u.Stored, u.Password()} }

// verify returns which of the passwords the client has, -1 for none. Where none of them
// takes work to check, or there are none, and others of the server do, that work is done
// all the same, so that the time does not tell which names exist. scheme is that of new
// passwords.
func (c *Checker) verify(ctx context.Context, vars mailroot.ServerVars, cr Credentials, scheme string, all ...known) (int, error) {
	if cr.digest() {
		cr.right(auth.Nobody())
		return slices.IndexFunc(all, func(k known) bool { return cr.right(k.password) }), nil
	}
	worked := false
	for i, k := range all {
		if !auth.IsHashed(k.password) {
			if k.password.Verify(cr.Password) {
				return i, nil
			}
			continue
		}
		key := c.cache.key(k.stored, cr.Password)
		if c.cache.has(key, c.o.Clock()) {
			return i, nil
		}
		worked = true
		ok, err := c.o.Hasher.Verify(ctx, k.password, cr.Password)
		if err != nil {
			return -1, err
		}
		if ok {
			c.cache.add(key, c.o.Clock().Add(time.Duration(vars.Number("LOGIN-CacheTime"))*time.Second))
			return i, nil
		}
	}
	if worked {
		return -1, nil
	}
	if scheme == auth.Reversible {
		scheme = cmp.Or(c.root.Hashed(), scheme)
	}
	_, err := c.o.Hasher.Verify(ctx, auth.NobodyOf(scheme), cr.Password)
	return -1, err
}

// upgrade stores a password anew that was right, where that is wanted.
func (c *Checker) upgrade(ctx context.Context, vars mailroot.ServerVars, u mailroot.User, clear string) {
	if c.o.Upgrade == nil || !vars.On("PasswordUpgrade") || auth.Scheme(u.Stored) != auth.Reversible {
		return
	}
	scheme := c.root.PasswordScheme(u.Domain)
	if scheme == auth.Reversible || auth.CheckHash(scheme, clear) != nil {
		return
	}
	if err := c.o.Upgrade(ctx, u, clear); err != nil {
		c.o.Log.Warn("a password stays as it is stored", "domain", u.Domain, "user", u.Name, "err", err)
		return
	}
	c.o.Log.Info("password stored by the scheme of new ones", "domain", u.Domain, "user", u.Name, "scheme", scheme)
}

// Stands reports whether a login that was good a moment ago would be so still: whether
// the account is there, is not disabled, and has the password that was shown. It is asked
// when the session is known to be one of the account: whoever closes an account, or
// changes its password, ends the sessions that are, and would leave out one that was
// waiting for a hash, a program or a large mailbox.
func (c *Checker) Stands(ctx context.Context, u mailroot.User, cr Credentials) bool {
	now, ok := c.root.User(u.Domain, u.Name)
	if !ok {
		return false
	}
	if d, err := c.root.Disabled(now); err != nil || d.On {
		return false
	}
	if now.Stored == u.Stored {
		return true
	}
	// Another password, or the same one stored anew, as this login may have done.
	if cr.digest() {
		return cr.right(now.Password())
	}
	ok, err := c.o.Hasher.Verify(ctx, now.Password(), cr.Password)
	return ok && err == nil
}
