// Package mailbox keeps the mail of accounts: folders of files, one a message, either
// as Maildir or as a plain "mailbox" folder (docs/reference/delivery.md 7,
// docs/reference/services.md 2.9).
package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/xmaild/xmaild/pkg/server/durable"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// The folders of an account that hold its mail: either one.
const (
	maildirName = "Maildir" // with tmp, new and cur in it
	plainName   = "mailbox"
)

var (
	// ErrNoMailbox is returned for an account that has no folder for mail: a
	// mailing list, or one whose folder is not there at the moment.
	ErrNoMailbox = errors.New("the account has no mailbox")

	// ErrFull is returned where the quota of an account is used up.
	ErrFull = errors.New("the mailbox is full")

	// ErrLocked is returned by [Store.Open] while another session has the
	// mailbox open.
	ErrLocked = errors.New("the mailbox is in use by another session")

	// ErrGone is returned for a message that another program has removed.
	ErrGone = errors.New("the message is gone")
)

// Options say how mailboxes are kept. The zero value is good.
type Options struct {
	FS    tabfile.FS       // nil: that of the operating system
	Plain bool             // prefer a "mailbox" folder to a Maildir where an account has both
	Clock func() time.Time // nil: time.Now
	Log   *slog.Logger     // nil: slog.Default()
}

// A Store is the mailboxes of all accounts of a MailRoot. It is safe for concurrent
// use. Other programs may move, flag, add and remove files in the mailboxes at any
// time, by the rules of Maildir.
type Store struct {
	root  *mailroot.Root
	fs    tabfile.FS
	plain bool
	now   func() time.Time
	log   *slog.Logger

	usage  *Counter
	rooms  rooms
	lists  lists
	syncs  *durable.Folders
	serial atomic.Uint64 // of files that are being written

	mu    sync.Mutex
	open  map[string]bool      // folders of mailboxes that a session has open
	known map[string]time.Time // folders whose parents are durable, by their times then
}

// New returns the mailboxes of a MailRoot. It reads nothing yet.
func New(root *mailroot.Root, o Options) *Store {
	s := &Store{root: root, fs: o.FS, plain: o.Plain, now: o.Clock, log: o.Log,
		open: make(map[string]bool), known: make(map[string]time.Time)}
	if s.fs == nil {
		s.fs = tabfile.OS()
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.usage = NewCounter(slashed{s.fs}, s.now)
	s.syncs = durable.New(s.fs.Sync)
	s.rooms.init()
	s.lists.init(s.fs, s.now)
	return s
}

// A box is the mailbox of one account.
type box struct {
	account string // folder of the account
	dir     string // folder of its mail
	maildir bool
	changed time.Time // when an entry of dir was made or removed last
}

// box finds the mailbox of an account.
func (s *Store) box(u mailroot.User) (box, error) {
	dir, err := u.Path()
	if err != nil {
		return box{}, fmt.Errorf("%w: %w", ErrNoMailbox, err)
	}
	if u.IsList() {
		return box{}, fmt.Errorf("%w: %s@%s is a mailing list", ErrNoMailbox, u.Name, u.Domain)
	}
	names := [...]string{maildirName, plainName}
	if s.plain {
		names = [...]string{plainName, maildirName}
	}
	b := box{account: s.root.Path(dir)}
	for _, name := range names {
		b.dir, b.maildir = filepath.Join(b.account, name), name == maildirName
		info, err := s.fs.Stat(b.dir)
		switch {
		case err == nil && info.IsDir():
			b.changed = info.ModTime()
			return b, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return box{}, fmt.Errorf("mailbox of %s@%s: %w", u.Name, u.Domain, err)
		}
	}
	return box{}, fmt.Errorf("%w: %s@%s has neither a %s nor a %s folder", ErrNoMailbox, u.Name, u.Domain, maildirName, plainName)
}

// fresh returns the folder that new mail goes to.
func (b box) fresh() string {
	if b.maildir {
		return filepath.Join(b.dir, "new")
	}
	return b.dir
}

// Usage returns what is in the mailbox of an account, as it is now: files that do
// not begin with a dot, in all folders of it. See [Counter].
func (s *Store) Usage(ctx context.Context, u mailroot.User) (Usage, error) {
	b, err := s.box(u)
	if err != nil {
		return Usage{}, err
	}
	return s.usage.Usage(ctx, filepath.ToSlash(b.dir))
}

// slashed is a file system whose names have slashes.
type slashed struct{ fs tabfile.FS }

func (s slashed) ReadDir(name string) ([]string, error) {
	return s.fs.ReadDir(filepath.FromSlash(name))
}
func (s slashed) Stat(name string) (fs.FileInfo, error)  { return s.fs.Stat(filepath.FromSlash(name)) }
func (s slashed) Lstat(name string) (fs.FileInfo, error) { return s.fs.Lstat(filepath.FromSlash(name)) }

// settings returns the variables in the user.tab of an account, which is read past
// the tables in memory: there are too many accounts to keep them all.
func (s *Store) settings(u mailroot.User) ([]byte, error) {
	dir, err := u.Path()
	if err != nil {
		return nil, err
	}
	text, err := s.root.Store.ReadFile(path.Join(dir, mailroot.UserTab))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("variables of %s@%s: %w", u.Name, u.Domain, err)
	}
	return text, nil
}

// baseName returns the part of a file name that stays when flags change.
func baseName(name string) string {
	if i := strings.Index(name, ":2,"); i >= 0 {
		return name[:i]
	}
	return name
}
