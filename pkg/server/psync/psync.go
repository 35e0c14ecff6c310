// Package psync fetches mail from other servers by POP3 (RFC 1939, 2595), by the
// links of pop3links.tab, and puts it into the queue. docs/reference/delivery.md 6.3
// says how the reference does it.
//
// A message is deleted there only when it is durable here. Which ones were fetched is
// remembered by their UIDs, with Leave for as long as the link lasts and without it
// until the other server has confirmed that they are deleted: a session that breaks
// off does not bring mail twice. What a session cannot do has no effect on that memory.
//
// What it does other than the reference:
//
//   - FAPOP never sends a password, and APOP is possible after STLS. At level 1 a
//     password goes over an open line only where the link says CLR.
//   - FSTLS and POP3S want a certificate that is good for the host at level 1, and where
//     SSLWantVerify or the option Verify=1 says so; Verify=0 wants none. A bad one that
//     is let pass is told of.
//   - An empty list of domains after ? and & stands for all domains. An address of a
//     local domain that is nobody's is none, rather than a bounce to a stranger.
//   - A mailbox that is full, and a message greater than MaxMessageSize, stay where
//     they are and are not sent for.
//   - Return-Path, and the Delivered-To beside it, are taken off, a Received is put on,
//     and dots are unstuffed.
//   - A link that has failed repeatedly is tried less often, up to every quarter of an
//     hour, so that dead hosts do not use up the threads. .psync-trigger asks all.
package psync

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// What counts unless told otherwise, as in the reference.
const (
	DefaultInterval = 120 * time.Second
	DefaultThreads  = 8
	DefaultTimeout  = 90 * time.Second
)

// Trigger is the file in MailRoot that asks for all links to be tried now. It is
// removed when it is seen.
const Trigger = ".psync-trigger"

// maxPause is how long a link that fails again and again is left alone at most.
const maxPause = 15 * time.Minute

// A Queue takes messages; [spool.Queue] is the real one.
type Queue interface {
	NextID(letter byte) string
	Begin(e spool.Envelope) (*spool.Draft, error)
	BeginOnce(s spool.Source, e spool.Envelope) (*spool.Draft, error)
	Items(match func(*spool.Item) bool) iter.Seq[spool.Item]
	Look(key string) (spool.Envelope, string, error)
}

// A Quota knows how full mailboxes are; mailbox.Store is the real one.
type Quota interface {
	Full(ctx context.Context, u mailroot.User, extra int64) (bool, error)
}

// Hosts knows the addresses of hosts, in the order in which they are tried;
// outbound.Sender is the real one.
type Hosts interface {
	LookupHost(ctx context.Context, host string) ([]netip.Addr, error)
}

// A Log is where sessions are written: a log file of package obs.
type Log interface {
	Write(fields ...string) error
}

// Parts are what a [Fetcher] works with. All are needed.
type Parts struct {
	Root  *mailroot.Root
	Queue Queue
	Boxes Quota
	Hosts Hosts
}

// Options say how a [Fetcher] works. The zero value is good.
type Options struct {
	Interval time.Duration // between two looks at a link (-Yi); 0: DefaultInterval; less: only at the trigger
	Threads  int           // links at once (-Yt); 0: DefaultThreads
	Timeout  time.Duration // for a connection, and for each reply (-YT); 0: DefaultTimeout
	Poll     time.Duration // how often the trigger is looked for; 0: every 2 s
	Log      *slog.Logger  // nil: that of the MailRoot
	SyncLog  Log           // the reference's psync log; nil: none

	// Roots returns whose certificates are good. Nil: those that the system trusts.
	Roots func() (*x509.CertPool, error)

	// Dial opens a TCP connection, from the address bind where that is valid. Nil:
	// that of package net.
	Dial func(ctx context.Context, bind netip.Addr, to netip.AddrPort) (net.Conn, error)
}

