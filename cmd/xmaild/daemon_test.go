//go:build unix

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// patience is how long a test waits for what ought to happen at once.
const patience = 30 * time.Second

// A daemon is a running xmaild.
type daemon struct {
	cmd    *exec.Cmd
	out    output
	exited chan struct{}
	err    error // of Wait; read it after exit

	mu    sync.Mutex
	lines []string      // of standard error
	more  chan struct{} // closed when there is another line
}

// An output collects what a program writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

// stdout is what the daemon has written to standard output so far.
func (d *daemon) stdout() string {
	d.out.mu.Lock()
	defer d.out.mu.Unlock()
	return d.out.text.String()
}

// startDaemon starts a program and follows its log.
func startDaemon(cmd *exec.Cmd) (*daemon, error) {
	d := &daemon{cmd: cmd, exited: make(chan struct{}), more: make(chan struct{})}
	cmd.Stdout = &d.out
	log, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		d.follow(log)
		d.err = cmd.Wait()
		close(d.exited)
	}()
	return d, nil
}

func (d *daemon) follow(log io.Reader) {
	scanner := bufio.NewScanner(log)
	for scanner.Scan() {
		d.mu.Lock()
		d.lines = append(d.lines, scanner.Text())
		close(d.more)
		d.more = make(chan struct{})
		d.mu.Unlock()
	}
}

// log is what the daemon has written to standard error.
func (d *daemon) log() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.lines, "\n") + "\n"
}

// logged waits until a line of the log matches, and returns its submatches. It
// returns nil when the daemon ends without such a line.
func (d *daemon) logged(pattern *regexp.Regexp) ([]string, error) {
	deadline := time.After(patience)
	seen := 0
	find := func() ([]string, chan struct{}) {
		d.mu.Lock()
		defer d.mu.Unlock()
		for ; seen < len(d.lines); seen++ {
			if m := pattern.FindStringSubmatch(d.lines[seen]); m != nil {
				return m, nil
			}
		}
		return nil, d.more
	}
	for {
		found, more := find()
		if found != nil {
			return found, nil
		}
		select {
		case <-more:
		case <-d.exited:
			if found, _ := find(); found != nil {
				return found, nil
			}
			return nil, fmt.Errorf("ended (%v) without a log line like %q; its log:\n%s", d.err, pattern, d.log())
		case <-deadline:
			return nil, fmt.Errorf("no log line like %q within %v; the log:\n%s", pattern, patience, d.log())
		}
	}
}

// printed waits until standard output matches, and returns the submatches.
func (d *daemon) printed(pattern *regexp.Regexp) ([]string, error) {
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if m := pattern.FindStringSubmatch(d.stdout()); m != nil {
			return m, nil
		}
		select {
		case <-tick.C:
		case <-deadline:
			return nil, fmt.Errorf("standard output has nothing like %q:\n%s", pattern, d.stdout())
		}
	}
}

var servingLine = regexp.MustCompile(`msg=serving .* ctrl="?([^ "]*)\S* .*ctrls="?([^ "]*)`)

// serving waits until the daemon serves, and returns its addresses.
func (d *daemon) serving() (ctrl, ctrls string, err error) {
	m, err := d.logged(servingLine)
	if err != nil {
		return "", "", err
	}
	return m[1], m[2], nil
}

// wait waits until the daemon has ended and returns its exit status.
func (d *daemon) wait() (int, error) {
	select {
	case <-d.exited:
		return d.cmd.ProcessState.ExitCode(), nil
	case <-time.After(patience):
		return 0, fmt.Errorf("still runs after %v; its log:\n%s", patience, d.log())
	}
}

// kill ends the daemon whatever it does.
func (d *daemon) kill() error {
	err := d.cmd.Process.Kill()
	<-d.exited
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// mailServices are the services of mail by their letters, and what their long options
// begin with.
var mailServices = map[string]string{"-S": "--smtp-", "-X": "--smtps-", "-P": "--pop3-", "-B": "--pop3s-", "-F": "--finger-"}

// withoutMail switches off the services of mail for which arguments have no address, so
// that tests neither need root nor get in each other's way.
func withoutMail(args []string) []string {
	if len(args) == 0 || args[0] != "serve" && args[0] != "quickstart" && !strings.HasPrefix(args[0], "-") {
		return args
	}
	for letter, long := range mailServices {
		if !slices.ContainsFunc(args, func(arg string) bool {
			return arg == letter+"I" || arg == letter+"p" || arg == long+"port" || arg == long+"address"
		}) {
			args = append(slices.Clip(args), letter+"-")
		}
	}
	return args
}

// xmaild is the built program with arguments.
func xmaild(dir string, args ...string) *exec.Cmd {
	args = withoutMail(args)
	cmd := exec.Command(filepath.Join(bin, "xmaild"), args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	endsWithTests(cmd.SysProcAttr)
	return cmd
}

// startOn starts xmaild on a MailRoot until the end of the test, and returns the address
// of its control port.
func startOn(t *testing.T, root string, args ...string) (*daemon, string) {
	t.Helper()
	return startAs(t, "xmaild", root, args...)
}

// startAs does it by a program of the folder of programs.
func startAs(t *testing.T, program, root string, args ...string) (*daemon, string) {
	t.Helper()
	args = append([]string{"-Ms", root, "-CI", "127.0.0.1", "-Cp", "0", "-W-", "--pid-dir", ""}, args...)
	cmd := xmaild(t.TempDir(), args...)
	cmd.Path = filepath.Join(bin, program)
	d, err := startDaemon(cmd)
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
