package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/policy"
)

// BenchmarkClient measures what is found out of a client that connects, with few rows
// about addresses and with many.
func BenchmarkClient(b *testing.B) {
	for _, rows := range []int{0, 100_000} {
		var spammers, relays strings.Builder
		for i := range rows {
			fmt.Fprintf(&spammers, "10.%d.%d.%d|255.255.255.255\n", i>>16, i>>8&255, i&255)
			fmt.Fprintf(&relays, "172.%d.%d.%d|255.255.255.255\n", i>>16, i>>8&255, i&255)
		}
		h := open(b, files{"spammers.tab": spammers.String(), "smtprelay.tab": relays.String()}, nil, policy.Options{})
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if c := h.client(b, "192.0.2.1"); c.Refuse != nil {
					b.Fatalf("refused: %v", c.Refuse)
				}
			}
		})
	}
}

// BenchmarkRecipient measures what is decided on recipients.
func BenchmarkRecipient(b *testing.B) {
	h := open(b, nil, nil, policy.Options{})
	c := h.client(b, "192.0.2.1")
	for _, test := range []struct {
		kind, to string
		code     int
	}{
		{"user", "ann@foo.test", 250}, {"alias", "exact@foo.test", 250}, {"pattern", "helpdesk@foo.test", 250},
		{"nobody", "nobody@foo.test", 550}, {"remote", "x@far.test", 550},
	} {
		b.Run("to="+test.kind, func(b *testing.B) {
			to := path(b, test.to)
			b.ReportAllocs()
			for b.Loop() {
				if _, r := h.Recipient(b.Context(), &c, policy.Session{}, to); code(r) != test.code {
					b.Fatalf("%d, want %d", code(r), test.code)
				}
			}
		})
	}
}
