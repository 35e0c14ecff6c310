package server_test

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/program/programtest"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// TestPostfixSendsAndTakesMail has smtp-source send to a server of ours, and smtp-sink
// take what it sends on.
func TestPostfixSendsAndTakesMail(t *testing.T) {
	for _, name := range []string{"smtp-source", "smtp-sink"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed here; the exchanges of two servers of ours test the same", name)
		}
	}
	const count = "60"
	m := newMesh(t)
	a := m.site("a.test", []string{"ann"}, map[string]string{"cmdaliases/a.test/away.tab": row("redirect", "sam@sink.test")},
		servertest.Var("SMTP-MaxSessionsPerAddress", "0"))
	taken := startSMTPSink(t, m)
	for to, arrived := range map[string]func() int{
		"ann@a.test":  func() int { return len(a.mails("ann")) },
		"away@a.test": func() int { return len(dumped(t, taken)) },
	} {
		out, err := exec.CommandContext(m.ctx, "smtp-source", "-s", "5", "-m", count, "-l", "4000", "-f", "x@ext.test", "-t", to, a.SMTP).CombinedOutput()
		if err != nil {
			t.Fatalf("smtp-source: %v\n%s", err, out)
		}
		m.waitFor(count+" messages for "+to, func() bool { return arrived() >= 60 })
		m.settle()
		if n := arrived(); n != 60 {
			t.Errorf("%d messages for %s, want %s", n, to, count)
		}
	}
}

// startSMTPSink starts smtp-sink as the mail server of sink.test, and returns where it
// writes messages.
func startSMTPSink(t *testing.T, m *mesh) (dir string) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	dir = programtest.Dir(t)
	args := []string{"-d", filepath.Join(dir, "%s."), addr, "20"}
	if os.Getuid() == 0 {
		args = append([]string{"-u", "nobody"}, args...)
	}
	cmd := exec.Command("smtp-sink", args...)
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Error("smtp-sink has ended by itself")
		}
	})
	m.waitFor("smtp-sink", func() bool {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
	ip := netip.MustParseAddr("192.0.2.60")
	m.mx("sink.test", "mx.sink.test", ip)
	m.host(ip, addr)
	return dir
}

// dumped are the messages that smtp-sink has written.
func dumped(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}
