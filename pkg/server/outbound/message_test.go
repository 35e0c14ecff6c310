package outbound

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestCleanerLeavesNoCRAlone(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "a\r\nb": "a\r\nb", "a\rb": "a b", "\r": " ", "\r\r\n": " \r\n", "a\r\n\r\n": "a\r\n\r\n", "\r\r\r": "   ", "a\nb": "a\nb", "\r\n\r": "\r\n ",
	} {
		for size := 1; size < 5; size++ {
			var b bytes.Buffer
			c := &cleaner{w: &b}
			for rest := in; rest != ""; {
				n := min(size, len(rest))
				if got, err := c.Write([]byte(rest[:n])); got != n || err != nil {
					t.Fatalf("Write(%q) = %d, %v", rest[:n], got, err)
				}
				rest = rest[n:]
			}
			if err := c.end(); err != nil || b.String() != want {
				t.Errorf("%q in pieces of %d became %q, %v; want %q", in, size, b.String(), err, want)
			}
		}
	}
}

// FuzzCleaner compares what pieces become with what the whole does.
func FuzzCleaner(f *testing.F) {
	f.Add("a\r\rb\r\n", 1)
	f.Add("\r\n.\r\n", 2)
	f.Fuzz(func(t *testing.T, in string, size int) {
		if size < 1 {
			return
		}
		var b bytes.Buffer
		c := &cleaner{w: &b}
		for rest := in; rest != ""; {
			n := min(size, len(rest))
			if _, err := c.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := c.end(); err != nil {
			t.Fatal(err)
		}
		const mark = "\x00\x01\x02"
		if strings.Contains(in, mark) {
			return
		}
		want := strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(in, "\r\n", mark), "\r", " "), mark, "\r\n")
		if b.String() != want {
			t.Errorf("%q in pieces of %d became %q, want %q", in, size, b.String(), want)
		}
	})
}

func TestHas8bit(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for _, c := range []struct {
		in            string
		all, inHeader bool
	}{
		{"", false, false}, {"a\r\n\r\nb", false, false}, {"a\r\n\r\né", true, false}, {"a\n\né", true, false}, {"é\r\n\r\n", true, true},
		{long + "é", true, true}, {long + "\r\n\r\né", true, false}, {long, false, false}, {"a\r\n" + long + "\r\né: x\r\n", true, true},
	} {
		for header, want := range map[bool]bool{false: c.all, true: c.inHeader} {
			in := strings.NewReader(c.in)
			in.Seek(3, io.SeekStart)
			if got, err := has8bit(in, header); got != want || err != nil {
				t.Errorf("%.20q… (header alone: %v): %v, %v; want %v", c.in, header, got, err, want)
			}
		}
	}
	failing := struct {
		io.Reader
		io.Seeker
	}{iotest.ErrReader(io.ErrUnexpectedEOF), strings.NewReader("")}
	if _, err := has8bit(failing, false); err != io.ErrUnexpectedEOF {
		t.Errorf("the error is %v, want %v", err, io.ErrUnexpectedEOF)
	}
}

func TestRepliesOfStrangersAreOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"a\r\nb\tc ": "a b c", "\x1b[31mred\x00": "?[31mred?", "\xff": "\uFFFD", "": "", "  x": "x", "\u202eevil": "?evil",
	} {
		if got := oneLine(in, 100); got != want {
			t.Errorf("oneLine(%q) = %q, want %q", in, got, want)
		}
	}
	if got := oneLine(strings.Repeat("é ", 100), 10); len(got) > 10 || got != "é é é" {
		t.Errorf("a long text became %q, want what fits into 10 bytes", got)
	}
}

func TestStatusAgreesWithTheState(t *testing.T) {
	for _, c := range []struct {
		f    failure
		want string
	}{
		{failure{state: Temporary, enhanced: "5.7.1"}, "4.7.1"}, {failure{state: Permanent, enhanced: "4.2.2"}, "5.2.2"},
		{failure{state: Permanent}, "5.0.0"}, {failure{state: Temporary, enhanced: "4.10.100"}, "4.10.100"},
	} {
		if got := c.f.status(); got != c.want {
			t.Errorf("status of %+v is %s, want %s", c.f, got, c.want)
		}
	}
}
