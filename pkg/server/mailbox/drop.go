package mailbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A Drop is a mailbox as one session sees it: the messages that were there when it
// was opened, numbered from 0 by time. It is used by one goroutine at a time, and
// has to be closed.
type Drop struct {
	store   *Store
	box     box
	lock    string // file that tells others of the session; "" where there is none
	entries []entry
	shared  bool // entries are those of other sessions too, and must not be changed
	bytes   int64
	closed  bool
}

// A MessageInfo describes a message of a [Drop].
type MessageInfo struct {
	// UID is the message's own for as long as it is in the mailbox: 1 to 70
	// characters as RFC 1939 wants them, or the name that the reference gave it.
	UID string

	Size int64 // bytes on the disk
}

// Open opens the mailbox of an account for a session, whose name owner is told to
// other programs in a file of pop3locks. [ErrLocked] says that another session has
// it open; [ErrNoMailbox] is returned as by [Store.Deliver]. Messages are listed and
// not read. New mail is always among them; mail that another program has moved to
// cur is where the variable Pop3ScanCur says so.
func (s *Store) Open(ctx context.Context, u mailroot.User, owner string) (*Drop, error) {
	d, err := s.openDrop(ctx, u, owner)
	if err != nil {
		return nil, fmt.Errorf("mailbox of %s@%s: %w", u.Name, u.Domain, err)
	}
	return d, nil
}

func (s *Store) openDrop(ctx context.Context, u mailroot.User, owner string) (*Drop, error) {
	b, err := s.box(u)
	if err != nil {
		return nil, err
	}
	scanCur, err := s.scansCur(u)
	if err != nil {
		return nil, err
	}
	if !s.acquire(b.dir) {
		return nil, ErrLocked
	}
	d := &Drop{store: s, box: b}
	if err := d.list(ctx, scanCur); err != nil {
		s.release(b.dir)
		return nil, err
	}
	d.lock = s.writeLock(u, owner)
	return d, nil
}

// scansCur reports whether messages in cur are listed.
func (s *Store) scansCur(u mailroot.User) (bool, error) {
	const name = "Pop3ScanCur"
	text, err := s.settings(u)
	if err != nil {
		return false, err
	}
	if own := mailroot.VariableIn(text, name); own != "" {
		return mailroot.Atoi(own) > 0, nil
	}
	return s.root.Vars().On(name), nil
}

func (d *Drop) list(ctx context.Context, scanCur bool) error {
	fresh, err := d.store.lists.list(ctx, d.box.fresh())
	if err != nil {
		return err
	}
	var cur []entry
	if scanCur && d.box.maildir {
		// After new: what moves from there to cur meanwhile is seen twice, not never.
		if cur, err = d.store.lists.list(ctx, filepath.Join(d.box.dir, "cur")); err != nil {
			return err
		}
	}
	d.entries, d.shared = merge(fresh, cur)
	for _, e := range d.entries {
		d.bytes += e.size
	}
	return nil
}

// merge returns the messages of new and cur in order. One that is in both is in cur.
// shared says that it is fresh itself.
func merge(fresh, cur []entry) (all []entry, shared bool) {
	if len(cur) == 0 {
		return fresh, true
	}
	all = make([]entry, 0, len(fresh)+len(cur))
	bases := make(map[string]bool, len(fresh))
	for _, e := range fresh {
		bases[baseName(e.name)] = true
	}
	moved := make(map[string]bool)
	if len(fresh) > 0 {
		for _, e := range cur {
			if base := baseName(e.name); bases[base] {
				moved[base] = true
			}
		}
	}
	for len(fresh) > 0 || len(cur) > 0 {
		if len(cur) == 0 || len(fresh) > 0 && order(fresh[0], cur[0]) < 0 {
			if !moved[baseName(fresh[0].name)] {
				all = append(all, fresh[0])
			}
			fresh = fresh[1:]
			continue
		}
		e := cur[0]
		e.cur = true
		all = append(all, e)
		cur = cur[1:]
	}
	return all, false
}

// own makes the entries those of this session alone. Few sessions change any.
func (d *Drop) own() {
	if d.shared {
		d.entries, d.shared = slices.Clone(d.entries), false
	}
}

// Len returns the number of messages.
func (d *Drop) Len() int { return len(d.entries) }

// Bytes returns the size of all messages together.
func (d *Drop) Bytes() int64 { return d.bytes }

// Size returns the size of message i on the disk.
func (d *Drop) Size(i int) int64 { return d.entries[i].size }

// Message describes message i.
func (d *Drop) Message(i int) MessageInfo {
	e := d.entries[i]
	return MessageInfo{UID: uid(e.name), Size: e.size}
}

// maxUID is the length of the longest UID (RFC 1939, section 7). The reference has
// none: the UIDs of its messages are the names, whatever their length, and clients
// that leave mail on the server know it by these.
const (
	maxUID          = 70
	maxReferenceUID = 255
)

