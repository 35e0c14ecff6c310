// Package lmail takes mail from folders that programs of this machine put it into:
// spool/local of the MailRoot (docs/reference/delivery.md 6.1), whose writers are
// trusted, and a drop folder that everybody may put mail into and nobody can look
// into. It also has the other side, which puts it there: see [Place].
//
// A file is lines as in SMTP, "mail from:<…>" and one or more "rcpt to:<…>", an empty
// line, and the message. Unlike the reference a file is removed when its message is
// durable in the queue and not before, a malformed one is put aside and named, and
// the text is kept as it is: dots at the beginning of lines are not doubled.
package lmail

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/xmaild/xmaild/pkg/server/durable"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// What the reference has unless told otherwise.
const (
	defaultWorkers  = 3
	mostWorkers     = 17
	defaultInterval = 2 * time.Second
)

// Limits of what strangers on this machine can do to it.
const (
	calm       = 20 * time.Millisecond // between times that the server is woken
	leastFree  = 64 << 20              // bytes of the disk that the drop folder leaves
	mostBytes  = 256 << 20             // of a dropped message, where MaxMessageSize sets no limit
	mostAside  = 1000                  // files of the drop folder that are kept though they are no messages
	unfinished = 24 * time.Hour
)

// A Queue takes messages. *spool.Queue is one.
type Queue interface {
	NextID(letter byte) string
	BeginOnce(s spool.Source, e spool.Envelope) (*spool.Draft, error)
	Took(s spool.Source) bool
}

// A LogFile takes lines of the reference's log.
type LogFile interface{ Write(fields ...string) error }

// Options say how a mailer works. The zero value is good.
type Options struct {
	Drop     string                 // the drop folder; empty: there is none
	Workers  int                    // files at once, at most 17; 0: 3
	Interval time.Duration          // between looks at the folders; 0: 2 s
	Log      *slog.Logger           // nil: nothing is logged
	MailLog  LogFile                // lmail files; nil: none
	Clock    func() time.Time       // nil: time.Now
	Free     func() (uint64, error) // bytes that the disk of the MailRoot can take; nil: enough
}

// A Mailer takes mail from folders into the queue.
type Mailer struct {
	root    *mailroot.Root
	queue   Queue
	o       Options
	folders []*folder
	sync    *durable.Folders

	mu   sync.Mutex
	told map[string]bool // files that the log has been told of
}

// New returns a mailer. Call Recover before anything of the queue is delivered, then
// Run.
func New(root *mailroot.Root, q Queue, o Options) *Mailer {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	o.Workers = min(cmp.Or(o.Workers, defaultWorkers), mostWorkers)
	o.Interval = cmp.Or(o.Interval, defaultInterval)
	spoolDir := root.Path("spool")
	m := &Mailer{root: root, queue: q, o: o, told: map[string]bool{}, sync: durable.New(spool.OS().Sync)}
	m.folders = []*folder{{dir: filepath.Join(spoolDir, localDir), bad: filepath.Join(spoolDir, "bad"), prefix: "local-"}}
	if o.Drop != "" {
		m.folders = append(m.folders, &folder{dir: o.Drop, bad: o.Drop, prefix: asidePrefix, shared: true})
	}
	return m
}

