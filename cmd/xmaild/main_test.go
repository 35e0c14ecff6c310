//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// bin is the folder of the two programs, built from what is tested.
var bin string

// racedName is xmaild with the race detector, where the tests have it.
const racedName = "xmaild-race"

func TestMain(m *testing.M) {
	if os.Getenv(trapEnv) != "" {
		fmt.Fprintln(os.Stderr, setTrap(os.Args[1:]))
		os.Exit(1)
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "xmaild-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	builds := [][]string{{"build", "-o", dir + string(filepath.Separator), ".", "../ctrlclnt"}}
	if raced {
		builds = append(builds, []string{"build", "-race", "-o", filepath.Join(dir, racedName), "."})
	}
	for _, args := range builds {
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
			return 1
		}
	}
	bin = dir
	// A MailRoot or options of the machine's own must not reach the tests.
	for _, name := range []string{"MAIL_ROOT", "MAIL_CMD_LINE", "XMAIL_PID_DIR", "CTRL_SERVER", "CTRL_USER", "CTRL_PASSWORD"} {
		if err := os.Unsetenv(name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

// TestScripts runs testdata/script/*.txtar over the built programs. Besides the
// commands of testscript there are
//
//	mailroot DIR [VAR=VALUE...]  a MailRoot (user admin, password secretpw) with these in server.tab
//	daemon NAME ARG...           start xmaild and wait until it serves; its addresses are in
//	                             $NAME_ADDR, $NAME_TLS and its process id in $NAME_PID
//	failing NAME ARG...          start xmaild and wait until it ends; want a status other than 0
//	signal NAME SIGNAL           send TERM, INT, QUIT, HUP or KILL to it
//	logged NAME REGEXP           wait until its log has a line like that
//	ended NAME STATUS            wait until it ends; NAME.out and NAME.err have what it wrote
//	paste NAME                   run the line that quickstart printed, in a shell
//	waitgone FILE                wait until there is no such file
//	waitfile FILE                wait until there is one
//	ctl NAME ARG...              ctrlclnt as admin of a MailRoot made by mailroot
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(filepath.ListSeparator)+env.Getenv("PATH"))
			env.Setenv("BIN", bin)
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XMAIL_PID_DIR", filepath.Join(env.WorkDir, "run"))
			env.Values[daemons{}] = map[string]*daemon{}
			return os.Mkdir(filepath.Join(env.WorkDir, "run"), 0o700)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"mailroot": cmdMailRoot,
			"daemon":   cmdDaemon,
			"failing":  cmdFailing,
			"signal":   cmdSignal,
			"logged":   cmdLogged,
			"ended":    cmdEnded,
			"paste":    cmdPaste,
			"waitgone": cmdWaitGone,
			"waitfile": cmdWaitFile,
			"ctl":      cmdCtl,
		},
	})
}
