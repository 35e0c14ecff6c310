package outbound

import (
	"bufio"
	"errors"
	"net"
	"time"
)

// maxReplies is how many bytes the replies of one step may have. There is no end to
// what a host may say otherwise.
const maxReplies = 64 << 10

var errEndless = errors.New("the host does not stop talking")

// A wire is a connection below the client of go-smtp. That client greets by itself
// and cannot switch to TLS with a name of ours. So the greeting and EHLO are done
// before (see greet), and the client is told what was heard: replay is read first,
// and what it writes meanwhile is dropped, as mute says.
//
// Its deadlines are ours: those of the client are for every reply, and there is none
// while it writes.
type wire struct {
	net.Conn // inside TLS, where there is TLS
	r        *bufio.Reader
	left     int // bytes that may be read in this step
	replay   []byte
	mute     bool
	end      time.Time     // of the step
	block    time.Duration // for each write; 0: until end
}

func newWire(c net.Conn) *wire {
	w := &wire{Conn: c}
	w.r = bufio.NewReader((*metered)(w))
	return w
}

// step begins a step that has so long.
func (w *wire) step(wait, block time.Duration) {
	w.left = maxReplies
	w.block = block
	w.end = time.Now().Add(wait)
	_ = w.Conn.SetDeadline(w.end) // on a connection that is closed, as the next read tells
}

// Read reads what there is, or what is replayed.
func (w *wire) Read(p []byte) (int, error) {
	if len(w.replay) > 0 {
		n := copy(p, w.replay)
		w.replay = w.replay[n:]
		return n, nil
	}
	return w.r.Read(p)
}

// Write writes, unless the wire is mute.
func (w *wire) Write(p []byte) (int, error) {
	if w.mute {
		return len(p), nil
	}
	if w.block > 0 {
		end := time.Now().Add(w.block)
		if end.After(w.end) {
			end = w.end
		}
		_ = w.Conn.SetWriteDeadline(end)
	}
	return w.Conn.Write(p)
}

// The deadlines of the client of go-smtp do not count.
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// metered reads from the connection no more than the step may.
type metered wire

func (m *metered) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, errEndless
	}
	n, err := m.Conn.Read(p[:min(len(p), m.left)])
	m.left -= n
	return n, err
}
