package spool

import (
	"container/heap"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/xmaild/xmaild/pkg/server/durable"
)

// What files of the live queue are called. A key is the time in hexadecimal
// microseconds and some random digits, so that keys sort by age.
const (
	liveDir       = "live" // below the spool folder
	badDir        = "bad"  // what could not be read
	messageSuffix = ".msg"
	draftSuffix   = ".new"
	logSuffix     = ".log"
	spareSuffix   = ".spare" // of a finished message, for a new one
)

// ErrClosed is the error of a queue that has been closed.
var ErrClosed = errors.New("spool: the queue is closed")

// Options say how a queue is opened. The zero value is good.
type Options struct {
	FS     FS                      // nil: that of the operating system
	Log    *slog.Logger            // nil: nothing is logged
	Clock  func() time.Time        // nil: time.Now
	Mode   func() fs.FileMode      // of new files; nil: 0600
	Dir    func() fs.FileMode      // of new folders; nil: 0700
	Levels int                     // folders at each of two levels that frozen messages are put in, rounded up to a prime; 0: as many as there are, or 23
	IDs    string                  // the file that counts messages; empty: message.id beside the spool folder
	Tick   func() <-chan time.Time // fires when it is time to look at the clock again; nil: every second while something waits
}

func (o Options) mode() fs.FileMode {
	if o.Mode == nil {
		return 0o600
	}
	return o.Mode()
}

func (o Options) dirMode() fs.FileMode {
	if o.Dir == nil {
		return 0o700
	}
	return o.Dir()
}

// A Queue holds the messages that this server is to deliver, each a file in
// spool/live. It is the durable part of the server's promise: what Commit of a
// draft has acknowledged is delivered, or the sender is told. One process has a
// queue at a time, since one has the MailRoot. It is safe for concurrent use.
type Queue struct {
	dir, bad string
	fs       FS
	log      *slog.Logger
	opts     Options
	folders  *durable.Folders
	spares   *spares
	buffers  sync.Pool // *bytes.Buffer, of drafts
	ids      *ids
	taking   sync.Mutex // one at a time takes messages of the reference's tree
	leveling sync.Mutex // one at a time makes the folders of that tree
	level    int        // how many there are; 0: not looked at yet

	mu      sync.Mutex
	live    map[string]*message
	ending  map[string]*message // out of the queue, whose files are about to go
	due     dueHeap
	parked  map[string][]parked // by destination
	changed chan struct{}       // closed when something may have become due
	lastKey int64
	closed  bool
	removed int64              // how many files were removed, or kept for new messages
	gone    int64              // how many of them will be gone after a power cut, too
	late    map[*message][]int // recipients whose states could not be written
	first   func(*Lease) error // see DeliverFirst
}

