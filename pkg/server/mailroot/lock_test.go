package mailroot

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSecondOwnerIsRefusedAndToldOfTheFirst(t *testing.T) {
	dir := t.TempDir()
	first, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Announce("127.0.0.1:6017", "[::1]:6018"); err != nil {
		t.Fatal(err)
	}
	second, err := Open(t.Context(), dir, Options{})
	if err == nil {
		t.Error("a second owner got the MailRoot")
		second.Close()
	}
	var locked *LockedError
	if !errors.As(err, &locked) || !errors.Is(err, ErrLocked) {
		t.Fatalf("error %v, want a LockedError", err)
	}
	if want := []string{"127.0.0.1:6017", "[::1]:6018"}; locked.PID != os.Getpid() || !slices.Equal(locked.Addrs, want) {
		t.Errorf("owner %d at %q, want %d at %q", locked.PID, locked.Addrs, os.Getpid(), want)
	}
	if !strings.Contains(err.Error(), "127.0.0.1:6017") {
		t.Errorf("the error does not name the owner: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	third, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatalf("open after the owner closed: %v", err)
	}
	if err := third.Close(); err != nil {
		t.Error(err)
	}
}

func TestLockOfAProcessThatDiedIsTaken(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, lockName), []byte("999999\n127.0.0.1:6017\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenNamesAFolderThatIsNone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, file + "-missing"} {
		if r, err := Open(t.Context(), dir, Options{}); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("open %s: %v, %v, want an error that names it", dir, r, err)
		}
	}
}
