package policy_test

import (
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/policy"
)

// Names as long as they may be are longer than those of files.
func TestTheLongestNamesAreLookedUp(t *testing.T) {
	h := open(t, nil, nil, policy.Options{})
	local, domain := strings.Repeat("a", 255), strings.Repeat(strings.Repeat("b", 62)+".", 4)+"c"
	for to, want := range map[string]string{
		local + "@foo.test":  "550 RCPT=EAVAIL",
		"x@" + domain:        "550 RCPT=ERELAY",
		local + "@" + domain: "550 RCPT=ERELAY",
	} {
		if got := rcpt(t, h, "192.0.2.1", policy.Session{}, to); got != want {
			t.Errorf("<%s>: %s, want %s", to, got, want)
		}
	}
}
