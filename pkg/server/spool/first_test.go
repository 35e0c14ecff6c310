package spool

import (
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestMessageIsDeliveredBeforeItIsInTheQueue(t *testing.T) {
	one, two, fetched := sample, sample, sample
	one.Recipients, fetched.Recipients = sample.Recipients[:1], sample.Recipients[:1]
	for _, c := range []struct {
		name    string
		e       Envelope
		text    string
		err     error // of deliver
		asked   bool
		queued  bool
		doubted bool // it may have been delivered already
	}{
		{name: "delivered", e: one, text: "short", asked: true},
		{name: "for the queue", e: one, text: "short", err: ErrForQueue, asked: true, queued: true},
		{name: "failed", e: one, text: "short", err: errors.New("disk full"), asked: true, queued: true, doubted: true},
		{name: "two recipients", e: two, text: "short", queued: true},
		{name: "longest", e: one, text: strings.Repeat("x", draftBuffer), asked: true},
		{name: "long", e: one, text: strings.Repeat("x", draftBuffer+1), queued: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "spool")
			q, _ := openQueue(t, dir)
			asked := false
			q.DeliverFirst(func(l *Lease) error {
				asked = true
				if got := text(t, l.Open); got != c.text || l.Size() != int64(len(c.text)) || len(l.Recipients) != 1 {
					t.Errorf("%d bytes of text, size %d, for %v", len(got), l.Size(), l.Recipients)
				}
				if n := q.Len(); n != 0 {
					t.Errorf("%d messages in the queue before it is there", n)
				}
				return c.err
			})
			put(t, q, c.e, c.text)
			if asked != c.asked {
				t.Errorf("asked: %v, want %v", asked, c.asked)
			}
			if names := files(t, filepath.Join(dir, liveDir)); len(names) > 0 != c.queued {
				t.Errorf("files %v, want some: %v", names, c.queued)
			}
			if !c.queued {
				return
			}
			l, err := q.Lease(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := text(t, l.Open); got != c.text {
				t.Errorf("%d bytes in the queue, want %d", len(got), len(c.text))
			}
			if l.Again != c.doubted {
				t.Errorf("it may have been delivered: %v, want %v", l.Again, c.doubted)
			}
		})
	}
}

func TestWhatComesFromAFileOrAnotherMessageIsForTheQueue(t *testing.T) {
	q, c := openQueue(t, filepath.Join(t.TempDir(), "spool"))
	put(t, q, sample, "parent")
	l, err := q.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	q.DeliverFirst(func(l *Lease) error {
		t.Errorf("asked of %s", l.Key())
		return nil
	})
	one := sample
	one.Recipients = sample.Recipients[:1]
	derived, err := l.Derive(0, 1, one)
	if err != nil {
		t.Fatal(err)
	}
	taken, err := q.BeginOnce(Source{Facts: "a file", Time: c.now, Remove: func() error { return nil }}, one)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []*Draft{derived, taken} {
		if _, err := io.WriteString(d, "short"); err != nil {
			t.Fatal(err)
		}
		if err := d.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	if n := q.Len(); n != 3 {
		t.Errorf("%d messages in the queue, want 3", n)
	}
}

func TestLongDraftIsReadAndReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	q, _ := openQueue(t, dir)
	long, short := strings.Repeat("0123456789abcdef", draftBuffer/8), "short"
	for _, texts := range [][]string{{long, short}, {short, long}, {long, long + short}} {
		d, err := q.Begin(sample)
		if err != nil {
			t.Fatal(err)
		}
		// In parts, as it comes from a connection.
		for part := range slices.Chunk([]byte(texts[0]), 5000) {
			if _, err := d.Write(part); err != nil {
				t.Fatal(err)
			}
		}
		if got := text(t, d.Open); got != texts[0] {
			t.Errorf("draft reads %d bytes, want %d", len(got), len(texts[0]))
		}
		if err := d.Replace(strings.NewReader(texts[1])); err != nil {
			t.Fatal(err)
		}
		if got := text(t, d.Open); got != texts[1] || d.Size() != int64(len(texts[1])) {
			t.Errorf("replaced it reads %d bytes and has %d, want %d", len(got), d.Size(), len(texts[1]))
		}
		if err := d.Commit(); err != nil {
			t.Fatal(err)
		}
		l, err := q.Lease(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := text(t, l.Open); got != texts[1] {
			t.Errorf("%d bytes in the queue, want %d", len(got), len(texts[1]))
		}
		if err := l.End(map[int]Outcome{0: {State: StateDelivered}, 1: {State: StateDelivered}}); err != nil {
			t.Fatal(err)
		}
	}
	if left := leftBehind(t, q, dir); len(left) != 0 {
		t.Errorf("%v stay", left)
	}
}
