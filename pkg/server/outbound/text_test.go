package outbound_test

import (
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/outbound"
)

func TestLineEndsOfStrangersCannotForgeAnEnd(t *testing.T) {
	var got string
	done := make(chan bool)
	addr := scripted(t, func(s script) {
		s.say("220 x")
		s.hear()
		s.say("250 x")
		for range 2 {
			s.hear()
			s.say("250 x")
		}
		s.hear()
		s.say("354 x")
		for !strings.HasSuffix(got, "\r\n.\r\n") {
			line, err := s.ReadString('\n')
			if err != nil {
				break
			}
			got += line
		}
		close(done)
		s.say("250 x")
	})
	w := newWorld(t, zones, nil, nil)
	w.at("192.0.2.10", addr)
	in := "a: b\n\n1\r.\r2\n.\n3\r\n.\r4\r\r\n.5\r\n\r"
	want(t, w.send("one.test", messageOf(in, "bob@one.test"))[0], outbound.Delivered)
	<-done
	const out = "a: b\r\n\r\n1 . 2\r\n..\r\n3\r\n.. 4 \r\n..5\r\n \r\n.\r\n"
	if got != out {
		t.Errorf("on the wire was %q, want %q", got, out)
	}
}

// TestBigMessageTakesNoMemory sends 32 MiB.
func TestBigMessageTakesNoMemory(t *testing.T) {
	r := receive(t, func(r *receiver) { r.count = true; r.srv.MaxLineLength = 1 << 20 })
	w := newWorld(t, zones, nil, nil)
	w.at("192.0.2.10", r.addr)
	const size = 32 << 20
	m := message("bob@one.test")
	m.Body, m.Size = &pattern{size: size}, size
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	want(t, w.send("one.test", m)[0], outbound.Delivered)
	runtime.ReadMemStats(&after)
	if got := r.got()[0].size; got != size {
		t.Errorf("%d bytes came, want %d", got, size)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 2<<20 {
		t.Errorf("both ends allocated %d bytes for a message of %d, want some kilobytes", grown, size)
	}
}

// A pattern is a text of lines of 64 bytes.
type pattern struct{ at, size int64 }

func (p *pattern) Read(b []byte) (int, error) {
	if p.at == p.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), p.size-p.at))
	for i := range b[:n] {
		switch (p.at + int64(i)) % 64 {
		case 62:
			b[i] = '\r'
		case 63:
			b[i] = '\n'
		default:
			b[i] = 'x'
		}
	}
	p.at += int64(n)
	return n, nil
}

func (p *pattern) Seek(offset int64, _ int) (int64, error) {
	p.at = offset
	return p.at, nil
}
