// Package durable makes names in folders survive a power cut, with one sync for
// all who wait for the same folder.
package durable

import (
	"errors"
	"fmt"
	"sync"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// ErrFailed is the error of a folder whose sync has failed once. The system may have
// dropped what it could not write, and call the next sync a success all the same: so
// nothing more is promised of that folder until the process starts again.
var ErrFailed = errors.New("a sync of the folder failed, and it takes no more changes")

// Folders syncs folders. Whoever asks while a sync of the same folder runs shares
// the next one: with many at work the number of syncs does not grow. It is safe
// for concurrent use; the zero value is not ready, see [New].
type Folders struct {
	sync func(names []string) error

	mu      sync.Mutex
	folders map[string]*folder
	failed  map[string]error // by folder
}

// A folder has the sync that runs, and the one that those wait for who came since.
type folder struct {
	running bool
	next    *round
}

// A round is one sync and those who wait for it.
type round struct {
	lead chan struct{} // one of them is told that the sync is its to run
	done chan struct{}
	err  error
}

// New returns Folders that sync by a function which makes the entries of the
// named folders durable, as Sync of a tabfile.FS does.
func New(sync func(names []string) error) *Folders {
	return &Folders{sync: sync, folders: make(map[string]*folder), failed: make(map[string]error)}
}

// Failed returns why nothing more is promised of a folder, an error that is
// [ErrFailed], or nil.
func (f *Folders) Failed(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed[dir]
}

// Sync returns when every name that was made in, or removed from, a folder before
// the call is durable. After an error nothing is known of them. Where a sync was
// tried and failed, the error and that of every later call is [ErrFailed].
func (f *Folders) Sync(dir string) error {
	f.mu.Lock()
	if err := f.failed[dir]; err != nil {
		f.mu.Unlock()
		return err
	}
	d := f.folders[dir]
	if d == nil {
		d = &folder{}
		f.folders[dir] = d
	}
	if d.next == nil {
		d.next = &round{lead: make(chan struct{}, 1), done: make(chan struct{})}
	}
	r := d.next
	if !d.running {
		d.running = true
		r.lead <- struct{}{}
	}
	f.mu.Unlock()
	select {
	case <-r.done:
	case <-r.lead:
		f.run(dir, d, r)
	}
	return r.err
}

// run syncs a folder for a round, and hands the next one to somebody of it.
func (f *Folders) run(dir string, d *folder, r *round) {
	f.mu.Lock()
	d.next = nil            // who comes from here on may have changed the folder too late
	failed := f.failed[dir] // in the round before, while this one waited
	f.mu.Unlock()
	if r.err = failed; failed == nil {
		if r.err = f.sync([]string{dir}); tabfile.SyncFailed(r.err) {
			r.err = fmt.Errorf("%w: %w", ErrFailed, r.err)
			failed = r.err
		}
	}
	close(r.done)
	f.mu.Lock()
	defer f.mu.Unlock()
	if failed != nil {
		f.failed[dir] = failed
	}
	if d.next != nil {
		d.next.lead <- struct{}{}
		return
	}
	delete(f.folders, dir)
}