// uid returns the UID of a file: its name without flags, or where that is too long
// or holds other characters than printable ASCII, a digest of it.
func uid(name string) string {
	name = baseName(name)
	most := maxUID
	if isStuffed(name) {
		most = maxReferenceUID
	}
	plain := len(name) > 0 && len(name) <= most
	for i := 0; i < len(name) && plain; i++ {
		plain = name[i] > ' ' && name[i] < 0x7f
	}
	if plain {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return "sha256-" + hex.EncodeToString(sum[:24])
}

// path returns where a message is, as far as that is known.
func (d *Drop) path(e entry) string {
	if e.cur {
		return filepath.Join(d.box.dir, "cur", e.name)
	}
	return filepath.Join(d.box.fresh(), e.name)
}

// Open opens message i for reading, wherever other programs have moved it in the
// mailbox. [ErrGone] says that they have removed it.
func (d *Drop) Open(i int) (*Body, error) {
	for try := 0; ; try++ {
		e := d.entries[i]
		if e.gone {
			return nil, ErrGone
		}
		f, err := d.store.fs.Open(d.path(e))
		if err == nil {
			return newBody(f, e.name)
		}
		if !errors.Is(err, fs.ErrNotExist) || try == 2 {
			return nil, err
		}
		if err := d.locate(); err != nil {
			return nil, err
		}
	}
}

// locate finds out where messages are now.
func (d *Drop) locate() error {
	type place struct {
		name string
		cur  bool
	}
	places := make(map[string]place, len(d.entries))
	dirs := []string{d.box.fresh()}
	if d.box.maildir {
		dirs = append(dirs, filepath.Join(d.box.dir, "cur"))
	}
	// Twice, since a file that is renamed while a folder is read may be passed over.
	for range 2 {
		for i, dir := range dirs {
			names, err := d.store.fs.ReadDir(dir)
			if errors.Is(err, fs.ErrNotExist) {
				// Where all of it is not there, it may be that the account has another name.
				_, err = d.store.fs.Stat(d.box.dir)
			}
			if err != nil {
				return err
			}
			for _, name := range names {
				places[baseName(name)] = place{name, i == 1}
			}
		}
	}
	d.own()
	for i := range d.entries {
		e := &d.entries[i]
		at, ok := places[baseName(e.name)]
		if e.gone = !ok; ok {
			e.name, e.cur = at.name, at.cur
		}
	}
	return nil
}

// Delete removes messages. When it returns nil they are gone durably; otherwise some
// may be left, and the error says of how many and why. Messages that another program
// has removed count as removed.
func (d *Drop) Delete(indexes ...int) error {
	var failed error
	left, dirs := 0, make(map[string]bool)
	for _, i := range indexes {
		removed, err := d.remove(i)
		if err != nil {
			failed = err
			left++
			continue
		}
		if removed != "" {
			dirs[filepath.Dir(removed)] = true
			d.store.rooms.add(d.box.dir, -d.entries[i].size)
		}
	}
	for dir := range dirs {
		d.store.lists.changed(dir)
		if err := d.store.syncs.Sync(dir); err != nil {
			return fmt.Errorf("the removal of %d messages may not last: %w", len(indexes)-left, err)
		}
	}
	if failed != nil {
		return fmt.Errorf("%d of %d messages are not removed: %w", left, len(indexes), failed)
	}
	return nil
}

// remove removes a message, and returns the file that it was; "" where it was gone.
func (d *Drop) remove(i int) (string, error) {
	d.own()
	e := &d.entries[i]
	for try := 0; !e.gone && try < 3; try++ {
		name := d.path(*e)
		err := d.store.fs.Remove(name)
		if err == nil {
			e.gone = true
			return name, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if err := d.locate(); err != nil {
			return "", err
		}
	}
	if !e.gone {
		return "", errors.New("another program keeps moving the message")
	}
	return "", nil
}

// Close lets other sessions have the mailbox. A second call does nothing.
func (d *Drop) Close() {
	if d.closed {
		return
	}
	d.closed = true
	if d.lock != "" {
		if err := d.store.fs.Remove(d.lock); err != nil && !errors.Is(err, fs.ErrNotExist) {
			d.store.log.Warn("the lock file of a mailbox cannot be removed", "file", d.lock, "err", err)
		}
	}
	d.store.release(d.box.dir)
}

// acquire takes the lock of a mailbox, which ends with the process at the latest.
func (s *Store) acquire(dir string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[dir] {
		return false
	}
	s.open[dir] = true
	return true
}

func (s *Store) release(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, dir)
}

// locksDir is where the reference keeps the lock files of its sessions. Nobody here
// looks at them; its tools do.
const locksDir = "pop3locks"

// writeLock tells other programs of a session, and returns the file that does.
func (s *Store) writeLock(u mailroot.User, owner string) string {
	name := u.Name + "@" + u.Domain + ".lock"
	if !mailroot.IsComponent(name) {
		return ""
	}
	name = s.root.Path(locksDir + "/" + name)
	f, err := s.fs.Create(name, "", 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.fs.Mkdir(s.root.Path(locksDir), s.root.Modes().Dir); err == nil || errors.Is(err, fs.ErrExist) {
			f, err = s.fs.Create(name, "", 0o600)
		}
	}
	if err == nil {
		if err = writeClose(f, owner+"\x00"); err != nil {
			// The disk is full, say: half a lock would be there for ever.
			err = errors.Join(err, s.fs.Remove(name))
		}
	}
	if err != nil {
		s.log.Warn("the lock file of a mailbox cannot be written", "file", name, "err", err)
		return ""
	}
	return name
}

func writeClose(f tabfile.File, text string) error {
	_, err := f.Write([]byte(text))
	return errors.Join(err, f.Close())
}

// CleanLocks removes the lock files that an earlier process has left. It is called
// before the first session.
func (s *Store) CleanLocks() error {
	names, err := s.fs.ReadDir(s.root.Path(locksDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, name := range names {
		if filepath.Ext(name) == ".lock" {
			err = errors.Join(err, s.fs.Remove(s.root.Path(locksDir+"/"+name)))
		}
	}
	if err != nil {
		return fmt.Errorf("old lock files: %w", err)
	}
	return nil
}
