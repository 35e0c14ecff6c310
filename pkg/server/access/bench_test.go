package access

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// rowsOf is an address map of so many networks, none of which has 192.0.2.1.
func rowsOf(count int) *IPMap {
	rows := make([]string, count)
	for i := range rows {
		rows[i] = fmt.Sprintf("10.%d.%d.0 255.255.255.0 DENY 1", i/256, i%256)
	}
	return mapOf(rows...)
}

func TestDecisionsTakeNoMemoryWhereNoRowDoes(t *testing.T) {
	now := time.Unix(1000, 0)
	ip := netip.MustParseAddr("192.0.2.1")
	m := rowsOf(100)
	client := SMTPClient{Map: Verdict{Allow: true}, Properties: []Properties{{"EaseTLS=1", "WhiteList=0"}}}
	for name, decide := range map[string]func(){
		"no map":     func() { (*IPMap)(nil).Decide(ip, now) },
		"map":        func() { m.Decide(ip, now) },
		"client":     func() { client.Decide() },
		"properties": func() { client.Has(WhiteList); client.Off(SenderDomainCheck); client.Has(EaseTLS) },
		"list":       func() { Listed([]netip.Addr{ip}) },
	} {
		if n := testing.AllocsPerRun(100, decide); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

func BenchmarkIPMap(b *testing.B) {
	now := time.Unix(1000, 0)
	for _, rows := range []int{0, 10, 1000} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			m := rowsOf(rows)
			ip := netip.MustParseAddr("192.0.2.1")
			b.ReportAllocs()
			for b.Loop() {
				m.Decide(ip, now)
			}
		})
	}
}

func BenchmarkSMTPClient(b *testing.B) {
	client := SMTPClient{Map: Verdict{Allow: true}, Properties: []Properties{{"EaseTLS=1", "WhiteList=0"}}}
	b.ReportAllocs()
	for b.Loop() {
		client.Decide()
	}
}
