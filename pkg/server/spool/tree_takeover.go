package spool

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Takeover is what came of taking over the reference's tree.
type Takeover struct {
	Messages int      // that are in the live queue now
	Aside    []string // files that hold no message, where they are now
	Left     []string // files that stay where they are, for a reason that the log tells
}

// takeBatch is how many messages are taken over with one sync of their folders.
const takeBatch = 256

// TakeOver moves the messages that wait in the reference's tree into the live queue,
// and sweeps what is left of those that are gone. It is called after [Open] and
// before the first lease. A message that the reference has tried is due when due
// says, which is told the time and the number of its last attempt; nil: at once.
//
// It can be cut off anywhere, by a power cut too, and called again: each message is
// then in the queue once. A file that holds no message is put aside in spool/bad and
// named; one that cannot be read or moved stays, and is named. The error is why it
// could not go on.
func (q *Queue) TakeOver(ctx context.Context, due func(last time.Time, tries int) time.Time) (Takeover, error) {
	q.taking.Lock()
	defer q.taking.Unlock()
	t := taking{q: q, due: due}
	q.mu.Lock()
	t.digests = q.digests()
	q.mu.Unlock()
	err := t.tree(ctx)
	if t.Messages > 0 || len(t.Aside) > 0 || len(t.Left) > 0 {
		q.log.Info("messages of the old queue are taken over", "count", t.Messages, "aside", len(t.Aside), "left", len(t.Left))
	}
	if err != nil {
		err = fmt.Errorf("spool: take over the old queue: %w", err)
	}
	return t.Takeover, err
}

// A taking is a run of TakeOver. Some leaves are worked on at a time, since a disk
// takes many syncs at once.
type taking struct {
	q   *Queue
	due func(last time.Time, tries int) time.Time

	digests map[string]string // of keys in the live queue

	mu sync.Mutex
	Takeover
}

const takeWorkers = 8

