package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startTestRecorder starts a recorder in a folder of the test.
func startTestRecorder(t *testing.T) *recorder {
	t.Helper()
	dir := t.TempDir()
	certs, err := writeCertificates(filepath.Join(dir, "certs"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := startRecorder(dir, certs.server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.stop)
	return r
}

// requests returns the commands that arrived.
func (r *recorder) requests(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(r.dir, "requests"))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// reply writes the file reply-COMMAND.
func (r *recorder) reply(t *testing.T, command string, lines ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, "reply-"+command), []byte(strings.Join(lines, "\n")+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
}

func TestRetryIsForConnectingOnly(t *testing.T) {
	r := startTestRecorder(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close() // nobody listens there

	var waits []time.Duration
	var stderr strings.Builder
	p := &program{name: "ctrlclnt", stdout: os.Stdout, stderr: &stderr, lookup: environment("CTRL_PASSWORD=" + recorderPassword)}
	p.wait = func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }
	if status := p.run([]string{"-s", addr, "-u", "admin", "--status", "--retry", "3", "noop"}); status != exitUnreachable {
		t.Errorf("nobody listens: status %d, want %d\n%s", status, exitUnreachable, stderr.String())
	}
	if len(waits) != 3 || waits[0] < firstWait || waits[2] < 4*firstWait {
		t.Errorf("waited %v, want three times and longer each time", waits)
	}
	if n := strings.Count(stderr.String(), "trying again in"); n != 3 {
		t.Errorf("said %d times that it tries again, want 3:\n%s", n, stderr.String())
	}

	// It comes up meanwhile.
	waits = nil
	p.wait = func(context.Context, time.Duration) error {
		waits = append(waits, 0)
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		go func() { // hands one client on
			defer l.Close()
			c, err := l.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", r.plain)
			if err != nil {
				c.Close()
				return
			}
			go func() { defer s.Close(); io.Copy(s, c) }()
			defer c.Close()
			io.Copy(c, s)
		}()
		return nil
	}
	if status := p.run([]string{"-q", "-s", addr, "-u", "admin", "--retry", "3", "noop"}); status != 0 || len(waits) != 1 {
		t.Errorf("status %d after %d waits, want 0 after 1", status, len(waits))
	}
	if got := r.requests(t); got != "noop\n" {
		t.Errorf("the server got %q, want noop once", got)
	}

	// A refused login is no reason to wait, and an interrupted wait ends it.
	waits = nil
	p.wait = func(context.Context, time.Duration) error {
		waits = append(waits, 0)
		return errors.New("interrupted")
	}
	if status := p.run([]string{"-s", r.plain, "-u", "admin", "-p", "wrong", "--status", "--retry", "3", "noop"}); status != exitLogin || len(waits) != 0 {
		t.Errorf("wrong password: status %d after %d waits, want %d after none", status, len(waits), exitLogin)
	}
	if status := p.run([]string{"-s", addr, "-u", "admin", "--retry", "3", "noop"}); status != exitFailure || len(waits) != 1 {
		t.Errorf("interrupted: status %d after %d waits, want %d after 1", status, len(waits), exitFailure)
	}
}
