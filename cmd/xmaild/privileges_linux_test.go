package main

import (
	"crypto/tls"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/program/programtest"
	"github.com/xmaild/xmaild/pkg/server/selfcert"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// somebody is a user that is not root, by the number that systems give to nobody.
const somebody = 65534

// lowPort is a free port of the loopback that only root may bind.
func lowPort(t *testing.T) string {
	t.Helper()
	for port := 1023; port > 600; port-- {
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no port below 1024 is free")
	return ""
}

// theirs makes a MailRoot that is somebody's.
func theirs(t *testing.T) string {
	t.Helper()
	root := filepath.Join(programtest.Dir(t), "MailRoot")
	if err := servertest.NewMailRoot(root); err != nil {
		t.Fatal(err)
	}
	own(t, root, somebody)
	return root
}

func own(t *testing.T, root string, uid int) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, uid)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// procStatus returns what the kernel says of a process: "Uid", "Groups", "CapEff".
func procStatus(t *testing.T, pid int, field string) string {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	t.Fatalf("no %s in\n%s", field, content)
	return ""
}

// TestRootIsGivenUp starts the server as root. It binds a port that only root may
// bind, and serves as the owner of the MailRoot.
func TestRootIsGivenUp(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give up being root")
	}
	root := theirs(t)
	// A key that only root may read counts until the end.
	if err := os.Chown(filepath.Join(root, "server.key"), 0, 0); err != nil {
		t.Fatal(err)
	}
	low := lowPort(t)
	pids := programtest.Dir(t)
	d, err := startDaemon(xmaild(root, "-Ms", root, "-Cp", "0", "-CI", "127.0.0.1", "-WI", "127.0.0.1", "-Wp", "0", "-SI", low, "-PI", "127.0.0.1", "-Pp", "0", "--pid-dir", pids))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.kill(); err != nil {
			t.Error(err)
		}
	})
	addr, tlsAddr, err := d.serving()
	if err != nil {
		t.Fatal(err)
	}
	pid := d.cmd.Process.Pid
	for field, want := range map[string]string{
		"Uid": "65534 65534 65534 65534", "Gid": "65534 65534 65534 65534", "Groups": "65534",
		"CapEff": "0000000000000000", "CapPrm": "0000000000000000",
	} {
		if got := procStatus(t, pid, field); got != want {
			t.Errorf("%s of the process is %q, want %q", field, got, want)
		}
	}
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/status", pid, task.Name()))
		if err == nil && !strings.Contains(string(content), "\nUid:\t65534\t65534\t65534\t65534\n") {
			t.Errorf("thread %s is somebody else:\n%s", task.Name(), content)
		}
	}
	if _, err := d.logged(regexp.MustCompile(`the key was read as root`)); err != nil {
		t.Error(err)
	}
	c, err := net.Dial("tcp", low)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	greeting := make([]byte, 3)
	if _, err := c.Read(greeting); err != nil || string(greeting) != "220" {
		t.Errorf("greeting at %s: %q, %v, want 220", low, greeting, err)
	}

	// What is written is the owner's, and a reload finds what it needs.
	client, err := ctrl.Dial(t.Context(), addr, servertest.User, servertest.Password)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Do(t.Context(), "useradd", "xmailserver.test", "new", "pw", "U"); err != nil {
		t.Error(err)
	}
	if _, err := client.Do(t.Context(), "sync"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"mailusers.tab", "domains/xmailserver.test/new", ".xmaild.lock", "spool/live"} {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
		} else if uid := info.Sys().(*syscall.Stat_t).Uid; uid != somebody {
			t.Errorf("%s is user %d's, want %d's", name, uid, somebody)
		}
	}
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if _, err := d.logged(regexp.MustCompile(`msg=reloaded`)); err != nil {
		t.Error(err)
	}

	// A new key that cannot be read leaves the old pair in force.
	serial := func() string {
		t.Helper()
		c, err := tls.Dial("tcp", tlsAddr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	before := serial()
	cert, key, err := selfcert.New([]string{"other.test"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"server.cert": cert, "server.key": key} {
		if err := os.WriteFile(filepath.Join(root, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The files are looked at once a second at most.
	deadline := time.Now().Add(patience)
	for !strings.Contains(d.log(), "the one before serves on") && time.Now().Before(deadline) {
		if after := serial(); after != before {
			t.Errorf("certificate %s, want the old one %s", after, before)
		}
	}
	if !strings.Contains(d.log(), "the one before serves on") {
		t.Errorf("nothing is told of the key that cannot be read:\n%s", d.log())
	}

	pidFile := filepath.Join(pids, "xmaild.pid")
	if _, err := os.Stat(pidFile); err != nil {
		t.Error(err)
	}
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code, err := d.wait(); err != nil || code != 0 {
		t.Errorf("exit status %d, %v, want 0\n%s", code, err, d.log())
	}
	if content, err := os.ReadFile(pidFile); err == nil && len(content) > 0 {
		t.Errorf("the pid file has %q after the end", content)
	}
}

// TestSecondServerLeavesThePIDFileAlone starts another one on a MailRoot that has its pid
// file in it. As root it would be free to take that away.
func TestSecondServerLeavesThePIDFileAlone(t *testing.T) {
	root := theirsOrOurs(t)
	start := func() *daemon {
		t.Helper()
		d, err := startDaemon(xmaild(root, "-Ms", root, "-Cp", "0", "-CI", "127.0.0.1", "-W-", "--pid-dir", root))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := d.kill(); err != nil {
				t.Error(err)
			}
		})
		return d
	}
	first := start()
	if _, _, err := first.serving(); err != nil {
		t.Fatal(err)
	}
	second := start()
	if code, err := second.wait(); err != nil || code != exitFailed || !strings.Contains(second.log(), "already runs on") {
		t.Errorf("the second one: exit status %d, %v\n%s", code, err, second.log())
	}
	name := filepath.Join(root, "xmaild.pid")
	if content, err := os.ReadFile(name); err != nil || string(content) != fmt.Sprint(first.cmd.Process.Pid) {
		t.Errorf("the pid file has %q, %v, want %d", content, err, first.cmd.Process.Pid)
	}
	if err := first.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code, err := first.wait(); err != nil || code != 0 {
		t.Errorf("exit status %d, %v, want 0\n%s", code, err, first.log())
	}
	if _, err := os.Stat(name); err == nil {
		t.Error("the pid file is there after the end")
	}
}

// TestUserOption gives the server away to a user by name, and refuses who cannot.
func TestUserOption(t *testing.T) {
	root := theirsOrOurs(t)
	args := []string{"-Ms", root, "-Cp", "0", "-CI", "127.0.0.1", "-W-", "--pid-dir", "", "--user"}
	fails := func(user, want string) {
		t.Helper()
		d, err := startDaemon(xmaild(root, append(args, user)...))
		if err != nil {
			t.Fatal(err)
		}
		if code, err := d.wait(); err != nil || code != 1 || !strings.Contains(d.log(), want) {
			t.Errorf("--user %s: exit status %d, %v, want 1 and %q, got:\n%s", user, code, err, want, d.log())
		}
	}
	fails("no-such-user", "user no-such-user: ")
	if os.Geteuid() != 0 {
		fails("root", "only root can become another user")
		return
	}
	if _, err := exec.LookPath("getent"); err == nil && exec.Command("getent", "passwd", "daemon").Run() == nil {
		fails("daemon", "permission denied") // the MailRoot is somebody else's
	}
	d, err := startDaemon(xmaild(root, append(args, fmt.Sprint(somebody))...))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.serving(); err != nil {
		t.Error(err)
	} else if got := procStatus(t, d.cmd.Process.Pid, "Uid"); got != "65534 65534 65534 65534" {
		t.Errorf("--user %d: Uid %s", somebody, got)
	}
	if err := d.kill(); err != nil {
		t.Error(err)
	}
}

// theirsOrOurs makes a MailRoot that is somebody else's where that is possible.
func theirsOrOurs(t *testing.T) string {
	t.Helper()
	if os.Geteuid() == 0 {
		return theirs(t)
	}
	root := filepath.Join(t.TempDir(), "MailRoot")
	if err := servertest.NewMailRoot(root); err != nil {
		t.Fatal(err)
	}
	return root
}
