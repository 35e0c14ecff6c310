package tabfile

import (
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// trash are the trees that are gone for everybody and wait in tmp to be removed. One
// goroutine removes them, when there is nothing better to do, so that the disk is left
// to those who wait for it.
type trash struct {
	mu      sync.Mutex
	waiting []string
	running bool
}

const (
	trashMost = 4096        // so many trees wait for a calm moment
	trashWait = time.Second // and each of them so long, once it is the next
)

// awaitCalm returns when nothing has been committed for a while: whoever waits for the
// disk comes first.
func (s *Store) awaitCalm() {
	begin := time.Now()
	for {
		rest := s.opts.times.calm - (time.Since(s.opened) - time.Duration(s.wrote.Load()))
		if rest <= 0 || time.Since(begin) > trashWait {
			return
		}
		select {
		case <-s.closed:
			return
		case <-time.After(rest):
		}
	}
}

// removeLater removes a tree in the background.
func (s *Store) removeLater(name string) {
	s.trash.mu.Lock()
	defer s.trash.mu.Unlock()
	s.trash.waiting = append(s.trash.waiting, name)
	if !s.trash.running {
		s.trash.running = true
		s.wg.Go(s.removeTrash)
	}
}

func (s *Store) removeTrash() {
	var closing time.Time
	for {
		s.trash.mu.Lock()
		if len(s.trash.waiting) == 0 {
			s.trash.waiting, s.trash.running = nil, false
			s.trash.mu.Unlock()
			return
		}
		name, many := s.trash.waiting[0], len(s.trash.waiting) > trashMost
		s.trash.waiting = s.trash.waiting[1:]
		s.trash.mu.Unlock()
		if !many {
			s.awaitCalm()
		}
		if err := s.fs.RemoveAll(name); err != nil {
			s.log.Warn("part of a removed folder stays", "folder", name, "err", err)
		}
		select {
		case <-s.closed:
			if closing.IsZero() {
				closing = time.Now()
			}
			if time.Since(closing) > s.opts.times.trash {
				return
			}
		default:
		}
	}
}

// sweepTmp removes in the background what a crash or a stop left in tmp.
func (s *Store) sweepTmp() {
	names, err := s.fs.ReadDir(filepath.Join(s.root, tmpDir))
	if err != nil {
		return
	}
	for _, name := range names {
		number, ext, _ := strings.Cut(name, ".")
		if ext = "." + ext; ext != stageExt && ext != trashExt {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			continue
		}
		s.names = max(s.names, n) // it is taken until it is removed
		s.removeLater(filepath.Join(s.root, tmpDir, name))
	}
}
