package server_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"
)

// A sink is a host that takes all mail, and counts it by its recipients.
type sink struct {
	addr string
	ehlo string
	slow <-chan struct{} // closed when the host answers to the text; nil: at once

	wait sync.WaitGroup
	mu   sync.Mutex
	got  map[string]int
	last time.Time // when the last one came
	all  int
	end  bool
	open map[net.Conn]bool
}

func bufioReader(b []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(b)) }

// siteIP is an address of the mesh.
func siteIP(n byte) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, n}) }

// startSink starts one that answers EHLO as given, and lives as long as the test.
func startSink(t testing.TB, ehlo string) *sink {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{addr: l.Addr().String(), ehlo: ehlo, got: map[string]int{}, open: map[net.Conn]bool{}}
	s.wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			if s.open[c] = true; s.end {
				c.Close()
			}
			s.mu.Unlock()
			s.wait.Go(func() {
				s.serve(c)
				c.Close()
				s.mu.Lock()
				delete(s.open, c)
				s.mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.mu.Lock()
		s.end = true
		for c := range s.open {
			c.Close()
		}
		s.mu.Unlock()
		s.wait.Wait()
	})
	return s
}

func (s *sink) serve(c net.Conn) {
	r := textproto.NewReader(bufio.NewReader(c))
	say := func(text string) { io.WriteString(c, text+"\r\n") } // who has gone does not read it
	say("220 sink ESMTP")
	var to []string
	for {
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		switch verb, rest, _ := strings.Cut(line, " "); strings.ToUpper(verb) {
		case "EHLO":
			io.WriteString(c, s.ehlo)
		case "RCPT":
			address := strings.TrimPrefix(strings.ToUpper(rest[:3]), "TO:") + rest[3:]
			address, _, _ = strings.Cut(strings.TrimPrefix(address, "<"), ">")
			to = append(to, address)
			say("250 ok")
		case "DATA":
			say("354 go on")
			if _, err := io.Copy(io.Discard, r.DotReader()); err != nil {
				return
			}
			if s.slow != nil {
				<-s.slow
			}
			s.mu.Lock()
			for _, address := range to {
				s.got[address]++
				s.all++
			}
			s.last, to = time.Now(), nil
			s.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// count is how often a recipient has got mail.
func (s *sink) count(to string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got[to]
}

// total is how many deliveries there were.
func (s *sink) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}
