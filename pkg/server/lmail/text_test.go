package lmail

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHeadsReadBackAsWritten(t *testing.T) {
	head := Head{From: "ann@example.org", Body: "8BITMIME", Ret: "HDRS", EnvID: "a+b= c", Recipients: []Recipient{{"bob@example.org", "SUCCESS,DELAY"}, {`"a b"@example.org`, ""}}}
	var b bytes.Buffer
	if _, err := head.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	got, err := readHead(bufio.NewReader(&b), "here.test")
	if err != nil || b.Len() != 0 {
		t.Fatalf("%v, and %d bytes are left", err, b.Len())
	}
	if d := cmp.Diff(head, got); d != "" {
		t.Errorf("head (-written +read):\n%s", d)
	}
}

func TestLinesEndInCRLF(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"", ""},
		{"a", "a\r\n"},
		{"a\n", "a\r\n"},
		{"a\r\n", "a\r\n"},
		{"a\r\r\nb\r\n", "a\r\nb\r\n"},
		{"10%\r20%\n", "10%\r\n20%\r\n"},
		{"a\r", "a\r\n"},
		{"\n\n", "\r\n\r\n"},
		{".\n..\n", ".\r\n..\r\n"},
	} {
		for _, size := range []int{1, 2, 100} {
			var b bytes.Buffer
			text := NewText(&b)
			for part := range slices.Chunk([]byte(test.in), size) {
				if _, err := text.Write(part); err != nil {
					t.Fatal(err)
				}
			}
			if err := text.Close(); err != nil || b.String() != test.want {
				t.Errorf("%q in parts of %d: %q, %v; want %q", test.in, size, b.String(), err, test.want)
			}
		}
	}
}

func TestMessagesAreCompleted(t *testing.T) {
	c := completion{domain: "here.test", from: "ann@here.test", time: time.Date(2026, 11, 22, 5, 4, 3, 0, time.UTC)}
	for _, test := range []struct{ in, want string }{
		{"From: root (Cron Daemon)\nTo: root,\n bob@ext.test\nDate: x\nMessage-ID: y\n\ntext\n",
			"From: root@here.test (Cron Daemon)\r\nTo: root@here.test,\r\n bob@ext.test\r\nDate: x\r\nMessage-ID: y\r\n\r\ntext\r\n"},
		{"From ann Sun Nov 22\nfrom: a@b.test\nDATE: x\nmessage-id: y\n\n", "from: a@b.test\r\nDATE: x\r\nmessage-id: y\r\n\r\n"},
		{"From ann Sun Nov 22\n>From bob\n>From carl\nfrom: a@b.test\ndate: x\nmessage-id: y\n\nFrom here\n", "from: a@b.test\r\ndate: x\r\nmessage-id: y\r\n\r\nFrom here\r\n"},
		{"X: " + strings.Repeat("x", 100_000) + "\n " + strings.Repeat("y", 100_000) + "\nfrom: a@b.test\ndate: x\nmessage-id: y\n\n",
			"X: " + strings.Repeat("x", 100_000) + "\r\n " + strings.Repeat("y", 100_000) + "\r\nfrom: a@b.test\r\ndate: x\r\nmessage-id: y\r\n\r\n"},
		{"no header here\nmore\n", "From: <ann@here.test>\r\nDate: Sun, 22 Nov 2026 05:04:03 +0000\r\nMessage-ID: <*@here.test>\r\n\r\nno header here\r\nmore\r\n"},
		{"Subject: s\nMessage-ID: y\nDate: x\nno empty line\n", "Subject: s\r\nMessage-ID: y\r\nDate: x\r\nFrom: <ann@here.test>\r\n\r\nno empty line\r\n"},
		{"Subject: s\nMessage-ID: y\nDate: x\nFrom: a@b.test", "Subject: s\r\nMessage-ID: y\r\nDate: x\r\nFrom: a@b.test\r\n\r\n"},
	} {
		var b strings.Builder
		if err := c.write(&b, strings.NewReader(test.in)); err != nil {
			t.Fatal(err)
		}
		got := b.String()
		if before, after, ok := strings.Cut(test.want, "*"); ok {
			if !strings.HasPrefix(got, before) || !strings.HasSuffix(got, after) || len(got) < len(test.want)+20 {
				t.Errorf("%q became %q, want %q with a random part", test.in, got, test.want)
			}
		} else if got != test.want {
			t.Errorf("%q became %q, want %q", test.in, got, test.want)
		}
	}
}

func TestHeadersThatNeverEndAreNone(t *testing.T) {
	for _, line := range []string{"X: y\n", " folded\n"} {
		message := "X: y\n" + strings.Repeat(line, maxHeader)
		if err := (completion{domain: "here.test"}).write(io.Discard, strings.NewReader(message)); !errors.Is(err, errMalformed) {
			t.Errorf("a header of lines %q: %v, want that there is no message", line, err)
		}
	}
}

func TestNobodyKeepsOthersWaiting(t *testing.T) {
	var batch []entry
	for range 1000 {
		batch = append(batch, entry{uid: 1})
	}
	batch = append(batch, entry{uid: 2, name: "theirs"})
	ordered := inTurns(batch)
	if at := slices.IndexFunc(ordered, func(e entry) bool { return e.uid == 2 }); len(ordered) != len(batch) || at != 1 {
		t.Errorf("%d entries, the only one of another user at %d; want %d and 1", len(ordered), at, len(batch))
	}
}

// FuzzFile reads what strangers put into the drop folder.
func FuzzFile(f *testing.F) {
	for _, s := range []string{"mail from:<a@b>\nrcpt to:<c>\n\nFrom: d\n\ntext", "mail from:<> ENVID=+\nrcpt to:<\"a b\"@c> NOTIFY=x\n\n", "mail from:<@a:b@c>\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := bufio.NewReader(strings.NewReader(s))
		head, err := readHead(r, "here.test")
		if err != nil {
			return
		}
		var b bytes.Buffer
		if _, err := head.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		if again, err := readHead(bufio.NewReader(&b), "here.test"); err != nil || !cmp.Equal(head, again) {
			t.Fatalf("%+v reads back as %+v, %v", head, again, err)
		}
		var text strings.Builder
		if err := (completion{domain: "here.test"}).write(&text, r); err != nil {
			t.Fatal(err)
		}
		if got := text.String(); strings.Count(got, "\n") != strings.Count(got, "\r") || strings.Count(got, "\r\n") != strings.Count(got, "\n") {
			t.Fatalf("%q has line ends of another kind", got)
		}
	})
}
