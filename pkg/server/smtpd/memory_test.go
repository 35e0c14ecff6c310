package smtpd

import (
	"bufio"
	"crypto/tls"
	"net"
	"runtime"
	"testing"
	"time"
)

// TestIdleClientsCostLittle measures what a client costs that has said EHLO and
// waits: heap and stacks, with its own end of the connection, which is here too.
func TestIdleClientsCostLittle(t *testing.T) {
	const clients = 500
	for name, test := range map[string]struct {
		most int
		tls  bool
	}{
		"clear text": {24 << 10, false},
		"TLS":        {60 << 10, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRigSet(t, func(r *rig) { r.Timeout = time.Hour })
			// Of a client nothing is kept but its connection.
			var conns []net.Conn
			defer func() {
				for _, c := range conns {
					c.Close()
				}
			}()
			config := &tls.Config{InsecureSkipVerify: true, SessionTicketsDisabled: true}
			before := inUse()
			for range clients {
				conns = append(conns, idleClient(t, r.addr, config, test.tls))
			}
			got := (inUse() - before) / clients
			t.Logf("%d bytes a client", got)
			if got > test.most {
				t.Errorf("an idle client costs %d bytes, want %d at most", got, test.most)
			}
		})
	}
}

// idleClient says EHLO and returns the transport of the connection.
func idleClient(t *testing.T, addr string, config *tls.Config, secure bool) net.Conn {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	talk := &client{c, t, bufio.NewReader(c)}
	talk.want("220")
	talk.ask("EHLO client.test", "250")
	if secure {
		talk.ask("STARTTLS", "220")
		tc := tls.Client(c, config)
		if err := tc.Handshake(); err != nil {
			t.Fatal(err)
		}
		talk = &client{tc, t, bufio.NewReader(tc)}
		talk.ask("EHLO client.test", "250")
	}
	return c
}

// inUse returns what heap and stacks take after everything unused has gone.
func inUse() int {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}
