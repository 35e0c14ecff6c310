package psync

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/admin"
	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/login"
	"github.com/xmaild/xmaild/pkg/server/mailbox"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/pop3d"
	sessions "github.com/xmaild/xmaild/pkg/server/session"
)

// A remote is our own POP3 server with the account bob@there.test.
type remote struct {
	t           *testing.T
	root        *mailroot.Root
	boxes       *mailbox.Store
	port, ports string // of POP3 and POP3S
	cert        []byte
}

func newRemote(t *testing.T) *remote {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "there")
	create(t, dir, "there.test", "bob")
	root, err := mailroot.Open(t.Context(), dir, mailroot.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := root.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &remote{t: t, root: root, boxes: mailbox.New(root, mailbox.Options{})}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.cert"), filepath.Join(dir, "server.key"))
	if err == nil {
		r.cert, err = os.ReadFile(filepath.Join(dir, "server.cert"))
	}
	if err != nil {
		t.Fatal(err)
	}
	server := &pop3d.Server{
		Root: root, Boxes: r.boxes, Login: login.New(root, login.Options{Delay: func(context.Context, time.Duration) {}}),
		TLS: func() (*tls.Config, error) { return &tls.Config{Certificates: []tls.Certificate{pair}}, nil },
	}
	front := &sessions.Server{Name: "pop3", Handle: server.ServeConn, Refuse: server.RefuseConn}
	r.port, r.ports = serve(t, front, false), serve(t, front, true)
	return r
}

func serve(t *testing.T, front *sessions.Server, implicit bool) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	ctx := context.WithoutCancel(t.Context())
	serving.Go(func() { front.Serve(ctx, l, implicit) })
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := front.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		serving.Wait()
	})
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

func (r *remote) bob() mailroot.User {
	r.t.Helper()
	u, ok := r.root.Login("there.test", "bob")
	if !ok {
		r.t.Fatal("no bob")
	}
	return u
}

