package ctrl

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

func TestClientOverTLS(t *testing.T) {
	s := startServer(t, nil)
	for _, c := range []struct {
		mode TLSMode
		addr string
	}{{TLSUpgrade, s.addr}, {TLSNative, s.tlsAddr}} {
		for _, clear := range []bool{false, true} {
			d := Dialer{User: "admin", Password: "secret", TLS: c.mode, TLSConfig: s.config, ClearText: clear}
			client, err := d.Dial(t.Context(), c.addr)
			if err != nil {
				t.Fatal(err)
			}
			if client.ConnectionState() == nil {
				t.Error("no TLS")
			}
			if _, err := client.Do(t.Context(), "noop"); err != nil {
				t.Error(err)
			}
			if err := client.Quit(); err != nil {
				t.Error(err)
			}
		}
		d := Dialer{User: "admin", Password: "secret", TLS: c.mode} // verifies by itself
		_, err := d.Dial(t.Context(), c.addr)
		if _, ok := errors.AsType[*TLSError](err); !ok {
			t.Errorf("a certificate of nobody: %v, want a TLSError", err)
		}
		if e, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
			t.Errorf("got %v, want %T", err, e)
		}
		d.TLSConfig = s.config.Clone()
		d.TLSConfig.ServerName = "other.test"
		if _, err := d.Dial(t.Context(), c.addr); err == nil {
			t.Error("the certificate of another name was taken")
		}
	}
	d := Dialer{User: "admin", Password: "secret", TLS: TLSUpgrade}
	off := startServer(t, func(s *Server) { s.TLSConfig = nil })
	_, err := d.Dial(t.Context(), off.addr)
	wantCode(t, err, CodeTLSOff)
}

