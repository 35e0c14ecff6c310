package deliver_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/deliver"
	"github.com/xmaild/xmaild/pkg/server/filter"
	"github.com/xmaild/xmaild/pkg/server/mailbox"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/process"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// BenchmarkMessage takes messages of 4 KiB to one local user each, from as many
// senders at once as the name says, until all are in mailboxes.
func BenchmarkMessage(b *testing.B) {
	for _, senders := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("senders=%d", senders), func(b *testing.B) { benchmarkMessage(b, senders) })
	}
}

func benchmarkMessage(b *testing.B, senders int) {
	dir := filepath.Join(b.TempDir(), "MailRoot")
	err := mailroot.Create(dir, mailroot.NewRoot{Domains: []string{"foo.test"}, Account: "u0", AccountPassword: "x", Admin: "admin", AdminPassword: "x"})
	if err != nil {
		b.Fatal(err)
	}
	root, err := mailroot.Open(b.Context(), dir, mailroot.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	queue, err := spool.Open(b.Context(), filepath.Join(dir, "spool"), spool.Options{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	filters := filter.New(root, filter.Options{})
	d := deliver.New(deliver.Parts{
		Root: root, Queue: queue, Boxes: mailbox.New(root, mailbox.Options{}), Sender: &network{},
		Filters: filters, Commands: process.New(root, filters, process.Options{}),
	}, deliver.Options{})
	running.Go(func() { d.Run(ctx) })
	text := strings.Repeat(strings.Repeat("x", 62)+"\r\n", 64)
	var sending sync.WaitGroup
	jobs := make(chan int)
	b.ResetTimer()
	for range senders {
		sending.Go(func() {
			for range jobs {
				draft, err := queue.Begin(spool.Envelope{ID: "S2", Time: time.Now(), From: "s@ext.test", Recipients: []spool.Recipient{{Address: "u0@foo.test"}}})
				if err == nil {
					_, err = io.WriteString(draft, text)
				}
				if err == nil {
					err = draft.Commit()
				}
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	for n := range b.N {
		jobs <- n
	}
	close(jobs)
	sending.Wait()
	taken := b.Elapsed()
	for queue.Len() > 0 {
		<-time.After(time.Millisecond)
	}
	b.ReportMetric(float64(b.N)/taken.Seconds(), "accepted/s")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "delivered/s")
	b.StopTimer()
	cancel()
	running.Wait()
	b.ReportMetric(fsyncRate(b, dir), "fsyncs/s")
}

// fsyncRate appends 60 bytes and syncs, in a loop.
func fsyncRate(b *testing.B, dir string) float64 {
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	const n = 500
	start := time.Now()
	for range n {
		f.WriteString(strings.Repeat("x", 60))
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return n / time.Since(start).Seconds()
}