func (t *taking) tree(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	leaves := make(chan Name)
	var workers sync.WaitGroup
	for range takeWorkers {
		workers.Go(func() {
			for leaf := range leaves {
				if err := t.leaf(ctx, leaf); err != nil {
					stop(err) // the first one counts
				}
			}
		})
	}
	err := t.leaves(ctx, leaves)
	close(leaves)
	workers.Wait()
	slices.Sort(t.Aside)
	slices.Sort(t.Left)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// leaves sends the leaves of the tree.
func (t *taking) leaves(ctx context.Context, to chan<- Name) error {
	root := t.q.tree().Dir
	first, err := t.q.numbers(root)
	if err != nil {
		return err
	}
	for _, level0 := range first {
		second, err := t.q.numbers(filepath.Join(root, strconv.Itoa(level0)))
		if err != nil {
			return err
		}
		for _, level1 := range second {
			select {
			case to <- Name{Level0: level0, Level1: level1}:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// numbers returns the folders of a folder whose names are numbers.
func (q *Queue) numbers(dir string) ([]int, error) {
	names, err := q.fs.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []int
	for _, name := range names {
		n, err := strconv.Atoi(name)
		if err != nil || n < 0 || strconv.Itoa(n) != name {
			continue
		}
		if info, err := q.fs.Lstat(filepath.Join(dir, name)); err == nil && info.IsDir() {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all, nil
}

// names returns the files of a folder of a leaf, those with a dot before excepted.
func (q *Queue) names(leaf Name, dir string) ([]string, error) {
	path, err := q.tree().path(Name{leaf.Level0, leaf.Level1, "x"}, dir)
	if err != nil {
		return nil, err
	}
	names, err := q.fs.ReadDir(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	slices.Sort(names)
	return slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, ".") }), err
}

func (t *taking) leaf(ctx context.Context, leaf Name) error {
	for _, dir := range []string{queueDir, resendDir} {
		names, err := t.q.names(leaf, dir)
		if err != nil {
			return err
		}
		for batch := range slices.Chunk(names, takeBatch) {
			if err := t.batch(ctx, leaf, dir, batch); err != nil {
				return err
			}
		}
	}
	frozen, err := t.q.names(leaf, frozenDir)
	if err != nil {
		return err
	}
	for _, file := range frozen {
		t.q.settle(Name{leaf.Level0, leaf.Level1, file}, t.digests)
	}
	return t.q.sweep(leaf)
}

// batch takes over some files of a folder.
func (t *taking) batch(ctx context.Context, leaf Name, dir string, files []string) error {
	var batch []taken
	var stop error
	for _, file := range files {
		if stop == nil {
			stop = ctx.Err()
		}
		if stop != nil {
			break
		}
		n := Name{leaf.Level0, leaf.Level1, file}
		path, err := t.q.tree().path(n, dir)
		var one taken
		if err == nil {
			one, err = t.q.take(source{n, dir, path}, t.when)
		}
		switch {
		case err == nil:
			batch = append(batch, one)
		case errors.Is(err, errUnloadable):
			if err := t.aside(source{n, dir, path}, err); err != nil {
				t.left(path, err)
			}
		case errors.Is(err, fs.ErrNotExist):
		default:
			t.left(path, err)
			if errors.Is(err, syscall.ENOSPC) {
				stop = err // it is the same for the rest
			}
		}
	}
	done, err := t.q.settleTaken(batch)
	t.mu.Lock()
	t.Messages += done
	t.mu.Unlock()
	for _, one := range batch {
		if one.err != nil {
			t.left(one.path, one.err)
		}
	}
	return errors.Join(stop, err)
}

// when says how a message goes on in the live queue (docs/reference/delivery.md 1.7).
func (t *taking) when(s source, log string) slot {
	if s.dir != resendDir {
		return slot{state: StateQueued}
	}
	last, tries := countAttempts(bufio.NewReader(strings.NewReader(log)))
	now := slot{state: StateQueued, tries: min(tries, maxTries)}
	if t.due != nil && tries > 0 {
		now.until = max(t.due(last, tries).Unix(), 0)
	}
	return now
}

func (t *taking) left(path string, err error) {
	t.mu.Lock()
	t.Left = append(t.Left, path)
	t.mu.Unlock()
	t.q.log.Error("message of the old queue stays where it is", "file", path, "err", err)
}

// aside moves a file that holds no message out of the way, over none that is there.
func (t *taking) aside(s source, why error) error {
	if err := t.q.mkdir(t.q.bad); err != nil {
		return err
	}
	base := fmt.Sprintf("%d-%d-%s-%s", s.Level0, s.Level1, s.dir, s.File)
	to := filepath.Join(t.q.bad, base)
	for n := 2; ; n++ {
		if _, err := t.q.fs.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return err
		}
		to = filepath.Join(t.q.bad, fmt.Sprintf("%s.%d", base, n))
	}
	if err := t.q.fs.Rename(s.path, to); err != nil {
		return err
	}
	t.mu.Lock()
	t.Aside = append(t.Aside, to)
	t.mu.Unlock()
	t.q.log.Error("file of the old queue holds no message, and is put aside", "file", to, "was", s.path, "err", why)
	return errors.Join(t.q.folders.Sync(t.q.bad), t.q.folders.Sync(filepath.Dir(s.path)))
}

// sweep removes what belonged to messages that are gone. Commands that are left of
// a message stay as long as it waits.
func (q *Queue) sweep(leaf Name) error {
	waiting, frozen := make(map[string]bool), make(map[string]bool)
	for dir, to := range map[string]map[string]bool{queueDir: waiting, resendDir: waiting, frozenDir: frozen} {
		names, err := q.names(leaf, dir)
		if err != nil {
			return err
		}
		for _, name := range names {
			to[name] = true
		}
	}
	for _, dir := range []string{tempDir, logDir, infoDir, customDir, mailprocDir} {
		names, err := q.names(leaf, dir)
		if err != nil {
			return err
		}
		for _, name := range names {
			n := Name{leaf.Level0, leaf.Level1, name}
			switch dir {
			case logDir, infoDir:
				if waiting[name] || frozen[name] {
					continue
				}
			case customDir, mailprocDir:
				if waiting[name] || q.isLive(takenKey(n)) {
					continue
				}
			}
			q.removeOf(n, dir)
		}
	}
	return nil
}

// removeOf removes what belongs to a message from folders of its leaf.
func (q *Queue) removeOf(n Name, dirs ...string) {
	for _, dir := range dirs {
		path, err := q.tree().path(n, dir)
		if err == nil {
			err = remove(q.fs, path)
		}
		if err != nil {
			q.log.Warn("what is left of an old message cannot be removed", "file", filepath.Join(dir, n.File), "err", err)
		}
	}
}

func (q *Queue) isLive(key string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.live[key] != nil
}
