package limit

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestMemoryOfFailuresIsBounded(t *testing.T) {
	l := FailureLimit{Count: 2, Window: time.Hour, Block: time.Hour}
	now := time.Unix(1e9, 0)
	var f Failures
	addr := func(i int) netip.Addr {
		return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	for i := range MaxAddresses + 10 {
		if f.Fail(addr(i), now, l) {
			t.Fatalf("address %d blocked at its first failure", i)
		}
	}
	if n := len(f.address); n != MaxAddresses || f.order.Len() != n {
		t.Errorf("%d and %d addresses kept, want %d", n, f.order.Len(), MaxAddresses)
	}
	if !f.Fail(addr(MaxAddresses), now, l) {
		t.Error("a recent address was forgotten")
	}
	if f.Fail(addr(0), now, l) {
		t.Error("the oldest address was kept")
	}
}

func TestFailuresBlockForAWhile(t *testing.T) {
	l := FailureLimit{Count: 2, Window: time.Minute, Block: time.Hour}
	now := time.Unix(1e9, 0)
	var f Failures
	a := netip.MustParseAddr("192.0.2.1")
	for _, step := range []struct {
		after   time.Duration
		succeed bool
		want    bool // blocked by this failure
	}{
		{0, false, false}, {2 * time.Minute, false, false}, {time.Second, true, false}, {time.Second, false, true},
		{time.Second, false, false},
	} {
		now = now.Add(step.after)
		if step.succeed {
			f.Succeed(a)
		}
		if got := f.Fail(a, now, l); got != step.want {
			t.Errorf("after %v: blocked is %v, want %v", step.after, got, step.want)
		}
	}
	if !f.Blocked(a, now) || f.Blocked(a, now.Add(time.Hour)) {
		t.Error("it is not blocked for an hour")
	}
	if f.Fail(a, now, FailureLimit{}) {
		t.Error("without a limit it is blocked")
	}
}

func TestIPv6AddressesCountByNetwork(t *testing.T) {
	now := time.Unix(1e9, 0)
	one, same, other := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff:2"), netip.MustParseAddr("2001:db8:0:1::1")
	l := FailureLimit{Count: 2, Window: time.Hour, Block: time.Hour}
	var f Failures
	f.Fail(one, now, l)
	if !f.Fail(same, now, l) || !f.Blocked(one, now) || f.Blocked(other, now) {
		t.Error("want the /64 blocked and no other")
	}
	var s Sessions
	if s.Add(one, 0, 1) != nil || !errors.Is(s.Add(same, 0, 1), ErrAddressSessions) || s.Add(other, 0, 1) != nil {
		t.Error("want one session a /64")
	}
	if !errors.Is(s.Add(one, 2, 0), ErrSessions) {
		t.Error("want two sessions in all")
	}
	s.Remove(one)
	if err := s.Add(same, 2, 1); err != nil {
		t.Errorf("a session that ended still counts: %v", err)
	}
}

func TestReportsAreHeldBack(t *testing.T) {
	var r Reports
	at := time.Unix(1e9, 0)
	for _, c := range []struct {
		after  time.Duration
		silent int
		ok     bool
	}{{0, 0, true}, {time.Millisecond, 0, false}, {time.Millisecond, 0, false}, {time.Second, 2, true}, {time.Second, 0, true}} {
		at = at.Add(c.after)
		if silent, ok := r.Pass(at, time.Second); silent != c.silent || ok != c.ok {
			t.Errorf("at %v: %d, %v, want %d, %v", at, silent, ok, c.silent, c.ok)
		}
	}
}
