//go:build unix

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/servertest"
)

// refused reports whether err is a refusal, with one of codes where some are given.
func refused(err error, codes ...ctrl.Code) bool {
	var e *ctrl.Error
	if !errors.As(err, &e) {
		return false
	}
	for _, code := range codes {
		if e.Code == code {
			return true
		}
	}
	return len(codes) == 0
}

// TestFullDiskRefusesChanges limits the size of files, as a full disk would,
// and wants changes refused whole while everything else goes on.
func TestFullDiskRefusesChanges(t *testing.T) {
	root := filepath.Join(t.TempDir(), "MailRoot")
	if err := servertest.NewMailRoot(root); err != nil {
		t.Fatal(err)
	}
	cmd := xmaild(t.TempDir())
	// In blocks of 512 bytes by POSIX; bash has blocks of 1024.
	cmd.Args = []string{"sh", "-c", `ulimit -f 64; exec "$0" "$@"`, cmd.Path, "-Ms", root, "-CI", "127.0.0.1", "-Cp", "0", "-W-", "--pid-dir", ""}
	cmd.Path = "/bin/sh"
	d, err := startDaemon(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.kill(); err != nil {
			t.Error(err)
		}
	}()
	addr, _, err := d.serving()
	if err != nil {
		t.Fatal(err)
	}
	client, err := ctrl.Dial(t.Context(), addr, servertest.User, servertest.Password)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Do(t.Context(), "useradd", "xmailserver.test", "before", "pw", "U"); err != nil {
		t.Fatalf("useradd with room: %v", err)
	}
	big := strings.NewReader(strings.Repeat("\"a.example\"\t\"b\"\t\"xmailuser\"\n", 40000))
	err = client.Upload(t.Context(), big, "cfgfileset", "filters/big.tab")
	if !refused(err) {
		t.Errorf("upload without room: %v, want a refusal", err)
	}
	if _, err := os.Stat(filepath.Join(root, "filters", "big.tab")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file of the refused upload: %v, want none", err)
	}
	again, err := ctrl.Dial(t.Context(), addr, servertest.User, servertest.Password)
	if err != nil {
		t.Fatalf("log in after the refusal: %v", err)
	}
	defer again.Close()
	if lines, err := again.List(t.Context(), "userlist", "xmailserver.test"); err != nil || len(lines) != 2 {
		t.Errorf("userlist after the refusal: %q, %v, want two accounts", lines, err)
	}
	if _, err := again.Do(t.Context(), "useradd", "xmailserver.test", "after", "pw", "U"); err != nil {
		t.Errorf("a small change after the refusal: %v", err)
	}
}

// TestReadOnlyMailRootIsRefused wants one clear line where nothing can be written.
func TestReadOnlyMailRootIsRefused(t *testing.T) {
	root := filepath.Join(t.TempDir(), "MailRoot")
	if err := servertest.NewMailRoot(root); err != nil {
		t.Fatal(err)
	}
	cmd := xmaild(t.TempDir(), "-Ms", root, "-CI", "127.0.0.1", "-Cp", "0", "-W-", "--pid-dir", "")
	if os.Getuid() == 0 {
		// Modes do not bind root: the server runs as someone else, who may read.
		if err := os.Chmod(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		for dir := root; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(cmd.Dir, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	} else {
		if err := os.Chmod(root, 0o500); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.Chmod(root, 0o700); err != nil {
				t.Error(err)
			}
		})
	}
	d, err := startDaemon(cmd)
	if err != nil {
		t.Fatal(err)
	}
	status, err := d.wait()
	if err != nil {
		t.Fatal(errors.Join(err, d.kill()))
	}
	lines := strings.Split(strings.TrimSpace(d.log()), "\n")
	last := lines[len(lines)-1]
	if status != exitFailed || !strings.HasPrefix(last, "xmaild: ") || !strings.Contains(last, "permission denied") {
		t.Errorf("status %d and %q, want %d and the reason", status, last, exitFailed)
	}
}
