package spool

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A source is a file of the reference's tree.
type source struct {
	Name
	dir  string // of the leaf
	path string
}

// A taken is a message whose file is in the folder of the live queue, while its
// source is still there.
type taken struct {
	source
	m    *message
	live bool  // it was in the live queue before
	err  error // why it has not been taken after all
}

// take copies a message of the tree into the folder of the live queue, under a name
// that depends on that of the source alone, but not into the queue yet.
func (q *Queue) take(s source, when func(s source, log string) slot) (taken, error) {
	info, err := q.fs.Lstat(s.path)
	if err != nil {
		return taken{}, err
	}
	if !info.Mode().IsRegular() {
		return taken{}, fmt.Errorf("%s is not a file", s.File)
	}
	f, err := q.fs.Open(s.path)
	if err != nil {
		return taken{}, err
	}
	one, err := q.takeFile(s, f, when)
	return one, errors.Join(err, f.Close())
}

func (q *Queue) takeFile(s source, f tabfile.File, when func(s source, log string) slot) (taken, error) {
	file, err := readSpoolFile(f)
	if err != nil {
		return taken{}, err
	}
	key := takenKey(s.Name)
	q.mu.Lock()
	m := q.live[key]
	q.mu.Unlock()
	if m != nil {
		// The power went between the two steps; or it is another message.
		return taken{source: s, m: m, live: true}, q.compare(m, file)
	}
	file.Time = timeOf(s.Name, file, q.opts.Clock())
	log := ""
	if s.dir == frozenDir { // what is submitted begins anew
		file.Back = q.opts.Clock()
		err = q.oldOrigin(s.Name, &file.Envelope)
	} else {
		log, err = q.oldLog(s.Name)
	}
	if err != nil {
		return taken{}, err
	}
	m, err = q.store(key, file, when(s, log))
	if err == nil && log != "" {
		err = q.replace(filepath.Join(q.dir, key+logSuffix), log)
	}
	if err == nil {
		err = q.fs.Rename(filepath.Join(q.dir, key+draftSuffix), filepath.Join(q.dir, key+messageSuffix))
	}
	if err != nil {
		return taken{}, errors.Join(err, remove(q.fs, filepath.Join(q.dir, key+draftSuffix)))
	}
	m.noted = log != ""
	return taken{source: s, m: m}, nil
}

// store writes a message as the draft of that key, and syncs it.
func (q *Queue) store(key string, file *spoolFile, now slot) (*message, error) {
	f, err := q.fs.Create(filepath.Join(q.dir, key+draftSuffix), "", q.opts.mode())
	if err != nil {
		return nil, err
	}
	m := newMessage(key, file.Envelope)
	m.slots = []slot{now}
	b := bufio.NewWriter(f)
	m.start, m.offsets, err = writeHeader(b, file.Envelope)
	if err == nil {
		m.size, err = file.WriteTo(b)
	}
	if err == nil {
		err = b.Flush()
	}
	if err == nil {
		_, err = f.WriteAt([]byte(now.String()), m.offsets[0])
	}
	if err == nil {
		err = f.Sync()
	}
	return m, errors.Join(err, f.Close())
}

// replace writes a file, which need not be durable.
func (q *Queue) replace(path, text string) error {
	f, err := q.fs.Create(path, "", q.opts.mode())
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	return errors.Join(err, f.Close())
}

// oldLog reads the end of the log that the reference has written of a message.
func (q *Queue) oldLog(n Name) (string, error) {
	path, err := q.tree().path(n, logDir)
	if err != nil {
		return "", err
	}
	f, err := q.fs.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	text, err := tail(f, maxHistory)
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n" // ours is appended
	}
	return text, errors.Join(err, f.Close())
}

// oldOrigin reads who sent a frozen message, where its log tells.
func (q *Queue) oldOrigin(n Name, e *Envelope) error {
	path, err := q.tree().path(n, logDir)
	if err != nil {
		return err
	}
	f, err := q.fs.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if login, account := readOrigin(bufio.NewReader(f)); login != "" || account != "" {
		e.Login, e.Account = login, account
	}
	return f.Close()
}

// compare returns nil when a message of the live queue is what a file holds.
func (q *Queue) compare(m *message, file *spoolFile) error {
	if m.from != file.From || len(m.recipients) != 1 || m.recipients[0] != file.Recipients[0].Address || m.id != file.ID {
		return fmt.Errorf("%w: another message of that name is in the queue", errUnloadable)
	}
	f, err := q.modify(m)
	body, err := newBody(f, err, m.start)
	if err != nil {
		return err
	}
	c := &comparer{r: body}
	_, err = file.WriteTo(c)
	if n, _ := io.Copy(io.Discard, body); err == nil && n > 0 {
		err = errDiffers
	}
	if err = errors.Join(err, body.Close()); errors.Is(err, errDiffers) {
		return fmt.Errorf("%w: another message of that name is in the queue", errUnloadable)
	}
	return err
}

var errDiffers = errors.New("the texts differ")

// A comparer takes what is in r and nothing else.
type comparer struct{ r io.Reader }

func (c *comparer) Write(p []byte) (int, error) {
	q := make([]byte, len(p))
	if n, err := io.ReadFull(c.r, q); err != nil || !bytes.Equal(p[:n], q) {
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, err
		}
		return 0, errDiffers
	}
	return len(p), nil
}

// settleTaken makes messages durable that were taken from one folder, removes their
// sources, and only then puts them into the queue: nothing is delivered that could
// be taken over again. It returns how many are in the queue now; for each of the
// others err is set.
func (q *Queue) settleTaken(batch []taken) (done int, err error) {
	if len(batch) == 0 {
		return 0, nil
	}
	if err := q.folders.Sync(q.dir); err != nil {
		for i := range batch {
			batch[i].err = errors.Join(err, q.untake(batch[i]))
		}
		return 0, err
	}
	for i := range batch {
		if err := q.fs.Remove(batch[i].path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			batch[i].err = errors.Join(err, q.untake(batch[i]))
		}
	}
	// Where this fails the sources may come back after a power cut. The mail is
	// delivered all the same.
	err = q.folders.Sync(filepath.Dir(batch[0].path))
	for _, one := range batch {
		if one.err != nil {
			continue
		}
		done++
		q.removeOf(one.Name, logDir, infoDir)
		if !one.live {
			q.add(one.m)
		}
	}
	return done, err
}

// untake removes the copy of a message whose source stays.
func (q *Queue) untake(one taken) error {
	if one.live {
		return nil
	}
	return errors.Join(remove(q.fs, filepath.Join(q.dir, one.m.key+messageSuffix)),
		remove(q.fs, filepath.Join(q.dir, one.m.key+logSuffix)))
}
