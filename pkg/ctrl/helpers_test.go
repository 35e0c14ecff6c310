package ctrl

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// A testServer is a Server on two loopback ports.
type testServer struct {
	*Server
	addr, tlsAddr string
	config        *tls.Config // of clients: trusts the server
}

var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "ctrl.test"},
		DNSNames:              []string{"ctrl.test"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
})

// echo is the handler of most tests.
func echo(ctx context.Context, req *Request) Reply {
	switch req.Command {
	case "noop":
		return OK()
	case "list":
		return List(func(w *ListWriter) error {
			for _, a := range req.Args {
				if err := w.Row(a, "x"); err != nil {
					return err
				}
			}
			return nil
		})
	case "text":
		return List(func(w *ListWriter) error { return w.Text([]byte(strings.Join(req.Args, "\n"))) })
	case "upload":
		return Upload(0, func(_ context.Context, content []byte) Reply { return OKf("%q", content) })
	case "badupload":
		return Refuse(CodeBadPath, "").ForUpload()
	case "panic":
		panic("a handler's")
	case "args":
		return OKf("%q", req.Args)
	}
	return Refuse(CodeCommand, "unknown command %q", req.Command)
}

// login accepts admin with the password secret.
func login(_ context.Context, l Login) error {
	if l.User != "admin" || !l.Verify("secret") {
		return errors.New("no such name or password")
	}
	return nil
}

// startServer starts a server that set has changed.
func startServer(t testing.TB, set func(*Server)) *testServer {
	t.Helper()
	s := &Server{
		Handler:       HandlerFunc(echo),
		Authenticator: AuthenticatorFunc(login),
		TLSConfig: func() (*tls.Config, error) {
			return &tls.Config{Certificates: []tls.Certificate{certificate()}}, nil
		},
		Limits: Limits{FailureDelay: -1},
	}
	if set != nil {
		set(s)
	}
	pool := x509.NewCertPool()
	pool.AddCert(certificate().Leaf)
	ts := &testServer{Server: s, config: &tls.Config{RootCAs: pool}}
	var wg sync.WaitGroup
	serve := func(f func(context.Context, net.Listener) error) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if err := f(context.Background(), l); !errors.Is(err, ErrServerClosed) {
				t.Errorf("Serve returned %v, want %v", err, ErrServerClosed)
			}
		})
		return l.Addr().String()
	}
	ts.addr, ts.tlsAddr = serve(s.Serve), serve(s.ServeTLS)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		wg.Wait()
	})
	return ts
}

// A wire is a connection as a client sees it.
type wire struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func newWire(t testing.TB, nc net.Conn) *wire {
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	return &wire{t, nc, bufio.NewReader(nc)}
}

// connect opens a connection and does not read the greeting.
func (s *testServer) connect(t testing.TB) *wire {
	t.Helper()
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	return newWire(t, nc)
}

// login opens a session.
func (s *testServer) login(t testing.TB) *wire {
	t.Helper()
	w := s.connect(t)
	w.want("+00000")
	w.send("admin\tsecret")
	w.want("+00000 OK")
	return w
}

// send sends lines.
func (w *wire) send(lines ...string) {
	w.t.Helper()
	if _, err := w.Write([]byte(strings.Join(lines, "\r\n") + "\r\n")); err != nil {
		w.t.Fatalf("send %q: %v", lines, err)
	}
}

// line returns the next line, which must be there.
func (w *wire) line() string {
	w.t.Helper()
	line, err := w.r.ReadString('\n')
	if err != nil {
		w.t.Fatalf("want a line, got %q, %v", line, err)
	}
	if !strings.HasSuffix(line, "\r\n") {
		w.t.Fatalf("line %q does not end in CR LF", line)
	}
	return strings.TrimSuffix(line, "\r\n")
}

// want reads a line that begins with prefix.
func (w *wire) want(prefix string) string {
	w.t.Helper()
	line := w.line()
	if !strings.HasPrefix(line, prefix) {
		w.t.Fatalf("got %q, want %q...", line, prefix)
	}
	return line
}

// wantLines reads exactly these lines.
func (w *wire) wantLines(lines ...string) {
	w.t.Helper()
	for _, want := range lines {
		if got := w.line(); got != want {
			w.t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// wantEOF waits for the server to close, orderly and without a word.
func (w *wire) wantEOF() {
	w.t.Helper()
	if b, err := w.r.ReadByte(); err == nil {
		rest, _ := w.r.ReadString('\n')
		w.t.Fatalf("got %q, want the connection closed", string(b)+rest)
	} else if err.Error() != "EOF" {
		w.t.Fatalf("got %v, want EOF", err)
	}
}

// dial logs in with a Client.
func (s *testServer) dial(t testing.TB) *Client {
	t.Helper()
	c, err := Dial(t.Context(), s.addr, "admin", "secret")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// wantCode fails unless err is the refusal of that code.
func wantCode(t testing.TB, err error, code Code) {
	t.Helper()
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != code {
		t.Fatalf("got error %v, want code %v", err, code)
	}
}

func timestampOf(greeting string) string {
	_, rest, _ := strings.Cut(greeting, "<")
	inner, _, _ := strings.Cut(rest, ">")
	return fmt.Sprintf("<%s>", inner)
}