// A Fetcher fetches mail by all links of a MailRoot. Its methods may be called
// concurrently.
type Fetcher struct {
	Parts
	o    Options
	log  *slog.Logger
	told sync.Map // warnings
	left sync.Map // lock files of ours that could not be removed

	slots    chan struct{}
	sessions sync.WaitGroup
	stopping chan struct{} // closed by Shutdown
	stop     func()
	ended    chan struct{} // closed when Run has returned
	cut      context.CancelFunc
	running  context.Context

	mu       sync.Mutex
	started  bool
	busy     map[string]bool            // lock files that a session of ours has
	failures map[string]failures        // by link
	unsaved  map[string]map[string]bool // UIDs that could not be written down, by their file
}

// failures are how often a link has failed in a row, and until when it rests.
type failures struct {
	count int
	until time.Time
}

// New returns a Fetcher. It does nothing before Run.
func New(p Parts, o Options) *Fetcher {
	if o.Interval == 0 {
		o.Interval = DefaultInterval
	}
	if o.Threads <= 0 {
		o.Threads = DefaultThreads
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Poll <= 0 {
		o.Poll = 2 * time.Second
	}
	if o.Log == nil {
		o.Log = p.Root.Log
	}
	if o.Roots == nil {
		o.Roots = x509.SystemCertPool
	}
	if o.Dial == nil {
		o.Dial = dial
	}
	stopping := make(chan struct{})
	return &Fetcher{
		Parts: p, o: o, log: o.Log.With("service", "psync"),
		slots: make(chan struct{}, o.Threads), stopping: stopping, stop: sync.OnceFunc(func() { close(stopping) }), ended: make(chan struct{}),
		busy: make(map[string]bool), failures: make(map[string]failures), unsaved: make(map[string]map[string]bool),
	}
}

// Run fetches mail until ctx ends, which cuts the sessions, or Shutdown is called. It
// is called once. When it returns all sessions have ended.
func (f *Fetcher) Run(ctx context.Context) {
	f.mu.Lock()
	f.started = true
	f.running, f.cut = context.WithCancel(ctx)
	f.mu.Unlock()
	defer close(f.ended)
	defer f.cut()
	if err := f.cleanLocks(); err != nil {
		f.log.Warn("locks of POP3 links are left over", "err", err)
	}
	ticker := time.NewTicker(f.o.Poll)
	defer ticker.Stop()
	defer f.sessions.Wait()
	last := time.Now()
	for {
		select {
		case <-f.stopping:
			return
		case <-f.running.Done():
			return
		case <-ticker.C:
		}
		asked := f.takeTrigger()
		if !asked && (f.o.Interval < 0 || time.Since(last) < f.o.Interval) {
			continue
		}
		last = time.Now()
		f.pass(f.running, asked)
	}
}

// Stop makes Run end when the sessions under way have: they finish the message that
// they are at, and take leave.
func (f *Fetcher) Stop() { f.stop() }

// Shutdown ends Run: sessions finish the message that they are at, and take leave so
// that what they have deleted is deleted. Those that have not when ctx is done are cut.
func (f *Fetcher) Shutdown(ctx context.Context) error {
	f.stop()
	f.mu.Lock()
	started, cut := f.started, f.cut
	f.mu.Unlock()
	if !started {
		return nil
	}
	select {
	case <-f.ended:
		return nil
	case <-ctx.Done():
	}
	cut()
	<-f.ended
	return fmt.Errorf("POP3 links: sessions were cut: %w", ctx.Err())
}

// takeTrigger reports whether the trigger is there, and removes it.
func (f *Fetcher) takeTrigger() bool {
	switch err := os.Remove(f.Root.Path(Trigger)); {
	case err == nil:
		return true
	case !errors.Is(err, fs.ErrNotExist):
		f.warnOnce(Trigger, "the file "+Trigger+" cannot be removed, and is not heeded", "err", err)
	}
	return false
}

// pass begins a session for each link whose turn it is. It waits for free threads,
// and not for the sessions.
func (f *Fetcher) pass(ctx context.Context, asked bool) {
	for _, l := range slices.Collect(f.Root.Links()) {
		if !asked && f.rests(l) {
			continue
		}
		select {
		case <-f.stopping:
			return
		case <-ctx.Done():
			return
		case f.slots <- struct{}{}:
		}
		f.sessions.Go(func() {
			defer func() { <-f.slots }()
			defer func() {
				if why := recover(); why != nil {
					f.log.Error("a session of a POP3 link has failed within", "link", name(l), "panic", why)
				}
			}()
			f.sync(ctx, l)
		})
	}
}

// sync runs a session for a link, unless it is disabled or in use.
func (f *Fetcher) sync(ctx context.Context, l mailroot.Link) {
	log := f.log.With("link", name(l))
	on, err := f.enabled(l)
	if err != nil {
		if errors.Is(err, mailroot.ErrNoLinkAccount) {
			f.write(l, "SYNC=ENOUSER", counts{})
		}
		f.warnOnce(name(l)+err.Error(), "a POP3 link is passed over", "link", name(l), "err", err)
		return
	}
	if !on {
		return
	}
	release, err := f.lock(l)
	if err != nil {
		log.Debug("a POP3 link is in use", "err", err)
		return
	}
	defer release()
	began := time.Now()
	s := &session{f: f, link: l, log: log, deadline: began.Add(maxSession)}
	err = s.run(ctx)
	f.note(l, err)
	attrs := []any{"fetched", s.ok.messages, "bytes", s.ok.bytes, "left", s.bad.messages, "tls", s.security(), "after", time.Since(began).Round(time.Millisecond)}
	switch {
	case err != nil:
		f.write(l, "SYNC=EFAIL", s.counts)
		log.Warn("a session of a POP3 link has failed", append(attrs, "err", err)...)
	default:
		f.write(l, "SYNC=OK", s.counts)
		level := slog.LevelDebug
		if s.ok.messages+s.bad.messages > 0 {
			level = slog.LevelInfo
		}
		log.Log(ctx, level, "mail was fetched", attrs...)
	}
}

// enabled reports whether mail is to be fetched by a link.
func (f *Fetcher) enabled(l mailroot.Link) (bool, error) {
	mark, err := f.Root.LinkMark(l)
	if err != nil {
		return false, err
	}
	if _, err := f.Root.Stat(mark); !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if !l.Local() {
		return true, nil
	}
	u, ok := f.Root.Login(l.Domain, l.Name)
	if !ok {
		return false, mailroot.ErrNoLinkAccount
	}
	return f.receives(u)
}

// rests reports whether a link is not to be tried yet, since it has failed.
func (f *Fetcher) rests(l mailroot.Link) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Now().Before(f.failures[linkKey(l)].until)
}

