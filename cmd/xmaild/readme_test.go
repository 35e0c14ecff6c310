//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var tourBlocks = regexp.MustCompile("(?s)```sh\n(.*?)```")

// tour returns the two code blocks of the README's tour: what is typed in the
// repository, and what is typed in an empty folder.
func tour(t *testing.T) (here, empty string) {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(readme), "\n## A tour in five minutes\n")
	if !found {
		t.Fatal("README.md has no tour")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	blocks := tourBlocks.FindAllStringSubmatch(section, -1)
	if len(blocks) != 2 {
		t.Fatalf("the tour has %d blocks of code, want 2", len(blocks))
	}
	return blocks[0][1], blocks[1][1]
}

// TestTourOfTheReadme types every line of the tour into a shell, and wants what
// the README says that it prints. The ports alone are others.
func TestTourOfTheReadme(t *testing.T) {
	here, empty := tour(t)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed here, with which the tour sends and reads mail")
	}
	var ports []string
	for _, port := range []string{"6017", "6018", "2525", "2465", "2110", "2995"} {
		ports = append(ports, port, freePort(t, ports))
	}
	empty = strings.NewReplacer(ports...).Replace(empty)
	dir := t.TempDir()
	t.Cleanup(func() { killLeftOver(t, filepath.Join(dir, "xmaild.pid")) })
	const mark = "@@line "
	var script strings.Builder
	want := map[int][]string{}
	lines := 0
	fmt.Fprintf(&script, "set -e\ncd '%s'\n%scd '%s'\n", root, here, dir)
	for line := range strings.Lines(empty) {
		line = strings.TrimSuffix(line, "\n")
		if output, ok := strings.CutPrefix(line, "#: "); ok {
			want[lines] = append(want[lines], output)
		} else if line != "" && !strings.HasPrefix(line, "#") {
			lines++
			fmt.Fprintf(&script, "echo '%s%d'\n%s\n", mark, lines, line)
		}
	}
	cmd := exec.Command("sh")
	cmd.Stdin = strings.NewReader(script.String())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("the shell: %v\n%s", err, stderr.Bytes())
	}
	got := map[int][]string{}
	at := 0
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSuffix(line, "\n")
		if number, ok := strings.CutPrefix(line, mark); ok {
			if at, err = strconv.Atoi(number); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if at > 0 { // the build may say that it downloads
			got[at] = append(got[at], line)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("output by number of the line (-README +shell):\n%s\nstandard error:\n%s", d, stderr.Bytes())
	}
	if at != lines {
		t.Errorf("%d lines of %d were run", at, lines)
	}
}

// killLeftOver ends the server of a tour that failed half-way.
func killLeftOver(t *testing.T, pidFile string) {
	content, err := os.ReadFile(pidFile)
	if err != nil {
		return // it has ended in order
	}
	pid, err := strconv.Atoi(string(content))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Error(err)
	}
}

// freePort returns a port of the loopback that nobody has, and that is none of others. It
// is below those that systems hand out, of which somebody may get it until it is used.
func freePort(t *testing.T, others []string) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(10_000 + rand.IntN(20_000))
		if slices.Contains(others, port) {
			continue
		}
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}

// TestQuickstartByGoRun does what the top of the README says, but for the place
// of the MailRoot: the folder of the code is not the test's to write to.
func TestQuickstartByGoRun(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	top, _, _ := strings.Cut(string(readme), "\n## ")
	for _, line := range []string{"\ngo run ./cmd/xmaild quickstart\n", "\nCTRL_PASSWORD=… go run ./cmd/ctrlclnt -s 127.0.0.1:6017 -u admin domainlist\n"} {
		if !strings.Contains(top, line) {
			t.Errorf("the top of the README lacks the line %q", line)
		}
	}
	root := filepath.Join(t.TempDir(), "MailRoot")
	cmd := exec.Command("go", "run", "./cmd/xmaild", "quickstart", "--root", root, "--ctrl-port", "0", "--ctrls-port", "0",
		"--smtp-port", "0", "--smtps-port", "0", "--pop3-port", "0", "--pop3s-port", "0")
	cmd.Dir = "../.."
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	d, err := startDaemon(cmd)
	if err != nil {
		t.Fatal(err)
	}
	// Ctrl-C goes to the whole group, as from a terminal.
	stop := func(signal syscall.Signal) error { return syscall.Kill(-cmd.Process.Pid, signal) }
	t.Cleanup(func() {
		select {
		case <-d.exited:
		default:
			if err := stop(syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				t.Error(err)
			}
		}
	})
	line, err := d.printed(regexp.MustCompile(`(?m)^  (CTRL_PASSWORD=\S+ go run \./cmd/ctrlclnt .*)$`))
	if err != nil {
		t.Fatal(err, d.log())
	}
	pasted := exec.Command("sh", "-c", line[1])
	pasted.Dir = "../.."
	out, err := pasted.CombinedOutput()
	if err != nil || string(out) != "\"example.test\"\n" {
		t.Errorf("%s printed %q, %v, want the first domain", line[1], out, err)
	}
	if err := stop(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if _, err := d.wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, ".xmaild.lock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the lock after the end: %v, want none", err)
	}
}
