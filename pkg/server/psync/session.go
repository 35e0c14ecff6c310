package psync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// counts are what a session has done, as the psync log has it.
type counts struct{ ok, bad count }

type count struct {
	messages int
	bytes    int64
}

func (c *count) add(bytes int64) {
	c.messages++
	c.bytes += bytes
}

// A session fetches mail by one link. It is for one goroutine.
type session struct {
	counts
	f        *Fetcher
	link     mailroot.Link
	log      *slog.Logger
	deadline time.Time // no message is begun after it

	options options
	client  *client // nil: not connected yet
	memory  *memory // nil: the server has no UIDs
	targets []target
	deleted []string // UIDs of messages that QUIT deletes
}

// A message is one that waits at the other server.
type message struct {
	n    int
	uid  string // empty: it has none that can be relied on
	size int64
}

// leastHops is how many Received fields a message may have at least, as where SMTP
// takes it (RFC 5321 6.3).
const leastHops = 100

// errLocal wraps failures of this server: the other one can still be told good-bye.
var errLocal = errors.New("this server cannot take mail at the moment")

func (s *session) security() string {
	if s.client == nil {
		return ""
	}
	return s.client.tls
}

func (s *session) run(ctx context.Context) (err error) {
	vars := s.f.Root.Vars()
	if s.options, err = parseOptions(s.link.Options, vars); err != nil {
		return err
	}
	port := uint16(defaultPort)
	if s.options.tls == tlsImplicit {
		port = defaultTLSPort
	}
	h, err := parseHost(s.link.Host, port)
	if err != nil {
		return err
	}
	if !chooses(s.link) {
		if s.targets, err = s.f.fixed(s.link); err != nil {
			return err
		}
	}
	if s.client, err = s.f.connect(ctx, h, s.options.bind); err != nil {
		return err
	}
	defer s.client.close()
	stop := context.AfterFunc(ctx, s.client.close)
	defer stop()
	if err := s.f.begin(ctx, s.client, s.options); err != nil {
		return err
	}
	if err := s.client.logIn(s.link, s.options); err != nil {
		return err
	}
	return s.fetchAll(ctx)
}

// fetchAll fetches what is new, after the login.
func (s *session) fetchAll(ctx context.Context) error {
	n, err := s.client.stat()
	if err != nil {
		return err
	}
	if n == 0 {
		return s.client.quit()
	}
	wait, present, err := s.look(n)
	if err != nil {
		return err
	}
	if s.memory != nil {
		defer func() {
			if err := s.memory.close(); err != nil {
				s.log.Warn("the file of what was fetched", "err", err)
			}
		}()
	}
	for _, m := range wait {
		if s.ending() {
			break
		}
		if err = s.one(ctx, m); err != nil {
			break
		}
	}
	if err != nil && !errors.Is(err, errLocal) {
		return err
	}
	if quit := s.client.quit(); quit != nil {
		return errors.Join(err, quit)
	}
	if s.memory != nil {
		err = errors.Join(err, s.memory.tidy(s.options.leave, s.deleted, present))
	}
	return err
}

// ending reports whether no further message is to be begun.
func (s *session) ending() bool {
	select {
	case <-s.f.stopping:
		return true
	default:
		return time.Now().After(s.deadline)
	}
}

// look returns the messages that there is something to be done with, and the UIDs of
// all. A message that was fetched and is to be deleted has no size.
func (s *session) look(n int) (wait []message, present map[string]bool, err error) {
	all, err := s.uids(n)
	if err != nil {
		return nil, nil, err
	}
	present = make(map[string]bool, len(all))
	if s.memory == nil {
		all = nil
	}
	fresh := make(map[int]int) // places in wait by number
	for _, m := range all {
		present[m.uid] = true
		seen := m.uid != "" && s.memory.seen[m.uid]
		if seen && s.options.leave {
			continue
		}
		if !seen {
			fresh[m.n] = len(wait)
		}
		wait = append(wait, m)
	}
	delete(present, "")
	if s.memory != nil && len(fresh) == 0 {
		return wait, present, nil
	}
	const few = 10
	if s.memory != nil && len(fresh) <= few {
		for number, place := range fresh {
			if wait[place].size, err = s.client.size(number); err != nil {
				return nil, nil, err
			}
		}
		return wait, present, nil
	}
	err = s.client.list("LIST", n, func(number int, value string) error {
		size, err := strconv.ParseInt(value, 10, 64)
		if err != nil || size < 0 {
			return errors.New("a size is malformed")
		}
		if s.memory == nil {
			wait = append(wait, message{n: number, size: size})
		} else if place, ok := fresh[number]; ok {
			wait[place].size = size
		}
		return nil
	})
	return wait, present, err
}

