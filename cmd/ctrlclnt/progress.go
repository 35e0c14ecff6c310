package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// redrawEvery is how often a progress bar is drawn at most.
const redrawEvery = 100 * time.Millisecond

// A progress is a bar on a terminal: how far, how fast, how long still, and how
// many failures. A nil progress draws nothing.
type progress struct {
	out    io.Writer
	width  func() int
	now    func() time.Time
	start  time.Time
	drawn  time.Time
	onLine bool // the bar stands on the line
	total  int
}

// newProgress returns a bar for total rows, nil where standard error is no terminal.
func (p *program) newProgress(o *options, total int) *progress {
	f, ok := p.stderr.(*os.File)
	if o.quiet || !ok || total == 0 || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return &progress{out: f, now: p.time, start: p.time(), total: total, width: func() int {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
		return 80
	}}
}

// show draws the bar, unless it was drawn a moment ago.
func (b *progress) show(done, failed int) {
	if b == nil {
		return
	}
	now := b.now()
	if done < b.total && now.Sub(b.drawn) < redrawEvery {
		return
	}
	b.drawn, b.onLine = now, true
	fmt.Fprint(b.out, "\r"+b.text(done, failed, now.Sub(b.start))+"\x1b[K")
}

// text returns the bar, shorter than the terminal is wide.
func (b *progress) text(done, failed int, passed time.Duration) string {
	numbers := fmt.Sprintf(" %d/%d %d%%", done, b.total, 100*done/b.total)
	if s := passed.Seconds(); s > 0.2 && done > 0 {
		rate := float64(done) / s
		left := time.Duration(float64(b.total-done) / rate * float64(time.Second)).Round(time.Second)
		numbers += fmt.Sprintf(" %.0f/s %s left", rate, left)
	}
	numbers += fmt.Sprintf(" %d failed", failed)
	width := b.width() - 1
	bar := min(width-len(numbers)-2, 40)
	if bar < 5 {
		return numbers[1:min(len(numbers), width+1)]
	}
	full := bar * done / b.total
	return "[" + strings.Repeat("=", full) + strings.Repeat(" ", bar-full) + "]" + numbers
}

// clear takes the bar off the screen, so that a line can be printed.
func (b *progress) clear() {
	if b != nil && b.onLine {
		b.onLine = false
		b.drawn = time.Time{}
		fmt.Fprint(b.out, "\r\x1b[K")
	}
}
