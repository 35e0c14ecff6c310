package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/lmail"
)

func TestSendmailOnAFullDiskSaysSoAndLeavesNothing(t *testing.T) {
	s := newSender(t)
	if err := syscall.Mount("none", s.drop, "tmpfs", 0, "size=64k"); errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Skip("only root can mount a small disk")
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(s.drop, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := syscall.Chmod(s.drop, lmail.DropMode); err != nil {
		t.Fatal(err)
	}
	said, status := s.asNobody().send(t, "Subject: big\n\n"+strings.Repeat("line of a message\n", 10000), "ann@ext.test")
	if status != 75 || !strings.Contains(said, "is not queued") || !strings.Contains(said, "no space left") {
		t.Errorf("status %d, %q; want 75 and that there is no space left", status, said)
	}
	if entries, err := os.ReadDir(s.drop); err != nil || len(entries) != 0 {
		t.Errorf("the folder has %v, %v; want nothing", entries, err)
	}
	s.must(t, "Subject: small\n\n", "ann@ext.test")
	if names, err := filepath.Glob(filepath.Join(s.drop, "*.msg")); err != nil || len(names) != 1 {
		t.Errorf("a small message: %q, %v", names, err)
	}
}