// Open opens the queue of a spool folder, which is made where it is missing, and
// reads what waits in it. Drafts of before are removed; a file that cannot be read
// is put aside in spool/bad, and the rest goes on.
func Open(ctx context.Context, dir string, o Options) (*Queue, error) {
	if o.FS == nil {
		o.FS = OS()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Tick == nil {
		o.Tick = func() <-chan time.Time { return time.After(time.Second) }
	}
	if o.IDs == "" {
		o.IDs = filepath.Join(filepath.Dir(dir), "message.id")
	}
	q := &Queue{
		dir: filepath.Join(dir, liveDir), bad: filepath.Join(dir, badDir), fs: o.FS, log: o.Log, opts: o,
		folders: durable.New(o.FS.Sync), live: make(map[string]*message), ending: make(map[string]*message), late: make(map[*message][]int), parked: make(map[string][]parked), spares: newSpares(), changed: make(chan struct{}),
	}
	mode := o.dirMode()
	for _, name := range []string{dir, q.dir} {
		if err := mkdir(q.fs, name, mode); err != nil {
			return nil, fmt.Errorf("spool: %w", err)
		}
	}
	// The folder is to be there after a power cut as well as what is in it.
	if err := q.fs.Sync([]string{filepath.Dir(dir), dir}); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	var err error
	if q.ids, err = openIDs(q.fs, o.IDs); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	if err := q.load(ctx); err != nil {
		return nil, err
	}
	return q, nil
}

// load reads the folder.
func (q *Queue) load(ctx context.Context) error {
	names, err := q.fs.ReadDir(q.dir)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	var logs []string
	unread := make(map[string]bool)
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		path := filepath.Join(q.dir, name)
		switch key, suffix := cutSuffix(name); suffix {
		case messageSuffix:
			m, err := q.read(key)
			switch {
			case err != nil && mayPass(err):
				q.log.Error("message cannot be read, and waits for the next start", "file", path, "err", err)
				unread[key] = true
			case err != nil:
				if err := q.putAside(name, err); err != nil {
					return err
				}
			case m.finished():
				q.ending[key] = m
				q.forget(m) // the power went before it was removed
			default:
				q.live[key] = m
				q.schedule(m)
			}
		case draftSuffix, spareSuffix:
			if err := remove(q.fs, path); err != nil {
				q.log.Warn("file of an earlier run cannot be removed", "file", path, "err", err)
			}
		case logSuffix:
			logs = append(logs, key)
		}
	}
	for _, key := range logs {
		if m := q.live[key]; m != nil {
			m.noted = true
		}
		if q.live[key] != nil || unread[key] {
			continue
		}
		if err := remove(q.fs, filepath.Join(q.dir, key+logSuffix)); err != nil {
			q.log.Warn("log without a message cannot be removed", "message", key, "err", err)
		}
	}
	if err := q.recallDerived(); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if len(q.live) > 0 {
		q.log.Info("messages wait in the queue", "count", len(q.live))
	}
	return nil
}

func cutSuffix(name string) (key, suffix string) {
	i := strings.LastIndexByte(name, '.')
	if i <= 0 {
		return "", ""
	}
	return name[:i], name[i:]
}

// read reads the header of a message.
func (q *Queue) read(key string) (*message, error) {
	h, size, err := q.header(key)
	if err != nil {
		return nil, err
	}
	if len(h.Recipients) == 0 {
		return nil, errors.New("message has no recipient")
	}
	m := newMessage(key, h.Envelope)
	m.slots, m.offsets, m.start, m.size, m.recovered = h.slots, h.offsets, h.length, max(size-h.length, 0), true
	return m, nil
}

