package outbound_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// A script is a host that says what a test wants.
type script struct {
	*bufio.Reader
	net.Conn
}

func (s script) Read(p []byte) (int, error) { return s.Reader.Read(p) }

// say writes lines.
func (s script) say(lines ...string) { io.WriteString(s.Conn, strings.Join(lines, "\r\n")+"\r\n") }

// hear returns the next line; "" when there is none.
func (s script) hear() string {
	line, err := s.ReadString('\n')
	if err != nil {
		return ""
	}
	return strings.TrimRight(line, "\r\n")
}

// skipText reads a text to its end, and reports whether it has one.
func (s script) skipText() bool {
	for {
		switch line, err := s.ReadString('\n'); {
		case err != nil:
			return false
		case line == ".\r\n":
			return true
		}
	}
}

// serve answers commands by their first words until the connection ends. To those
// that are not in replies it says 250; "" closes the connection.
func (s script) serve(ehlo []string, replies map[string]string) {
	s.say("220 script")
	for {
		line := s.hear()
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		reply, ok := replies[verb]
		switch {
		case line == "" || ok && reply == "":
			return
		case ok:
			s.say(reply)
		case verb == "EHLO":
			s.say("250-script")
			for _, keyword := range ehlo {
				s.say("250-" + keyword)
			}
			s.say("250 HELP")
		case verb == "DATA":
			s.say("354 go on")
			if !s.skipText() {
				return
			}
			reply, ok := replies["."]
			if ok && reply == "" {
				return
			}
			if !ok {
				reply = "250 taken"
			}
			s.say(reply)
		default:
			s.say("250 ok")
		}
	}
}

// scripted starts a host that does so for each connection.
func scripted(t *testing.T, do func(s script)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[c] = true
			mu.Unlock()
			wait.Go(func() {
				defer c.Close()
				do(script{bufio.NewReader(c), c})
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range conns {
			c.Close()
		}
		mu.Unlock()
		wait.Wait()
	})
	return l.Addr().String()
}

// An authority issues certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, pool: x509.NewCertPool()}
	a.cert, a.key = a.make("authority", nil)
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) make(name string, parent *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: parent == nil, BasicConstraintsValid: true,
	}
	signer, by := parent, a.key
	if parent == nil {
		signer, by = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// server returns the settings of a server with a certificate for the name.
func (a *authority) server(name string) *tls.Config {
	cert, key := a.make(name, a.cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}}
}
