package durable_test

import (
	"errors"
	"io/fs"
	"sync"
	"syscall"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/durable"
)

// TestThoseWhoComeDuringASyncShareTheNextOne holds the first sync until all
// others wait.
func TestThoseWhoComeDuringASyncShareTheNextOne(t *testing.T) {
	const others = 50
	begun, release := make(chan int), make(chan struct{})
	count := 0
	f := durable.New(func(names []string) error {
		count++
		if len(names) != 1 || names[0] != "spool" {
			t.Errorf("synced %q, want spool", names)
		}
		begun <- count
		<-release
		return nil
	})
	var waiting sync.WaitGroup
	call := func() {
		if err := f.Sync("spool"); err != nil {
			t.Error(err)
		}
	}
	waiting.Go(call)
	if n := <-begun; n != 1 {
		t.Fatalf("sync %d began first", n)
	}
	var entered sync.WaitGroup
	entered.Add(others)
	for range others {
		waiting.Go(func() { entered.Done(); call() })
	}
	entered.Wait()
	release <- struct{}{}
	// Whoever had not asked yet when the second one began gets one more.
	finished := make(chan struct{})
	go func() { waiting.Wait(); close(finished) }()
	for {
		select {
		case <-begun:
			release <- struct{}{}
		case <-finished:
			if count < 2 || count > 4 {
				t.Errorf("%d callers took %d syncs, want 2 or few more", others+1, count)
			}
			return
		}
	}
}

func TestAFailedSyncIsToldToAllWhoWaitedForIt(t *testing.T) {
	broken := errors.New("input/output error")
	f := durable.New(func([]string) error { return broken })
	if err := f.Sync("spool"); !errors.Is(err, broken) {
		t.Errorf("Sync returned %v, want %v", err, broken)
	}
}

// TestAFailedSyncIsNotTriedAgain has a disk that calls the second sync a success, as
// Linux does of what it has given up to write.
func TestAFailedSyncIsNotTriedAgain(t *testing.T) {
	broken := errors.New("input/output error")
	failed := map[string]bool{}
	f := durable.New(func(names []string) error {
		if names[0] == "bad" && !failed["bad"] {
			failed["bad"] = true
			return broken
		}
		return nil
	})
	for try := range 3 {
		if err := f.Sync("bad"); !errors.Is(err, durable.ErrFailed) || !errors.Is(err, broken) {
			t.Errorf("sync %d of the folder returned %v, want ErrFailed and what came first", try, err)
		}
	}
	if err := f.Failed("bad"); !errors.Is(err, durable.ErrFailed) {
		t.Errorf("Failed returned %v, want ErrFailed", err)
	}
	if err := errors.Join(f.Sync("good"), f.Failed("good")); err != nil {
		t.Errorf("another folder: %v, want it synced", err)
	}
}

// TestThoseWhoWaitBehindAFailedSyncFailToo lets one wait while the sync that fails runs.
func TestThoseWhoWaitBehindAFailedSyncFailToo(t *testing.T) {
	begun, release := make(chan bool), make(chan bool)
	first := true
	f := durable.New(func([]string) error {
		if !first {
			return nil
		}
		first = false
		begun <- true
		<-release
		return errors.New("input/output error")
	})
	var callers sync.WaitGroup
	callers.Go(func() {
		if err := f.Sync("spool"); !errors.Is(err, durable.ErrFailed) {
			t.Errorf("the first returned %v, want ErrFailed", err)
		}
	})
	<-begun
	callers.Go(func() {
		if err := f.Sync("spool"); !errors.Is(err, durable.ErrFailed) {
			t.Errorf("the one behind it returned %v, want ErrFailed", err)
		}
	})
	close(release)
	callers.Wait()
}

func TestAFolderThatCouldNotBeOpenedIsSyncedLater(t *testing.T) {
	full := true
	f := durable.New(func(names []string) error {
		if full {
			return &fs.PathError{Op: "open", Path: names[0], Err: syscall.EMFILE}
		}
		return nil
	})
	if err := f.Sync("spool"); !errors.Is(err, syscall.EMFILE) || errors.Is(err, durable.ErrFailed) {
		t.Errorf("Sync returned %v, want EMFILE and no more", err)
	}
	full = false
	if err := f.Sync("spool"); err != nil {
		t.Errorf("with files to spare: %v", err)
	}
}
