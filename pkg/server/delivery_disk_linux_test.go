package server_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// small puts a file system of some KiB at a folder, and returns what ends it.
func small(t *testing.T, dir string) {
	t.Helper()
	err := syscall.Mount("none", dir, "tmpfs", 0, "size=256k")
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Skip("only root can mount a small disk; the tests of the queue fill one of their own")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// fill takes the room that is left, until it is given back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	name := filepath.Join(dir, "filler")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	block := []byte(strings.Repeat("x", 512))
	for err == nil {
		_, err = f.Write(block)
	}
	f.Close()
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v, want it full", err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Error(err)
		}
	}
}

// TestFullDisks fills the disk of the receiving queue, of the receiving mailbox, and of
// the sending queue, one after the other. Mail is refused for now, or waits; nothing
// that was acknowledged is lost.
func TestFullDisks(t *testing.T) {
	m := newMesh(t)
	a, b := m.site("a.test", []string{"ann"}, nil), m.site("b.test", []string{"ben"}, nil)
	for _, s := range m.sites {
		s.Stop(t)
	}
	live := filepath.Join(b.Dir, "spool", "live")
	box := filepath.Join(b.Dir, "domains", "b.test", "ben")
	sending := filepath.Join(a.Dir, "spool", "live")
	small(t, live)
	small(t, box)
	small(t, sending)
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(box, "Maildir", sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range m.sites {
		s.restart()
	}

	free := fill(t, live)
	// A short one needs no queue at its destination.
	a.submit("ann@a.test", "ben@b.test", strings.Repeat("X-Room: a message that needs it\r\n", 2_500)+text("queue"))
	a.deferredOnce()
	free()
	m.pass(30 * time.Minute)
	m.wantBody(b.arrived("ben", 1)[0], "queue")
	m.settle()

	free = fill(t, box)
	a.submit("ann@a.test", "ben@b.test", text("box"))
	b.deferredOnce()
	if n := len(b.mails("ben")); n != 1 {
		t.Errorf("%d messages in a mailbox without room, want 1", n)
	}
	free()
	m.pass(30 * time.Minute)
	b.arrived("ben", 2)
	m.settle()

	free = fill(t, sending)
	// One that is small finds room in the file of a message that is done with.
	big := text("refused") + strings.Repeat("text of a message that needs room\r\n", 10_000)
	if err := a.trySubmit("ann@a.test", big, "ben@b.test"); err == nil || !strings.HasPrefix(err.Error(), "4") {
		t.Errorf("submission to a full disk: %v, want a reply of 4xx", err)
	}
	free()
	a.submit("ann@a.test", "ben@b.test", text("again"))
	b.arrived("ben", 3)
	m.settle()
	if n := len(a.mails("root")) + len(b.mails("root")); n != 0 {
		t.Errorf("%d messages to the administrators, want none", n)
	}
}
