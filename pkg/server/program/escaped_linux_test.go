package program_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/xmaild/xmaild/pkg/server/program"
	"github.com/xmaild/xmaild/pkg/server/program/programtest"
)

// TestChildrenThatLeaveTheGroupAreKilled has programs whose children make a session of
// their own. A child holds a pipe open: it is at its end when the child is dead.
func TestChildrenThatLeaveTheGroupAreKilled(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("needs setsid")
	}
	// It gets the pipe as its first argument.
	const child = "sh -c 'exec 3>$1; echo ready >&3; sleep 600' child \"$1\""
	for name, text := range map[string]string{
		"child":                         "setsid " + child + " & wait",
		"child whose parent has ended":  "(setsid " + child + " &); sleep 600",
		"child without an environment":  "env -i \"$(command -v setsid)\" " + child + " & wait",
		"grandchild in its own session": "setsid sh -c 'setsid sh -c \"exec 3>$1; echo ready >&3; sleep 600\" & wait' child \"$1\" & wait",
	} {
		t.Run(name, func(t *testing.T) {
			fifo := filepath.Join(programtest.Dir(t), "fifo")
			if err := syscall.Mkfifo(fifo, 0o666); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(fifo, 0o666); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			p := program.Program{Path: programtest.Script(t, text), Args: []string{fifo}, Timeout: time.Hour}
			go func() {
				_, err := p.Run(ctx)
				done <- err
			}()
			pipe, err := os.Open(fifo)
			if err != nil {
				t.Fatal(err)
			}
			defer pipe.Close()
			if err := pipe.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(pipe, make([]byte, len("ready\n"))); err != nil {
				t.Fatal(err)
			}
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("Run returned %v, want %v", err, context.Canceled)
			}
			if n, err := pipe.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
				t.Errorf("the child is still alive: read %d bytes, %v", n, err)
			}
		})
	}
}
