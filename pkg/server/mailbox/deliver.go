package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// A Message is mail to be delivered.
type Message struct {
	// Name is that of the file: unique, without a folder or a flag, and the same
	// whenever the delivery is tried again. The same name twice in a mailbox is
	// one message. Names as the reference gives them (thirteen digits, then three
	// hexadecimal numbers and a host) are refused: by these its files are known, in
	// which dots are doubled.
	Name string

	ReturnPath  string // the sender; "" is the null one
	DeliveredTo string // user@domain

	// Body is the message as it was received: lines end in CRLF, dots are not
	// doubled. Size is its length in bytes, which is checked; below 0 it is not
	// known.
	Body io.Reader
	Size int64

	// Again says that the message may have been delivered already. It is looked
	// for then, also under the names that it may have by now.
	Again bool
}

// unfinished begins the names of files that are being written into a "mailbox" folder.
const unfinished = ".xmaild-"

// leftover is how old a file in tmp is that nobody writes any more.
const leftover = 36 * time.Hour

// Deliver puts a message into the mailbox of an account, with lines Return-Path and
// Delivered-To in front. When it returns nil the message is durable. [ErrFull] says
// that the quota is used up, [ErrNoMailbox] that there is nowhere to put it; all
// other errors are temporary, and the delivery may be tried again with the same name.
func (s *Store) Deliver(ctx context.Context, u mailroot.User, m Message) error {
	if err := s.deliver(ctx, u, m); err != nil {
		return fmt.Errorf("delivery to %s@%s: %w", u.Name, u.Domain, err)
	}
	return nil
}

func (s *Store) deliver(ctx context.Context, u mailroot.User, m Message) error {
	if !mailroot.IsComponent(m.Name) || strings.HasPrefix(m.Name, ".") || baseName(m.Name) != m.Name || isStuffed(m.Name) {
		return fmt.Errorf("%q cannot be the name of a message", m.Name)
	}
	b, err := s.box(u)
	if err != nil {
		return err
	}
	if err := s.settle(b); err != nil {
		return err
	}
	if m.Again {
		there, err := s.delivered(b, m.Name)
		if err != nil || there {
			return err
		}
	}
	if full, err := s.full(ctx, u, b, 0); err != nil || full {
		if full {
			err = ErrFull
		}
		return err
	}
	size, err := s.place(ctx, b, m)
	if err != nil {
		return err
	}
	s.rooms.add(b.dir, size)
	s.lists.changed(b.fresh())
	if !b.maildir {
		s.touched(b)
	}
	return nil
}

// place writes the message aside, and gives it its name when it is complete.
func (s *Store) place(ctx context.Context, b box, m Message) (int64, error) {
	if err := s.syncs.Failed(b.fresh()); err != nil {
		return 0, err
	}
	tmp := s.aside(b, m.Name)
	size, err := s.write(ctx, b, tmp, m)
	if err != nil {
		return 0, err
	}
	to := filepath.Join(b.fresh(), m.Name)
	err = s.fs.Rename(tmp, to)
	if errors.Is(err, fs.ErrNotExist) && b.maildir {
		// Another program has made the Maildir and not all of its folders.
		if err = s.mkdir(b, b.fresh()); err == nil {
			err = s.fs.Rename(tmp, to)
		}
	}
	if err != nil {
		return 0, s.discard(tmp, err)
	}
	if err := s.sync(b.fresh()); err != nil {
		// Found there by the next attempt it would be taken for durable.
		return 0, s.discard(to, err)
	}
	return size, nil
}

// sync makes the names in a folder of a mailbox durable. A sync passes over what is not
// there, and the account may have got another name meanwhile, with its folders.
func (s *Store) sync(dir string) error {
	if err := s.syncs.Sync(dir); err != nil {
		return err
	}
	_, err := s.fs.Stat(dir)
	return err
}

// aside returns the name of a file while it is being written, which is not counted
// as mail. A delivery that took too long may still write another one of that name.
func (s *Store) aside(b box, name string) string {
	serial := strconv.FormatUint(s.serial.Add(1), 36)
	if b.maildir {
		return filepath.Join(b.dir, "tmp", name+"."+serial)
	}
	return filepath.Join(b.dir, unfinished+serial+"."+name)
}

// write makes the file of a message, durable as far as its content goes.
func (s *Store) write(ctx context.Context, b box, tmp string, m Message) (int64, error) {
	mode := s.root.Modes().File
	f, err := s.fs.Create(tmp, "", mode)
	if errors.Is(err, fs.ErrNotExist) && b.maildir {
		if err = s.mkdir(b, filepath.Dir(tmp)); err == nil {
			f, err = s.fs.Create(tmp, "", mode)
		}
	}
	if err != nil {
		return 0, err
	}
	size, err := copyMessage(ctx, f, m)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, s.discard(tmp, err)
	}
	return size, nil
}

