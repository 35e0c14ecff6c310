package ctrl

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// upgrade asks for TLS and goes under it.
func (w *wire) upgrade(config *tls.Config) *wire {
	w.t.Helper()
	w.send("#!TLS")
	w.want("+00000 ")
	config = config.Clone()
	config.ServerName = "127.0.0.1"
	tc := tls.Client(w.Conn, config)
	if err := tc.Handshake(); err != nil {
		w.t.Fatalf("handshake: %v", err)
	}
	return newWire(w.t, tc)
}

func TestUpgradeToTLS(t *testing.T) {
	s := startServer(t, nil)
	plain := s.connect(t)
	timestamp := timestampOf(plain.want("+00000"))
	w := plain.upgrade(s.config)
	w.send("admin\t#" + Digest(timestamp, "secret")) // there is no new greeting
	w.wantLines("+00000 OK")
	w.send("noop")
	w.wantLines("+00000 OK")
	w.send("quit")
	w.wantLines("+00000 OK")
	w.wantEOF()
}

func TestSecondRequestForTLSIsAMalformedLogin(t *testing.T) {
	s := startServer(t, nil)
	plain := s.connect(t)
	plain.want("+00000")
	w := plain.upgrade(s.config)
	w.send("#!TLS")
	w.want("-00105 ")
	w.wantEOF()
}

func TestNativeTLS(t *testing.T) {
	s := startServer(t, nil)
	nc, err := tls.Dial("tcp", s.tlsAddr, s.config)
	if err != nil {
		t.Fatal(err)
	}
	w := newWire(t, nc)
	w.want("+00000")
	w.send("admin\tsecret")
	w.want("+00000 OK")

	nc, err = tls.Dial("tcp", s.tlsAddr, s.config)
	if err != nil {
		t.Fatal(err)
	}
	w = newWire(t, nc)
	w.want("+00000")
	w.send("#!TLS")
	w.want("-00242 ")
	w.wantEOF()
}

func TestTLSThatIsNotToBeHad(t *testing.T) {
	for _, c := range []struct {
		name, want string
		set        func(*Server)
	}{
		{"switched off", "-00249 ", func(s *Server) { s.TLSEnabled = func() bool { return false } }},
		{"not configured", "-00249 ", func(s *Server) { s.TLSConfig = nil }},
		{"broken", "-00232 ", func(s *Server) {
			s.TLSConfig = func() (*tls.Config, error) { return nil, errors.New("no certificate") }
		}},
		{"broken, with a code", "-00015 ", func(s *Server) {
			s.TLSConfig = func() (*tls.Config, error) { return nil, &Error{Code: CodeNoProfile} }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := startServer(t, c.set).connect(t)
			w.want("+00000")
			w.send("#!TLS")
			w.want(c.want)
			w.wantEOF()
		})
	}
}

// What is sent in clear after the request must not be read as if it had come under TLS.
func TestInputInClearAfterRequestForTLSIsNotRun(t *testing.T) {
	s := startServer(t, nil)
	w := s.connect(t)
	w.want("+00000")
	w.send("#!TLS", "admin\tsecret", "noop")
	w.want("-00248 ")
	w.wantEOF()
}

func TestOldTLSIsNotSpoken(t *testing.T) {
	s := startServer(t, func(s *Server) {
		s.TLSConfig = func() (*tls.Config, error) {
			return &tls.Config{Certificates: []tls.Certificate{certificate()}, MinVersion: tls.VersionTLS10}, nil
		}
	})
	config := s.config.Clone()
	config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if nc, err := tls.Dial("tcp", s.tlsAddr, config); err == nil {
		nc.Close()
		t.Error("TLS 1.1 was spoken")
	}
	if nc, err := tls.Dial("tcp", s.tlsAddr, s.config); err != nil {
		t.Error(err)
	} else {
		nc.Close()
	}
}

// Half a handshake holds nobody else up, and ends.
func TestHalfAHandshake(t *testing.T) {
	s := startServer(t, func(s *Server) { s.Limits.Handshake = 100 * time.Millisecond })
	native, err := net.Dial("tcp", s.tlsAddr)
	if err != nil {
		t.Fatal(err)
	}
	half := newWire(t, native)
	half.Write([]byte{0x16, 0x03, 0x01, 0x02}) // of a record
	upgraded := s.connect(t)
	upgraded.want("+00000")
	upgraded.send("#!TLS")
	upgraded.want("+00000")
	upgraded.Write([]byte{0x16, 0x03})
	w := s.login(t)
	w.send("noop")
	w.want("+00000")
	half.wantEOF()
	upgraded.wantEOF()
	w.send("noop")
	w.want("+00000")
}

func TestNoiseInPlaceOfAHandshake(t *testing.T) {
	s := startServer(t, nil)
	nc, err := net.Dial("tcp", s.tlsAddr)
	if err != nil {
		t.Fatal(err)
	}
	w := newWire(t, nc)
	w.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
	if _, err := io.Copy(io.Discard, w.r); err != nil {
		t.Errorf("want the connection closed, got %v", err)
	}
}
