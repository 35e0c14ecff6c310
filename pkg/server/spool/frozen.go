// Package spool is the queue on disk: live messages, which are promised to be
// delivered, and the tree of the reference (docs/reference/delivery.md 1), whose
// waiting messages are taken over and whose frozen ones stay there.
package spool

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The folders of a leaf.
const (
	frozenDir = "froz"
	logDir    = "slog"
	queueDir  = "mess"
)

// ErrNotFound is the error of a message or a log that is not there.
var ErrNotFound = errors.New("no such message")

// ErrName is the error of a name that leads out of its folder.
var ErrName = errors.New("not the name of a message")

// A Tree is a spool folder. It may not exist: it is then empty.
type Tree struct {
	Dir     string
	Skipped func(file string) // told of files that All passes over; nil: nobody is
}

// A Name tells where a message is.
type Name struct {
	Level0, Level1 int
	File           string
}

// A Frozen is a message that was given up.
type Frozen struct {
	Name
	From, To string    // paths, without angle brackets; a source route as it is
	Last     time.Time // of the last attempt; zero where the log does not tell
	Tries    int
	Size     int64     // of the whole file
	Login    string    // who logged in to send it, as the client wrote the name; empty: not known
	Account  string    // user@domain of that login
	Changed  time.Time // when the file was written
}

// path returns the file of a message in a folder of its leaf.
func (t Tree) path(n Name, dir string) (string, error) {
	if n.Level0 < 0 || n.Level1 < 0 || n.File == "" || n.File == "." || strings.ContainsAny(n.File, "/\\\x00") ||
		strings.Contains(n.File, "..") {
		return "", fmt.Errorf("%w: %q", ErrName, n.File)
	}
	return filepath.Join(t.Dir, strconv.Itoa(n.Level0), strconv.Itoa(n.Level1), dir, n.File), nil
}

// frozen returns the file of a frozen message that is there.
func (t Tree) frozen(n Name) (string, error) {
	path, err := t.path(n, frozenDir)
	if err != nil {
		return "", err
	}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return "", fmt.Errorf("%w: %d/%d/%s", ErrNotFound, n.Level0, n.Level1, n.File)
	}
	return path, err
}

// All returns the frozen messages in the order of the levels. Files that are no
// messages are passed over.
func (t Tree) All() iter.Seq2[Frozen, error] {
	return func(yield func(Frozen, error) bool) {
		for _, level0 := range numbers(t.Dir) {
			for _, level1 := range numbers(filepath.Join(t.Dir, strconv.Itoa(level0))) {
				leaf := filepath.Join(t.Dir, strconv.Itoa(level0), strconv.Itoa(level1), frozenDir)
				entries, err := os.ReadDir(leaf)
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					if !yield(Frozen{}, err) {
						return
					}
				}
				for _, entry := range entries {
					f, ok := t.read(Name{level0, level1, entry.Name()})
					if ok && !yield(f, nil) {
						return
					}
					if file := filepath.Join(leaf, entry.Name()); !ok && t.Skipped != nil && !isGone(file) {
						t.Skipped(file)
					}
				}
			}
		}
	}
}

func isGone(file string) bool {
	_, err := os.Lstat(file)
	return errors.Is(err, fs.ErrNotExist)
}

