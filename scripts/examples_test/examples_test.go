//go:build unix

// Package examples_test runs the scripts that administrators copy, by sh, with
// the built ctrlclnt, against whole servers.
package examples_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// bin is the folder of the built ctrlclnt.
var bin string

func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "xmaild-examples-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "../../cmd/ctrlclnt")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build ctrlclnt: %v\n%s", err, out)
		return 1
	}
	bin = dir
	return m.Run()
}

// TestExamples runs testdata/*.txtar. Each has two servers of its own, whose
// addresses are $FIRST_SERVER (and $CTRL_SERVER) and $OTHER_SERVER, and profiles for them, here and
// there. The scripts are in the PATH. Besides the commands of testscript there are
//
//	status N PROGRAM ARG...  run it and want this exit status
//	down                     stop the first server
//	send LOGIN PASSWORD FROM TO...
//	                         a message by SMTP to the first server
//	mail DOMAIN USER SIZE    a message of so many bytes in a mailbox of the first server
func TestExamples(t *testing.T) {
	scripts, err := filepath.Glob(filepath.Join("testdata", "*.txtar"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	examples, err := filepath.Abs("../examples")
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) {
			server, other := servertest.Start(t), servertest.Start(t)
			testscript.Run(t, testscript.Params{
				Files:               []string{script},
				RequireExplicitExec: true,
				Setup: func(env *testscript.Env) error {
					env.Setenv("PATH", strings.Join([]string{examples, bin, env.Getenv("PATH")}, ":"))
					env.Setenv("HOME", env.WorkDir)
					env.Setenv("CTRL_SERVER", server.Addr)
					env.Setenv("MAIL_ROOT_OF_FIRST", server.Dir)
					env.Setenv("FIRST_SERVER", server.Addr)
					env.Setenv("OTHER_SERVER", other.Addr)
					env.Setenv("CTRL_USER", servertest.User)
					env.Setenv("CTRL_PASSWORD", servertest.Password)
					return writeProfiles(env.WorkDir, server, other)
				},
				Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
					"status": cmdStatus,
					"down": func(ts *testscript.TestScript, _ bool, _ []string) {
						server.Stop(t)
					},
					"send": func(ts *testscript.TestScript, neg bool, args []string) {
						if err := send(server.SMTP, args); (err != nil) != neg {
							ts.Fatalf("send %q: %v", args, err)
						}
					},
					"mail": func(ts *testscript.TestScript, _ bool, args []string) {
						ts.Check(deliver(server.Dir, args))
					},
				},
			})
		})
	}
}

// TestNoExampleIsForgotten wants every script in the test above, and in the
// crontab none that does not exist.
func TestNoExampleIsForgotten(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	for _, file := range files {
		tests.WriteString(read(t, file))
	}
	entries, err := os.ReadDir("../examples")
	if err != nil {
		t.Fatal(err)
	}
	scripts := map[string]bool{}
	for _, e := range entries {
		if !strings.HasPrefix(read(t, "../examples/"+e.Name()), "#!/bin/sh\n") {
			continue
		}
		scripts[e.Name()] = true
		if want := "\nstatus 0 " + e.Name() + " -h\nstdout 'usage: " + e.Name() + "'\n"; !strings.Contains(tests.String(), want) {
			t.Errorf("no test has the lines %q", want)
		}
		if info, err := e.Info(); err != nil || info.Mode()&0o111 != 0o111 {
			t.Errorf("%s: mode %v, %v, want one that may be run", e.Name(), info.Mode(), err)
		}
	}
	const folder = "/usr/local/lib/xmaild/"
	jobs := strings.Split(read(t, "../examples/crontab"), folder)
	for _, job := range jobs[1:] {
		if name := strings.Fields(job)[0]; !scripts[name] {
			t.Errorf("the crontab runs %s%s, which scripts/examples does not have", folder, name)
		}
	}
	if len(jobs) == 1 {
		t.Errorf("the crontab runs nothing of %s", folder)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// deliver puts a message of so many bytes into the mailbox of an account. No disk
// is filled with it.
func deliver(mailRoot string, args []string) error {
	if len(args) != 3 {
		return errors.New("usage: mail DOMAIN USER SIZE")
	}
	size, err := strconv.ParseInt(args[2], 10, 64)
	if err != nil {
		return err
	}
	name := filepath.Join(mailRoot, "domains", args[0], args[1], "Maildir", "new", "1")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		return err
	}
	return os.Truncate(name, size)
}

// writeProfiles writes the profile file, with the passwords in files of their own.
func writeProfiles(home string, server, other *servertest.Server) error {
	dir := filepath.Join(home, ".config", "ctrlclnt")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	password := filepath.Join(dir, "password")
	profiles := ""
	for name, s := range map[string]*servertest.Server{"here": server, "there": other} {
		profiles += fmt.Sprintf("%q\t%q\t%q\t\"--password-file\"\t%q\n", name, s.Addr, servertest.User, password)
	}
	if err := os.WriteFile(password, []byte(servertest.Password+"\n"), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "profiles"), []byte(profiles), 0o600)
}

// cmdStatus runs a program and wants an exit status of it.
func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N PROGRAM ARG...")
	}
	got := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := err.(*exec.ExitError)
		if !ok {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = fmt.Sprint(exit.ExitCode())
	}
	if got != args[0] {
		ts.Fatalf("%q ends with the status %s, want %s", args[1:], got, args[0])
	}
}
