package server_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/foxcpp/go-mockdns"

	"github.com/xmaild/xmaild/pkg/server"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/outbound"
	"github.com/xmaild/xmaild/pkg/server/resolve"
	"github.com/xmaild/xmaild/pkg/server/resolve/resolvetest"
	"github.com/xmaild/xmaild/pkg/server/servertest"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// How much the test of a big queue has. XMAILD_QUEUE_MESSAGES says of how many
// messages: 100000 is what the server is made for.
const (
	queueMessages = 3000
	queueDomains  = 1000
	queueDead     = 10 // domains d0 to d9 have no host that answers; d10 is slow
)

func queueSize(t testing.TB) int {
	t.Helper()
	value := os.Getenv("XMAILD_QUEUE_MESSAGES")
	if value == "" {
		return queueMessages
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < queueDomains {
		t.Fatalf("XMAILD_QUEUE_MESSAGES=%s, want a number from %d", value, queueDomains)
	}
	return n
}

// fillQueue makes a MailRoot with messages in its queue, of which the domains take
// their turns.
func fillQueue(t testing.TB, messages int) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "MailRoot")
	err := mailroot.Create(dir, mailroot.NewRoot{Domains: []string{"a.test"}, Account: "root", AccountPassword: sitePassword,
		Admin: servertest.User, AdminPassword: servertest.Password})
	if err != nil {
		t.Fatal(err)
	}
	queue, err := spool.Open(t.Context(), filepath.Join(dir, "spool"), spool.Options{FS: unsynced{spool.OS()}})
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	for n := range messages {
		draft, err := queue.Begin(spool.Envelope{ID: queue.NextID('S'), Time: time.Now(), From: "root@a.test",
			Recipients: []spool.Recipient{{Address: fmt.Sprintf("u%d@d%d.test", n, n%queueDomains)}}})
		if err == nil {
			_, err = io.WriteString(draft, text(fmt.Sprint(n)))
		}
		if err == nil {
			err = draft.Commit()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// unsynced is a file system that leaves it to the operating system when to write.
type unsynced struct{ spool.FS }

func (unsynced) Sync([]string) error { return nil }

// TestBigQueueDrainsAtTheSpeedOfThoseThatAnswer has messages to 1,000 domains, of which
// one does not answer until all others are through, and ten are dead.
func TestBigQueueDrainsAtTheSpeedOfThoseThatAnswer(t *testing.T) {
	messages := queueSize(t)
	dir := fillQueue(t, messages)
	fast, slow := startSink(t, "250 sink\r\n"), startSink(t, "250 sink\r\n")
	held := make(chan struct{})
	slow.slow = held
	answer := sync.OnceFunc(func() { close(held) })
	t.Cleanup(answer)
	zones := resolvetest.Zones{}
	for n := range queueDomains {
		ip := netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)})
		zones[fmt.Sprintf("mx.d%d.test.", n)] = mockdns.Zone{A: []string{ip.String()}}
		zones[fmt.Sprintf("d%d.test.", n)] = mockdns.Zone{MX: []net.MX{{Host: fmt.Sprintf("mx.d%d.test.", n), Pref: 10}}}
	}
	dial := func(ctx context.Context, _ netip.Addr, to netip.AddrPort) (net.Conn, error) {
		b := to.Addr().As4()
		var d net.Dialer
		switch n := int(b[2])<<8 | int(b[3]); {
		case n < queueDead:
			select { // as a host that is switched off
			case <-ctx.Done():
			case <-held:
			}
			return nil, fmt.Errorf("%v does not answer", to)
		case n == queueDead:
			return d.DialContext(ctx, "tcp", slow.addr)
		}
		return d.DialContext(ctx, "tcp", fast.addr)
	}
	before := heap()
	began := time.Now()
	s := startQueue(t, dir, zones, dial)
	t.Logf("%d messages: serving after %v", messages, time.Since(began).Round(time.Millisecond))
	if limit := 2*time.Second + time.Duration(messages)*100*time.Microsecond; time.Since(began) > limit {
		t.Errorf("the start took %v, want less than %v", time.Since(began), limit)
	}

	perDomain := messages / queueDomains
	want := messages - (queueDead+1)*perDomain - max(0, min(queueDead+1, messages%queueDomains))
	var most uint64
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(time.Minute + time.Duration(messages)*5*time.Millisecond) // nobody else would end it
	for fast.total() < want {
		select {
		case <-tick.C:
			most = max(most, heap())
		case <-end:
			t.Fatalf("%d of %d messages have gone", fast.total(), want)
		}
	}
	took := time.Since(began)
	t.Logf("%d messages to hosts that answer in %v: %.0f a second; the heap grew by %d KiB at most", want, took.Round(time.Millisecond),
		float64(want)/took.Seconds(), (int64(most)-int64(before))>>10)
	if n := slow.total(); n != 0 {
		t.Errorf("the slow host has got %d messages before it answered", n)
	}
	// What the queue knows of a message, and what 200 destinations at once take.
	if limit := uint64(96<<20 + 2048*messages); most > before+limit {
		t.Errorf("the heap grew from %d to %d KiB, want at most %d KiB more", before>>10, most>>10, limit>>10)
	}
	answer()
	left := want + perDomain
	for fast.total()+slow.total() < left {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("the slow host has got %d messages, want %d", slow.total(), perDomain)
		}
	}
	s.Stop(t)
	if got, _ := filepath.Glob(filepath.Join(dir, "spool", "live", "*.msg")); len(got) < queueDead*perDomain {
		t.Errorf("%d messages wait for the dead hosts, want %d", len(got), queueDead*perDomain)
	}
	for _, host := range []*sink{fast, slow} {
		host.mu.Lock()
		for to, n := range host.got {
			if n != 1 {
				t.Errorf("%s has got its message %d times", to, n)
			}
		}
		host.mu.Unlock()
	}
}

func startQueue(t testing.TB, dir string, zones resolvetest.Zones, dial func(context.Context, netip.Addr, netip.AddrPort) (net.Conn, error)) *servertest.Server {
	t.Helper()
	dns := resolvetest.Start(t, zones)
	return servertest.Start(t, servertest.Dir(dir), servertest.Config(func(c *server.Config) {
		c.Log, c.QueueLog = slog.New(slog.DiscardHandler), false
		c.Resolver = dns.Resolver(resolve.Options{})
		c.Outbound = outbound.Options{Dial: dial}
	}))
}

// heap is how many bytes are in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// BenchmarkStartWithAFullQueue starts with 10,000 messages that wait for a host that is
// dead, until the server serves.
func BenchmarkStartWithAFullQueue(b *testing.B) {
	const messages = 10_000
	dir := fillQueue(b, messages)
	dead := func(context.Context, netip.Addr, netip.AddrPort) (net.Conn, error) {
		return nil, fmt.Errorf("no route to host")
	}
	for b.Loop() {
		began := time.Now()
		s := startQueue(b, dir, resolvetest.Zones{}, dead)
		b.ReportMetric(float64(time.Since(began).Microseconds())/messages, "µs/message")
		b.StopTimer()
		s.Stop(b)
		b.StartTimer()
	}
}
