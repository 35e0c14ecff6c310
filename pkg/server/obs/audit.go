package obs

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// An Audit is the log of who changed what, and who read mail or secrets: a file a
// month, DIR/audit-YYYYMM (UTC), to which lines are only ever appended. It is
// safe for concurrent use, reading too.
type Audit struct {
	log *TabLog

	mu   sync.Mutex
	last time.Time // of the last line; none is earlier than the one before it
}

// An AuditEntry is a line of an [Audit].
type AuditEntry struct {
	Time          time.Time // UTC, in milliseconds
	Administrator string
	Address       string // from where
	Command       string
	Arguments     string // as a shell would need them, secrets as *
	Code          string // of the reply, with its sign
}

// auditTime is RFC 3339 with milliseconds.
const auditTime = "2006-01-02T15:04:05.000Z07:00"

const auditPrefix = "audit-"

// NewAudit returns the log. Its files are for their owner alone, whatever Mode is, and
// Rotation does not count.
func NewAudit(o Options) *Audit {
	o.Mode = nil
	l := NewTabLog(strings.TrimSuffix(auditPrefix, "-"), o)
	l.stamp = func(now time.Time) string { return now.UTC().Format("200601") }
	return &Audit{log: l}
}

// Write appends an entry with the time of now. See [TabLog.Write].
func (a *Audit) Write(e AuditEntry) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.log.o.Clock().UTC().Truncate(time.Millisecond)
	if now.Before(a.last) {
		now = a.last
	}
	a.last = now
	e.Time = now
	return a.log.writeAt(now, e.Fields())
}

// Fields returns the columns of an entry.
func (e AuditEntry) Fields() []string {
	return []string{e.Time.Format(auditTime), e.Administrator, e.Address, e.Command, e.Arguments, e.Code}
}

// Reopen makes the next line open its file again.
func (a *Audit) Reopen() { a.log.Reopen() }

// Close closes the file. Later entries are errors.
func (a *Audit) Close() error { return a.log.Close() }

// Since returns the entries from a time on, the newest last, as far as they are
// written when it comes to their file. Lines that are none are left out.
func (a *Audit) Since(since time.Time) iter.Seq2[AuditEntry, error] {
	return func(yield func(AuditEntry, error) bool) {
		names, err := filepath.Glob(filepath.Join(a.log.o.Dir, auditPrefix+"??????"))
		if err != nil {
			yield(AuditEntry{}, err)
			return
		}
		slices.Sort(names)
		first := auditPrefix + since.UTC().Format("200601")
		for _, name := range names {
			if filepath.Base(name) >= first && !readAudit(name, since, yield) {
				return
			}
		}
	}
}

// readAudit yields the entries of one file and reports whether to go on.
func readAudit(name string, since time.Time, yield func(AuditEntry, error) bool) (more bool) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err != nil {
		return yield(AuditEntry{}, err)
	}
	defer f.Close()
	start, size, err := auditStart(f, since)
	if err != nil {
		return yield(AuditEntry{}, err)
	}
	r := bufio.NewReader(io.NewSectionReader(f, start, size-start))
	for {
		line, err := r.ReadString('\n')
		if err == io.EOF {
			return true // what has no end yet is not written
		}
		if err != nil {
			return yield(AuditEntry{}, err)
		}
		if e, ok := parseAudit(line); ok && !e.Time.Before(since) && !yield(e, nil) {
			return false
		}
	}
}

func parseAudit(line string) (AuditEntry, bool) {
	f := tabfile.Split(tabfile.TrimEnd(line))
	if len(f) < 6 {
		return AuditEntry{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, f[0])
	return AuditEntry{at.UTC(), f[1], f[2], f[3], f[4], f[5]}, err == nil
}

// auditBlock is as much as is read to the left of what is looked for.
const auditBlock = 64 << 10

// auditStart returns a place in a file before the first entry that is not earlier than
// since, and the size of the file. Followers ask for the end of what may be a large file.
func auditStart(f *os.File, since time.Time) (start, size int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	size = info.Size()
	for low, high := int64(0), size; high-low > auditBlock; {
		middle := low + (high-low)/2
		at, ok, err := timeAfter(f, middle, high)
		if err != nil {
			return 0, 0, err
		}
		if !ok || !at.Before(since) {
			high = middle
			continue
		}
		low, start = middle, middle
	}
	return start, size, nil
}

// timeAfter returns the time of the first entry that begins after a place.
func timeAfter(f *os.File, from, to int64) (time.Time, bool, error) {
	r := bufio.NewReader(io.NewSectionReader(f, from, to-from))
	for first := true; ; first = false {
		line, err := r.ReadString('\n')
		if err == io.EOF {
			return time.Time{}, false, nil
		}
		if err != nil {
			return time.Time{}, false, err
		}
		if e, ok := parseAudit(line); ok && !first {
			return e.Time, true, nil
		}
	}
}
