package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// noRaceSleep keeps programs that were built with the race detector from
// sleeping for a second at their end.
const noRaceSleep = "atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ctrlclnt": main, "CtrlClnt": main})
}

// TestScripts runs testdata/script/*.txtar, each against a server of its own
// that records what arrives in $WORK/requests and answers as the file
// reply-COMMAND says (see recorder). Besides the commands of testscript there are
//
//	status N PROGRAM ARG...   run it, and want exit status N
//	rawserver NAME FILE       a server that plays FILE; its address is in $NAME (see rawServer)
//	waitlog NAME              until it is done with a client; NAME.log has what that sent
//	reply COMMAND list|cut LINE...
//	reply COMMAND refuse|upload [CODE TEXT]
//	                          write reply-COMMAND; in it \t is a TAB and \e an escape
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			certs, err := writeCertificates(filepath.Join(env.WorkDir, "certs"))
			if err != nil {
				return err
			}
			r, err := startRecorder(env.WorkDir, certs.server)
			if err != nil {
				return err
			}
			env.Defer(r.stop)
			env.Values[rawServers{}] = map[string]*rawServer{}
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("GORACE", noRaceSleep)
			env.Setenv("FINGERPRINT", certs.fingerprint)
			env.Setenv("PLAIN", r.plain)
			env.Setenv("NATIVE", r.native)
			_, port, _ := strings.Cut(r.plain, ":")
			env.Setenv("PORT", port)
			env.Setenv("CTRL_SERVER", r.plain)
			env.Setenv("CTRL_USER", "admin")
			env.Setenv("CTRL_PASSWORD", recorderPassword)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"status":    cmdStatus,
			"rawserver": cmdRawServer,
			"waitlog":   cmdWaitLog,
			"reply":     cmdReply,
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "devfull":
				_, err := os.Stat("/dev/full")
				return err == nil, nil
			case "root":
				return os.Getuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
	})
}

func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d\n[stdout]\n%s[stderr]\n%s", got, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

func cmdReply(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: reply COMMAND LINE...")
	}
	var b bytes.Buffer
	switch args[1] {
	case "list", "cut":
		for _, a := range args[1:] {
			line := strings.NewReplacer(`\t`, "\t", `\e`, "\x1b").Replace(a)
			b.WriteString(line + "\n")
		}
	default:
		b.WriteString(strings.Join(args[1:], " ") + "\n")
	}
	ts.Check(os.WriteFile(ts.MkAbs("reply-"+args[0]), b.Bytes(), 0o666))
}

func cmdRawServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: rawserver NAME FILE")
	}
	r, err := startRawServer(ts.ReadFile(args[1]), ts.MkAbs(args[0]+".log"))
	ts.Check(err)
	ts.Defer(r.stop)
	ts.Setenv(args[0], r.addr)
	ts.Value(rawServers{}).(map[string]*rawServer)[args[0]] = r
}

func cmdWaitLog(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitlog NAME")
	}
	ts.Check(ts.Value(rawServers{}).(map[string]*rawServer)[args[0]].wait())
}

// rawServers is the key of the servers of a script.
type rawServers struct{}
