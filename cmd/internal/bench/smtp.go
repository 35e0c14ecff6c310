package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// letterSize is how many octets the messages have.
const letterSize = 4096

// smtpFigures are those of the messages that are accepted in a second.
func smtpFigures() []figure {
	var all []figure
	for _, f := range []struct {
		sessions int
		title    string
		ratio    float64
	}{{1, "1 session", 0.15}, {8, "8 sessions", 0.4}, {32, "32 sessions", 0.6}} {
		all = append(all, figure{
			name:  fmt.Sprintf("smtp-%d", f.sessions),
			title: "SMTP, 4 KiB to one local user, synced before 250, " + f.title,
			unit:  perSecond,
			goal:  goal{ratio: f.ratio, text: fmt.Sprintf("%v of the fsync rate", f.ratio)},
			run: func(ctx context.Context, e *env) (measure, error) {
				d, box, err := e.servedMail(ctx)
				if err != nil {
					return measure{}, err
				}
				return e.against(ctx, e.fsyncRate(), func(ctx context.Context) (float64, error) {
					return e.acceptRate(ctx, d, box, f.sessions)
				})
			},
		})
	}
	return all
}

// servedMail starts a server with one seeded account, userName(0), and lets a client
// have as many sessions as it likes.
func (e *env) servedMail(ctx context.Context, args ...string) (*daemon, *mailbox, error) {
	r, err := e.mailRoot(ctx)
	if err != nil {
		return nil, nil, err
	}
	d, err := e.start(ctx, r, append([]string{"--smtp-sessions", "5000", "--pop3-sessions", "5000"}, args...)...)
	return d, &mailbox{dir: r.path("domains/" + domain + "/" + userName(0) + "/Maildir/new")}, err
}

// roomyTab is the user.tab of an account that all messages find room in.
const roomyTab = "\"RealName\"\t\"??\"\n\"HomePage\"\t\"??\"\n\"MaxMBSize\"\t\"100000000\"\n\"ClosedML\"\t\"1\"\n"

// mailRoot makes a MailRoot for servedMail.
func (e *env) mailRoot(ctx context.Context) (*root, error) {
	r, err := e.root(ctx, "SMTP-MaxSessionsPerAddress", "0", "POP3-MaxSessionsPerAddress", "0")
	if err == nil {
		err = r.seedUsers(1)
	}
	if err == nil {
		err = r.seedMailboxes(1)
	}
	if err == nil {
		err = os.WriteFile(r.path("domains/"+domain+"/"+userName(0)+"/user.tab"), []byte(roomyTab), 0o600)
	}
	return r, err
}

// acceptRate has so many sessions send messages at once for the period of e, and returns
// how many a second were acknowledged. Their delivery goes on meanwhile; it is an error
// when one of them does not arrive, or arrives twice.
func (e *env) acceptRate(ctx context.Context, d *daemon, box *mailbox, sessions int) (float64, error) {
	all := make([]*smtpSession, sessions)
	for i := range all {
		s, err := dialSMTP(ctx, d.smtp)
		if err != nil {
			return 0, err
		}
		defer s.close()
		all[i] = s
	}
	var (
		wg      sync.WaitGroup
		acked   atomic.Int64
		to      = userName(0) + "@" + domain
		body    = letter(letterSize)
		failed  = make([]error, sessions)
		stopped atomic.Bool
		begin   = time.Now()
	)
	for i, s := range all {
		wg.Go(func() {
			for !stopped.Load() && time.Since(begin) < e.period() {
				if failed[i] = s.send(to, body); failed[i] != nil {
					stopped.Store(true)
					return
				}
				acked.Add(1)
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	for _, err := range failed {
		if err != nil {
			return 0, fmt.Errorf("SMTP: %w\n%s", err, d.log)
		}
	}
	return float64(acked.Load()) / took.Seconds(), box.expect(ctx, int(acked.Load()))
}

// letter is a message of so many octets, the header included.
func letter(size int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: <sender@client.test>\r\nTo: <%s@%s>\r\nSubject: a letter\r\nMessage-ID: <letter@client.test>\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n\r\n", userName(0), domain)
	const line = "The quick brown fox jumps over the lazy dog, and ten more of its kind.\r\n"
	for b.Len()+2*len(line) <= size {
		b.WriteString(line)
	}
	b.WriteString(strings.Repeat("x", max(size-b.Len()-2, 0)) + "\r\n")
	return b.Bytes()
}

// A smtpSession is a connection after its EHLO. It waits for each reply.
type smtpSession struct {
	conn net.Conn
	in   *bufio.Reader
	stop func() bool
}

// dialSMTP connects. The connection is closed when ctx ends.
func dialSMTP(ctx context.Context, addr string) (*smtpSession, error) {
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &smtpSession{conn: c, in: bufio.NewReader(c), stop: context.AfterFunc(ctx, func() { c.Close() })}
	if err = s.expect("220"); err == nil {
		err = s.command("250", "EHLO client.test\r\n")
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *smtpSession) close() {
	s.stop()
	s.conn.Close()
}

func (s *smtpSession) command(code, line string) error {
	if _, err := io.WriteString(s.conn, line); err != nil {
		return err
	}
	return s.expect(code)
}

// expect reads a reply.
func (s *smtpSession) expect(code string) error {
	for {
		line, err := s.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) > 3 && line[3] == '-' {
			continue
		}
		if !bytes.HasPrefix(line, []byte(code)) {
			return fmt.Errorf("got %q, want %s", line, code)
		}
		return nil
	}
}

// send sends a message, which has no line that begins with a dot.
func (s *smtpSession) send(to string, body []byte) error {
	for _, c := range []struct{ code, line string }{
		{"250", "MAIL FROM:<sender@client.test>\r\n"}, {"250", "RCPT TO:<" + to + ">\r\n"}, {"354", "DATA\r\n"},
	} {
		if err := s.command(c.code, c.line); err != nil {
			return err
		}
	}
	if _, err := (&net.Buffers{body, []byte(".\r\n")}).WriteTo(s.conn); err != nil {
		return err
	}
	return s.expect("250")
}
