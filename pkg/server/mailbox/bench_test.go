package mailbox

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// BenchmarkDeliver measures many deliveries at once into one large mailbox with a quota.
func BenchmarkDeliver(b *testing.B) {
	root := newRoot(b, false)
	setVars(b, root, "\"MaxMBSize\"\t\"100000000\"")
	for i := range 10000 {
		write(b, filepath.Join(annDir(root), "Maildir", "cur", fmt.Sprintf("old%d:2,S", i)), "x\r\n")
	}
	s := New(root, Options{})
	u := ann(b, root)
	body := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 64)
	if err := s.Deliver(b.Context(), u, message("m", body)); err != nil { // syncs what was written above
		b.Fatal(err)
	}
	var n atomic.Int64
	b.SetBytes(int64(len(body)))
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := s.Deliver(b.Context(), u, message(fmt.Sprintf("m%d", n.Add(1)), body)); err != nil {
				b.Error(err)
			}
		}
	})
}
