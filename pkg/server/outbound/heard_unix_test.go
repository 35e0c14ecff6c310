//go:build unix

package outbound_test

import (
	"testing"

	"github.com/xmaild/xmaild/pkg/server/outbound"
)

// TestWhatAHostSaysUnaskedIsNoWordOnTheNextMessage has a host that says while nothing is
// asked what would be the end of the message.
func TestWhatAHostSaysUnaskedIsNoWordOnTheNextMessage(t *testing.T) {
	for _, unasked := range []string{"554 5.4.2 idle for too long", "221 bye"} {
		done, said := make(chan bool), make(chan bool)
		w := newWorld(t, zones, nil, nil)
		w.at("192.0.2.10", scripted(t, func(s script) {
			s.say("220 x")
			for line := s.hear(); line != ""; line = s.hear() {
				if line == "DATA" {
					s.say("354 x")
					s.skipText()
					s.say("250 x")
					<-done
					s.say(unasked)
					said <- true
					continue
				}
				s.say("250 x")
			}
		}))
		for range 3 {
			res := w.one("one.test")
			want(t, res, outbound.Delivered)
			if res.State != outbound.Delivered {
				break
			}
			done <- true
			<-said
		}
	}
}
