package main

import (
	"strings"
	"testing"
	"time"
)

func TestProgressBar(t *testing.T) {
	var out strings.Builder
	now := time.Unix(0, 0)
	width := 80
	b := &progress{out: &out, now: func() time.Time { return now }, start: now, total: 1000, width: func() int { return width }}
	now = now.Add(2 * time.Second)
	b.show(500, 3)
	want := "\r[" + strings.Repeat("=", 20) + strings.Repeat(" ", 20) + "] 500/1000 50% 250/s 2s left 3 failed\x1b[K"
	if out.String() != want {
		t.Errorf("drawn %q, want %q", out.String(), want)
	}
	out.Reset()
	b.show(501, 3)
	if out.Len() != 0 {
		t.Errorf("drawn again at once: %q", out.String())
	}
	b.clear()
	if out.String() != "\r\x1b[K" {
		t.Errorf("cleared by %q", out.String())
	}
	for width = 1; width < 100; width++ {
		if n := len(b.text(500, 3, 2*time.Second)); n > width {
			t.Errorf("%d columns on a terminal of %d", n, width)
		}
	}
	var none *progress
	none.show(1, 0)
	none.clear()
}