// Recover removes the files whose messages are in the queue: the process has ended
// between the two.
func (m *Mailer) Recover(ctx context.Context) error {
	for _, f := range m.folders {
		if f.shared && m.prepare(f) != nil {
			continue // Run says why
		}
		removed := false
		err := f.each(ctx, func(batch []entry) error {
			for _, e := range batch {
				if !m.queue.Took(m.source(f, e)) {
					continue
				}
				if err := ignoreMissing(os.Remove(e.path)); err != nil {
					return err
				}
				removed = true
			}
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("lmail: %w", err)
		}
		if removed {
			m.makeDurable(f.dir)
		}
	}
	return nil
}

// makeDurable makes the removal of files durable, as far as the disk lets it: they may
// come back after a power cut otherwise, and the mail be delivered twice.
func (m *Mailer) makeDurable(dir string) {
	if err := m.sync.Sync(dir); err != nil {
		m.o.Log.Warn("folder cannot be synced", "dir", dir, "err", err)
	}
}

// Run takes mail until ctx is done.
func (m *Mailer) Run(ctx context.Context) {
	wake := make(chan struct{}, 1)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	for _, f := range m.folders {
		if f.shared {
			if err := m.prepare(f); err != nil {
				m.o.Log.Error("drop folder cannot be used; mail in it waits", "dir", f.dir, "err", err)
			}
		}
		if bell, err := newBell(f.dir, f.shared); err != nil {
			m.o.Log.Debug("programs cannot wake the server", "dir", f.dir, "err", err)
		} else if bell != nil {
			waiting.Go(func() { ring(bell, wake) })
			defer os.Remove(bell.Name())
			defer bell.Close()
		}
	}
	ticker := time.NewTicker(m.o.Interval)
	defer ticker.Stop()
	for {
		for _, f := range m.folders {
			m.pass(ctx, f)
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-ticker.C:
		}
	}
}

// ring passes on that there is mail, until the bell is closed.
func ring(bell *os.File, wake chan<- struct{}) {
	buf := make([]byte, 4096)
	for {
		if _, err := bell.Read(buf); err != nil {
			return
		}
		select {
		case wake <- struct{}{}:
		default:
		}
		time.Sleep(calm)
	}
}

// pass takes what is in a folder.
func (m *Mailer) pass(ctx context.Context, f *folder) {
	if f.shared {
		if err := m.prepare(f); err != nil {
			m.tellOnce(f.dir, "drop folder cannot be used; mail in it waits", err)
			return
		}
		f.aside = 0
		if limit := m.limit(m.root.Vars()); limit != f.limit {
			if err := f.tell(limit); err != nil {
				m.o.Log.Debug("programs cannot be told how big mail may be", "dir", f.dir, "err", err)
			}
			f.limit = limit
		}
	}
	err := f.each(ctx, func(batch []entry) error {
		var mu sync.Mutex
		var failed error
		work := make(chan entry)
		var workers sync.WaitGroup
		for range min(m.o.Workers, len(batch)) {
			workers.Go(func() {
				for e := range work {
					if err := m.handle(ctx, f, e); err != nil {
						mu.Lock()
						failed = err
						mu.Unlock()
					}
				}
			})
		}
		for _, e := range inTurns(batch) {
			work <- e
		}
		close(work)
		workers.Wait()
		return failed
	})
	switch {
	case err == nil:
		m.forget(f.dir)
	case ctx.Err() == nil && !errors.Is(err, fs.ErrNotExist):
		m.tellOnce(f.dir, "mail of this machine cannot be taken at the moment; it waits", err)
	}
}

// handle takes a file, or puts it aside. The error is one of this machine, which
// will be the same for other files.
func (m *Mailer) handle(ctx context.Context, f *folder, e entry) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if f.shared && e.info.Mode().IsRegular() && strings.HasPrefix(e.name, tempPrefix) {
		if m.o.Clock().Sub(e.info.ModTime()) > unfinished {
			return ignoreMissing(os.Remove(e.path))
		}
		return nil
	}
	err := m.take(f, e)
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, errMalformed):
		return m.putAside(f, e, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, errNoRoom):
		return err
	}
	m.tellOnce(e.path, "mail of this machine cannot be taken at the moment; it waits", err)
	return nil
}

var errNoRoom = errors.New("the disk has no room left for mail of this machine")

