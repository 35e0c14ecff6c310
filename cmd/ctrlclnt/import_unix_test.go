//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// A relay hands connections on to a server, and calls event once when so many
// lines have come from clients. With original set the server seems to be XMail
// itself, so that nothing is asked of it that only xmaild knows.
type relay struct {
	addr     string
	original bool
	mu       sync.Mutex
	lines    int
	at       int
	event    func(client, server net.Conn)
}

func startRelay(t *testing.T, server string, original bool) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{addr: l.Addr().String(), original: original}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", server)
			if err != nil {
				c.Close()
				return
			}
			wg.Go(func() {
				defer c.Close()
				defer s.Close()
				in := bufio.NewReader(s)
				greeting, err := in.ReadString('\n')
				if r.original {
					greeting = regexp.MustCompile(` CTRL Server[^;]*;`).ReplaceAllString(greeting, " CTRL Server;")
				}
				if err == nil {
					io.WriteString(c, greeting)
					io.Copy(c, in)
				}
			})
			wg.Go(func() { defer c.Close(); defer s.Close(); r.up(c, s) })
		}
	})
	return r
}

// up hands on what the client says, a bit at a time.
func (r *relay) up(c, s net.Conn) {
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := s.Write(buf[:n]); err != nil {
			return
		}
		r.mu.Lock()
		before := r.lines
		r.lines += bytes.Count(buf[:n], []byte("\n"))
		event := r.event
		due := event != nil && before < r.at && r.lines >= r.at
		r.mu.Unlock()
		if due {
			event(c, s)
		}
	}
}

// count returns how many lines have come.
func (r *relay) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lines
}

// when sets what happens after n lines more.
func (r *relay) when(n int, event func(client, server net.Conn)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at, r.event = r.lines+n, event
}

// manyUsers writes a file of n users; the passwords are empty where there are none.
func manyUsers(t *testing.T, dir, domain string, n int, passwords bool) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("domain,user,password,real-name\n")
	for i := range n {
		pw := ""
		if passwords {
			pw = fmt.Sprintf("pw%d", i)
		}
		name := ""
		if i%10 == 0 {
			name = fmt.Sprintf("Number %d", i)
		}
		fmt.Fprintf(&b, "%s,u%d,%s,%s\n", domain, i, pw, name)
	}
	path := filepath.Join(dir, domain+".csv")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs ctrlclnt against addr, with started called when it runs, and returns
// what it wrote to standard error.
func runClient(t *testing.T, addr string, started func(*os.Process), args ...string) (stderr string, state *os.ProcessState) {
	t.Helper()
	cmd := exec.Command("ctrlclnt", args...)
	cmd.Env = append(os.Environ(), "GORACE="+noRaceSleep, "CTRL_SERVER="+addr, "CTRL_USER="+servertest.User, "CTRL_PASSWORD="+servertest.Password)
	var b bytes.Buffer
	cmd.Stderr = &b
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if started != nil {
		started(cmd.Process)
	}
	cmd.Wait()
	return b.String(), cmd.ProcessState
}

// reportOf returns how often each verdict stands in a report, and its rows.
func reportOf(t *testing.T, path string) (map[string]int, [][]string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, r := range rows[1:] {
		counts[r[2]]++
	}
	return counts, rows[1:]
}

// wantUsers fails unless the server has exactly the users u0 … u(n-1), each
// tenth with its name.
func wantUsers(t *testing.T, s *servertest.Server, domain string, n int) {
	t.Helper()
	c := s.Dial(t)
	lines, err := c.List(t.Context(), "userlist", domain)
	if err != nil || len(lines) != n {
		t.Fatalf("%d users, %v; want %d", len(lines), err, n)
	}
	for i := 0; i < n; i += 10 {
		vars, err := c.List(t.Context(), "uservars", domain, fmt.Sprintf("u%d", i))
		want := fmt.Sprintf("\"RealName\"\t\"Number %d\"", i)
		if err != nil || !strings.Contains(strings.Join(vars, "\n"), want) {
			t.Fatalf("u%d has %q, %v; want %s", i, vars, err, want)
		}
	}
}

