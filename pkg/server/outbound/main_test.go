package outbound_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain looks for goroutines that are left over. Those of a name server that go-mockdns
// stops before it has quite begun to serve are not ours to end.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/miekg/dns.(*Server).serveTCP"),
		goleak.IgnoreAnyFunction("github.com/miekg/dns.(*Server).serveUDP"))
}
