package psync

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/spool"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A memory is which messages of a remote account were fetched: the file
// msgsync/HOST/USER.uidb, a UID a line. Lines are added as messages are fetched, each
// on disk before the next message. UIDs of messages that are there no more are kept
// until they are many: the file is not written where nothing has come, and a server
// that shows an empty mailbox by mistake does not make all mail come again.
type memory struct {
	f    *Fetcher
	file string // full name
	seen map[string]bool
	w    *os.File // nil: nothing was added yet
	bad  error    // why what was added is not on disk
}

// manyStale is how many UIDs of messages that are gone are kept, besides as many as
// there are of others.
const manyStale = 1000

// remember reads the memory of a link. A file that cannot be read is an error: without
// it everything would be fetched again.
func (f *Fetcher) remember(l mailroot.Link) (*memory, error) {
	name, err := l.UIDFile()
	if err != nil {
		return nil, err
	}
	m := &memory{f: f, file: f.Root.Path(name)}
	if err := m.read(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.Copy(m.seen, f.unsaved[m.file])
	return m, nil
}

func (m *memory) read() error {
	m.seen = make(map[string]bool)
	text, err := os.ReadFile(m.file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("what was fetched: %w", err)
	}
	for line := range bytes.Lines(text[:whole(text)]) {
		if uid := bytes.TrimSpace(line); len(uid) > 0 {
			m.seen[string(uid)] = true
		}
	}
	return nil
}

// whole returns how much of the text of a file is lines with their ends. A line that a
// crash has cut short is no line: what is there of it may be the UID of another message.
func whole(text []byte) int { return bytes.LastIndexByte(text, '\n') + 1 }

// add notes that a message was fetched, which is durable already and not delivered
// yet. An error says that nothing was noted. When it returns nil the note is on disk, or
// bad says why it is not: then it is remembered as long as this process lives.
func (m *memory) add(uid string) error {
	if err := m.open(); err != nil {
		return err
	}
	m.seen[uid] = true
	n, err := io.WriteString(m.w, uid+"\n")
	if err != nil && n > 0 {
		err = errors.Join(err, m.cut(n))
	}
	if err == nil {
		err = m.w.Sync()
	}
	if err == nil {
		return nil
	}
	m.bad = fmt.Errorf("what was fetched: %w", err)
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	if m.f.unsaved[m.file] == nil {
		m.f.unsaved[m.file] = make(map[string]bool)
	}
	m.f.unsaved[m.file][uid] = true
	return nil
}

// cut takes back what was written of a line for which there was no room: the beginning
// of a UID may be the UID of another message.
func (m *memory) cut(n int) error {
	info, err := m.w.Stat()
	if err == nil {
		err = m.w.Truncate(info.Size() - int64(n))
	}
	return err
}

// source is what the envelope of a message says of where it was fetched.
func (m *memory) source(uid string) (string, error) {
	name, err := filepath.Rel(m.f.Root.Path("."), m.file)
	return uid + " " + filepath.ToSlash(name), err
}

// Recover notes which messages were fetched that are in the queue and not noted: the
// process has ended between the two. It is called before the first of them is
// delivered. What cannot be noted is an error in the log.
func (f *Fetcher) Recover() {
	last := ""
	fetched := func(i *spool.Item) bool { return strings.HasPrefix(i.ID, "P") && i.Key != last }
	for item := range f.Queue.Items(fetched) {
		if item.Key == last {
			continue // another recipient
		}
		last = item.Key
		e, _, err := f.Queue.Look(item.Key)
		if uid, name, ok := strings.Cut(e.Source, " "); err == nil && ok {
			err = f.recall(uid, name, e.Time)
		}
		if err != nil {
			f.log.Error("it cannot be noted that a message was fetched, and it may be fetched again", "message", item.ID, "err", err)
		}
	}
}

// recall notes that a message was fetched at a time, unless it may have been noted, and
// been forgotten for good since.
func (f *Fetcher) recall(uid, name string, at time.Time) error {
	m := &memory{f: f, file: f.Root.Path(name)}
	forgotten, err := m.rewritten(at)
	if err != nil || forgotten {
		return err
	}
	if err := m.read(); err != nil || m.seen[uid] {
		return err
	}
	return errors.Join(m.add(uid), m.bad, m.close())
}

// rewritten reports whether something may have been forgotten since a time: then both the
// file, unless it is gone, and its folder have changed. The file alone changes with each
// note, also one that was cut off, and the folder alone with the memory of other accounts.
func (m *memory) rewritten(since time.Time) (bool, error) {
	for _, name := range []string{m.file, filepath.Dir(m.file)} {
		info, err := os.Stat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist) && name == m.file:
		case errors.Is(err, fs.ErrNotExist):
			return false, nil
		case err != nil:
			return false, err
		case !info.ModTime().After(since):
			return false, nil
		}
	}
	return true, nil
}