func TestImportOfTenThousandTwice(t *testing.T) {
	s := servertest.Start(t)
	if _, err := s.Dial(t).Do(t.Context(), "domainadd", "many.example"); err != nil {
		t.Fatal(err)
	}
	n := 10000
	if testing.Short() {
		n = 1000
	}
	file := manyUsers(t, t.TempDir(), "many.example", n, true)
	start := time.Now()
	stderr, state := runClient(t, s.Addr, nil, "import", "users", file, "--skip-existing")
	if !state.Success() || !strings.Contains(stderr, fmt.Sprintf("%d users done, 0 failed", n)) {
		t.Fatalf("%v\n%s", state, stderr)
	}
	t.Logf("%d users in %v", n, time.Since(start))
	wantUsers(t, s, "many.example", n)
	before := s.Read(t, "domains/many.example/u0/user.tab")
	stderr, state = runClient(t, s.Addr, nil, "import", "users", file, "--skip-existing")
	if !state.Success() || !strings.Contains(stderr, fmt.Sprintf("0 users done, %d existing, 0 failed", n)) {
		t.Fatalf("the second time: %v\n%s", state, stderr)
	}
	if after := s.Read(t, "domains/many.example/u0/user.tab"); after != before {
		t.Errorf("the second time changed a user:\n%s\nwas\n%s", after, before)
	}
}

// Interrupted by a signal, killed, and cut off: what was not done is done by
// --resume, nothing twice, and each password that was made is in the report.
func TestImportGoesOnAfterAnInterruption(t *testing.T) {
	interrupt := func(p *os.Process, _, _ net.Conn) { p.Signal(os.Interrupt) }
	kill := func(p *os.Process, _, _ net.Conn) { p.Kill() }
	cut := func(_ *os.Process, client, _ net.Conn) { client.Close() }
	for _, tt := range []struct {
		name     string
		original bool
		when     func(p *os.Process, client, server net.Conn)
	}{
		{"interrupted", false, interrupt},
		{"killed", false, kill},
		{"connection lost", false, cut},
		{"interrupted, one by one", true, interrupt},
		{"killed, one by one", true, kill},
		{"connection lost, one by one", true, cut},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const n = 600
			s := servertest.Start(t)
			if _, err := s.Dial(t).Do(t.Context(), "domainadd", "many.example"); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			file, report := manyUsers(t, dir, "many.example", n, false), filepath.Join(dir, "report.csv")
			r := startRelay(t, s.Addr, tt.original)
			process := make(chan *os.Process, 1)
			r.when(n/2, func(client, server net.Conn) {
				tt.when(<-process, client, server)
			})
			args := []string{"import", "users", file, "--generate-passwords", "--report", report}
			stderr, state := runClient(t, r.addr, func(p *os.Process) { process <- p }, args...)
			if state.Success() {
				t.Fatalf("the first run succeeded\n%s", stderr)
			}
			switch ws := state.Sys().(syscall.WaitStatus); strings.TrimSuffix(tt.name, ", one by one") {
			case "interrupted":
				if !ws.Signaled() || ws.Signal() != syscall.SIGINT || !strings.Contains(stderr, "rows are left; go on with --resume") {
					t.Errorf("ended with %v, want by an interrupt\n%s", state, stderr)
				}
				if counts, _ := reportOf(t, report); counts["done"] == 0 || counts["done"] >= n || len(counts) != 1 {
					t.Errorf("the report has %v, want some that are done and nothing else", counts)
				}
			case "connection lost":
				// What was collected and not committed was not done.
				if strings.Contains(stderr, "unknown") != tt.original {
					t.Errorf("what is unknown:\n%s", stderr)
				}
			}
			if info, err := os.Stat(report); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the report has the mode %v, %v; want 0600", info.Mode(), err)
			}
			// Without --resume the passwords are not overwritten.
			if stderr, state := runClient(t, r.addr, nil, args...); state.Success() || !strings.Contains(stderr, "has passwords that were made before") {
				t.Errorf("run again without --resume: %v\n%s", state, stderr)
			}
			stderr, state = runClient(t, r.addr, nil, append(args, "--resume")...)
			if !state.Success() || !strings.Contains(stderr, "done before, 0 failed") {
				t.Fatalf("resumed: %v\n%s", state, stderr)
			}
			wantUsers(t, s, "many.example", n)
			counts, rows := reportOf(t, report)
			if counts["done"] != n || len(rows) != n {
				t.Errorf("the report has %v in %d rows, want %d that are done", counts, len(rows), n)
			}
			c := s.Dial(t)
			pipe := c.Pipeline(context.Background())
			defer pipe.Stop()
			for i, row := range rows {
				if err := pipe.Send("userauth", "many.example", fmt.Sprintf("u%d", i), row[5]); err != nil {
					t.Fatal(err)
				}
				if _, err := pipe.Receive(); err != nil {
					t.Fatalf("the password of u%d in the report: %v", i, err)
				}
			}
			// Once more there is nothing to do.
			lines := r.count()
			stderr, state = runClient(t, r.addr, nil, append(args, "--resume")...)
			if !state.Success() || r.count()-lines > 2 {
				t.Errorf("resumed when all was done: %v, %d lines sent\n%s", state, r.count()-lines, stderr)
			}
		})
	}
}