func (q *Queue) header(key string) (h header, size int64, err error) {
	name := filepath.Join(q.dir, key+messageSuffix)
	if !q.spares.hold(key) {
		return h, 0, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	defer q.letGo(key)
	f, err := q.fs.Open(name)
	if err != nil {
		return h, 0, err
	}
	info, err := f.Stat()
	if err == nil {
		h, err = readHeader(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return h, 0, err
	}
	return h, info.Size(), nil
}

// putAside moves a file that cannot be read out of the way.
func (q *Queue) putAside(name string, why error) error {
	if errors.Is(why, fs.ErrNotExist) {
		return nil
	}
	err := mkdir(q.fs, q.bad, q.opts.dirMode())
	if err == nil {
		err = q.fs.Rename(filepath.Join(q.dir, name), filepath.Join(q.bad, name))
	}
	q.log.Error("message cannot be read, and is put aside", "file", filepath.Join(q.bad, name), "err", why)
	if err != nil {
		return fmt.Errorf("spool: put %s aside: %w", name, err)
	}
	return nil
}

// newKey returns the key of a new message, greater than those before.
func (q *Queue) newKey(at time.Time) string {
	q.mu.Lock()
	q.lastKey = max(q.lastKey+1, at.UnixMicro())
	micros := q.lastKey
	q.mu.Unlock()
	// Where the clock was set back an earlier life may have used the time.
	var random [5]byte
	rand.Read(random[:]) // it never fails
	return strconv.FormatInt(micros, 16) + "-" + hex.EncodeToString(random[:])
}

// NextID returns the id of the next message: the letter that says where it came
// from (S for SMTP, see docs/reference/delivery.md 1.3) and the next number in
// hexadecimal digits.
func (q *Queue) NextID(letter byte) string {
	n, err := q.ids.next()
	if err != nil {
		q.log.Warn("numbers of messages may come again", "err", err)
	}
	return string(letter) + strings.ToUpper(strconv.FormatUint(n, 16))
}

// add puts a message that is on disk into the queue.
func (q *Queue) add(m *message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	// Where the queue has been closed meanwhile the message waits for the next start.
	q.live[m.key] = m
	q.schedule(m)
}

// leave takes a message out of the queue, of which nothing is left to do, and reports
// whether it was there: the caller removes its files then. The caller has the lock.
func (q *Queue) leave(m *message) bool {
	if q.live[m.key] != m {
		return false
	}
	delete(q.live, m.key)
	q.ending[m.key] = m
	return true
}

// left ends what leave began: the name of the message is free.
func (q *Queue) left(m *message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ending[m.key] == m {
		delete(q.ending, m.key)
	}
}

// schedule says when a message is due. The caller has the lock, or is the only one.
func (q *Queue) schedule(m *message) {
	next, ok := m.next()
	switch {
	case !ok && m.place >= 0:
		heap.Remove(&q.due, m.place)
	case !ok:
	case m.place >= 0:
		m.at = next
		heap.Fix(&q.due, m.place)
	default:
		m.at = next
		heap.Push(&q.due, m)
	}
	if ok && m.place == 0 {
		q.wake()
	}
}

// wake makes those who wait for a lease look again.
func (q *Queue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// Len returns how many messages are in the queue.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.live)
}

// Due returns how many messages have recipients whose turn it is, those that
// somebody has in hand included.
func (q *Queue) Due() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.opts.Clock().Unix()
	n := 0
	for _, m := range q.live {
		if slices.ContainsFunc(m.slots, func(s slot) bool { return s.state == StateQueued && s.until <= now }) {
			n++
		}
	}
	return n
}

// Close ends the queue: nothing more can be leased. Messages wait on disk for the
// next start. Leases that are out can still be ended.
func (q *Queue) Close() error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return nil
	}
	q.closed = true
	q.wake()
	q.mu.Unlock()
	err := q.Tidy()
	q.sweepSpares(true)
	return errors.Join(err, q.ids.close())
}

// Sync makes the removal of finished messages durable, unless a message that came since
// has done so. Until then a power cut may bring them back, and the mailboxes are relied
// on to know what they have; other hosts do not.
func (q *Queue) Sync() error {
	q.mu.Lock()
	all := q.gone == q.removed
	q.mu.Unlock()
	if all {
		return nil
	}
	return q.syncFolder()
}

// Tidy does what Sync does. It also removes files that were kept for new messages where
// none came since the last call, and writes what the queue remembers since it could not
// be written.
func (q *Queue) Tidy() error {
	q.sweepSpares(false)
	q.mu.Lock()
	maps.DeleteFunc(q.late, func(m *message, _ []int) bool { return q.live[m.key] != m })
	late := slices.Collect(maps.Keys(q.late))
	q.mu.Unlock()
	var errs []error
	for _, m := range late {
		if err := q.write(m, nil, true); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, q.Sync())...)
}

// dueHeap has the messages that wait, the one that is due first on top.
type dueHeap []*message

func (h dueHeap) Len() int { return len(h) }
func (h dueHeap) Less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	return h[i].key < h[j].key
}
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}
func (h *dueHeap) Push(x any) {
	m := x.(*message)
	m.place = len(*h)
	*h = append(*h, m)
}
func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	m := (*h)[last]
	(*h)[last] = nil
	*h = slices.Delete(*h, last, last+1)
	m.place = -1
	return m
}
