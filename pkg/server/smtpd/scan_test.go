package smtpd

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestTextsReadTheSameInAnyPieces reads texts whole, in random pieces, and octet by octet.
func TestTextsReadTheSameInAnyPieces(t *testing.T) {
	words := [][]byte{[]byte("\r\n"), []byte("\r\n"), []byte("\r\n."), []byte("a"), bytes.Repeat([]byte("long. "), 200), []byte("."), []byte(".."), []byte("\r\n.\r\n")}
	rare := [][]byte{[]byte("\r"), []byte("\n"), {0}, []byte("\n.\r\n"), []byte(".\r")}
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 2000 {
		var src []byte
		for range r.IntN(12) {
			src = append(src, words[r.IntN(len(words))]...)
			if r.IntN(30) == 0 {
				src = append(src, rare[r.IntN(len(rare))]...)
			}
		}
		type outcome struct {
			data, chunk    string
			read           int
			end, bad, wild bool
		}
		// read reads src in pieces of at most so many octets.
		read := func(most int) outcome {
			var o outcome
			var data dataScanner
			var chunk chunkScanner
			for rest := src; len(rest) > 0; {
				piece := rest[:min(len(rest), 1+r.IntN(most))]
				rest = rest[len(piece):]
				o.chunk += string(chunk.scan(make([]byte, 0, 2*len(piece)+maxGrowth), piece))
				if !o.end {
					out, n, end := data.scan(make([]byte, 0, len(piece)+maxGrowth), piece)
					o.data += string(out)
					o.read, o.end = o.read+n, end
				}
			}
			o.bad, o.wild = data.bad, chunk.bad
			o.chunk += string(chunk.end(nil))
			return o
		}
		want := read(1)
		for _, most := range []int{7, 700, 1 << 20} {
			if got := read(most); got != want {
				t.Fatalf("round %d, %q in pieces of %d: %+v, octet by octet %+v", round, src, most, got, want)
			}
		}
	}
}
