package psync

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/admin"
	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/mailbox"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/obs"
	"github.com/xmaild/xmaild/pkg/server/selfcert"
	"github.com/xmaild/xmaild/pkg/server/spool"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

const secret = "pass word"

// A site is a server with the account ann@here.test that fetches by links.
type site struct {
	*Fetcher
	t     *testing.T
	dir   string
	queue *spool.Queue
	disk  *disk
	admin *admin.Service
	logs  *buffer
	hosts hosts
	pool  *x509.CertPool
}

// hosts know addresses; a connection to any of them goes to its port of the loopback.
type hosts map[string]netip.Addr

func (h hosts) LookupHost(_ context.Context, host string) ([]netip.Addr, error) {
	if ip, ok := h[host]; ok {
		return []netip.Addr{ip}, nil
	}
	return nil, errors.New("no such host")
}

// A disk of a queue can be full.
type disk struct {
	spool.FS
	mu   sync.Mutex
	full bool
}

func (d *disk) Create(name, like string, perm fs.FileMode) (f tabfile.File, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return nil, &fs.PathError{Op: "create", Path: name, Err: syscall.ENOSPC}
	}
	return d.FS.Create(name, like, perm)
}

func (d *disk) fill(full bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = full
}

type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// newSite makes a server. The variables are names and values.
func newSite(t *testing.T, vars ...string) *site {
	t.Helper()
	s := &site{t: t, dir: filepath.Join(t.TempDir(), "here"), disk: &disk{FS: spool.OS()}, logs: &buffer{}, hosts: hosts{}, pool: x509.NewCertPool()}
	create(t, s.dir, "here.test", "ann", vars...)
	log := slog.New(slog.NewTextHandler(s.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	root, err := mailroot.Open(t.Context(), s.dir, mailroot.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	s.queue, err = spool.Open(t.Context(), filepath.Join(s.dir, "spool"), spool.Options{FS: s.disk})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.queue.Close(), root.Close()); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", s.logs)
		}
	})
	s.admin = admin.New(root, admin.Options{})
	s.Fetcher = New(Parts{Root: root, Queue: s.queue, Boxes: mailbox.New(root, mailbox.Options{}), Hosts: s.hosts}, Options{
		Interval: -1, Timeout: 20 * time.Second, Poll: time.Millisecond, Log: log,
		SyncLog: obs.NewTabLog("psync", obs.Options{Dir: filepath.Join(s.dir, "logs")}),
		Roots:   func() (*x509.CertPool, error) { return s.pool, nil },
		Dial: func(ctx context.Context, _ netip.Addr, to netip.AddrPort) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(to.Port()))))
		},
	})
	t.Cleanup(func() { s.o.SyncLog.(*obs.TabLog).Close() })
	return s
}

