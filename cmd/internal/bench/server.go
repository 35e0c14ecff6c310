package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"time"

	"github.com/xmaild/xmaild/pkg/ctrl"
)

// patience is how long a server may take to start or to stop.
const patience = time.Minute

// A daemon is an xmaild that runs, with all services but finger on free ports of the
// loopback.
type daemon struct {
	ctrl, ctrls, smtp, smtps, pop3, pop3s string

	pid     int
	root    *root
	ready   time.Duration // from its start until the control port took a login
	command *exec.Cmd
	log     *serverLog
	ended   chan struct{} // closed when the process is gone
}

// start starts the server on a MailRoot and waits until it answers. It is stopped after
// the run, if not before.
func (e *env) start(ctx context.Context, r *root, args ...string) (*daemon, error) {
	d := &daemon{root: r, log: &serverLog{serving: make(chan struct{})}, ended: make(chan struct{})}
	d.command = exec.Command(e.progs.xmaild, append([]string{"serve", "--root", r.dir, "--pid-dir", "", "-F-",
		"-CI", "127.0.0.1", "-Cp", "0", "-WI", "127.0.0.1", "-Wp", "0",
		"-SI", "127.0.0.1", "-Sp", "0", "-XI", "127.0.0.1", "-Xp", "0",
		"-PI", "127.0.0.1", "-Pp", "0", "-BI", "127.0.0.1", "-Bp", "0"}, args...)...)
	d.command.Stderr = d.log
	begin := time.Now()
	if err := d.command.Start(); err != nil {
		return nil, err
	}
	d.pid = d.command.Process.Pid
	go func() {
		d.command.Wait() // how it ended is asked of the command, in stop
		close(d.ended)
	}()
	e.cleanup(d.stop)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-d.log.serving:
	case <-d.ended:
		return nil, fmt.Errorf("xmaild ended at once:\n%s", d.log)
	case <-ctx.Done():
		return nil, fmt.Errorf("start xmaild: %w\n%s", ctx.Err(), d.log)
	}
	d.ctrl, d.ctrls = d.log.address("ctrl"), d.log.address("ctrls")
	d.smtp, d.smtps = d.log.address("smtp"), d.log.address("smtps")
	d.pop3, d.pop3s = d.log.address("pop3"), d.log.address("pop3s")
	c, err := d.dial(ctx)
	if err != nil {
		return nil, err
	}
	d.ready = time.Since(begin)
	return d, c.Quit()
}

// dial logs in to the control port.
func (d *daemon) dial(ctx context.Context) (*ctrl.Client, error) {
	c, err := ctrl.Dial(ctx, d.ctrl, d.root.user, d.root.password)
	if err != nil {
		return nil, fmt.Errorf("log in to the control port: %w\n%s", err, d.log)
	}
	return c, nil
}

// stop stops the server as an administrator does, and says so where it does not stop well.
func (d *daemon) stop() error {
	select {
	case <-d.ended:
	default:
		// It may end in between; then there is nothing to stop.
		_ = d.command.Process.Signal(syscall.SIGTERM)
	}
	select {
	case <-d.ended:
	case <-time.After(patience):
		err := d.command.Process.Kill()
		<-d.ended
		return errors.Join(fmt.Errorf("xmaild did not stop within %v:\n%s", patience, d.log), err)
	}
	// An interrupt from the terminal reaches it before us.
	if s := d.command.ProcessState; !s.Success() {
		return fmt.Errorf("xmaild: %s\n%s", s, d.log)
	}
	return nil
}

// A serverLog is what a server writes to standard error.
type serverLog struct {
	mu      sync.Mutex
	text    bytes.Buffer
	serving chan struct{} // closed at the line that names the addresses
	found   bool
}

// mostLog is how much of a log is kept.
const mostLog = 1 << 16

func (l *serverLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.text.Len() < mostLog {
		l.text.Write(b)
	}
	if !l.found && bytes.Contains(l.text.Bytes(), []byte("msg=serving")) && bytes.HasSuffix(b, []byte("\n")) {
		l.found = true
		close(l.serving)
	}
	return len(b), nil
}

func (l *serverLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// address is that of a service, empty where it is off.
func (l *serverLog) address(service string) string {
	m := regexp.MustCompile(`msg=serving .*\b` + service + `=(127\.0\.0\.1:[0-9]+)`).FindStringSubmatch(l.String())
	if m == nil {
		return ""
	}
	return m[1]
}
