package spool

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// fill writes messages into a folder as a server has left them: of each ten nine are
// those of a stolen account. To commit so many would take long.
func fill(t testing.TB, dir string, count int) {
	t.Helper()
	live := filepath.Join(dir, liveDir)
	if err := os.MkdirAll(live, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range count {
		e := letter("ann@foo.test", fmt.Sprintf("%d@d%d.test", i, i%1000))
		if i%10 == 0 {
			e = letter("bob@foo.test", fmt.Sprintf("%d@d%d.test", i, i%1000))
		}
		f, err := os.Create(filepath.Join(live, fmt.Sprintf("%08x-0%s", i, messageSuffix)))
		if err != nil {
			t.Fatal(err)
		}
		b := bufio.NewWriter(f)
		if _, _, err := writeHeader(b, e); err != nil {
			t.Fatal(err)
		}
		b.WriteString("Subject: x\r\n\r\ntext\r\n") // Flush has the error
		if err := errors.Join(b.Flush(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func count(q *Queue, match func(*Item) bool) int {
	n := 0
	for range q.Items(match) {
		n++
	}
	return n
}

func TestManyMessagesAreListedInOrderAndDeleted(t *testing.T) {
	const total = 3000
	dir := filepath.Join(t.TempDir(), "spool")
	fill(t, dir, total)
	q, _ := openQueue(t, dir)
	last := ""
	for item := range q.Items(anything) {
		if item.Key <= last {
			t.Fatalf("%s comes after %s", item.Key, last)
		}
		last = item.Key
	}
	if n, err := q.Delete(t.Context(), from("ann@foo.test")); err != nil || n.Messages != total*9/10 {
		t.Errorf("Delete: %+v, %v, want %d messages", n, err, total*9/10)
	}
	if n := count(q, anything); n != total/10 {
		t.Errorf("%d are left, want %d", n, total/10)
	}
	if n := len(files(t, filepath.Join(dir, liveDir))); n != total/10 {
		t.Errorf("%d files are left, want %d", n, total/10)
	}
	if len(q.due) != total/10 {
		t.Errorf("%d are to be delivered, want %d", len(q.due), total/10)
	}
}

// BenchmarkHundredThousand measures the queue of a stolen account.
func BenchmarkHundredThousand(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		dir := filepath.Join(b.TempDir(), "spool")
		fill(b, dir, 100_000)
		b.StartTimer()
		begin := time.Now()
		lap := func(unit string) {
			b.ReportMetric(time.Since(begin).Seconds(), unit)
			begin = time.Now()
		}
		q, err := Open(b.Context(), dir, Options{})
		if err != nil {
			b.Fatal(err)
		}
		lap("s/open")
		if n := count(q, anything); n != 100_000 {
			b.Fatalf("%d are listed", n)
		}
		lap("s/list")
		if n := count(q, to("77@d77.test")); n != 1 {
			b.Fatalf("%d are found", n)
		}
		lap("s/find")
		if n, err := q.Delete(b.Context(), from("ann@foo.test")); err != nil || n.Messages != 90_000 {
			b.Fatalf("Delete: %+v, %v", n, err)
		}
		lap("s/delete90000")
		if err := q.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
