//go:build unix

package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// daemons is the key of the running daemons of a script.
type daemons struct{}

func running(ts *testscript.TestScript) map[string]*daemon {
	return ts.Value(daemons{}).(map[string]*daemon)
}

func daemonOf(ts *testscript.TestScript, name string) *daemon {
	d := running(ts)[name]
	if d == nil {
		ts.Fatalf("no daemon %s", name)
	}
	return d
}

func cmdMailRoot(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: mailroot DIR [VAR=VALUE...]")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(servertest.NewMailRoot(dir))
	name := filepath.Join(dir, "server.tab")
	content, err := os.ReadFile(name)
	ts.Check(err)
	rows := ""
	for _, v := range args[1:] {
		name, value, _ := strings.Cut(v, "=")
		rows += `"` + name + "\"\t\"" + value + "\"\n"
	}
	ts.Check(os.WriteFile(name, append([]byte(rows), content...), 0o600))
}

func launch(ts *testscript.TestScript, name string, args []string) *daemon {
	cmd := xmaild(ts.Getenv("WORK"), args...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = []string{}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "WORK", "XMAIL_PID_DIR", "MAIL_ROOT", "MAIL_CMD_LINE", "GOCOVERDIR"} {
		if value := ts.Getenv(name); value != "" {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	d, err := startDaemon(cmd)
	ts.Check(err)
	running(ts)[name] = d
	ts.Defer(func() { ts.Check(d.kill()) })
	return d
}

func cmdDaemon(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: daemon NAME ARG...")
	}
	d := launch(ts, args[0], args[1:])
	ctrl, ctrls, err := d.serving()
	ts.Check(err)
	ts.Setenv(args[0]+"_ADDR", ctrl)
	ts.Setenv(args[0]+"_TLS", ctrls)
	ts.Setenv(args[0]+"_PID", strconv.Itoa(d.cmd.Process.Pid))
}

func cmdFailing(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: failing NAME ARG...")
	}
	d := launch(ts, args[0], args[1:])
	status, err := d.wait()
	ts.Check(err)
	if status == 0 {
		ts.Fatalf("exit status 0, want another")
	}
	write(ts, args[0], d)
}

func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{
		"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL,
	}
	if neg || len(args) != 2 || signals[args[1]] == 0 {
		ts.Fatalf("usage: signal NAME TERM|INT|QUIT|HUP|KILL")
	}
	ts.Check(daemonOf(ts, args[0]).cmd.Process.Signal(signals[args[1]]))
}

func cmdLogged(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: logged NAME REGEXP")
	}
	_, err := daemonOf(ts, args[0]).logged(regexp.MustCompile(args[1]))
	ts.Check(err)
}

func cmdEnded(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: ended NAME STATUS")
	}
	d := daemonOf(ts, args[0])
	status, err := d.wait()
	ts.Check(err)
	write(ts, args[0], d)
	if strconv.Itoa(status) != args[1] {
		ts.Fatalf("exit status %d, want %s; the log:\n%s", status, args[1], d.log())
	}
}

// write saves what an ended daemon has written.
func write(ts *testscript.TestScript, name string, d *daemon) {
	ts.Check(os.WriteFile(ts.MkAbs(name+".out"), []byte(d.stdout()), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(name+".err"), []byte(d.log()), 0o600))
}

var pasteLine = regexp.MustCompile(`(?m)^  (.*ctrlclnt .*)$`)

func cmdPaste(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: paste NAME")
	}
	line, err := daemonOf(ts, args[0]).printed(pasteLine)
	ts.Check(err)
	ts.Check(ts.Exec("sh", "-c", line[1]))
}

func cmdWaitGone(ts *testscript.TestScript, neg bool, args []string) { waitFor(ts, false, args) }

func cmdWaitFile(ts *testscript.TestScript, neg bool, args []string) { waitFor(ts, true, args) }

func waitFor(ts *testscript.TestScript, there bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: waitgone|waitfile FILE")
	}
	name := ts.MkAbs(args[0])
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) != there {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("%s: there is not %v after %v", name, there, patience)
		}
	}
}

func cmdCtl(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: ctl NAME ARG...")
	}
	words := append([]string{"-s", ts.Getenv(args[0] + "_ADDR"), "-u", servertest.User, "-p", servertest.Password}, args[1:]...)
	err := ts.Exec(filepath.Join(bin, "ctrlclnt"), words...)
	var exit *exec.ExitError
	if neg && !errors.As(err, &exit) {
		ts.Fatalf("ctrlclnt %q: %v, want it to fail", args[1:], err)
	}
	if !neg {
		ts.Check(err)
	}
}