func TestDialErrors(t *testing.T) {
	s := startServer(t, nil)
	_, err := Dial(t.Context(), s.addr, "admin", "wrong")
	if _, ok := errors.AsType[*LoginError](err); !ok {
		t.Errorf("wrong password: %v, want a LoginError", err)
	}
	wantCode(t, err, CodeLogin)
	for _, c := range []struct{ user, password, want string }{
		{"ad\tmin", "x", "the user name has a TAB in it"},
		{`"\`, "x", `the user name begins with " and ends in \, which a command line cannot express`},
		{"", "x", "the user name is empty"},
	} {
		if _, err := Dial(t.Context(), "host.invalid", c.user, c.password); err == nil || err.Error() != c.want {
			t.Errorf("user %q: %v, want %s", c.user, err, c.want)
		}
	}
	d := Dialer{User: "u", Password: "#x", ClearText: true}
	if _, err := d.Dial(t.Context(), "host.invalid"); err == nil || !strings.Contains(err.Error(), "the password begins with #") {
		t.Errorf("a password with #: %v", err)
	}
	d.Password = "x\n"
	if _, err := d.Dial(t.Context(), "host.invalid"); err == nil || err.Error() != "the password has a line feed in it" {
		t.Errorf("a password with a line feed: %v", err)
	}
	blocked := startServer(t, func(s *Server) { s.Limits.Sessions = 1 })
	blocked.dial(t)
	_, err = Dial(t.Context(), blocked.addr, "admin", "secret")
	wantCode(t, err, CodeTooManySessions)
}

// What comes in clear after the go-ahead for TLS may be anybody's.
func TestInputInClearAfterGoAheadIsRefused(t *testing.T) {
	addr := fakeServer(t, func(w *wire) {
		w.Write([]byte(originalGreeting + "\r\n"))
		w.r.ReadString('\n')
		w.Write([]byte("+00000 Ready to start TLS mode\r\n+00000 OK\r\n"))
		io.Copy(io.Discard, w.r)
	})
	d := Dialer{User: "a", Password: "b", TLS: TLSUpgrade}
	_, err := d.Dial(t.Context(), addr)
	if _, ok := errors.AsType[*ProtocolError](err); !ok {
		t.Errorf("got %v, want a ProtocolError", err)
	}
}

func TestDigestOfTheReference(t *testing.T) {
	logins := make(chan string, 1)
	addr := fakeServer(t, func(w *wire) { logins <- greet(w) })
	c, err := Dial(t.Context(), addr, "admin", "pw")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := "\"admin\"\t\"#6c92cfeb2f47f44af8ed9479add2c35d\"" // control-protocol.md 1.3
	if got := <-logins; got != want {
		t.Errorf("login %q, want %q", got, want)
	}
	if c.Greeting() != originalGreeting {
		t.Errorf("greeting %q", c.Greeting())
	}
}

func TestPasswordIsNotSentInClearUnasked(t *testing.T) {
	logins := make(chan string, 1)
	addr := fakeServer(t, func(w *wire) {
		w.Write([]byte("+00000 welcome\r\n"))
		login, _ := w.r.ReadString('\n')
		logins <- strings.TrimRight(login, "\r\n")
		w.Write([]byte("+00000 OK\r\n"))
	})
	_, err := Dial(t.Context(), addr, "admin", "pw")
	if err != ErrNoDigest {
		t.Errorf("got %v, want %v", err, ErrNoDigest)
	}
	if got := <-logins; got != "" {
		t.Errorf("sent %q", got)
	}
	d := Dialer{User: "admin", Password: "pw", ClearText: true}
	c, err := d.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if got, want := <-logins, "\"admin\"\t\"pw\""; got != want {
		t.Errorf("login %q, want %q", got, want)
	}
}

func TestPasswordInClearNeedsAVerifiedServer(t *testing.T) {
	config := &tls.Config{Certificates: []tls.Certificate{certificate()}}
	addr := fakeServer(t, func(w *wire) {
		tc := tls.Server(w.Conn, config)
		tc.Write([]byte("+00000 welcome\r\n"))
		r := bufio.NewReader(tc)
		if _, err := r.ReadString('\n'); err == nil {
			tc.Write([]byte("+00000 OK\r\n"))
		}
	})
	pool := x509.NewCertPool()
	pool.AddCert(certificate().Leaf)
	d := Dialer{User: "admin", Password: "pw", TLS: TLSNative, TLSConfig: &tls.Config{RootCAs: pool}}
	c, err := d.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	d.TLSConfig = &tls.Config{InsecureSkipVerify: true}
	if _, err := d.Dial(t.Context(), addr); err != ErrNoDigest {
		t.Errorf("unverified: %v, want %v", err, ErrNoDigest)
	}
}

func TestTimeoutOfAWait(t *testing.T) {
	silent := fakeServer(t, func(w *wire) { io.Copy(io.Discard, w.r) })
	d := Dialer{User: "a", Password: "b", Timeout: 50 * time.Millisecond}
	if _, err := d.Dial(t.Context(), silent); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("no greeting: %v, want a time-out", err)
	}
	d.TLS = TLSNative
	_, err := d.Dial(t.Context(), silent)
	if _, ok := errors.AsType[*TLSError](err); !ok || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("no handshake: %v, want a time-out", err)
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"host":             "host ",
		"host:1":           "host 1",
		"192.0.2.1":        "192.0.2.1 ",
		"::1":              "::1 ",
		"[::1]":            "::1 ",
		"[fe80::1%lo]:600": "fe80::1%lo 600",
	} {
		host, port := splitAddress(address)
		if got := host + " " + port; got != want {
			t.Errorf("%s: got %q, want %q", address, got, want)
		}
	}
	for mode, want := range map[TLSMode]string{TLSNone: "[::1]:6017", TLSUpgrade: "[::1]:6017", TLSNative: "[::1]:6018"} {
		var got string
		d := Dialer{User: "a", TLS: mode, DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			got = address
			return nil, fmt.Errorf("%s is far", network)
		}}
		if _, err := d.Dial(t.Context(), "::1"); err == nil || got != want {
			t.Errorf("dialed %s, %v, want %s", got, err, want)
		}
	}
}
