//go:build unix

package program_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/program"
	"github.com/xmaild/xmaild/pkg/server/program/programtest"
)

func TestProgramGetsItsArgumentsAndACleanEnvironment(t *testing.T) {
	t.Setenv("CTRL_PASSWORD", "do not leak")
	out := filepath.Join(programtest.Dir(t), "out")
	p := program.Program{
		Path: programtest.Script(t, `printf '%s|' "$@" >"$1"; pwd >>"$1"; cat >>"$1"; env >>"$1"`),
		Args: []string{out, "$(x) `id`", "", "a b"}, Stdin: strings.NewReader("secret\n"), Env: []string{"MORE=yes"},
	}
	if r, err := p.Run(t.Context()); err != nil || !r.OK() || r.Output != nil {
		t.Fatalf("%v, %v", r, err)
	}
	got := programtest.Read(t, out)
	if want := out + "|$(x) `id`||a b|/\nsecret\n"; !strings.HasPrefix(got, want) {
		t.Errorf("arguments, folder, input and environment:\n%s\nwant it to begin with %s", got, want)
	}
	if strings.Contains(got, "CTRL_PASSWORD") || !strings.Contains(got, "MORE=yes\n") {
		t.Errorf("the environment of the server leaks, or what was added is missing:\n%s", got)
	}
}

func TestProgramReportsHowItEnded(t *testing.T) {
	for text, want := range map[string]program.Result{
		"exit 0": {}, "exit 3": {Exit: 3}, "exit 255": {Exit: 255}, "kill -9 $$": {Exit: -1, Signal: true},
	} {
		got, err := program.Program{Path: programtest.Script(t, text)}.Run(t.Context())
		if err != nil || got.Exit != want.Exit || got.Signal != want.Signal || got.OK() != (text == "exit 0") {
			t.Errorf("%s gave %+v, %v; want %+v", text, got, err, want)
		}
	}
	if _, err := (program.Program{Path: "/nonexistent/program"}).Run(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there gave %v", err)
	}
	if _, err := (program.Program{Path: "no-such-program-anywhere"}).Run(t.Context()); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("a name that is not found gave %v", err)
	}
	if _, err := (program.Program{Path: "../bin/true"}).Run(t.Context()); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("a relative path gave %v", err)
	}
	if r, err := (program.Program{Path: "true"}).Run(t.Context()); err != nil || !r.OK() {
		t.Errorf("true gave %v, %v", r, err)
	}
}