func (m *memory) open() error {
	if m.w != nil {
		return nil
	}
	if err := m.mkdir(); err != nil {
		return err
	}
	w, err := os.OpenFile(m.file, os.O_RDWR|os.O_APPEND|os.O_CREATE, m.f.Root.Modes().File)
	if err != nil {
		return err
	}
	if err = m.mend(w); err == nil {
		err = tabfile.OS().Sync([]string{filepath.Dir(m.file)})
	}
	if err != nil {
		return errors.Join(err, w.Close())
	}
	m.w = w
	return nil
}

// mend takes off the file what a crash has left of a line, so that the next one does not
// go on it.
func (m *memory) mend(w *os.File) error {
	info, err := w.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	last := make([]byte, 1)
	if _, err := w.ReadAt(last, info.Size()-1); err != nil || last[0] == '\n' {
		return err
	}
	text, err := os.ReadFile(m.file)
	if err != nil {
		return err
	}
	return w.Truncate(int64(whole(text)))
}

// mkdir makes the folders of the file.
func (m *memory) mkdir() error {
	dir := filepath.Dir(m.file)
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, m.f.Root.Modes().Dir); err != nil {
		return err
	}
	up := filepath.Dir(dir)
	return tabfile.OS().Sync([]string{up, filepath.Dir(up)})
}

// tidy forgets messages that are deleted, and those that the mailbox, which has the
// UIDs present, does not have any more: where they are many, or, without leave, at once.
func (m *memory) tidy(leave bool, deleted []string, present map[string]bool) error {
	keep := maps.Clone(m.seen)
	for _, uid := range deleted {
		delete(keep, uid)
	}
	stale := 0
	for uid := range keep {
		if !present[uid] {
			stale++
		}
	}
	if !leave || stale > manyStale+len(present) {
		maps.DeleteFunc(keep, func(uid string, _ bool) bool { return !present[uid] })
	}
	m.f.mu.Lock()
	unsaved := len(m.f.unsaved[m.file]) > 0
	m.f.mu.Unlock()
	if len(keep) == len(m.seen) && !unsaved {
		return nil
	}
	if err := m.close(); err != nil {
		return err
	}
	if err := m.rewrite(slices.Sorted(maps.Keys(keep))); err != nil {
		return fmt.Errorf("what was fetched: %w", err)
	}
	m.seen = keep
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	delete(m.f.unsaved, m.file)
	return nil
}

// rewrite replaces the file.
func (m *memory) rewrite(uids []string) (err error) {
	if len(uids) == 0 {
		if err := os.Remove(m.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := m.mkdir(); err != nil {
		return err
	}
	temp := filepath.Join(filepath.Dir(m.file), "."+filepath.Base(m.file)+".new")
	out, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, m.f.Root.Modes().File)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	for _, uid := range uids {
		w.WriteString(uid) // the error comes back from Flush
		w.WriteByte('\n')
	}
	err = w.Flush()
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = os.Rename(temp, m.file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return tabfile.OS().Sync([]string{filepath.Dir(m.file)})
}

// close closes the file. More can be added afterwards.
func (m *memory) close() error {
	if m.w == nil {
		return nil
	}
	w := m.w
	m.w = nil
	return w.Close()
}
