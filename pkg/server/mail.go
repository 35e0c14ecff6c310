package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/xmaild/xmaild/pkg/server/admin"
	"github.com/xmaild/xmaild/pkg/server/deliver"
	"github.com/xmaild/xmaild/pkg/server/filter"
	"github.com/xmaild/xmaild/pkg/server/fingerd"
	"github.com/xmaild/xmaild/pkg/server/lmail"
	"github.com/xmaild/xmaild/pkg/server/login"
	"github.com/xmaild/xmaild/pkg/server/mailbox"
	"github.com/xmaild/xmaild/pkg/server/obs"
	"github.com/xmaild/xmaild/pkg/server/outbound"
	"github.com/xmaild/xmaild/pkg/server/policy"
	"github.com/xmaild/xmaild/pkg/server/pop3d"
	"github.com/xmaild/xmaild/pkg/server/process"
	"github.com/xmaild/xmaild/pkg/server/program"
	"github.com/xmaild/xmaild/pkg/server/psync"
	"github.com/xmaild/xmaild/pkg/server/resolve"
	"github.com/xmaild/xmaild/pkg/server/session"
	"github.com/xmaild/xmaild/pkg/server/smtpd"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// How many sessions of a service there may be at once, unless told otherwise.
const (
	defaultSessions = 1024
	fingerSessions  = 128
)

// mail is what the services of mail are made of.
type mail struct {
	boxes   *mailbox.Store
	queue   *spool.Queue
	login   *login.Checker
	policy  *policy.Policy
	sender  *outbound.Sender
	filters *filter.Runner
	deliver *deliver.Deliverer
	local   *lmail.Mailer
	links   *psync.Fetcher // nil: off

	smtp, pop3, finger *session.Server

	cut     context.CancelFunc // of deliveries under way
	workers sync.WaitGroup
}

// families are the addresses of other hosts that count.
var families = map[Resolve]outbound.Family{
	ResolveIPv4: outbound.IPv4, ResolveIPv6: outbound.IPv6, ResolveIPv4First: outbound.IPv4First, ResolveIPv6First: outbound.IPv6First,
}

// openMail opens the queue and the mailboxes, and makes the services ready.
func (s *Server) openMail(ctx context.Context) (err error) {
	m := &mail{}
	boxes := mailbox.Options{Plain: s.config.Mailbox == MailboxPlain, Clock: s.config.Clock, Log: s.log}
	if s.config.FS != nil {
		boxes.FS = s.config.FS
	}
	m.boxes = mailbox.New(s.root, boxes)
	if err := m.boxes.CleanLocks(); err != nil {
		s.log.Warn("locks of mailboxes are left over", "err", err)
	}
	m.queue, err = spool.Open(ctx, s.path("spool"), spool.Options{
		FS: s.config.FS, Log: s.log, Clock: s.config.Clock, Levels: s.config.SpoolSplit,
		Mode: func() os.FileMode { return s.root.Modes().File }, Dir: func() os.FileMode { return s.root.Modes().Dir },
	})
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	s.mail = m // to be closed from here on
	// Messages that the reference has left, or whose freezing was cut off.
	_, err = m.queue.TakeOver(ctx, func(last time.Time, tries int) time.Time { return last.Add(s.config.Retries.Wait(tries)) })
	if err != nil {
		return err
	}
	local := lmail.Options{
		Drop: s.config.Drop, Workers: s.config.LocalWorkers, Interval: s.config.LocalInterval, Log: s.log, Clock: s.config.Clock,
		Free: func() (uint64, error) { return policy.DiskFree(s.config.Root) },
	}
	if log := s.tabLog("lmail", s.config.LocalLog); log != nil {
		local.MailLog = log
	}
	m.local = lmail.New(s.root, m.queue, local)
	if err := m.local.Recover(ctx); err != nil {
		return err
	}
	dns := s.config.Resolver
	if dns == nil {
		dns = resolve.New(resolve.Options{
			Servers: func() []resolve.Server { return resolve.ParseServers(s.root.Vars().String("SmartDNSHost")) },
			Clock:   s.config.Clock,
		})
	}
	m.policy = policy.New(s.root, dns, m.boxes, policy.Options{Log: s.log})
	sending := s.config.Outbound
	sending.Log, sending.Clock, sending.Family = s.log, s.config.Clock, families[s.config.Resolve]
	if sending.Roots == nil {
		sending.Roots = s.authorities
	}
	m.sender = outbound.New(s.root, dns, sending)
	s.admin = admin.New(s.root, admin.Options{
		Log: s.log, Plain: s.config.Mailbox == MailboxPlain, DNS: m.policy, Queue: steered{m.queue, m.sender},
	})
	m.login = login.New(s.root, login.Options{Log: s.log, Clock: s.config.Clock, Upgrade: s.admin.UpgradePassword})
	if err := program.SweepFolders("", s.root.Dir); err != nil {
		s.log.Warn("folders of programs stay that a server has left which died", "err", err)
	}
	m.filters = filter.New(s.root, filter.Options{
		Log: s.log, Clock: s.config.Clock, Timeout: s.config.FilterTimeout, Filters: s.tabLog("filters", s.config.FilterLog),
	})
	m.deliver = deliver.New(deliver.Parts{
		Root: s.root, Queue: m.queue, Boxes: m.boxes, Sender: m.sender, Filters: m.filters,
		Commands: process.New(s.root, m.filters, process.Options{Log: s.log, Timeout: s.config.FilterTimeout}),
	}, deliver.Options{
		Workers: s.config.QueueWorkers, Schedule: s.config.Retries, Log: s.log, MailLog: s.tabLog("smail", s.config.QueueLog),
	})
	s.openLinks(m)

	smtp := &smtpd.Server{
		Root: s.root, Policy: m.policy, Login: m.login, Queue: m.queue, TLS: s.tlsConfig, Log: s.log,
		Filters: m.filters, Flush: func(ctx context.Context, arg string) error { return s.admin.Flush(ctx, arg) },
		SMTPLog: s.tabLog("smtp", s.config.SMTPLog), Clock: s.config.Clock,
		Timeout: s.config.SMTPTimeout, MaxRecipients: s.config.Recipients, PopLife: s.config.PopLife,
	}
	m.smtp = s.sessions("smtp", s.config.SMTPSessions, "SMTP-MaxSessionsPerAddress")
	m.smtp.Handle = func(ctx context.Context, c *session.Conn) { smtp.ServeConn(ctx, c) }
	m.smtp.Refuse = func(c *session.Conn, why error) { smtp.RefuseConn(c, why) }

	localName := func(ctx context.Context, ip netip.Addr) string {
		if names, err := dns.LookupPTR(ctx, ip); err == nil && len(names) > 0 {
			return names[0]
		}
		return ""
	}
	pop3 := &pop3d.Server{
		Root: s.root, Login: m.login, Boxes: m.boxes, TLS: s.tlsConfig, Log: s.log, Clock: s.config.Clock,
		Timeout: s.config.POP3Timeout, FailureDelay: max(cmp.Or(s.config.POP3Delay, pop3d.DefaultFailureDelay), 0), HangUp: s.config.POP3HangUp,
		LocalName: localName,
		FreeMemory: func() (int64, bool) {
			free, err := policy.MemFree()
			return int64(min(free, 1<<62)), err == nil
		},
	}
	if log := s.tabLog("pop3", s.config.POP3Log); log != nil {
		pop3.POP3Log = log
	}
	m.pop3 = s.sessions("pop3", s.config.POP3Sessions, "POP3-MaxSessionsPerAddress")
	m.pop3.Handle = pop3.ServeConn
	m.pop3.Refuse = pop3.RefuseConn

	finger := &fingerd.Server{Root: s.root, Log: s.log, Clock: s.config.Clock, LocalName: localName}
	if log := s.tabLog("finger", s.config.FingerLog); log != nil {
		finger.FingerLog = log
	}
	m.finger = s.sessions("finger", fingerSessions, "FINGER-MaxSessionsPerAddress")
	m.finger.Handle = finger.ServeConn
	return nil
}

