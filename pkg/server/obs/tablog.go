package obs

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// DefaultRotation is how long the reference writes to one log file.
const DefaultRotation = 24 * time.Hour

// checkEvery is how often a log looks whether its file still has its name.
const checkEvery = time.Second

// Options say where and how log files are written.
type Options struct {
	// Dir is the folder, which is made when the first line is written.
	Dir string

	// Mode returns that of a new file. Nil is 0600.
	Mode func() os.FileMode

	// Rotation is how long one file is written: whole hours, at least one.
	// 0 is DefaultRotation; what is over a whole hour does not count.
	Rotation time.Duration

	// Log is told once when lines cannot be written, and once when they can be
	// again. Nil discards that.
	Log *slog.Logger

	// Clock tells the time, in the zone that names files and stamps lines. Nil
	// is time.Now.
	Clock func() time.Time
}

// A TabLog is one of the reference's log files (docs/reference/tables.md 7.5):
// DIR/NAME-YYYYMMDDHHMM, where the digits are the local time at which its period
// began. Lines are appended, each by one write. It is safe for concurrent use.
type TabLog struct {
	name  string
	o     Options
	stamp func(now time.Time) string // what files are named by

	mu      sync.Mutex
	closed  bool
	file    *os.File
	path    string
	checked time.Time
	lost    int // lines since the last that was written
}

// NewTabLog returns the log of that name. Nothing is opened before the first
// line.
func NewTabLog(name string, o Options) *TabLog {
	o.Rotation = o.Rotation.Truncate(time.Hour)
	if o.Rotation <= 0 {
		o.Rotation = DefaultRotation
	}
	if o.Mode == nil {
		o.Mode = func() os.FileMode { return 0o600 }
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &TabLog{name: name, o: o, stamp: func(now time.Time) string { return periodStamp(now, o.Rotation) }}
}

// Write appends a line of fields. What it cannot write it counts and reports to
// Options.Log, once until lines go through again; the error is for callers that
// care.
func (l *TabLog) Write(fields ...string) error { return l.writeAt(l.o.Clock(), fields) }

func (l *TabLog) writeAt(now time.Time, fields []string) error {
	line := appendLine(nil, fields)
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.write(line, now)
	switch {
	case err != nil:
		if l.lost == 0 {
			l.o.Log.Error("log lines are being lost", "log", l.name, "error", err)
		}
		l.lost++
	case l.lost > 0:
		l.o.Log.Warn("log lines were lost", "log", l.name, "lines", l.lost)
		l.lost = 0
	}
	return err
}

func (l *TabLog) write(line []byte, now time.Time) error {
	if l.closed {
		return fmt.Errorf("log %s: %w", l.name, os.ErrClosed)
	}
	if err := l.open(now); err != nil {
		return err
	}
	if _, err := l.file.Write(line); err != nil {
		l.shut()
		return err
	}
	return nil
}

// open makes l.file the file of the period of now.
func (l *TabLog) open(now time.Time) error {
	path := filepath.Join(l.o.Dir, l.name+"-"+l.stamp(now))
	if l.file != nil && path == l.path && l.stillThere(now) {
		return nil
	}
	l.shut()
	if err := os.MkdirAll(l.o.Dir, 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, l.o.Mode())
	if err != nil {
		return err
	}
	if err := endLine(file); err != nil {
		return errors.Join(err, file.Close())
	}
	l.file, l.path, l.checked = file, path, now
	return nil
}

// endLine ends a last line that a full disk or a crash has cut short, so that
// the next one is not glued to it.
func endLine(file *os.File) error {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	last := make([]byte, 1)
	if _, err := file.ReadAt(last, info.Size()-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err = file.Write([]byte("\n"))
	return err
}

// stillThere reports whether the open file is the one under its name. The
// reference opens the file for each line, so that people move it away at any time.
func (l *TabLog) stillThere(now time.Time) bool {
	if d := now.Sub(l.checked); 0 <= d && d < checkEvery {
		return true
	}
	l.checked = now
	byName, err := os.Stat(l.path)
	if err != nil {
		return false
	}
	open, err := l.file.Stat()
	return err == nil && os.SameFile(byName, open)
}

func (l *TabLog) shut() {
	if l.file == nil {
		return
	}
	if err := l.file.Close(); err != nil {
		l.o.Log.Warn("closing a log file", "log", l.name, "error", err)
	}
	l.file = nil
}

// Reopen makes the next line open its file again, for those who have moved it.
func (l *TabLog) Reopen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shut()
}

// Close closes the file. Later lines are errors.
func (l *TabLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shut()
	l.closed = true
	return nil
}

// periodStamp returns the start of the period that now is in: local time,
// rounded down to a multiple of rotation since the local 1970-01-01 00:00.
func periodStamp(now time.Time, rotation time.Duration) string {
	_, offset := now.Zone()
	local := now.Unix() + int64(offset)
	period := int64(rotation / time.Second)
	start := local - (local%period+period)%period
	return time.Unix(start, 0).UTC().Format("200601021504")
}

// stamp returns the time as log lines have it.
func stamp(t time.Time) string { return t.Format("2006-01-02 15:04:05") }

// appendLine quotes as the tables do, and writes what could end a field or a
// line, or act on a terminal, as \xNN, so that nobody forges fields.
func appendLine(dst []byte, fields []string) []byte {
	for i, field := range fields {
		if i > 0 {
			dst = append(dst, '\t')
		}
		dst = append(dst, '"')
		dst = appendField(dst, field)
		dst = append(dst, '"')
	}
	return append(dst, '\n')
}

func appendField(dst []byte, s string) []byte {
	isUTF8 := utf8.ValidString(s)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '"':
			dst = append(dst, '\\', '"')
		case c < ' ', c == 0x7f, c == '\\' && i == len(s)-1:
			dst = fmt.Appendf(dst, `\x%02x`, c)
		case isUTF8 && c == 0xc2 && unicode.IsControl(rune(s[i+1])):
			dst = fmt.Appendf(dst, `\x%02x\x%02x`, c, s[i+1])
			i++
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
