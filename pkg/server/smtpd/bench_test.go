package smtpd

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// text is a message of about so many octets, with its header and without the dot.
func text(size int) string {
	const line = "The quick brown fox jumps over the lazy dog, and ten more of its kind.\r\n"
	return "From: <a@far.test>\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <a@far.test>\r\nSubject: a\r\n\r\n" + strings.Repeat(line, size/len(line))
}

func TestReadingAMessageTakesNoMemory(t *testing.T) {
	src := []byte(text(4096) + "..\r\n.\r\n")
	dst := make([]byte, 0, 2*len(src)+maxGrowth)
	if n := testing.AllocsPerRun(100, func() {
		var s dataScanner
		if _, read, end := s.scan(dst, src); read != len(src) || !end || s.bad {
			t.Errorf("%d of %d octets, at the end %v, bad %v", read, len(src), end, s.bad)
		}
	}); n != 0 {
		t.Errorf("text of DATA: %v allocations, want 0", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		var s chunkScanner
		s.scan(dst, src)
	}); n != 0 {
		t.Errorf("chunk of BDAT: %v allocations, want 0", n)
	}
	h := headerReader{w: io.Discard, part: inBody}
	if n := testing.AllocsPerRun(100, func() { h.Write(src) }); n != 0 {
		t.Errorf("body behind the header: %v allocations, want 0", n)
	}
}

func TestReadingACommandTakesNoMemory(t *testing.T) {
	const lines = "MAIL FROM:<a@far.test>\r\nRCPT TO:<alice@foo.test>\r\n"
	r := bytes.NewReader([]byte(lines))
	in := input{r: r, buf: make([]byte, idleBuffer), large: &buffers{}}
	if n := testing.AllocsPerRun(100, func() {
		r.Seek(0, io.SeekStart)
		for range 2 {
			if line, err := in.line(maxCommand); err != nil || len(line) == 0 {
				t.Errorf("line %q, %v", line, err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations for two lines, want 0", n)
	}
}

func BenchmarkScan(b *testing.B) {
	for _, kind := range []string{"DATA", "BDAT"} {
		b.Run("command="+kind, func(b *testing.B) {
			src := []byte(text(32 << 10))
			dst := make([]byte, 0, 2*len(src)+maxGrowth)
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				if kind == "DATA" {
					var s dataScanner
					s.scan(dst, src)
				} else {
					var s chunkScanner
					s.scan(dst, src)
				}
			}
		})
	}
}

// BenchmarkMessage measures messages that are taken, and synced, over the loopback.
func BenchmarkMessage(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			r := newRig(b)
			c := r.greet(b)
			c.SetDeadline(time.Now().Add(10 * time.Minute))
			body := text(size) + ".\r\n"
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				c.ask("MAIL FROM:<a@far.test>", "250")
				c.ask("RCPT TO:<alice@foo.test>", "250")
				c.ask("DATA", "354")
				if _, err := io.WriteString(c, body); err != nil {
					b.Fatal(err)
				}
				c.want("250")
			}
		})
	}
}

// BenchmarkSession measures clients that connect, say EHLO and leave.
func BenchmarkSession(b *testing.B) {
	r := newRig(b)
	b.ReportAllocs()
	for b.Loop() {
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			b.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(patience))
		c := &client{conn, b, bufio.NewReaderSize(conn, 512)}
		c.want("220")
		c.ask("EHLO client.test", "250")
		c.ask("QUIT", "221")
		conn.Close()
	}
}