// take takes a file into the queue.
func (m *Mailer) take(f *folder, e entry) (err error) {
	source := m.source(f, e)
	if m.queue.Took(source) {
		return source.Remove()
	}
	file, info, err := f.open(e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	e.info = info
	source = m.source(f, e)
	vars := m.root.Vars()
	if f.shared {
		if err := m.room(vars, info.Size()); err != nil {
			return err
		}
	}
	domain := cmp.Or(vars.String("RootDomain"), "localdomain")
	r := bufio.NewReaderSize(io.LimitReader(file, info.Size()), 32<<10)
	head, err := readHead(r, domain)
	if err != nil {
		return err
	}
	now := m.o.Clock()
	id := m.queue.NextID('L')
	env := spool.Envelope{
		ID: id, Time: now, Domain: domain, Proto: "LMAIL", From: head.From, Mail: "MAIL FROM:<" + head.From + ">",
		Body: head.Body, UTF8: head.UTF8, Ret: head.Ret, EnvID: head.EnvID,
	}
	if f.shared {
		env.Login = "local:" + e.user() // what the file says of that does not count
	}
	for _, to := range head.Recipients {
		env.Recipients = append(env.Recipients, spool.Recipient{Address: to.Address, Notify: to.Notify})
	}
	draft, err := m.queue.BeginOnce(source, env)
	if err != nil {
		return err
	}
	defer draft.Abort()
	sent := info.ModTime()
	if sent.After(now) || now.Sub(sent) > 30*24*time.Hour {
		sent = now // whose file it is can give it any time
	}
	_, err = io.WriteString(draft, m.received(vars, f, e, env))
	if err == nil {
		err = completion{domain: domain, from: head.From, time: sent}.write(draft, r)
	}
	if err == nil {
		err = draft.Commit()
	}
	if err != nil {
		return err
	}
	m.forget(e.path)
	m.o.Log.Info("mail of this machine is taken", "message", id, "from", env.From, "recipients", len(env.Recipients), "file", e.path, "user", e.user())
	if m.o.MailLog != nil {
		_ = m.o.MailLog.Write(domain, e.name, id, now.Format("2006-01-02 15:04:05")) // it tells of lines that are lost
	}
	return nil
}

// limit is how many bytes a file of the drop folder may have.
func (m *Mailer) limit(vars mailroot.ServerVars) int64 {
	if limit := int64(vars.Number("MaxMessageSize")) << 10; limit > 0 {
		return limit
	}
	return mostBytes
}

// room returns why a message from a stranger of this machine cannot be taken.
func (m *Mailer) room(vars mailroot.ServerVars, size int64) error {
	if limit := m.limit(vars); size > limit {
		return malformed("it has %d bytes, and a message %d at most", size, limit)
	}
	if m.o.Free == nil {
		return nil
	}
	free, err := m.o.Free()
	least := uint64(max(leastFree, int64(vars.Number("SmtpMinDiskSpace"))<<10))
	if err == nil && free < least+uint64(size) {
		return errNoRoom
	}
	return nil // what cannot be measured is no reason to refuse mail
}

// received returns the Received header, which says whose file it was.
func (m *Mailer) received(vars mailroot.ServerVars, f *folder, e entry, env spool.Envelope) string {
	from := "/spool/local"
	if f.shared {
		from = "local"
	}
	rcpt := ""
	// One text serves all recipients, who need not know of each other.
	if len(env.Recipients) == 1 {
		rcpt = fmt.Sprintf(" for <%s>", env.Recipients[0].Address)
	}
	name := "LMAIL Server"
	if identity := vars.Value("ServerIdentity"); identity != "" {
		name = identity + " " + name
	}
	return fmt.Sprintf("Received: from %s (user %s, uid %d)\r\n\tby %s with LMAIL ([%s])\r\n\tid <%s>%s from <%s>;\r\n\t%s\r\n",
		from, e.user(), e.uid, env.Domain, headerText(name), env.ID, rcpt, env.From, Date(env.Time))
}

// headerText replaces what may not be in a header as it is.
func headerText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}, s)
}

// source is a file as the queue knows it.
func (m *Mailer) source(f *folder, e entry) spool.Source {
	return spool.Source{
		Facts: fmt.Sprintf("%s\x00%d %d %d %d", e.path, e.inode, e.uid, e.info.Size(), e.info.ModTime().UnixNano()),
		Time:  e.info.ModTime(),
		Remove: func() error {
			if err := ignoreMissing(os.Remove(e.path)); err != nil {
				return err
			}
			m.makeDurable(f.dir)
			return nil
		},
	}
}

// putAside moves what is no message out of the way, and names it.
func (m *Mailer) putAside(f *folder, e entry, why error) error {
	to, err := f.putAside(e)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	m.tellOnce(e.path, "file of this machine holds no message, and is put aside", why, "aside", to, "user", e.user(), "failed", err)
	return nil
}

// tellOnce logs what is wrong with a file or folder, until it is forgotten.
func (m *Mailer) tellOnce(path, msg string, err error, more ...any) {
	const most = 1000
	m.mu.Lock()
	known := m.told[path]
	if len(m.told) >= most {
		clear(m.told)
	}
	m.told[path] = true
	m.mu.Unlock()
	if !known {
		m.o.Log.Error(msg, append([]any{"file", path, "err", err}, more...)...)
	}
}

func (m *Mailer) forget(path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.told, path)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