// discard removes a file that came to nothing because of err.
func (s *Store) discard(tmp string, err error) error {
	if rerr := s.fs.Remove(tmp); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
		s.log.Warn("a file that was not delivered is left over", "file", tmp, "err", rerr)
	}
	return err
}

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// copyMessage writes the message with the lines of its delivery in front.
func copyMessage(ctx context.Context, w io.Writer, m Message) (int64, error) {
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	head := append((*buf)[:0], "Return-Path: <"...)
	head = append(head, headerText(m.ReturnPath)...)
	head = append(head, ">\r\nDelivered-To: "...)
	head = append(head, headerText(m.DeliveredTo)...)
	head = append(head, "\r\n"...)
	used, size := len(head), int64(len(head))
	if used > len(*buf)/2 {
		return 0, errors.New("the addresses of the message are too long")
	}
	// What is in front goes into the same write as the beginning of the message.
	var body int64
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := io.ReadFull(m.Body, (*buf)[used:])
		body += int64(n)
		if _, werr := w.Write((*buf)[:used+n]); werr != nil {
			return 0, werr
		}
		used = 0
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil {
			return 0, fmt.Errorf("the message cannot be read: %w", err)
		}
	}
	if m.Size >= 0 && body != m.Size {
		return 0, fmt.Errorf("the message has %d bytes where %d were expected", body, m.Size)
	}
	return size + body, nil
}

// headerText leaves out of an address what would begin a line of its own.
func headerText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// delivered reports whether a message is in the mailbox under any name that
// programs may have given it, and makes that durable.
func (s *Store) delivered(b box, name string) (bool, error) {
	dirs := []string{b.fresh()}
	if b.maildir {
		dirs = append(dirs, filepath.Join(b.dir, "cur"))
	}
	// A message that moves from new to cur meanwhile is seen in either.
	for _, dir := range dirs {
		if _, err := s.fs.Lstat(filepath.Join(dir, name)); err == nil {
			return true, errors.Join(s.fs.Sync([]string{filepath.Join(dir, name)}), s.sync(dir))
		}
	}
	for _, dir := range dirs[1:] {
		names, err := s.fs.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		for _, other := range names {
			if baseName(other) == name {
				return true, s.sync(dir)
			}
		}
	}
	return false, nil
}

// settle makes the folders of a mailbox durable, which the control port has made
// as folders of the file system only, and removes what an earlier process has left
// half-written. It does so once for each mailbox.
func (s *Store) settle(b box) error {
	s.mu.Lock()
	at, ok := s.known[b.dir]
	s.mu.Unlock()
	if ok && at.Equal(b.changed) {
		return nil // the same folder, and not a new one of that name
	}
	s.sweep(b)
	if err := s.syncs.Sync(b.dir); err != nil {
		return fmt.Errorf("folders of the mailbox: %w", err)
	}
	for dir := b.account; len(dir) >= len(s.root.Dir); dir = filepath.Dir(dir) {
		if err := s.syncs.Sync(dir); err != nil {
			return fmt.Errorf("folders of the mailbox: %w", err)
		}
	}
	s.settled(b.dir, b.changed)
	return nil
}

// touched notes that a "mailbox" folder has a new time, since a message was put into
// it: it is still the one that is known.
func (s *Store) touched(b box) {
	if info, err := s.fs.Stat(b.dir); err == nil {
		s.settled(b.dir, info.ModTime())
	}
}

func (s *Store) settled(dir string, changed time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= 1<<16 {
		clear(s.known)
	}
	s.known[dir] = changed
}

// sweep removes old files that were never delivered.
func (s *Store) sweep(b box) {
	dir := b.dir
	if b.maildir {
		dir = filepath.Join(b.dir, "tmp")
	}
	names, err := s.fs.ReadDir(dir)
	if err != nil {
		return // it is made when it is needed
	}
	for _, name := range names {
		if !b.maildir && !strings.HasPrefix(name, unfinished) {
			continue
		}
		name = filepath.Join(dir, name)
		info, err := s.fs.Lstat(name)
		if err != nil || !info.Mode().IsRegular() || s.now().Sub(info.ModTime()) < leftover {
			continue
		}
		if err := s.fs.Remove(name); err != nil {
			s.log.Warn("an old file cannot be removed", "file", name, "err", err)
		}
	}
}

// mkdir makes a folder in a mailbox durably.
func (s *Store) mkdir(b box, dir string) error {
	err := s.fs.Mkdir(dir, s.root.Modes().Dir)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return s.syncs.Sync(b.dir)
}
