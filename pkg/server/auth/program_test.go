//go:build unix

package auth

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestExpand(t *testing.T) {
	vars := map[string]string{"USER": "bob", "PASSWD": "a$(USER) b"}
	for _, c := range []struct{ field, want string }{
		{"plain", "plain"},
		{"$(USER)", "bob"},
		{"u=$(USER);p=$(PASSWD)", "u=bob;p=a$(USER) b"},
		{"@@PASSWD", "a$(USER) b"},
		{"x@@USER", "x@@USER"},
		{`\$(USER)`, "$(USER)"},
		{"$USER $ $(", "$USER $ $("},
		{"$(NONE)", ""},
		{"@@NONE", ""},
	} {
		if got := Expand([]string{c.field}, vars); !slices.Equal(got, []string{c.want}) {
			t.Errorf("Expand(%q) = %q, want %q", c.field, got, c.want)
		}
	}
}

// script writes an executable shell script and returns its path.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestProgramGetsItsArgumentsAndACleanEnvironment(t *testing.T) {
	t.Setenv("CTRL_PASSWORD", "do not leak")
	out := filepath.Join(t.TempDir(), "out")
	p := Program{Path: script(t, `printf '%s|' "$@" >"$1"; env >>"$1"`), Args: []string{out, "$(x) `id`", "", "a b"}}
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if want := out + "|$(x) `id`||a b|"; !strings.HasPrefix(string(got), want) {
		t.Errorf("arguments and environment:\n%s\nwant it to begin with %s", got, want)
	}
	if strings.Contains(string(got), "CTRL_PASSWORD") {
		t.Errorf("the environment of the server leaks:\n%s", got)
	}
}

func TestProgramReportsItsExitStatus(t *testing.T) {
	var exit *exec.ExitError
	err := Program{Path: script(t, "exit 3")}.Run(t.Context())
	if !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("exit 3 gave %v", err)
	}
	if err := (Program{Path: "/nonexistent/program"}).Run(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there gave %v", err)
	}
	if err := (Program{Path: "no-such-program-anywhere"}).Run(t.Context()); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("a name that is not found gave %v", err)
	}
	if err := (Program{Path: "true"}).Run(t.Context()); err != nil {
		t.Errorf("true gave %v", err)
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
	go func() { done <- Program{Path: bash, Args: []string{"-c", text}, Timeout: time.Hour}.Run(ctx) }()
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
	err := Program{Path: "sleep", Args: []string{"600"}, Timeout: time.Millisecond}.Run(t.Context())
	if !errors.Is(err, ErrTimeout) {
		t.Errorf("Run returned %v, want %v", err, ErrTimeout)
	}
}
