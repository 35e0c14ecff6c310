package ctrl

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"
)

func BenchmarkRoundTrip(b *testing.B) {
	c := startServer(b, nil).dial(b)
	for b.Loop() {
		if _, err := c.Do(b.Context(), "noop"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkConnection(b *testing.B) {
	s := startServer(b, nil)
	for b.Loop() {
		c := s.dial(b)
		if _, err := c.Do(b.Context(), "noop"); err != nil {
			b.Fatal(err)
		}
		if err := c.Quit(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPipelined is of a hundred commands sent at once.
func BenchmarkPipelined(b *testing.B) {
	w := startServer(b, nil).login(b)
	w.SetDeadline(time.Time{})
	commands := bytes.Repeat([]byte("noop\r\n"), 100)
	replies := make([]byte, 100*len("+00000 OK\r\n"))
	for b.Loop() {
		if _, err := w.Write(commands); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(w.r, replies); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkList is of a list of a thousand rows.
func BenchmarkList(b *testing.B) {
	c := startServer(b, nil).dial(b)
	args := append([]string{"list"}, strings.Fields(strings.Repeat("x ", 1000))...)
	for b.Loop() {
		if _, err := c.List(b.Context(), args...); err != nil {
			b.Fatal(err)
		}
	}
}
