package psync

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestTextUnstuffsDotsAndEndsAtTheDot(t *testing.T) {
	for _, test := range []struct {
		name, wire, want, rest string
		bare                   bool
	}{
		{name: "empty", wire: ".\r\n+OK\r\n", want: "", rest: "+OK\r\n"},
		{name: "plain", wire: "a: b\r\n\r\ntext\r\n.\r\n+OK", want: "a: b\r\n\r\ntext\r\n", rest: "+OK"},
		{name: "stuffed", wire: "..\r\n...\r\n..x\r\n.\r\n", want: ".\r\n..\r\n.x\r\n"},
		{name: "dot that is not doubled", wire: ".x\r\n.\r\n", want: "x\r\n"},
		{name: "dot between bare LFs", wire: "a\n.\nb\r\n.\r\n", want: "a\r\n.\r\nb\r\n"},
		{name: "dot after CRLF, bare LF", wire: "a\r\n.\nb\r\n.\r\n", want: "a\r\n\r\nb\r\n"},
		{name: "dot after bare CR", wire: "a\r.\r\n.\r\n", want: "a\r\n.\r\n"},
		{name: "dot, CR, text", wire: ".\rb\r\n.\r\n", want: "\r\nb\r\n"},
		{name: "dot, CR, CR, LF", wire: ".\r\r\n.\r\n", want: "\r\n\r\n"},
		{name: "bare CR", wire: "a\rb\r\r\n.\r\n", want: "a\r\nb\r\n"},
		{name: "NUL", wire: "a\x00b\r\n.\r\n", want: "ab\r\n"},
		{name: "NUL before a dot", wire: "\x00.\r\n.\r\n", want: ".\r\n"},
		{name: "server of bare LFs", wire: "a\n..b\n.\n+OK", want: "a\r\n.b\r\n", rest: "+OK", bare: true},
	} {
		for name, slow := range map[string]func(io.Reader) io.Reader{
			"at once": func(r io.Reader) io.Reader { return r }, "by bytes": iotest.OneByteReader,
		} {
			r := bufio.NewReader(slow(strings.NewReader(test.wire)))
			x := &text{r: r, bare: test.bare, most: 1 << 20}
			got, err := io.ReadAll(x)
			if err != nil || string(got) != test.want || x.got != int64(len(test.want)) {
				t.Errorf("%s, %s: %q %v (%d bytes), want %q", test.name, name, got, err, x.got, test.want)
			}
			if rest, _ := io.ReadAll(r); string(rest) != test.rest {
				t.Errorf("%s, %s: %q is left, want %q", test.name, name, rest, test.rest)
			}
		}
	}
}

func TestTextThatIsReadInSmallPieces(t *testing.T) {
	x := &text{r: bufio.NewReader(strings.NewReader("a\rb\rc\r\n.\r\n")), most: 100}
	got, err := io.ReadAll(iotest.OneByteReader(x))
	if want := "a\r\nb\r\nc\r\n"; string(got) != want || err != nil {
		t.Errorf("%q %v, want %q", got, err, want)
	}
}

func TestTextThatDoesNotEnd(t *testing.T) {
	x := &text{r: bufio.NewReader(strings.NewReader("cut o")), most: 100}
	if _, err := io.ReadAll(x); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a text that is cut off: %v, want unexpected EOF", err)
	}
	x = &text{r: bufio.NewReader(io.LimitReader(zeros{}, 1<<20)), most: 100}
	if _, err := io.ReadAll(x); !errors.Is(err, errFlood) {
		t.Errorf("a text that is too long: %v, want %v", err, errFlood)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func FuzzText(f *testing.F) {
	for _, seed := range []string{".\r\n", "a\r\n..\r\n.\r\n", "a\n.\n", "\r.\r\r\n"} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, wire []byte, bare bool) {
		x := &text{r: bufio.NewReader(bytes.NewReader(wire)), bare: bare, most: 1 << 20}
		got, err := io.ReadAll(x)
		if bytes.IndexByte(got, 0) >= 0 {
			t.Errorf("%q has a NUL", got)
		}
		if plain := bytes.ReplaceAll(got, []byte("\r\n"), nil); bytes.ContainsAny(plain, "\r\n") {
			t.Errorf("%q has a bare CR or LF", got)
		}
		if err == nil && len(got) > 0 && !bytes.HasSuffix(got, []byte("\r\n")) {
			t.Errorf("%q does not end in CRLF", got)
		}
	})
}
