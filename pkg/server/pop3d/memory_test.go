package pop3d

import (
	"bufio"
	"net"
	"runtime"
	"testing"
)

// TestIdleSessionsCostLittle measures heap and stacks of both ends of connections
// that wait after USER.
func TestIdleSessionsCostLittle(t *testing.T) {
	if raceEnabled {
		return // it counts the memory of the race detector as well
	}
	s := newSite(t)
	for _, test := range []struct {
		name  string
		dial  func() *client
		limit uint64
	}{
		{"clear", s.dial, 24 << 10},
		{"TLS", s.dialTLS, 60 << 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			open := func(n int) []net.Conn {
				var all []net.Conn
				for range n {
					c := test.dial()
					c.want("USER ann@example.test", "+OK")
					c.r = bufio.NewReaderSize(nil, 16) // what the client needs does not count
					all = append(all, c.conn)
				}
				return all
			}
			open(10) // what is made once
			before := inUse()
			const n = 300
			conns := open(n)
			each := (inUse() - before) / n
			runtime.KeepAlive(conns)
			t.Logf("%d bytes each", each)
			if each > test.limit {
				t.Errorf("%d idle sessions cost %d bytes each, want %d at most", n, each, test.limit)
			}
		})
	}
}

// inUse returns the bytes of heap and stacks.
func inUse() uint64 {
	for range 3 { // stacks shrink by half each time
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
