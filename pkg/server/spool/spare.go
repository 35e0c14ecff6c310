package spool

import (
	"io/fs"
	"path/filepath"
	"sync"
)

const (
	// maxSpares is how many files of finished messages are kept for new ones.
	maxSpares = 256
	// maxSpareSize is the size in bytes of the largest message whose file is kept.
	maxSpareSize = 64 << 10
)

// spares are files of finished messages that are kept for new ones: to make a file for
// every message and to remove it costs some file systems more than all else about
// it. Ext4, for one, looks at every inode that was freed in the last minute before it
// gives out another.
//
// A file may be written over only when its new name is durable: before that a power
// cut could bring the finished message back with the text of another one. And nobody
// may have it open.
type spares struct {
	mu    sync.Mutex
	open  map[string]int      // by key, how often the file of the message is open; retiring: it is being renamed
	ended map[string]*message // finished while their files are open
	fresh []string            // renamed since the folder was synced last
	ready []string
	mode  fs.FileMode // of those files
	used  bool        // since the last sweep
}

const retiring = -1

func newSpares() *spares {
	return &spares{open: make(map[string]int), ended: make(map[string]*message)}
}

// hold keeps the file of a message from being used again until release, and reports
// whether there is one.
func (s *spares) hold(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[key] == retiring {
		return false
	}
	s.open[key]++
	return true
}

// release ends what hold began. It returns the message where it has been finished
// meanwhile and nobody has its file any more.
func (s *spares) release(key string) *message {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[key]--; s.open[key] > 0 {
		return nil
	}
	m := s.ended[key]
	delete(s.open, key)
	delete(s.ended, key)
	return m
}

// postpone reports whether the file of a finished message is open. Then the last
// release returns the message.
func (s *spares) postpone(m *message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[m.key] == 0 {
		return false
	}
	s.ended[m.key] = m
	return true
}

// offer reports whether the file of a finished message is to be kept. Then nobody can
// hold it until put.
func (s *spares) offer(key string, size int64, mode fs.FileMode) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := len(s.fresh) + len(s.ready)
	if s.open[key] > 0 || size > maxSpareSize || kept >= maxSpares || kept > 0 && s.mode != mode {
		return false
	}
	s.open[key], s.mode = retiring, mode
	return true
}

// put ends what offer began. name is that of the file now, empty where it could not be
// renamed.
func (s *spares) put(key, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, key)
	if name != "" {
		s.fresh = append(s.fresh, name)
	}
}

// get returns a file that may be written over, empty where there is none.
func (s *spares) get(mode fs.FileMode) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = true
	if len(s.ready) == 0 || s.mode != mode {
		return ""
	}
	last := len(s.ready) - 1
	name := s.ready[last]
	s.ready = s.ready[:last]
	return name
}

// syncing is called before the folder is synced; what it returns, when that is over.
func (s *spares) syncing() (synced func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := s.fresh
	s.fresh = nil
	return func(err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil {
			s.fresh = append(s.fresh, names...)
			return
		}
		s.ready = append(s.ready, names...)
	}
}

// sweep returns the files to be removed where no message came since the last call: the
// mail of others does not lie about for long. all says that every file is to go.
func (s *spares) sweep(all bool) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	used := s.used
	s.used = false
	if used && !all {
		return nil
	}
	names := append(s.ready, s.fresh...)
	s.ready, s.fresh = nil, nil
	return names
}

// syncFolder makes the names in the folder of the queue durable.
func (q *Queue) syncFolder() error {
	synced := q.spares.syncing()
	q.mu.Lock()
	removed := q.removed
	q.mu.Unlock()
	err := q.folders.Sync(q.dir)
	synced(err)
	if err == nil {
		q.mu.Lock()
		q.gone = max(q.gone, removed)
		q.mu.Unlock()
	}
	return err
}

// retire takes the files of a delivered message out of the queue. Like those that
// forget removes they may be back after a power cut until [Queue.Sync].
// A file that is open is dealt with when it is closed.
func (q *Queue) retire(m *message) error {
	if q.spares.postpone(m) {
		return nil
	}
	mode := q.opts.mode()
	if !q.spares.offer(m.key, m.start+m.size, mode) {
		return q.forget(m)
	}
	spare := filepath.Join(q.dir, m.key+spareSuffix)
	err := q.fs.Rename(filepath.Join(q.dir, m.key+messageSuffix), spare)
	if err != nil {
		spare = ""
	}
	q.spares.put(m.key, spare)
	if err != nil {
		return q.forget(m)
	}
	q.mu.Lock()
	q.removed++
	q.mu.Unlock()
	defer q.left(m)
	return q.forgetLog(m)
}

// sweepSpares removes files that were kept for new messages.
func (q *Queue) sweepSpares(all bool) {
	for _, name := range q.spares.sweep(all) {
		if err := remove(q.fs, name); err != nil {
			q.log.Warn("file of a finished message cannot be removed", "file", name, "err", err)
		}
	}
}

// A heldFile is the file of a message of the queue.
type heldFile struct {
	File
	release func()
}

func (f *heldFile) Close() error {
	defer f.release()
	return f.File.Close()
}

// modify opens the file of a message of the queue. It is not used again while it is open.
// Of a message that is gone there is none, whatever has its name by now.
func (q *Queue) modify(m *message) (File, error) {
	name := filepath.Join(q.dir, m.key+messageSuffix)
	if !q.spares.hold(m.key) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	q.mu.Lock()
	gone := q.live[m.key] != m && q.ending[m.key] != m
	q.mu.Unlock()
	var f File
	var err error = &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	if !gone {
		f, err = q.fs.Modify(name)
	}
	if err != nil {
		q.letGo(m.key)
		return nil, err
	}
	return &heldFile{f, sync.OnceFunc(func() { q.letGo(m.key) })}, nil
}

// letGo ends a hold of the file of a message.
func (q *Queue) letGo(key string) {
	if m := q.spares.release(key); m != nil {
		_ = q.retire(m) // which has logged it
	}
}
