// Package resolvetest is a name server for tests, on real sockets.
package resolvetest

import (
	"bytes"
	"encoding/binary"
	"io"
	"log"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/foxcpp/go-mockdns"

	"github.com/xmaild/xmaild/pkg/server/resolve"
)

// Zones are the records of a server by name, each with a dot at its end. A zone
// with an Err is a SERVFAIL.
type Zones = map[string]mockdns.Zone

// A Server answers for zones that may change, counts what it is asked, and falls
// silent when told to. Its methods may be called concurrently.
type Server struct {
	addr    string
	packets net.PacketConn
	streams net.Listener
	wait    sync.WaitGroup

	mu     sync.Mutex
	zones  *mockdns.Server
	asked  []string
	silent bool
	conns  map[net.Conn]bool // nil: closed
}

// Start starts a server that lives as long as the test.
func Start(t testing.TB, zones Zones) *Server {
	t.Helper()
	streams, packets, err := listen()
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{addr: streams.Addr().String(), packets: packets, streams: streams, conns: map[net.Conn]bool{}}
	s.Set(t, zones)
	s.wait.Go(s.servePackets)
	s.wait.Go(s.serveStreams)
	t.Cleanup(s.stop)
	return s
}

// portTries is how often a port is asked for that is free for both protocols. One that
// is free for one of them may be somebody's for the other.
const portTries = 20

// listen takes a port of both protocols.
func listen() (streams net.Listener, packets net.PacketConn, err error) {
	for range portTries {
		if streams, err = net.Listen("tcp4", "127.0.0.1:0"); err != nil {
			return nil, nil, err
		}
		if packets, err = net.ListenPacket("udp4", streams.Addr().String()); err == nil {
			return streams, packets, nil
		}
		streams.Close()
	}
	return nil, nil, err
}

// serve starts what answers from the zones, on a port of its own.
func serve(zones Zones) (served *mockdns.Server, err error) {
	for range portTries {
		if served, err = mockdns.NewServerWithLogger(zones, log.New(io.Discard, "", 0), false); err == nil {
			return served, nil
		}
	}
	return nil, err
}

// Set replaces the zones.
func (s *Server) Set(t testing.TB, zones Zones) {
	t.Helper()
	served, err := serve(zones)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	before := s.zones
	s.zones = served
	s.mu.Unlock()
	if before != nil {
		before.Close()
	}
}

// Silence makes the server take questions without answering, or answer again.
func (s *Server) Silence(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = on
}

// Asked returns how many questions came for a name, with a dot at its end; for ""
// how many came in all.
func (s *Server) Asked(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, asked := range s.asked {
		if name == "" || strings.EqualFold(asked, name) {
			n++
		}
	}
	return n
}

// UDP returns the server for [resolve.Options].
func (s *Server) UDP() resolve.Server { return resolve.Server{Addr: s.addr} }

// TCP returns the server for [resolve.Options], never to be asked by UDP.
func (s *Server) TCP() resolve.Server { return resolve.Server{Addr: s.addr, TCP: true} }

// Resolver returns a resolver with the options of which this is the only server.
func (s *Server) Resolver(o resolve.Options) *resolve.Resolver {
	o.Servers = func() []resolve.Server { return []resolve.Server{s.UDP()} }
	return resolve.New(o)
}

func (s *Server) stop() {
	s.packets.Close()
	s.streams.Close()
	s.mu.Lock()
	for conn := range s.conns {
		conn.Close()
	}
	s.conns = nil
	zones := s.zones
	s.mu.Unlock()
	s.wait.Wait()
	zones.Close()
}

// note counts a question, and says who answers it: nobody where it is "".
func (s *Server) note(question []byte) (zones string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, name(question))
	if s.silent {
		return ""
	}
	return s.zones.LocalAddr().String()
}

// name returns the name that a message asks for.
func name(message []byte) string {
	const header = 12
	var b strings.Builder
	for i := header; i < len(message) && message[i] != 0; {
		end := i + 1 + int(message[i])
		if end > len(message) {
			break
		}
		b.Write(message[i+1 : end])
		b.WriteByte('.')
		i = end
	}
	return b.String()
}

func (s *Server) servePackets() {
	buf := make([]byte, 4096)
	for {
		n, from, err := s.packets.ReadFrom(buf)
		if err != nil {
			return
		}
		question := bytes.Clone(buf[:n])
		zones := s.note(question)
		if zones == "" {
			continue
		}
		s.wait.Go(func() {
			if answer, err := forward("udp", zones, question); err == nil {
				_, _ = s.packets.WriteTo(answer, from) // who asks waits in vain otherwise, and that is tested
			}
		})
	}
}

func (s *Server) serveStreams() {
	for {
		conn, err := s.streams.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.conns == nil {
			conn.Close()
		} else {
			s.conns[conn] = true
			s.wait.Go(func() { s.serveStream(conn) })
		}
		s.mu.Unlock()
	}
}

func (s *Server) serveStream(conn net.Conn) {
	defer func() {
		conn.Close()
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
	}()
	for {
		question, err := readMessage(conn)
		if err != nil {
			return
		}
		zones := s.note(question)
		if zones == "" {
			continue
		}
		answer, err := forward("tcp", zones, question)
		if err != nil {
			return
		}
		if err := writeMessage(conn, answer); err != nil {
			return
		}
	}
}

// forward lets the server of the zones answer.
func forward(network, addr string, question []byte) ([]byte, error) {
	conn, err := net.Dial(network, addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// A question that is lost is asked again.
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}
	if network == "tcp" {
		if err := writeMessage(conn, question); err != nil {
			return nil, err
		}
		return readMessage(conn)
	}
	if _, err := conn.Write(question); err != nil {
		return nil, err
	}
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	return buf[:n], err
}

// readMessage reads a message with its length before it, as on TCP.
func readMessage(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(r, message)
	return message, err
}

func writeMessage(w io.Writer, message []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...))
	return err
}