// sessions makes the server of a service's connections.
func (s *Server) sessions(name string, most int, perAddress string) *session.Server {
	return &session.Server{
		Name: name, Registry: s.registry, Log: s.log,
		Limits: func() (int, int) { return cmp.Or(most, defaultSessions), s.root.Vars().Number(perAddress) },
	}
}

// tabLog returns one of the reference's log files, nil where it is not wanted.
func (s *Server) tabLog(name string, on bool) *obs.TabLog {
	if !on {
		return nil
	}
	l := obs.NewTabLog(name, s.logOptions())
	s.logs = append(s.logs, l)
	return l
}

func (s *Server) logOptions() obs.Options {
	return obs.Options{
		Dir: s.path("logs"), Mode: func() os.FileMode { return s.root.Modes().File },
		Rotation: s.config.LogRotation, Log: s.log, Clock: s.config.Clock,
	}
}

// startMail begins to deliver, and to serve.
func (s *Server) startMail(running context.Context) {
	var delivering context.Context
	delivering, s.mail.cut = context.WithCancel(running)
	s.mail.workers.Go(func() { s.mail.deliver.Run(delivering) })
	s.running.Go(func() { s.mail.local.Run(running) })
	if s.mail.links != nil {
		s.mail.workers.Go(func() { s.mail.links.Run(delivering) })
	}
	for _, service := range []struct {
		sessions *session.Server
		at       []net.Listener
		tls      bool
	}{
		{s.mail.smtp, s.listeners.smtp, false}, {s.mail.smtp, s.listeners.smtps, true},
		{s.mail.pop3, s.listeners.pop3, false}, {s.mail.pop3, s.listeners.pop3s, true},
		{s.mail.finger, s.listeners.finger, false},
	} {
		for _, l := range service.at {
			s.serve(running, service.sessions.Name, l, func(ctx context.Context, l net.Listener) error {
				return service.sessions.Serve(ctx, l, service.tls)
			})
		}
	}
}

const (
	endTime  = 4 * time.Second // how long the end of deliveries may take to be durable
	tidyTime = time.Minute     // between two times that the queue is tidied
)

// tidy makes the end of deliveries durable now and then: other hosts would get what comes
// back after a power cut once more.
func (m *mail) tidy(ctx context.Context, warn func(error)) {
	ended, ticker := time.NewTicker(endTime), time.NewTicker(tidyTime)
	defer ended.Stop()
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ended.C:
			_ = m.queue.Sync() // Tidy meets what is wrong, too, and says so less often
			continue
		case <-ticker.C:
		}
		if err := m.queue.Tidy(); err != nil {
			warn(err)
		}
	}
}

// close is what is to be done where the services were not drained.
func (m *mail) close() error {
	if m.links != nil {
		m.links.Stop()
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return m.stopDelivery(ctx)
}

// stopDelivery lets deliveries under way finish, until ctx is done, and closes the
// queue.
func (m *mail) stopDelivery(ctx context.Context) error {
	err := m.queue.Close()
	if m.cut != nil {
		stop := context.AfterFunc(ctx, m.cut)
		defer stop()
		m.workers.Wait()
		m.cut()
		err = errors.Join(err, m.queue.Tidy()) // of what has ended since
	}
	if m.sender != nil {
		m.sender.Close()
	}
	return err
}