// uids asks for the UIDs of all messages, and reads the memory. Where the server has
// none there is no memory.
func (s *session) uids(n int) ([]message, error) {
	var all []message
	places := make(map[string]int)
	numbers := true // the UIDs are but the numbers of the messages
	err := s.client.list("UIDL", n, func(number int, uid string) error {
		numbers = numbers && uid == strconv.Itoa(number)
		if first, twice := places[uid]; twice && !s.options.leave {
			// One message must not be deleted for another.
			all[first].uid = ""
			uid = ""
		} else {
			places[uid] = len(all)
		}
		all = append(all, message{n: number, uid: uid})
		return nil
	})
	switch {
	case refused(err) && s.options.leave:
		return nil, fmt.Errorf("messages cannot be left at a server that does not tell them apart: %w", err)
	case refused(err), err == nil && numbers && !s.options.leave:
		return nil, nil
	case err != nil:
		return nil, err
	}
	s.memory, err = s.f.remember(s.link)
	return all, err
}

// one deals with a message. An error ends the session.
func (s *session) one(ctx context.Context, m message) error {
	if m.uid == "" || !s.memory.seen[m.uid] {
		taken, err := s.fetch(ctx, m)
		if err != nil || !taken {
			return err
		}
		if s.memory != nil && s.memory.bad != nil {
			// It is fetched, and not fetched again before a restart.
			return fmt.Errorf("%w: %w", errLocal, s.memory.bad)
		}
	}
	if s.options.leave {
		return nil
	}
	switch err := s.client.delete(m.n); {
	case refused(err):
		s.log.Warn("a message that was fetched cannot be deleted at the other server", "number", m.n, "err", err)
	case err != nil:
		return err
	case m.uid != "":
		s.deleted = append(s.deleted, m.uid)
	}
	return nil
}

// skip notes a message that stays where it is.
func (s *session) skip(m message, why string, attrs ...any) {
	s.bad.add(m.size)
	s.log.Warn("a message stays at the other server: "+why, append([]any{"number", m.n, "uid", m.uid, "size", m.size}, attrs...)...)
}

