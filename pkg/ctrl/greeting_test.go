package ctrl

import (
	"net"
	"net/netip"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var greetingShape = regexp.MustCompile(`^\+00000 <[0-9]+\.[0-9]+@[0-9a-f.:]+> XMail 1\.27 CTRL Server( [^ ;]+)*; [A-Z][a-z]{2}, [1-9][0-9]? [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} [+-][0-9]{4}$`)

func TestGreetingShape(t *testing.T) {
	east := time.FixedZone("", 2*60*60)
	for _, c := range []struct {
		now     time.Time
		number  uint64
		local   string
		product string
		want    string // "" for any of the right shape
	}{
		{time.Unix(1000000000, 0).In(east), 5577006791947779410, "192.0.2.5", "xmaild 1.2.3",
			"+00000 <1000000000.5577006791947779410@192.0.2.5> XMail 1.27 CTRL Server xmaild 1.2.3; Sun, 9 Sep 2001 03:46:40 +0200"},
		{time.Unix(1795304826, 0).UTC(), 1, "::ffff:192.0.2.5", "xmaild",
			"+00000 <1795304826.0000000001@192.0.2.5> XMail 1.27 CTRL Server xmaild; Sat, 21 Nov 2026 23:47:06 +0000"},
		{time.Unix(1795304826, 0).UTC(), 1<<64 - 1, "fe80::1%eth0", "",
			"+00000 <1795304826.18446744073709551615@fe80::1> XMail 1.27 CTRL Server; Sat, 21 Nov 2026 23:47:06 +0000"},
		{time.Unix(1795304826, 0).UTC(), 1<<64 - 1, "2001:db8:1111:2222:3333:4444:5555:6666", "xmaild v1.22.333-beta.4", ""},
		{time.Unix(1795304826, 0).UTC(), 1<<64 - 1, "2001:1db8:1111:2222:3333:4444:5555:6666", strings.Repeat("x", 200), ""},
		{time.Unix(1795304826, 0).UTC(), 1<<64 - 1, "255.255.255.255", "two  spaces ", ""},
	} {
		line, timestamp := greeting(c.now, c.number, netip.MustParseAddr(c.local), c.product)
		if c.want != "" && line != c.want {
			t.Errorf("got  %q\nwant %q", line, c.want)
		}
		if !greetingShape.MatchString(line) {
			t.Errorf("%q has not the shape of a greeting", line)
		}
		if n := len(line) + len("\r\n"); n > 128 {
			t.Errorf("%q has %d bytes, more than 128", line, n)
		}
		if want := timestampOf(line); timestamp != want {
			t.Errorf("timestamp %q, want %q", timestamp, want)
		}
		if words := strings.Split(line, " "); words[3] != "1.27" {
			t.Errorf("fourth word %q, want the version", words[3])
		}
		number, _, _ := strings.Cut(strings.SplitN(timestamp, ".", 2)[1], "@")
		if len(number) < 10 {
			t.Errorf("number %s has less than ten digits", number)
		}
	}
}

// A countingListener counts the writes to the connections that it accepts.
type countingListener struct {
	net.Listener
	writes *atomic.Int64
}

type countingConn struct {
	*net.TCPConn
	writes *atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countingConn{nc.(*net.TCPConn), l.writes}, nil
}

func (c countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.TCPConn.Write(p)
}

// startCounting starts a server whose writes are counted.
func startCounting(t *testing.T) (*testServer, *atomic.Int64) {
	s := startServer(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	writes := new(atomic.Int64)
	done := make(chan error, 1)
	go func() { done <- s.Serve(t.Context(), countingListener{l, writes}) }()
	t.Cleanup(func() { l.Close(); <-done })
	s.addr = l.Addr().String()
	return s, writes
}

// A client of old reads the greeting with one recv of 128 bytes.
func TestGreetingComesInOneWrite(t *testing.T) {
	s, writes := startCounting(t)
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	buf := make([]byte, 128)
	n, err := nc.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	line, ok := strings.CutSuffix(string(buf[:n]), "\r\n")
	if !ok || !greetingShape.MatchString(line) {
		t.Errorf("one read got %q, want a whole greeting", buf[:n])
	}
	if got := writes.Load(); got != 1 {
		t.Errorf("greeting in %d writes, want 1", got)
	}
}

func TestTimestampsDiffer(t *testing.T) {
	s := startServer(t, nil)
	seen := make(map[string]bool)
	for range 50 {
		timestamp := timestampOf(s.connect(t).want("+00000 <"))
		if seen[timestamp] {
			t.Fatalf("timestamp %s twice", timestamp)
		}
		seen[timestamp] = true
	}
}