func TestProgramsDoNotRunAsRoot(t *testing.T) {
	r, err := program.Program{Path: "id", Args: []string{"-u"}, MaxOutput: 100}.Run(t.Context())
	if err != nil || !r.OK() {
		t.Fatalf("id: %v, %v", r, err)
	}
	uid, _, other, err := program.RunsAs()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.TrimSpace(string(r.Output)), fmt.Sprint(uid); got != want || got == "0" {
		t.Errorf("a program runs as %s, want %s and never root", got, want)
	}
	if other != (os.Geteuid() == 0) {
		t.Errorf("as user %d programs run as another: %v", os.Geteuid(), other)
	}
	if r, err = (program.Program{Path: "id", Args: []string{"-G"}, MaxOutput: 100}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for group := range strings.FieldsSeq(string(r.Output)) {
		if group == "0" && other {
			t.Errorf("a program runs with the groups %s", r.Output)
		}
	}
}

// TestFolderThatNobodyCanEnter has a folder that only the server may enter: a program
// that runs as somebody else starts all the same.
func TestFolderThatNobodyCanEnter(t *testing.T) {
	closed := t.TempDir()
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	shared := programtest.Dir(t)
	_, _, other, err := program.RunsAs()
	if err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{closed: closed, shared: shared} {
		if other && dir == closed {
			want = "/"
		}
		r, err := program.Program{Path: "pwd", Args: []string{"-P"}, Dir: dir, MaxOutput: 1000}.Run(t.Context())
		if real, linkErr := filepath.EvalSymlinks(want); linkErr == nil {
			want = real
		}
		if err != nil || strings.TrimSpace(string(r.Output)) != want {
			t.Errorf("in %s a program ran in %q, %v; want %s", dir, r.Output, err, want)
		}
	}
}

func TestOutputBeyondTheLimitIsDroppedAndHoldsNobodyUp(t *testing.T) {
	r, err := program.Program{Path: programtest.Script(t, `head -c 1000000 /dev/zero | tr '\0' x; echo end >&2; exit 3`), MaxOutput: 10}.Run(t.Context())
	if err != nil || r.Exit != 3 || string(r.Output) != "xxxxxxxxxx" {
		t.Errorf("a flood gave exit %d and %q, %v; want 3 and ten x", r.Exit, r.Output, err)
	}
}

func TestInputThatIsNotReadHoldsNobodyUp(t *testing.T) {
	r, err := program.Program{Path: "true", Stdin: strings.NewReader(strings.Repeat("x", 1<<20))}.Run(t.Context())
	if err != nil || !r.OK() {
		t.Errorf("a program that does not read gave %v, %v", r, err)
	}
}

// TestOutputLeftToAChild has a program that ends while its child goes on and holds
// its output: what it said is taken then.
func TestOutputLeftToAChild(t *testing.T) {
	pid := filepath.Join(programtest.Dir(t), "pid")
	text := `sleep 600 & echo $! >` + pid + `; echo said`
	r, err := program.Program{Path: programtest.Script(t, text), MaxOutput: 100, Timeout: time.Hour}.Run(t.Context())
	if err != nil || !r.OK() || string(r.Output) != "said\n" {
		t.Errorf("gave %v with %q, %v", r, r.Output, err)
	}
	if out, err := exec.Command("kill", strings.TrimSpace(programtest.Read(t, pid))).CombinedOutput(); err != nil {
		t.Errorf("the child is not there any more: %v %s", err, out)
	}
}

// TestHangingProgramIsKilledWithItsChildren has a program whose child holds a
// connection: the connection closes when the child is dead, and not before.
func TestHangingProgramIsKilledWithItsChildren(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("needs bash for its /dev/tcp")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	text := `(exec 3<>/dev/tcp/127.0.0.1/` + port + `; printf ready >&3; sleep 600) & wait`
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		_, err := program.Program{Path: bash, Args: []string{"-c", text}, Timeout: time.Hour}.Run(ctx)
		done <- err
	}()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v, want %v", err, context.Canceled)
	}
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || os.IsTimeout(err) {
		t.Errorf("the child is still alive: read %d bytes, %v", n, err)
	}
}

func TestProgramIsKilledWhenItsTimeIsOver(t *testing.T) {
	_, err := program.Program{Path: "sleep", Args: []string{"600"}, Timeout: time.Millisecond}.Run(t.Context())
	if !errors.Is(err, program.ErrTimeout) {
		t.Errorf("Run returned %v, want %v", err, program.ErrTimeout)
	}
}

func TestPriority(t *testing.T) {
	// The program may begin before its priority is set: it waits until it is.
	text := `for i in 1 2 3 4 5 6 7 8 9 10; do n=$(nice); [ "$n" = "$1" ] && break; sleep 0.1; done; echo $n`
	out, err := exec.Command("nice").Output()
	if err != nil {
		t.Fatal(err)
	}
	own, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	for nice, level := range map[int]int{0: own, min(own+5, 19): min(own+5, 19)} {
		want := strconv.Itoa(level) + "\n"
		r, err := program.Program{Path: programtest.Script(t, text), Args: []string{strings.TrimSpace(want)}, Nice: nice, MaxOutput: 100}.Run(t.Context())
		if err != nil || string(r.Output) != want {
			t.Errorf("nice %d gave %q, %v; want %q", nice, r.Output, err, want)
		}
	}
}
