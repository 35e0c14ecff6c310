package psync

import (
	"net"
	"time"
)

const (
	// leastRate is how many bytes a second a server sends at least in the long run:
	// one that drips holds a thread for hours otherwise.
	leastRate = 1024

	// maxSession is how long a session begins new messages. The rest comes next time:
	// other links wait for the thread, and what was deleted counts only after QUIT.
	maxSession = 30 * time.Minute

	maxLine     = 4096    // of a reply; RFC 1939 has 512
	maxMessages = 500_000 // in a mailbox
	maxHeader   = 1 << 20 // what follows is text
	maxMessage  = 1 << 30 // where MaxMessageSize does not say anything

	// Some servers make a message only when it is asked for, and guess its size before.
	maxGrowth = 4        // times the announced size
	slack     = 16 << 20 // and bytes besides
)

// A paced connection sets the deadlines of the connection below TLS. Nothing waits
// longer than timeout for a byte, and a reply of n bytes does not take longer than
// timeout and n/leastRate seconds.
type paced struct {
	net.Conn
	timeout time.Duration
	began   time.Time
	bytes   int64
}

// begin begins a reply.
func (p *paced) begin() { p.began, p.bytes = time.Now(), 0 }

func (p *paced) Read(b []byte) (int, error) {
	now := time.Now()
	deadline := now.Add(p.timeout)
	if last := p.began.Add(p.timeout + time.Duration(p.bytes/leastRate)*time.Second); last.Before(deadline) {
		deadline = last
	}
	if err := p.Conn.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	n, err := p.Conn.Read(b)
	p.bytes += int64(n)
	return n, err
}

func (p *paced) Write(b []byte) (int, error) {
	if err := p.Conn.SetWriteDeadline(time.Now().Add(p.timeout)); err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}
