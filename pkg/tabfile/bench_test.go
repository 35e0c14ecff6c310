package tabfile

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// benchStore opens a store with so many accounts.
func benchStore(b *testing.B, rows int) *Store {
	b.Helper()
	root := b.TempDir()
	var text strings.Builder
	for i := range rows {
		fmt.Fprintf(&text, "\"example.org\"\t\"user%d\"\t%d\n", i, i)
	}
	if err := os.WriteFile(filepath.Join(root, "users.tab"), []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "domains"), 0o700); err != nil {
		b.Fatal(err)
	}
	o := testOptions(root, OS())
	o.times = times{}
	s, err := Open(context.Background(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// BenchmarkAppend adds an account with its folders, as useradd does: the cost
// does not grow with the table.
func BenchmarkAppend(b *testing.B) {
	for _, rows := range []int{100, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			s := benchStore(b, rows)
			b.ResetTimer()
			for i := range b.N {
				if err := s.Update(context.Background(), addTree(fmt.Sprintf("new%d", i))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAppendParallel has many connections share a sync.
func BenchmarkAppendParallel(b *testing.B) {
	s := benchStore(b, 1000)
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := s.Update(context.Background(), addUser("p.org", "x", 1)); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkFirst(b *testing.B) {
	for _, rows := range []int{100, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			s := benchStore(b, rows)
			key := fmt.Sprintf("example.org\tuser%d", rows/2)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if _, ok := s.Table("users.tab").First("user", key); !ok {
					b.Fatal("not found")
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	const rows = 1_000_000
	s := benchStore(b, rows)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		t, err := s.load("users.tab", usersSchema)
		if err != nil || t.working.rows != rows {
			b.Fatalf("%d rows, err %v", t.working.rows, err)
		}
	}
}

// BenchmarkSyncFloor is what the disk can do: one small append and its sync.
func BenchmarkSyncFloor(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "floor"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	line := []byte(strings.Repeat("x", 59) + "\n")
	for range b.N {
		if _, err := f.Write(line); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}