// fetch fetches a message and reports whether it is on disk here.
func (s *session) fetch(ctx context.Context, m message) (taken bool, err error) {
	limit := int64(s.f.Root.Vars().Number("MaxMessageSize")) << 10
	if limit <= 0 {
		limit = maxMessage
	}
	if m.size > limit {
		s.skip(m, "it is too big")
		return false, nil
	}
	full, err := s.f.full(ctx, s.targets, m.size)
	if err != nil {
		return false, fmt.Errorf("%w: %w", errLocal, err)
	}
	if full {
		s.skip(m, "the mailbox is full")
		return false, nil
	}
	text, err := s.client.retrieve(m.n, m.size)
	if refused(err) {
		s.skip(m, "it is refused", "err", err)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	h, err := readHeader(text)
	if err != nil {
		return false, fmt.Errorf("message %d: %w", m.n, err)
	}
	targets, failed, why := s.to(ctx, m, h)
	if h.count("received") > max(leastHops, s.f.Root.Vars().Number("MaxMTAOps")) {
		why = "it goes in circles"
	}
	if why != "" {
		s.skip(m, why)
		return false, text.drain()
	}
	id, err := s.take(m, h, text, targets)
	if err != nil {
		if errors.Is(err, errLocal) {
			// The rest of the message stands between here and the next reply.
			if drained := text.drain(); drained != nil {
				return false, errors.Join(drained, errors.New(err.Error()))
			}
		}
		return false, err
	}
	s.log.Info("a message was fetched", "message", id, "uid", m.uid, "to", targets[0].Address, "recipients", len(targets), "size", text.got)
	if failed {
		s.bad.add(text.got)
	} else {
		s.ok.add(text.got)
	}
	return true, nil
}

// to returns where a message goes; failed: to Pop3SyncErrorAccount. Otherwise it says
// why it stays.
func (s *session) to(ctx context.Context, m message, h header) (targets []target, failed bool, why string) {
	targets = s.targets
	if chooses(s.link) {
		var err error
		if targets, err = s.f.chosen(s.link, h); err != nil {
			return nil, false, "where it goes cannot be found out: " + err.Error()
		}
		if full, err := s.f.full(ctx, targets, m.size); err != nil || full {
			return nil, false, "the mailbox is full"
		}
	}
	targets, err := s.f.open(targets, h.sender())
	if err != nil {
		return nil, false, "where it goes cannot be found out: " + err.Error()
	}
	if len(targets) > 0 {
		return targets, false, ""
	}
	p, err := address.Parse(s.f.Root.Vars().String("Pop3SyncErrorAccount"))
	if err != nil {
		return nil, false, "it is for nobody here, and there is no Pop3SyncErrorAccount"
	}
	return []target{{Recipient: spool.Recipient{Address: p.String()}, domain: p.Domain}}, true, ""
}

// take puts a message into the queue. When it returns nil it is on disk. What is this
// server's fault is errLocal.
func (s *session) take(m message, h header, body *text, targets []target) (id string, err error) {
	if m.uid != "" {
		// The file is there before the message has its time: see recall.
		if err := s.memory.open(); err != nil {
			return "", fmt.Errorf("%w: what was fetched cannot be noted: %w", errLocal, err)
		}
	}
	sender := h.sender()
	e := spool.Envelope{
		ID: s.f.Queue.NextID('P'), Time: s.f.Root.Now(), From: sender.String(), Domain: targets[0].domain, Proto: "POP3", UTF8: sender.UTF8(),
	}
	for _, t := range targets {
		e.Recipients = append(e.Recipients, t.Recipient)
		e.UTF8 = e.UTF8 || !isASCII(t.Address)
	}
	draft, err := s.begin(m, e)
	if err != nil {
		return e.ID, fmt.Errorf("%w: %w", errLocal, err)
	}
	defer draft.Abort()
	if _, err = io.WriteString(draft, s.received(e)); err == nil {
		err = h.write(draft)
	}
	if err != nil {
		return e.ID, fmt.Errorf("%w: %w", errLocal, err)
	}
	reads := &failing{Reader: body}
	if _, err := io.Copy(draft, reads); err != nil {
		if reads.err != nil {
			return e.ID, fmt.Errorf("message: %w", reads.err)
		}
		return e.ID, fmt.Errorf("%w: %w", errLocal, err)
	}
	if err := draft.Commit(); err != nil {
		return e.ID, fmt.Errorf("%w: %w", errLocal, err)
	}
	return e.ID, nil
}

// begin begins the message in the queue. That it was fetched is noted when it is on disk
// and before anybody gets it; see Recover.
func (s *session) begin(m message, e spool.Envelope) (*spool.Draft, error) {
	if m.uid == "" {
		return s.f.Queue.Begin(e)
	}
	source, err := s.memory.source(m.uid)
	if err != nil {
		return nil, err
	}
	e.Source = source
	return s.f.Queue.BeginOnce(spool.Source{Facts: source + " " + e.ID, Time: e.Time, Remove: func() error { return s.memory.add(m.uid) }}, e)
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > unicode.MaxASCII }) < 0
}

// failing keeps the error of a reader, to tell it from those of a writer.
type failing struct {
	io.Reader
	err error
}

func (r *failing) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// received returns the header that tells of the way here, by which loops are found.
func (s *session) received(e spool.Envelope) string {
	rcpt := ""
	if len(e.Recipients) == 1 {
		rcpt = " for <" + e.Recipients[0].Address + ">"
	}
	from := s.client.host.name
	if !s.client.host.addr.IsValid() {
		from += " (" + s.client.remote.Addr().String() + ")"
	}
	by := s.f.Root.Vars().String("RootDomain")
	if by == "" {
		by = e.Domain
	}
	return fmt.Sprintf("Received: from %s\r\n\tby %s with POP3\r\n\tid <%s>%s;\r\n\t%s\r\n",
		from, by, e.ID, rcpt, e.Time.Format("Mon, 2 Jan 2006 15:04:05 -0700"))
}