// note notes how a session has ended. The second failure in a row and those after it
// make the link rest.
func (f *Fetcher) note(l mailroot.Link, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := linkKey(l)
	if err == nil {
		delete(f.failures, key)
		return
	}
	was := f.failures[key]
	was.count++
	if was.count > 1 {
		pause := max(f.o.Interval, time.Second) << min(was.count-1, 10)
		was.until = time.Now().Add(min(pause, max(maxPause, f.o.Interval)))
	}
	f.failures[key] = was
}

// write writes a line of the psync log (docs/reference/tables.md 7.5). The numbers of
// a session that failed are those of what it did before.
func (f *Fetcher) write(l mailroot.Link, status string, n counts) {
	if f.o.SyncLog == nil {
		return
	}
	err := f.o.SyncLog.Write(f.Root.Now().Format("2006-01-02 15:04:05"), l.Domain, l.Name, l.Host, l.RemoteName, l.Options, status,
		fmt.Sprint(n.ok.messages), fmt.Sprint(n.ok.bytes), fmt.Sprint(n.bad.messages), fmt.Sprint(n.bad.bytes))
	if err != nil {
		f.log.Debug("psync log", "err", err)
	}
}

func (f *Fetcher) warnOnce(key, text string, attrs ...any) {
	if _, again := f.told.LoadOrStore(key, true); !again {
		f.log.Warn(text, attrs...)
	}
}

// name is what a link is called in the log.
func name(l mailroot.Link) string {
	return l.RemoteName + "@" + l.Host + " -> " + l.Name + " " + l.Domain
}

func linkKey(l mailroot.Link) string {
	return strings.Join([]string{l.Domain, l.Name, l.Host, l.RemoteName}, "\t")
}

// dial opens a TCP connection by package net.
func dial(ctx context.Context, bind netip.Addr, to netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	if bind.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(bind, 0))
	}
	return d.DialContext(ctx, "tcp", to.String())
}
