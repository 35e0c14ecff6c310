package smtpd

import (
	"fmt"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/policy"
)

// A client with more recipients than a message may have sends them all before it reads
// an answer. It keeps those that were taken.
func TestRecipientsAboveTheLimitAreNoErrors(t *testing.T) {
	const limit, named = 5, 40
	r := newRigSet(t, func(r *rig) { r.MaxRecipients = limit }, "SMTP-MaxErrors=3")
	r.policy.set(func(c *policy.Client) { c.Relay = true })
	c := r.greet(t)
	c.ask("MAIL FROM:<x@ext.test>", "250")
	for i := range named {
		c.send(fmt.Sprintf("RCPT TO:<user%d@far.test>\r\n", i))
	}
	for i := range named {
		if i < limit {
			c.want("250")
		} else {
			c.want("452 4.5.3")
		}
	}
	c.ask("DATA", "354")
	c.send("Subject: x\r\n\r\nx\r\n.\r\n")
	c.want("250")
}

func TestARecipientNamedTwiceGetsOneCopy(t *testing.T) {
	r := newRig(t)
	r.policy.set(func(c *policy.Client) { c.Relay = true })
	c := r.greet(t)
	steps(c, "MAIL FROM:<x@ext.test> -> 250",
		"RCPT TO:<alice@foo.test> -> 250", "RCPT TO:<bob@foo.test> -> 250", "RCPT TO:<ALICE@Foo.Test> -> 250", "RCPT TO:<alice@foo.test> -> 250",
		"RCPT TO:<who@far.test> -> 250", "RCPT TO:<who@FAR.test> -> 250", "RCPT TO:<WHO@far.test> -> 250", "DATA -> 354")
	c.send("Subject: x\r\n\r\nx\r\n.\r\n")
	c.want("250")
	var got []string
	lease, err := r.queue.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Return()
	for _, rcpt := range lease.Envelope.Recipients {
		got = append(got, rcpt.Address)
	}
	if text := strings.Join(got, " "); text != "alice@foo.test bob@foo.test who@far.test WHO@far.test" {
		t.Errorf("queued for %q", text)
	}
}

func TestAMalformedRecipientInTheLog(t *testing.T) {
	r := newRig(t)
	c := r.greet(t)
	steps(c, "MAIL FROM:<x@ext.test> -> 250", "RCPT TO: <bad..name@foo.test> NOTIFY=NEVER -> 501")
	rows := r.records(t)
	if len(rows) != 1 || rows[0][5] != "foo.test" || rows[0][7] != "bad..name@foo.test" || rows[0][9] != "RCPT=ESYNTAX" {
		t.Errorf("log %q, want the address without its brackets", rows)
	}
}
