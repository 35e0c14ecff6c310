package durable_test

import (
	"errors"
	"sync"
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
