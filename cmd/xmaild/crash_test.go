//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/check"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/servertest"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A wish is what one worker has been promised of its own accounts: the state
// of each after the last acknowledged change. One change may be in the air.
type wish struct {
	mu       sync.Mutex
	users    map[string]string // password by account name; absent: deleted
	doubtful map[string]bool   // accounts whose last change was not acknowledged
}

// TestKillLosesNothing kills the server at random moments while several
// clients change accounts, aliases and domains, starts it again, and wants every
// acknowledged change and tables that are whole. It takes some seconds;
// XMAILD_CRASH_TIME=10m in the environment makes it run that long.
func TestKillLosesNothing(t *testing.T) {
	length := crashTime(t)
	root := filepath.Join(t.TempDir(), "MailRoot")
	if err := servertest.NewMailRoot(root); err != nil {
		t.Fatal(err)
	}
	const workers = 4
	wishes := make([]*wish, workers)
	for w := range wishes {
		wishes[w] = &wish{users: map[string]string{}, doubtful: map[string]bool{}}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	end := time.Now().Add(length)
	rounds, acknowledged := 0, 0
	for time.Now().Before(end) {
		rounds++
		d, addr := startOn(t, root)
		verify(t, addr, wishes)
		if t.Failed() {
			return
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		counts := make([]int, workers)
		for w := range workers {
			seed := random.Uint64()
			wg.Go(func() { counts[w] = change(ctx, t, addr, w, rounds, wishes[w], seed) })
		}
		// Any moment will do, from the first login on.
		<-time.After(time.Duration(random.IntN(400)) * time.Millisecond)
		if err := d.kill(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		cancel()
		for _, n := range counts {
			acknowledged += n
		}
		wholeTables(t, root)
	}
	d, addr := startOn(t, root)
	verify(t, addr, wishes)
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status, err := d.wait(); err != nil || status != 0 {
		t.Fatalf("last stop: status %d, %v", status, err)
	}
	findings, err := check.MailRoot(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		// Accounts that were deleted may have aliases of others' making; there are none here.
		if !f.Risk {
			t.Errorf("after %d kills: %v", rounds, f)
		}
	}
	if acknowledged == 0 {
		t.Error("no change was ever acknowledged")
	}
	t.Logf("%d kills, %d acknowledged changes", rounds, acknowledged)
}

// crashTime is how long a test kills servers.
func crashTime(t *testing.T) time.Duration {
	t.Helper()
	length := 8 * time.Second
	if testing.Short() {
		length = 2 * time.Second
	}
	if s := os.Getenv("XMAILD_CRASH_TIME"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatalf("XMAILD_CRASH_TIME: %v", err)
		}
	}
	return length
}

// wholeTables reads the tables as anyone may at any time, without the help of
// the server, and wants each row readable.
func wholeTables(t *testing.T, root string) {
	t.Helper()
	for name, schema := range mailroot.Schemas() {
		content, err := os.ReadFile(filepath.Join(root, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			line = tabfile.TrimEnd(line)
			if line == "" || tabfile.IsComment(line) {
				continue
			}
			fields := tabfile.Split(line)
			if len(fields) < schema.Columns || schema.Check != nil && schema.Check(fields) != nil {
				t.Errorf("%s has the broken row %q after a kill", name, line)
			}
		}
	}
}

// TestServerOutlivesTheReaderOfItsLog closes the other end of standard error.
func TestServerOutlivesTheReaderOfItsLog(t *testing.T) {
	root := filepath.Join(t.TempDir(), "MailRoot")
	if err := servertest.NewMailRoot(root); err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := xmaild(t.TempDir(), "-Md", "-Ms", root, "-CI", "127.0.0.1", "-Cp", "0", "-W-", "--pid-dir", "")
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	lines := bufio.NewScanner(read)
	addr := ""
	for addr == "" && lines.Scan() {
		if m := servingLine.FindStringSubmatch(lines.Text()); m != nil {
			addr = m[1]
		}
	}
	read.Close()
	for range 3 {
		client, err := ctrl.Dial(t.Context(), addr, servertest.User, servertest.Password)
		if err != nil {
			t.Fatal(errors.Join(err, cmd.Process.Kill(), cmd.Wait()))
		}
		if _, err := client.Do(t.Context(), "noop"); err != nil {
			t.Errorf("noop: %v", err)
		}
		client.Close()
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("end: %v, want status 0", err)
	}
}

func startOn(t *testing.T, root string, args ...string) (*daemon, string) {
	t.Helper()
	args = append([]string{"-Ms", root, "-CI", "127.0.0.1", "-Cp", "0", "-W-", "--pid-dir", ""}, args...)
	d, err := startDaemon(xmaild(t.TempDir(), args...))
	if err != nil {
		t.Fatal(err)
	}
	addr, _, err := d.serving()
	if err != nil {
		t.Fatal(errors.Join(err, d.kill()))
	}
	t.Cleanup(func() {
		select {
		case <-d.exited:
		default:
			if err := d.kill(); err != nil {
				t.Error(err)
			}
		}
	})
	return d, addr
}

// change makes changes until the server is gone, and returns how many were acknowledged.
func change(ctx context.Context, t *testing.T, addr string, worker, round int, w *wish, seed uint64) int {
	client, err := ctrl.Dial(ctx, addr, servertest.User, servertest.Password)
	if err != nil {
		return 0 // killed before the login
	}
	defer client.Close()
	random := rand.New(rand.NewPCG(seed, 1))
	domain := fmt.Sprintf("w%d.example", worker)
	if _, err := client.Do(ctx, "domainadd", domain); err != nil && !refused(err, ctrl.CodeExists) {
		mustBeGone(t, err)
		return 0
	}
	acknowledged := 0
	for i := 0; ; i++ {
		name := fmt.Sprintf("u%d", random.IntN(40))
		password := fmt.Sprintf("r%d-%d", round, i)
		w.mu.Lock()
		_, there := w.users[name]
		unsure := w.doubtful[name]
		w.mu.Unlock()
		args := []string{"useradd", domain, name, password, "U"}
		switch {
		case there && random.IntN(3) == 0:
			args, password = []string{"userdel", domain, name}, ""
		case there:
			args = []string{"userpasswd", domain, name, password}
		}
		w.mu.Lock()
		w.doubtful[name] = true
		w.mu.Unlock()
		_, err := client.Do(ctx, args...)
		switch {
		case err == nil:
			acknowledged++
			w.mu.Lock()
			delete(w.doubtful, name)
			if password == "" {
				delete(w.users, name)
			} else {
				w.users[name] = password
			}
			w.mu.Unlock()
		case refused(err):
			if !unsure {
				t.Errorf("%q: %v, want it done", args, err)
				return acknowledged
			}
		default:
			mustBeGone(t, err)
			return acknowledged
		}
	}
}

// refused reports whether err is a refusal, with one of codes where some are given.
func refused(err error, codes ...ctrl.Code) bool {
	var e *ctrl.Error
	if !errors.As(err, &e) {
		return false
	}
	for _, code := range codes {
		if e.Code == code {
			return true
		}
	}
	return len(codes) == 0
}

func mustBeGone(t *testing.T, err error) {
	t.Helper()
	var e *ctrl.Error
	if errors.As(err, &e) {
		t.Errorf("refused: %v", err)
	}
}

var userRow = regexp.MustCompile(`^"([^"]*)"\t"([^"]*)"\t"([^"]*)"\t"U"$`)

// verify compares the accounts of the server with the wishes, and takes what is
// there for accounts in doubt: both outcomes are right for them.
func verify(t *testing.T, addr string, wishes []*wish) {
	t.Helper()
	client, err := ctrl.Dial(t.Context(), addr, servertest.User, servertest.Password)
	if err != nil {
		t.Fatalf("log in after a restart: %v", err)
	}
	defer client.Close()
	for n, w := range wishes {
		domain := fmt.Sprintf("w%d.example", n)
		lines, err := client.List(t.Context(), "userlist", domain)
		if err != nil && !refused(err) {
			t.Fatalf("userlist: %v", err)
		}
		found := map[string]string{}
		for _, line := range lines {
			m := userRow.FindStringSubmatch(line)
			if m == nil || m[1] != domain {
				t.Fatalf("row %q of userlist %s", line, domain)
			}
			if _, twice := found[m[2]]; twice {
				t.Errorf("%s@%s is there twice", m[2], domain)
			}
			found[m[2]] = m[3]
		}
		for name, password := range w.users {
			if !w.doubtful[name] && found[name] != password {
				t.Errorf("%s@%s has password %q, want the acknowledged %q", name, domain, found[name], password)
			}
		}
		for name, password := range found {
			if _, known := w.users[name]; !known && !w.doubtful[name] {
				t.Errorf("%s@%s with password %q is there, though its removal was acknowledged", name, domain, password)
			}
		}
		for name := range w.doubtful {
			if password, there := found[name]; there {
				w.users[name] = password
			} else {
				delete(w.users, name)
			}
		}
		clear(w.doubtful)
	}
}

// TestFullDiskRefusesChanges limits the size of files, as a full disk would,
// and wants changes refused whole while everything else goes on.
func TestFullDiskRefusesChanges(t *testing.T) {
	root := filepath.Join(t.TempDir(), "MailRoot")
	if err := servertest.NewMailRoot(root); err != nil {
		t.Fatal(err)
	}
	cmd := xmaild(t.TempDir())
	// In blocks of 512 bytes by POSIX; bash has blocks of 1024.
	cmd.Args = []string{"sh", "-c", `ulimit -f 64; exec "$0" "$@"`, cmd.Path, "-Ms", root, "-CI", "127.0.0.1", "-Cp", "0", "-W-", "--pid-dir", ""}
	cmd.Path = "/bin/sh"
	d, err := startDaemon(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.kill(); err != nil {
			t.Error(err)
		}
	}()
	addr, _, err := d.serving()
	if err != nil {
		t.Fatal(err)
	}
	client, err := ctrl.Dial(t.Context(), addr, servertest.User, servertest.Password)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Do(t.Context(), "useradd", "xmailserver.test", "before", "pw", "U"); err != nil {
		t.Fatalf("useradd with room: %v", err)
	}
	big := strings.NewReader(strings.Repeat("\"a.example\"\t\"b\"\t\"xmailuser\"\n", 40000))
	err = client.Upload(t.Context(), big, "cfgfileset", "filters/big.tab")
	if !refused(err) {
		t.Errorf("upload without room: %v, want a refusal", err)
	}
	if _, err := os.Stat(filepath.Join(root, "filters", "big.tab")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file of the refused upload: %v, want none", err)
	}
	again, err := ctrl.Dial(t.Context(), addr, servertest.User, servertest.Password)
	if err != nil {
		t.Fatalf("log in after the refusal: %v", err)
	}
	defer again.Close()
	if lines, err := again.List(t.Context(), "userlist", "xmailserver.test"); err != nil || len(lines) != 2 {
		t.Errorf("userlist after the refusal: %q, %v, want two accounts", lines, err)
	}
	if _, err := again.Do(t.Context(), "useradd", "xmailserver.test", "after", "pw", "U"); err != nil {
		t.Errorf("a small change after the refusal: %v", err)
	}
}

// TestReadOnlyMailRootIsRefused wants one clear line where nothing can be written.
func TestReadOnlyMailRootIsRefused(t *testing.T) {
	root := filepath.Join(t.TempDir(), "MailRoot")
	if err := servertest.NewMailRoot(root); err != nil {
		t.Fatal(err)
	}
	cmd := xmaild(t.TempDir(), "-Ms", root, "-CI", "127.0.0.1", "-Cp", "0", "-W-", "--pid-dir", "")
	if os.Getuid() == 0 {
		// Modes do not bind root: the server runs as someone else, who may read.
		if err := os.Chmod(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		for dir := root; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(cmd.Dir, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	} else {
		if err := os.Chmod(root, 0o500); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.Chmod(root, 0o700); err != nil {
				t.Error(err)
			}
		})
	}
	d, err := startDaemon(cmd)
	if err != nil {
		t.Fatal(err)
	}
	status, err := d.wait()
	if err != nil {
		t.Fatal(errors.Join(err, d.kill()))
	}
	lines := strings.Split(strings.TrimSpace(d.log()), "\n")
	last := lines[len(lines)-1]
	if status != exitFailed || !strings.HasPrefix(last, "xmaild: ") || !strings.Contains(last, "permission denied") {
		t.Errorf("status %d and %q, want %d and the reason", status, last, exitFailed)
	}
}