// create makes a MailRoot.
func create(t *testing.T, dir, domain, account string, vars ...string) {
	t.Helper()
	cert, key, err := selfcert.New([]string{"pop." + domain}, time.Now())
	if err == nil {
		err = mailroot.Create(dir, mailroot.NewRoot{
			Domains: []string{domain}, Account: account, AccountPassword: secret, Admin: "admin", AdminPassword: "x", Cert: cert, Key: key,
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	table := fmt.Sprintf("\"RootDomain\"\t\"%s\"\n", domain)
	for i := 0; i+1 < len(vars); i += 2 {
		table += fmt.Sprintf("\"%s\"\t\"%s\"\n", vars[i], vars[i+1])
	}
	write(t, filepath.Join(dir, "server.tab"), table)
	// Passwords that can be recovered, for APOP.
	write(t, filepath.Join(dir, "mailusers.tab"), fmt.Sprintf("\"%s\"\t\"%s\"\t\"%s\"\t1\t\"%s\"\t\"U\"\n", domain, account, auth.Scramble(secret), account))
}

func write(t *testing.T, name, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(name), 0o700)
	if err == nil {
		err = os.WriteFile(name, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// link adds a link for ann@here.test to bob at a server.
func (s *site) link(addr, options string) { s.t.Helper(); s.linkFor("here.test", "ann", addr, options) }

func (s *site) linkFor(domain, name, addr, options string) {
	s.t.Helper()
	n := admin.NewLink{Domain: domain, Name: name, Host: addr, RemoteName: "bob", Password: secret, Options: options}
	if err := s.admin.LinkAdd(s.t.Context(), n); err != nil {
		s.t.Fatal(err)
	}
}

// fetch runs a session for each link.
func (s *site) fetch() {
	s.t.Helper()
	s.pass(s.t.Context(), true)
	s.sessions.Wait()
}

// restart makes a Fetcher that knows only what is on disk.
func (s *site) restart() {
	s.Fetcher = New(s.Parts, s.o)
}

// taken returns the messages that are in the queue, and removes them.
func (s *site) taken() (all []taken) {
	s.t.Helper()
	for s.queue.Due() > 0 {
		lease, err := s.queue.Lease(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		body, err := lease.Open()
		if err != nil {
			s.t.Fatal(err)
		}
		text, err := io.ReadAll(body)
		body.Close()
		if err != nil {
			s.t.Fatal(err)
		}
		m := taken{Envelope: lease.Envelope, text: string(text)}
		outcomes := map[int]spool.Outcome{}
		for i, r := range lease.Recipients {
			outcomes[i] = spool.Outcome{State: spool.StateDelivered}
			m.to = append(m.to, r.Address)
		}
		all = append(all, m)
		if err := lease.End(outcomes); err != nil {
			s.t.Fatal(err)
		}
	}
	return all
}

type taken struct {
	spool.Envelope
	to   []string
	text string
}

// content returns a message without the Received that was put on it.
func (m taken) content() string {
	_, rest, _ := strings.Cut(m.text, "\r\n\tid <"+m.ID+">")
	_, rest, _ = strings.Cut(rest, ";\r\n\t")
	_, rest, _ = strings.Cut(rest, "\r\n")
	return rest
}

// wantTaken checks how many messages are in the queue, and removes them.
func (s *site) wantTaken(n int) []taken {
	s.t.Helper()
	all := s.taken()
	if len(all) != n {
		s.t.Fatalf("%d messages are in the queue, want %d", len(all), n)
	}
	return all
}

// lines returns the lines of the psync log from status on.
func (s *site) lines() []string {
	s.t.Helper()
	names, err := filepath.Glob(filepath.Join(s.dir, "logs", "psync-*"))
	if err != nil || len(names) != 1 {
		s.t.Fatalf("logs %q %v, want one", names, err)
	}
	text, err := os.ReadFile(names[0])
	if err != nil {
		s.t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSpace(strings.ReplaceAll(line, "\"", "")), "\t")
		if len(f) != 11 {
			s.t.Fatalf("line %q has %d columns, want 11", line, len(f))
		}
		all = append(all, strings.Join(f[6:], " "))
	}
	return all
}

func (s *site) wantLine(want string) {
	s.t.Helper()
	if all := s.lines(); all[len(all)-1] != want {
		s.t.Errorf("line of the log %q, want %q", all[len(all)-1], want)
	}
}

// A scripted server has messages, and does as a test says.
type scripted struct {
	t        *testing.T
	addr     string
	greeting string
	// hook answers a command in place of the server; hang closes the connection.
	hook func(command string) (reply string, taken, hang bool)

	mu       sync.Mutex
	mails    []letter
	commands []string
}

type letter struct{ uid, text string }

func newScripted(t *testing.T, texts ...string) *scripted {
	t.Helper()
	s := &scripted{t: t, greeting: "+OK <1.2@scripted.test> ready"}
	for i, text := range texts {
		s.mails = append(s.mails, letter{fmt.Sprintf("uid-%d", i), text})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				stop := context.AfterFunc(t.Context(), func() { conn.Close() })
				defer stop()
				defer conn.Close()
				s.serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return s
}

func (s *scripted) serve(conn net.Conn) {
	io.WriteString(conn, s.greeting+"\r\n")
	deleted := map[string]bool{}
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		command := lines.Text()
		s.mu.Lock()
		s.commands = append(s.commands, command)
		hook := s.hook
		mails := slices.Clone(s.mails)
		s.mu.Unlock()
		if hook != nil {
			reply, taken, hang := hook(command)
			if taken {
				io.WriteString(conn, reply)
			}
			if hang {
				return
			}
			if taken {
				continue
			}
		}
		words := strings.Fields(command)
		number := 0
		if len(words) > 1 {
			number, _ = strconv.Atoi(words[1])
		}
		var out strings.Builder
		list := func(value func(letter) string) {
			if number > 0 {
				fmt.Fprintf(&out, "+OK %d %s\r\n", number, value(mails[number-1]))
				return
			}
			out.WriteString("+OK\r\n")
			for i, m := range mails {
				fmt.Fprintf(&out, "%d %s\r\n", i+1, value(m))
			}
			out.WriteString(".\r\n")
		}
		switch words[0] {
		case "STAT":
			fmt.Fprintf(&out, "+OK %d 1000\r\n", len(mails))
		case "UIDL":
			list(func(m letter) string { return m.uid })
		case "LIST":
			list(func(m letter) string { return strconv.Itoa(len(m.text)) })
		case "RETR":
			out.WriteString("+OK\r\n" + strings.ReplaceAll(mails[number-1].text, "\r\n.", "\r\n..") + ".\r\n")
		case "DELE":
			deleted[mails[number-1].uid] = true
			out.WriteString("+OK\r\n")
		case "QUIT":
			s.mu.Lock()
			s.mails = slices.DeleteFunc(s.mails, func(m letter) bool { return deleted[m.uid] })
			s.mu.Unlock()
			io.WriteString(conn, "+OK\r\n")
			return
		default:
			out.WriteString("+OK\r\n")
		}
		io.WriteString(conn, out.String())
	}
}

// on sets the hook.
func (s *scripted) on(hook func(command string) (reply string, taken, hang bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

// refuse makes the server answer commands that begin so with a reply; hang: and close.
func (s *scripted) refuse(prefix, reply string, hang bool) {
	s.on(func(command string) (string, bool, bool) {
		if strings.HasPrefix(command, prefix) {
			return reply, true, hang
		}
		return "", false, false
	})
}

// said returns the commands that begin so since the last call, and forgets all.
func (s *scripted) said(prefix string) (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.commands {
		if strings.HasPrefix(c, prefix) {
			all = append(all, c)
		}
	}
	s.commands = nil
	return all
}

func (s *scripted) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mails)
}

const mailText = "Return-Path: <eve@out.test>\r\nReceived: from a by b\r\nTo: bob@there.test\r\n\r\nText\r\n.dot\r\n..\r\n"