func (r *remote) put(texts ...string) {
	r.t.Helper()
	for _, text := range texts {
		usage, err := r.boxes.Usage(r.t.Context(), r.bob())
		if err == nil {
			err = r.boxes.Deliver(r.t.Context(), r.bob(), mailbox.Message{
				Name: fmt.Sprintf("%d.%d.there", time.Now().UnixNano(), usage.Messages), ReturnPath: "eve@out.test", DeliveredTo: "bob@there.test",
				Body: strings.NewReader(text), Size: int64(len(text)),
			})
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *remote) left() int64 {
	r.t.Helper()
	usage, err := r.boxes.Usage(r.t.Context(), r.bob())
	if err != nil {
		r.t.Fatal(err)
	}
	return int64(usage.Messages)
}

func TestEveryWayToLogIn(t *testing.T) {
	r := newRemote(t)
	for _, level := range []string{"0", "1"} {
		for _, test := range []struct{ options, tls string }{
			{"CLR", ""}, {"APOP", ""}, {"FAPOP", ""}, {"STLS", "verified"}, {"FSTLS", "verified"}, {"POP3S", "verified"},
			{"APOP,STLS", "verified"}, {"FAPOP,FSTLS", "verified"}, {"FAPOP,POP3S", "verified"}, {"CLR,Leave=0,Unknown", ""},
			{"POP3S,OutBind=127.0.0.1,Verify=1", "verified"},
		} {
			t.Run(level+" "+test.options, func(t *testing.T) {
				s := newSite(t, "CompatLevel", level)
				s.hosts["pop.there.test"] = netip.MustParseAddr("127.0.0.1")
				s.pool.AppendCertsFromPEM(r.cert)
				port := r.port
				if strings.Contains(test.options, "POP3S") {
					port = r.ports
				}
				if strings.Contains(test.options, "Leave=0") { // as an editor may write it
					row := fmt.Sprintf("\"here.test\"\t\"ann\"\t\"pop.there.test:%s\"\t\"bob@there.test\"\t\"%s\"\t\"%s\"\n", port, auth.Scramble(secret), test.options)
					write(t, filepath.Join(s.dir, "pop3links.tab"), row)
					if _, err := s.Root.Store.Reload(t.Context()); err != nil {
						t.Fatal(err)
					}
				} else {
					s.linkTo("bob@there.test", "pop.there.test:"+port, test.options)
				}
				const text = "Subject: x\r\n\r\n.\r\n..two\r\n"
				r.put(text, text)
				s.fetch()
				all := s.wantTaken(2)
				if all[0].content() != text || all[0].From != "eve@out.test" {
					t.Errorf("from %s: %q, want %q from eve@out.test", all[0].From, all[0].text, text)
				}
				if n := r.left(); n != 0 {
					t.Errorf("%d messages are left there", n)
				}
				if log := s.logs.String(); strings.Contains(log, "certificate verified") != (test.tls != "") {
					t.Errorf("the log does not tell of TLS %q:\n%s", test.tls, log)
				}
			})
		}
	}
}

func TestCertificates(t *testing.T) {
	r := newRemote(t)
	for _, test := range []struct {
		level, options string
		vars           []string
		fetched        int
	}{
		{level: "0", options: "POP3S", fetched: 1}, {level: "0", options: "FSTLS", fetched: 1},
		{level: "0", options: "POP3S,Verify=1"}, {level: "0", options: "POP3S", vars: []string{"SSLWantVerify", "1"}},
		{level: "1", options: "POP3S"}, {level: "1", options: "FSTLS"}, {level: "1", options: "POP3S,Verify=0", fetched: 1},
		{level: "1", options: "STLS", fetched: 1}, {level: "1", options: "STLS,Verify=1"},
		{level: "0", options: "STLS,Verify=0", vars: []string{"SSLWantVerify", "1"}, fetched: 1},
	} {
		for name, known := range map[string]bool{"pop.there.test": false, "other.test": true} {
			s := newSite(t, append(test.vars, "CompatLevel", test.level)...)
			s.hosts[name] = netip.MustParseAddr("127.0.0.1")
			if known {
				s.pool.AppendCertsFromPEM(r.cert) // good, and for another name
			}
			port := r.port
			if strings.Contains(test.options, "POP3S") {
				port = r.ports
			}
			if r.left() == 0 {
				r.put("Subject: x\r\n\r\n")
			}
			s.linkTo("bob@there.test", name+":"+port, test.options)
			s.fetch()
			if got := len(s.taken()); got != test.fetched {
				t.Errorf("level %s, %s, host %s: %d messages, want %d", test.level, test.options, name, got, test.fetched)
			}
			if test.fetched > 0 && !strings.Contains(s.logs.String(), "certificate not verified") {
				t.Errorf("level %s, %s, host %s: the log does not tell that the certificate is bad", test.level, test.options, name)
			}
		}
	}
}

func TestPlainTextBeforeTLSIsRefused(t *testing.T) {
	s, there := newSite(t), newScripted(t, mailText)
	there.refuse("STLS", "+OK go\r\n+OK logged in\r\n", false)
	s.link(there.addr, "FSTLS")
	s.fetch()
	if said := there.said("USER"); len(said) > 0 || !strings.Contains(s.logs.String(), "more than is due") {
		t.Errorf("it says %q; the log:\n%s", said, s.logs)
	}
}

func TestLeaveAtOurOwnServer(t *testing.T) {
	r, s := newRemote(t), newSite(t)
	s.linkTo("bob@there.test", "127.0.0.1:"+r.port, "CLR,Leave")
	r.put("Subject: 1\r\n\r\n", "Subject: 2\r\n\r\n")
	s.fetch()
	s.wantTaken(2)
	r.put("Subject: 3\r\n\r\n")
	s.restart()
	s.fetch()
	if all := s.wantTaken(1); !strings.Contains(all[0].text, "Subject: 3") {
		t.Errorf("fetched %q, want the new one", all[0].text)
	}
	if n := r.left(); n != 3 {
		t.Errorf("%d messages are left there, want 3", n)
	}
	// Without Leave what was fetched is deleted, and not fetched again.
	if err := s.admin.LinkDel(t.Context(), "here.test", "ann", "127.0.0.1:"+r.port, "bob@there.test"); err != nil {
		t.Fatal(err)
	}
	s.linkTo("bob@there.test", "127.0.0.1:"+r.port, "CLR")
	s.fetch()
	s.wantTaken(3) // the memory has gone with the link
	if n := r.left(); n != 0 {
		t.Errorf("%d messages are left there, want none", n)
	}
}

func TestTriggerAndInterval(t *testing.T) {
	s, there := newSite(t), newScripted(t, mailText)
	s.link(there.addr, "CLR")
	write(t, filepath.Join(s.dir, locksDir, "old@x.lock"), "7\x00")
	quit := make(chan bool, 10)
	there.on(func(command string) (string, bool, bool) {
		if command == "QUIT" {
			select {
			case quit <- true:
			default: // many sessions may come before the test goes on
			}
		}
		return "", false, false
	})
	done := make(chan bool)
	go func() { s.Run(t.Context()); close(done) }()
	write(t, s.Root.Path(Trigger), "")
	<-quit
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	<-done
	s.wantTaken(1)
	for _, name := range []string{Trigger, locksDir + "/old@x.lock"} {
		if _, err := os.Stat(s.Root.Path(name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	s.restart()
	s.o.Interval = time.Millisecond
	go s.Run(t.Context())
	<-quit
	<-quit // and once more
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestShutdownCutsWhoHangs(t *testing.T) {
	s, hangs, works := newSite(t), newScripted(t, mailText), newScripted(t, mailText)
	s.link(hangs.addr, "CLR")
	s.link(works.addr, "CLR")
	hanging, done := make(chan bool), make(chan bool, 1)
	hangs.on(func(command string) (string, bool, bool) {
		if strings.HasPrefix(command, "RETR") {
			close(hanging)
			return "+OK\r\nSubject: half\r\n", true, false
		}
		return "", false, false
	})
	works.on(func(command string) (string, bool, bool) {
		if command == "QUIT" {
			done <- true
		}
		return "", false, false
	})
	go s.Run(t.Context())
	write(t, s.Root.Path(Trigger), "")
	<-hanging
	<-done
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); err == nil {
		t.Error("Shutdown does not tell that a session was cut")
	}
	s.wantTaken(1)
	if hangs.left() != 1 {
		t.Error("the message that was cut off is deleted there")
	}
}

func TestShutdownLetsTheMessageFinish(t *testing.T) {
	s, there := newSite(t), newScripted(t, mailText, mailText)
	s.link(there.addr, "CLR")
	asked, goOn := make(chan bool), make(chan bool)
	there.on(func(command string) (string, bool, bool) {
		if command == "RETR 1" {
			close(asked)
			<-goOn
		}
		return "", false, false
	})
	go s.Run(t.Context())
	write(t, s.Root.Path(Trigger), "")
	<-asked
	s.Stop()
	close(goOn)
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	s.wantTaken(1)
	if there.left() != 1 {
		t.Errorf("%d messages are left there, want the one that was not begun", there.left())
	}
}

// linkTo adds a link for ann@here.test.
func (s *site) linkTo(user, host, options string) {
	s.t.Helper()
	n := admin.NewLink{Domain: "here.test", Name: "ann", Host: host, RemoteName: user, Password: secret, Options: options}
	if err := s.admin.LinkAdd(s.t.Context(), n); err != nil {
		s.t.Fatal(err)
	}
}
