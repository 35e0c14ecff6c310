// Package durable makes names in folders survive a power cut, with one sync for
// all who wait for the same folder.
package durable

import "sync"

// Folders syncs folders. Whoever asks while a sync of the same folder runs shares
// the next one: with many at work the number of syncs does not grow. It is safe
// for concurrent use; the zero value is not ready, see [New].
type Folders struct {
	sync func(names []string) error

	mu      sync.Mutex
	folders map[string]*folder
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
	return &Folders{sync: sync, folders: make(map[string]*folder)}
}

// Sync returns when every name that was made in, or removed from, a folder before
// the call is durable. After an error nothing is known of them, and the sync must
// not be repeated to learn more: what failed once may be reported as done.
func (f *Folders) Sync(dir string) error {
	f.mu.Lock()
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
	d.next = nil // who comes from here on may have changed the folder too late
	f.mu.Unlock()
	r.err = f.sync([]string{dir})
	close(r.done)
	f.mu.Lock()
	defer f.mu.Unlock()
	if d.next != nil {
		d.next.lead <- struct{}{}
		return
	}
	delete(f.folders, dir)
}
