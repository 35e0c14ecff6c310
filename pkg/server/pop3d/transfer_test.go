package pop3d

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/xmaild/xmaild/pkg/server/mailbox"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// wanted is what RETR, or TOP with so many lines, should send of a message: slowly,
// a line at a time.
func wanted(message string, lines int) string {
	var out strings.Builder
	body := false
	for line := range strings.Lines(message) {
		text, ended := strings.CutSuffix(line, "\n")
		if ended || strings.HasSuffix(text, "\r") {
			text = strings.TrimSuffix(text, "\r")
		}
		if strings.HasPrefix(text, ".") {
			out.WriteByte('.')
		}
		out.WriteString(text + "\r\n")
		if lines == allLines || !ended {
			continue
		}
		if !body {
			body = text == ""
		} else {
			lines--
		}
		if body && lines == 0 {
			break
		}
	}
	return out.String() + ".\r\n"
}

func TestTransfer(t *testing.T) {
	messages := []string{
		"", "\n", "\r\n", ".", "..", "\r", ".\r", "a", "a\r\n", "a\n", "\n\n", "\n.\n", "\r\n.\r\n", "a\r\rb\r\n", "a\r\r\n", "\n\r",
		"A: b\r\n\r\nbody\r\n.\r\n..\r\nend", "A: b\nC: d\n\n.one\ntwo\n\nthree\n", "A: b\r\n \r\n\r\n\r\nx",
		strings.Repeat("x", 3*largePiece), strings.Repeat("x", smallPiece-1) + "\r\n.\r\n", strings.Repeat("x\r\n", smallPiece),
		strings.Repeat(".\n", smallPiece), strings.Repeat("line\n", largePiece), "A: b\r\n\r\n" + strings.Repeat(strings.Repeat("y", 76)+"\r\n", 5000),
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		b := make([]byte, rng.IntN(40))
		for i := range b {
			b[i] = "a.\r\n"[rng.IntN(4)]
		}
		messages = append(messages, string(b))
	}
	readers := []func(io.Reader) io.Reader{
		func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader,
	}
	for _, message := range messages {
		for _, lines := range []int{allLines, 0, 1, 2, 1000} {
			want := wanted(message, lines)
			for i, reader := range readers {
				if len(message) > 1000 && i == 1 {
					continue // a byte at a time takes too long
				}
				var out bytes.Buffer
				w := bufio.NewWriter(&out)
				err := transfer(w, reader(strings.NewReader(message)), int64(len(message)), lines)
				if err := errors.Join(err, w.Flush()); err != nil {
					t.Fatal(err)
				}
				if out.String() != want {
					t.Fatalf("%.60q with %d lines, reader %d, is sent as %.60q, want %.60q", message, lines, i, out.String(), want)
				}
			}
		}
	}
}

func TestAMessageThatCannotBeReadHasNoEnd(t *testing.T) {
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	broken := errors.New("input/output error")
	r := io.MultiReader(strings.NewReader("A: b\r\n"), iotest.ErrReader(broken))
	if err := transfer(w, r, 100, allLines); !errors.Is(err, broken) {
		t.Errorf("transfer: %v, want %v", err, broken)
	}
	if w.Flush(); strings.HasSuffix(out.String(), ".\r\n") {
		t.Errorf("%q looks like a whole message", out.String())
	}
}

// openFiles counts the files that are open for reading.
type openFiles struct {
	tabfile.FS
	n int
}

func (o *openFiles) Open(name string) (tabfile.File, error) {
	f, err := o.FS.Open(name)
	if err == nil {
		o.n++
	}
	return openFile{f, o}, err
}

type openFile struct {
	tabfile.File
	o *openFiles
}

func (f openFile) Close() error {
	f.o.n--
	return f.File.Close()
}

// A brokenWriter is a connection whose client has gone.
type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestAMessageThatCannotBeSentIsClosed(t *testing.T) {
	s := newSite(t)
	s.put("new/m", "Subject: m\r\n\r\ntext\r\n", 1)
	files := &openFiles{FS: tabfile.OS()}
	drop, err := mailbox.New(s.root, mailbox.Options{FS: files}).Open(t.Context(), s.ann(), "test")
	if err != nil {
		t.Fatal(err)
	}
	defer drop.Close()
	for _, size := range []int{16, 64, 4096} { // no room for the line before the message, some, and enough for all
		x := &pop{Server: s.pop, state: loggedIn, drop: drop, out: bufio.NewWriterSize(brokenWriter{}, size)}
		x.out.WriteString("+OK before")
		err := x.send(x.retr(t.Context(), "1"))
		if err == nil {
			err = x.flush()
		}
		if !errors.Is(err, io.ErrClosedPipe) || files.n != 0 {
			t.Errorf("with a buffer of %d bytes: %v, and %d files are open, want %v and none", size, err, files.n, io.ErrClosedPipe)
		}
	}
}
