//go:build unix

package main

import (
	"bufio"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestSignalsEndTheProgram interrupts a list on its way to a file: the
// program dies of the signal, so that a loop around it ends, and leaves the old
// file and no other.
func TestSignalsEndTheProgram(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			dir := t.TempDir()
			server, err := startRawServer("> +00000 <1.2@127.0.0.1> XMail 1.27\n<\n> +00000 OK\n<\n> +00100 OK\n> \"a\"\nsync\n<<\n", filepath.Join(dir, "log"))
			if err != nil {
				t.Fatal(err)
			}
			defer server.stop()
			folder := filepath.Join(dir, "out")
			if err := os.Mkdir(folder, 0o777); err != nil {
				t.Fatal(err)
			}
			out := filepath.Join(folder, "list")
			if err := os.WriteFile(out, []byte("before"), 0o666); err != nil {
				t.Fatal(err)
			}
			heedSignal(t, sig)
			cmd := exec.Command("ctrlclnt", "-s", server.addr, "-u", "admin", "-p", "pw", "-f", out, "userlist")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if err := server.wait(); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != sig {
				t.Errorf("ended with %v, want by %v", cmd.ProcessState, sig)
			}
			if content, err := os.ReadFile(out); err != nil || string(content) != "before" {
				t.Errorf("the file holds %q, %v; want what it held before", content, err)
			}
			if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
				t.Errorf("the folder has %v, %v; want the file alone", entries, err)
			}
		})
	}
}

// heedSignal has the programs that the test starts die of a signal even where the tests
// were told to ignore it, as nohup and shells do with what they start in the background: a
// program begins with what its parent ignores, and not with what its parent catches.
func heedSignal(t *testing.T, sig os.Signal) {
	t.Helper()
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, sig)
	t.Cleanup(func() { signal.Stop(caught) })
}

// TestWatchEndsInSilence interrupts watch, which is how it ends.
func TestWatchEndsInSilence(t *testing.T) {
	row := `"2026-11-22T10:00:00Z"` + "\t" + `"admin"`
	server, err := startRawServer("> +00000 <1.2@127.0.0.1> xmaild\n<\n> +00000 OK\n<\n> +00100 OK\n> "+row+"\n> .\n<<\n", filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer server.stop()
	heedSignal(t, syscall.SIGINT)
	cmd := exec.Command("ctrlclnt", "-s", server.addr, "-u", "admin", "-p", "pw", "watch", "--interval", "600")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != row+"\n" {
		t.Errorf("shown %q, %v; want %q", line, err, row)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != syscall.SIGINT {
		t.Errorf("ended with %v, want by %v", cmd.ProcessState, syscall.SIGINT)
	}
	if stderr.Len() > 0 {
		t.Errorf("told %q, want nothing", stderr.String())
	}
}
