package admin

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// benchmarkService has n accounts in one domain, and n aliases.
func benchmarkService(b *testing.B, n int) *Service {
	b.Helper()
	dir := b.TempDir()
	var users, aliases strings.Builder
	for i := range n {
		fmt.Fprintf(&users, "\"bench.test\"\t\"user%d\"\t\"1512\"\t%d\t\"user%d\"\t\"U\"\n", i, i+1, i)
		fmt.Fprintf(&aliases, "\"bench.test\"\t\"alias%d\"\t\"user%d\"\n", i, i)
	}
	for name, text := range map[string]string{
		"domains.tab": "\"bench.test\"\n", "mailusers.tab": users.String(), "aliases.tab": aliases.String(),
		"userdef.tab": "", "server.tab": "", "aliasdomain.tab": "", "extaliases.tab": "", "pop3links.tab": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "domains/bench.test"), 0o700); err != nil {
		b.Fatal(err)
	}
	root, err := mailroot.Open(b.Context(), dir, mailroot.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := root.Close(); err != nil {
			b.Error(err)
		}
	})
	return New(root, Options{})
}

// BenchmarkUserAdd adds accounts where there are so many already.
func BenchmarkUserAdd(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f := benchmarkService(b, n)
			i := 0
			for b.Loop() {
				i++
				if err := f.UserAdd(b.Context(), "bench.test", fmt.Sprintf("new%d", i), "pw", "U"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkResolve looks accounts up where there are so many aliases.
func BenchmarkResolve(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f := benchmarkService(b, n)
			for b.Loop() {
				if _, ok := f.Root().Resolve("bench.test", "alias7"); !ok {
					b.Fatal("no such account")
				}
			}
		})
	}
}
