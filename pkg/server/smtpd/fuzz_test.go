package smtpd

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	accept "github.com/xmaild/xmaild/pkg/server/session"
)

var replyLine = regexp.MustCompile(`^[2-5]\d\d[ -][^\r\n]*\r\n$`)

// FuzzSession gives a session any bytes. Whatever they are, it answers in lines that
// are replies, ends when the client does, and has promised to deliver exactly what is
// in the queue, where every line ends in CR LF.
func FuzzSession(f *testing.F) {
	const begin = "EHLO a\r\nMAIL FROM:<x@ext.test>\r\nRCPT TO:<alice@foo.test>\r\n"
	for _, s := range []string{
		"", "\r\n", "QUIT\r\n", "NOOP\nNOOP\r\r\nHELP\r\n", "EHLO a\r\nHELO b\r\nRSET\r\nVRFY <alice@foo.test>\r\nETRN x\r\n",
		begin + "DATA\r\nSubject: a\r\n\r\n..b\r\n.\r\nQUIT\r\n",
		begin + "DATA\r\na\n.\nMAIL FROM:<y@z>\r\n.\r\nMAIL FROM:<x@ext.test>\r\n",
		begin + "DATA\r\na\r\r\n.\r\nNOOP\r\n", begin + "DATA\r\n.\r\r\n\x00.\r\n.\r\n", begin + "DATA\r\n\r\n.\r", begin + "DATA\r\n.\r\n" + begin[8:] + "DATA\r\n.\r\n",
		begin + "BDAT 6\r\nNOOP\r\nRSET\r\nBDAT 2 LAST\r\n\r\n", begin + "BDAT 5 LAST\r\n.a\r\nbNOOP\r\n", begin + "BDAT 0\r\nBDAT 0 LAST\r\n", begin + "BDAT 3\r\n\r\n.EHLO b\r\n" + begin,
		begin + "BDAT 99999999999\r\n", begin + "BDAT 4\r\nabQUIT\r\n", "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", begin + "BDAT 1\r\n\rBDAT 1 LAST\r\n\n",
		"EHLO a\r\nAUTH PLAIN\r\n*\r\nAUTH LOGIN\r\nYQ==\r\nYQ==\r\nAUTH CRAM-MD5\r\nYSBi\r\nAUTH PLAIN !\r\nAUTH PLAIN =\r\n",
		"EHLO a\r\nAUTH PLAIN AGFsaWNlQGZvby50ZXN0AHNlY3JldA==\r\n" + begin[8:] + "DATA\r\nX-AuthUser: x\r\n y\r\nno field\r\n.\r\n",
		"EHLO a\r\nSTARTTLS\r\nNOOP\r\n", "EHLO a\r\nSTARTTLS\r\n", "MAIL FROM:<\"a b\"@c> SIZE=1 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=a+2B X=\r\n",
		"EHLO a\r\nMAIL FROM:<> SIZE=99999999999999999999\r\nRCPT TO:<postmaster> NOTIFY=NEVER ORCPT=rfc822;a\r\nDATA\r\n.\r\n",
		strings.Repeat("x", 9000) + "\r\nNOOP\r\n", "\x00\xff\x80\r\n", "EHLO \xd0\xb6\r\nMAIL FROM:<\xd0\xb6@b> SMTPUTF8\r\n",
	} {
		f.Add([]byte(s))
	}
	var log bytes.Buffer
	r := newRigSet(f, func(r *rig) { r.Log = slog.New(slog.NewTextHandler(&log, nil)) }, "LOGIN-MaxFailures=0", "LOGIN-FailureDelay=0")
	f.Fuzz(func(t *testing.T, in []byte) {
		log.Reset()
		c := &script{in: bytes.NewReader(in)}
		r.ServeConn(context.Background(), accept.NewConn(c, "smtp", false))
		out := c.out.Bytes()
		taken := 0
		for line := range bytes.Lines(out) {
			if !replyLine.Match(line) && !bytes.Contains(in, []byte("STARTTLS")) {
				t.Errorf("line %q is no reply", line)
			}
			if bytes.HasPrefix(line, []byte("250 2.0.0 OK <S")) {
				taken++
			}
		}
		names, err := filepath.Glob(filepath.Join(r.dir, "spool", "live", "*"))
		if err != nil || len(names) != taken {
			t.Errorf("%d messages were taken, and there is %q (%v)", taken, names, err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			_, body, _ := bytes.Cut(text, []byte("\n\n"))
			clean := bytes.ReplaceAll(body, []byte("\r\n"), nil)
			if err != nil || bytes.ContainsAny(clean, "\r\n\x00") || !bytes.HasSuffix(body, []byte("\r\n")) {
				t.Errorf("stored %q, %v", body, err)
			}
			if err := os.Remove(name); err != nil {
				t.Error(err)
			}
		}
		if bytes.Contains(log.Bytes(), []byte("panic")) {
			t.Errorf("log %s", log.Bytes())
		}
	})
}

// A script is a connection whose client sends what it has and listens.
type script struct {
	in  *bytes.Reader
	out bytes.Buffer
}

func (s *script) Read(p []byte) (int, error)       { return s.in.Read(p) }
func (s *script) Write(p []byte) (int, error)      { return s.out.Write(p) }
func (s *script) Close() error                     { return nil }
func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2525} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// FuzzEndOfMessage compares where the front ends a message with the plain meaning of
// the standard, and what it hands over with the text of the message.
func FuzzEndOfMessage(f *testing.F) {
	for _, s := range []string{"", ".\r\n", "a\r\n.\r\nb", "a\r\r\n.\r\n", "..\r\n.\r\n", "a\n.\n\r\n.\r\n", ".\r\r\n.\r\n", "\x00\r\n.\r\n", ".a\r\n\r\n.\r\n.\r\n"} {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, in []byte, piece uint8) {
		var s dataScanner
		var out []byte
		read, ended := 0, false
		size := int(piece)%9 + 1
		for read < len(in) && !ended {
			src := in[read:min(read+size, len(in))]
			dst := make([]byte, 0, len(src)+maxGrowth)
			part, n, end := s.scan(dst, src)
			if len(part) > cap(dst) {
				t.Fatalf("%d octets were made of %d", len(part), len(src))
			}
			out, read, ended = append(out, part...), read+n, end
		}
		// The end is the first CR LF . CR LF, the first line included.
		at := bytes.Index(append([]byte("\r\n"), in...), []byte("\r\n.\r\n"))
		if ended != (at >= 0) || ended && read != at+3 {
			t.Fatalf("%q: ended %v after %d, want %d", in, ended, read, at+3)
		}
		if !ended {
			return
		}
		text := in[:at]
		clean := bytes.ReplaceAll(text, []byte("\r\n"), nil)
		if bad := bytes.ContainsAny(clean, "\r\n\x00"); bad != s.bad {
			t.Fatalf("%q: bad %v, want %v", in, s.bad, bad)
		}
		if !s.bad && !bytes.Equal(out, in[:read]) {
			t.Fatalf("%q was handed over as %q", in[:read], out)
		}
		if s.bad && bytes.Count(append([]byte("\r\n"), out...), []byte("\r\n.\r\n")) != 1 {
			t.Fatalf("%q was handed over as %q, which ends more than once", in[:read], out)
		}
	})
}
