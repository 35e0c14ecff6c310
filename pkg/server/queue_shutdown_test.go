package server_test

import (
	"context"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/xmaild/xmaild/pkg/server"
	"github.com/xmaild/xmaild/pkg/server/servertest"
	"github.com/xmaild/xmaild/pkg/server/spool"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A slowFS has a mailbox that takes mail only when the queue has been closed, and knows
// whether a power cut could bring a finished message back.
type slowFS struct {
	spool.FS
	begun  chan struct{} // closed when a delivery is under way
	closed chan struct{} // closed when the queue is

	mu    sync.Mutex
	begin func()
	close func()
	back  []string // names of messages that a power cut could bring back
}

func newSlowFS() *slowFS {
	f := &slowFS{FS: spool.OS(), begun: make(chan struct{}), closed: make(chan struct{})}
	f.begin = sync.OnceFunc(func() { close(f.begun) })
	f.close = sync.OnceFunc(func() { close(f.closed) })
	return f
}

func (f *slowFS) Create(name, like string, perm fs.FileMode) (tabfile.File, error) {
	if strings.Contains(name, "Maildir") {
		f.begin()
		<-f.closed
	}
	return f.FS.Create(name, like, perm)
}

func (f *slowFS) Rename(from, to string) error {
	err := f.FS.Rename(from, to)
	f.gone(from)
	if filepath.Base(to) == "message.id" {
		select {
		case <-f.begun: // it is the last that the queue does when it is closed
			f.close()
		default:
		}
	}
	return err
}

func (f *slowFS) Remove(name string) error {
	err := f.FS.Remove(name)
	f.gone(name)
	return err
}

func (f *slowFS) gone(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.HasSuffix(name, ".msg") {
		f.back = append(f.back, filepath.Base(name))
	}
}

func (f *slowFS) Sync(names []string) error {
	f.mu.Lock()
	if slices.ContainsFunc(names, func(name string) bool { return filepath.Base(name) == "live" }) {
		f.back = nil
	}
	f.mu.Unlock()
	return f.FS.Sync(names)
}

// TestWhatIsDeliveredWhileTheServerStopsDoesNotComeBack has a delivery that ends after
// the queue has been closed.
func TestWhatIsDeliveredWhileTheServerStopsDoesNotComeBack(t *testing.T) {
	disk := newSlowFS()
	s := servertest.Start(t, servertest.Config(func(c *server.Config) { c.FS = disk }))
	if err := post(s); err != nil {
		t.Fatal(err)
	}
	<-disk.begun
	ctx, cancel := context.WithTimeout(t.Context(), faultPatience)
	defer cancel()
	if err := s.Server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	s.Server = nil
	if n := len(mails(t, s)); n != 1 {
		t.Errorf("%d messages were delivered, want one", n)
	}
	disk.mu.Lock()
	defer disk.mu.Unlock()
	if len(disk.back) > 0 {
		t.Errorf("after a power cut %q may be delivered again", disk.back)
	}
}
