package session_test

import (
	"bufio"
	"fmt"
	"net"
	"testing"
)

// BenchmarkConnection measures clients that connect, say a line and leave, while others
// stay and are listed.
func BenchmarkConnection(b *testing.B) {
	for _, idle := range []int{0, 1000} {
		b.Run(fmt.Sprintf("idle=%d", idle), func(b *testing.B) {
			s := serve(b, nil)
			for range idle {
				s.dial(b).expect("220")
			}
			b.ReportAllocs()
			for b.Loop() {
				conn, err := net.Dial("tcp", s.addr)
				if err != nil {
					b.Fatal(err)
				}
				c := &client{b, conn, bufio.NewReaderSize(conn, 64)}
				c.expect("220")
				c.send("quit")
				c.expect("221")
				c.Close()
			}
		})
	}
}

// BenchmarkList measures a list of all sessions.
func BenchmarkList(b *testing.B) {
	const sessions = 1000
	s := serve(b, nil)
	for range sessions {
		s.dial(b).expect("220")
	}
	b.Run(fmt.Sprintf("sessions=%d", sessions), func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if n := len(s.Registry.List()); n != sessions {
				b.Fatalf("%d sessions, want %d", n, sessions)
			}
		}
	})
}
