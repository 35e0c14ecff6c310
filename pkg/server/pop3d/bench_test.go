package pop3d

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

// BenchmarkRetrieve measures large messages over the loopback.
func BenchmarkRetrieve(b *testing.B) {
	line := strings.Repeat("x", 76)
	for _, end := range []string{"\r\n", "\n"} {
		b.Run("end="+map[string]string{"\r\n": "CRLF", "\n": "LF"}[end], func(b *testing.B) {
			s := newSite(b)
			text := "Subject: large\r\n\r\n" + strings.Repeat(line+end, (64<<20)/(len(line)+len(end)))
			s.put("new/large", text, 1)
			c := s.login()
			c.conn.SetDeadline(time.Now().Add(10 * time.Minute))
			b.SetBytes(int64(len(text)))
			buf := make([]byte, 1<<20)
			for b.Loop() {
				if _, err := io.WriteString(c.conn, "RETR 1\r\n"); err != nil {
					b.Fatal(err)
				}
				var last []byte
				for !bytes.HasSuffix(last, []byte("\r\n.\r\n")) {
					n, err := c.conn.Read(buf)
					if err != nil {
						b.Fatal(err)
					}
					last = append(last[:0], buf[max(n-5, 0):n]...)
				}
			}
		})
	}
}

// BenchmarkPoll measures clients that look whether there is mail.
func BenchmarkPoll(b *testing.B) {
	for _, n := range []int{0, 10000} {
		b.Run(fmt.Sprintf("messages=%d", n), func(b *testing.B) {
			s := newSite(b)
			for i := range n {
				s.put(fmt.Sprintf("new/1700000000.M%dP123.host", i), "x\r\n", int64(i))
			}
			past := time.Now().Add(-time.Hour)
			chtimes(b, s.path("new"), past)
			chtimes(b, s.path("cur"), past)
			for b.Loop() {
				poll(b, s.addr)
			}
		})
	}
}

// poll logs in, asks for the number of messages, and leaves.
func poll(b *testing.B, addr string) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for _, command := range []string{"USER ann", "PASS pass word", "STAT", "QUIT"} {
		if _, err := r.ReadString('\n'); err != nil {
			b.Fatal(err)
		}
		if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
			b.Fatal(err)
		}
	}
	if rest, err := io.ReadAll(r); err != nil || !bytes.HasPrefix(rest, []byte("+OK ")) {
		b.Fatalf("the end is %q (%v)", rest, err)
	}
}

func TestSendingAMessageTakesNoMemory(t *testing.T) {
	text := []byte("Subject: a\r\n\r\n" + strings.Repeat("a line that needs nothing\r\n.one that begins with a dot\r\none of Unix\n", 100))
	w := bufio.NewWriterSize(io.Discard, 4096)
	r := bytes.NewReader(text)
	buf := make([]byte, smallPiece)
	for name, lines := range map[string]int{"RETR": allLines, "TOP": 50} {
		if n := testing.AllocsPerRun(100, func() {
			r.Reset(text)
			m := transmitter{w: w, start: true, lines: lines}
			if err := m.copy(r, buf); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

// BenchmarkTransfer measures what is done to the text of messages.
func BenchmarkTransfer(b *testing.B) {
	for _, kind := range []struct{ name, line string }{{"CRLF", "a line that needs nothing\r\n"}, {"LF", "a line that needs a CR\n"}, {"dots", ".a line that begins with a dot\r\n"}} {
		b.Run("lines="+kind.name, func(b *testing.B) {
			text := []byte(strings.Repeat(kind.line, (1<<20)/len(kind.line)))
			w := bufio.NewWriterSize(io.Discard, 4096)
			r := bytes.NewReader(text)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				r.Reset(text)
				if err := transfer(w, r, r.Size(), allLines); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
