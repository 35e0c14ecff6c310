package smtpd

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// A lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Whoever can make the server log errors can fill its disk with them.
func TestAClientThatLeavesIsNoError(t *testing.T) {
	var log lockedBuffer
	r := newRigSet(t, func(r *rig) { r.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	for _, begin := range []string{
		"AUTH LOGIN -> 334", "AUTH PLAIN -> 334", "MAIL FROM:<x@ext.test> -> 250", "MAIL FROM:<x@ext.test> -> 250|RCPT TO:<bob@foo.test> -> 250|DATA -> 354",
		"MAIL FROM:<x@ext.test> -> 250|RCPT TO:<bob@foo.test> -> 250|BDAT 0 -> 250", "MAIL FROM:<x@ext.test> -> 250|STARTTLS -> 220",
	} {
		c := r.greet(t)
		steps(c, strings.Split(begin, "|")...)
		if err := c.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c.r); err != nil { // the server has gone, too
			t.Errorf("after %s: %v", begin, err)
		}
	}
	if text := log.String(); text != "" {
		t.Errorf("logged\n%s", text)
	}
}