// numbers returns the folders of a folder that are numbers, in their order.
func numbers(dir string) []int {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var all []int
	for _, entry := range entries {
		n, err := strconv.Atoi(entry.Name())
		if err == nil && n >= 0 && strconv.Itoa(n) == entry.Name() {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all
}

func (t Tree) read(n Name) (Frozen, bool) {
	f := Frozen{Name: n}
	path, err := t.frozen(n)
	if err != nil || strings.HasPrefix(n.File, ".") {
		return f, false
	}
	file, err := os.Open(path)
	if err != nil {
		return f, false
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return f, false
	}
	f.Size = info.Size()
	if f.From, f.To, err = readEnvelope(file); err != nil {
		return f, false
	}
	f.Changed = info.ModTime()
	t.readLog(&f)
	return f, true
}

// maxEnvelope bounds the lines before the message.
const maxEnvelope = 8192

var errNoMessage = errors.New("not a spool file")

// readEnvelope reads the lines before the message of a spool file
// (docs/reference/delivery.md 1.3).
func readEnvelope(r io.Reader) (from, to string, err error) {
	s := bufio.NewScanner(io.LimitReader(r, maxEnvelope))
	var lines [6]string
	for i := range lines {
		if !s.Scan() {
			return "", "", errNoMessage
		}
		lines[i] = strings.TrimRight(s.Text(), "\r")
	}
	from, okFrom := envelopePath(lines[3], "MAIL FROM:")
	to, okTo := envelopePath(lines[4], "RCPT TO:")
	if len(strings.FieldsFunc(lines[0], func(r rune) bool { return r == ';' })) < 3 || !okFrom || !okTo || to == "" ||
		lines[5] != "<<MAIL-DATA>>" {
		return "", "", errNoMessage
	}
	return from, to, nil
}

func envelopePath(line, command string) (string, bool) {
	rest, ok := cutCommand(line, command)
	if !ok {
		return "", false
	}
	if path, _, ok := cutPath(rest); ok {
		return path, true
	}
	// What the queue would not take is shown all the same.
	_, rest, ok = strings.Cut(rest, "<")
	path, _, closed := strings.Cut(rest, ">")
	return path, ok && closed
}

// readLog reads what the log of a message tells: who sent it, and the attempts, each of
// which begins with a line "[PeekTime] EPOCH : TIME" (docs/reference/delivery.md 1.6).
func (t Tree) readLog(f *Frozen) {
	path, err := t.path(f.Name, logDir)
	if err != nil {
		return
	}
	file, err := os.Open(path)
	if err != nil {
		return
	}
	defer file.Close()
	b := bufio.NewReader(file)
	f.Login, f.Account = readOrigin(b)
	f.Last, f.Tries = countAttempts(b)
}

func countAttempts(b *bufio.Reader) (last time.Time, tries int) {
	for start := true; ; { // a line may be of any length
		line, err := b.ReadSlice('\n')
		if rest, ok := strings.CutPrefix(string(line), peekTime); ok && start {
			number, _, _ := strings.Cut(strings.TrimRight(rest, "\r\n"), " ")
			if epoch, err := strconv.ParseInt(number, 10, 64); err == nil {
				last = time.Unix(epoch, 0)
				tries++
			}
		}
		if start = err == nil; err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return last, tries
		}
	}
}

// Exists returns nil when there is such a frozen message.
func (t Tree) Exists(n Name) error {
	_, err := t.frozen(n)
	return err
}

// Message opens the whole spool file of a frozen message.
func (t Tree) Message(n Name) (io.ReadCloser, error) {
	path, err := t.frozen(n)
	if err != nil {
		return nil, err
	}
	return os.Open(path)
}

// Log opens the log of a frozen message.
func (t Tree) Log(n Name) (io.ReadCloser, error) {
	if _, err := t.frozen(n); err != nil {
		return nil, err
	}
	path, err := t.path(n, logDir)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s has no log", ErrNotFound, n.File)
	}
	return f, err
}

// CheckSubmit returns why a message could not be put back into the queue.
func (t Tree) CheckSubmit(n Name) error {
	_, _, err := t.submitPaths(n)
	return err
}

func (t Tree) submitPaths(n Name) (from, to string, err error) {
	if from, err = t.frozen(n); err != nil {
		return "", "", err
	}
	if to, err = t.path(n, queueDir); err != nil {
		return "", "", err
	}
	if _, err := os.Lstat(to); err == nil {
		return "", "", fmt.Errorf("%s: %w", filepath.Join(queueDir, n.File), fs.ErrExist)
	}
	return from, to, nil
}

// Submit puts a frozen message back into the queue, as one that was never tried.
func (t Tree) Submit(n Name) error {
	from, to, err := t.submitPaths(n)
	if err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Dir(to), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	if err := t.removeFrom(n, logDir); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(to)), syncDir(filepath.Dir(from)))
}

// Delete removes a frozen message with all that belongs to it.
func (t Tree) Delete(n Name) error {
	path, err := t.frozen(n)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	if err := t.removeFrom(n, "info", logDir, "temp", "cust", "mprc"); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func (t Tree) removeFrom(n Name, dirs ...string) error {
	for _, dir := range dirs {
		path, err := t.path(n, dir)
		if err != nil {
			return err
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
