package smtpd

import (
	"strings"
	"testing"
)

func TestAMessageIsTaken(t *testing.T) {
	r := newRig(t)
	c := r.dial(t)
	if got := c.want("220 mx.foo.test <"); !strings.Contains(got, "> [xmaild ESMTP Server] service ready; ") {
		t.Errorf("greeting %q", got)
	}
	c.ask("EHLO client.test", "250-foo.test|")
	c.begin()
	c.ask("DATA", "354 ")
	c.send("From: x@ext.test\r\n\r\n..dot\r\nlast\r\n.\r\n")
	c.want("250 2.0.0 OK <S")
	c.ask("QUIT", "221 2.0.0 ")
	c.gone()
	got := r.messages(t)
	if len(got) != 1 || !strings.HasSuffix(got[0], "From: x@ext.test\r\n\r\n.dot\r\nlast\r\n") || !strings.HasPrefix(got[0], "Received: from client.test (") {
		t.Errorf("messages %q", got)
	}
}
