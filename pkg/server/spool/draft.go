package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
)

// A Draft is a message that is being taken. It is for one goroutine. Whoever has
// one ends it by Commit or Abort.
//
// The text is held in memory as long as it is short: see [Queue.DeliverFirst].
type Draft struct {
	q       *Queue
	m       *message
	env     Envelope
	text    *bytes.Buffer // what is not in the file yet
	file    tabFile       // nil: there is none yet
	name    string        // of the file
	slots   []int64
	start   int64 // where the message begins in the file
	written int64 // bytes of the message
	err     error // the first that came
	ended   bool

	source    func() error // removes what the message is taken from, when it is on disk; nil: nothing
	committed func() error // run when the message is on disk, before anybody gets it; nil: nothing
}

// tabFile is what a draft needs of its file.
type tabFile interface {
	io.Writer
	io.Closer
	Sync() error
}

// Begin begins a message. Its recipients are those of the envelope.
func (q *Queue) Begin(e Envelope) (*Draft, error) { return q.begin(q.newKey(e.Time), e) }

func (q *Queue) begin(key string, e Envelope) (*Draft, error) {
	if len(e.Recipients) == 0 {
		return nil, errors.New("spool: a message without a recipient")
	}
	if err := q.folders.Failed(q.dir); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	d := &Draft{q: q, env: e, m: newMessage(key, e)}
	if d.text, _ = q.buffers.Get().(*bytes.Buffer); d.text == nil {
		d.text = new(bytes.Buffer)
	}
	return d, nil
}

// create makes the file.
func (d *Draft) create() error {
	var header bytes.Buffer
	start, slots, err := writeHeader(&header, d.env)
	if err != nil {
		return err
	}
	if d.name == "" {
		d.name = d.q.spares.get(d.q.opts.mode())
	}
	if d.name == "" {
		d.name = filepath.Join(d.q.dir, d.m.key+draftSuffix)
	}
	f, err := d.q.fs.Create(d.name, "", d.q.opts.mode())
	if err != nil {
		return err
	}
	if _, err = f.Write(header.Bytes()); err != nil {
		return errors.Join(err, f.Close(), d.q.fs.Remove(d.name))
	}
	d.file, d.start, d.slots = f, start, slots
	return nil
}

// draftBuffer is how many bytes of a message are held in memory.
const draftBuffer = 64 << 10

// end gives back what the draft has of the queue.
func (d *Draft) end() {
	d.ended = true
	d.text.Reset()
	d.q.buffers.Put(d.text)
	d.text = nil
}

// Write adds to the message. The text is kept as it is: lines end in CRLF, dots
// are not stuffed.
func (d *Draft) Write(p []byte) (int, error) {
	if d.ended {
		return 0, errEnded
	}
	if d.err != nil {
		return 0, d.err
	}
	if d.text.Len()+len(p) > draftBuffer {
		if err := d.flush(); err != nil {
			return 0, err
		}
	}
	w := io.Writer(d.text)
	if len(p) > draftBuffer {
		w = d.file // which there is, since the buffer was too small
	}
	n, err := w.Write(p)
	d.written += int64(n)
	if err != nil {
		d.err = fmt.Errorf("spool: %w", err)
	}
	return n, d.err
}

// Size returns how many bytes of the message were written.
func (d *Draft) Size() int64 { return d.written }

// Open returns the message as far as it is written, for programs that look at it
// before it is taken. Close what it returns before the draft is ended.
func (d *Draft) Open() (*Body, error) {
	if d.file == nil && d.err == nil {
		return textBody(d.text.Bytes()), nil
	}
	if err := d.flush(); err != nil {
		return nil, err
	}
	f, err := d.q.fs.Modify(d.name)
	return newBody(f, err, d.start)
}

// flush writes what is held in memory into the file.
func (d *Draft) flush() error {
	if d.err != nil {
		return d.err
	}
	var err error
	if d.file == nil {
		err = d.create()
	}
	if err == nil {
		_, err = d.file.Write(d.text.Bytes())
	}
	d.text.Reset()
	if err != nil {
		d.err = fmt.Errorf("spool: %w", err)
	}
	return d.err
}

// discard closes the file, and removes it.
func (d *Draft) discard() error {
	if d.file == nil {
		return nil
	}
	err := errors.Join(d.file.Close(), remove(d.q.fs, d.name))
	d.file, d.name = nil, ""
	return err
}

// Replace puts another text in the place of the message. When it fails the draft
// can only be aborted.
func (d *Draft) Replace(r io.Reader) error {
	if d.ended {
		return errEnded
	}
	if err := d.discard(); err != nil {
		d.err = fmt.Errorf("spool: %w", err)
		return d.err
	}
	d.text.Reset()
	d.written = 0
	_, err := io.Copy(d, r)
	return err
}

var errEnded = errors.New("spool: the draft has ended")

// Commit puts the message into the queue. When it returns nil the message is on
// disk, and its folder too, and will be delivered whatever happens, or was; otherwise
// nothing of it is left.
func (d *Draft) Commit() error {
	if d.ended {
		return errEnded
	}
	if d.deliverFirst() {
		d.end()
		return nil
	}
	err := d.flush()
	d.end()
	if d.file != nil {
		if err == nil {
			err = d.file.Sync()
		}
		err = errors.Join(err, d.file.Close())
	}
	final := filepath.Join(d.q.dir, d.m.key+messageSuffix)
	if err == nil {
		err = d.q.fs.Rename(d.name, final)
	}
	if err != nil {
		if d.name != "" {
			err = errors.Join(err, remove(d.q.fs, d.name))
		}
		return fmt.Errorf("spool: %w", err)
	}
	if err := d.q.syncFolder(); err != nil {
		// It may be there after a power cut, and has not been promised to anybody.
		return fmt.Errorf("spool: %w", errors.Join(err, remove(d.q.fs, final)))
	}
	if d.source != nil {
		if err := d.source(); err != nil {
			return fmt.Errorf("spool: the source of the message stays: %w", errors.Join(err, remove(d.q.fs, final)))
		}
	}
	d.m.size, d.m.start, d.m.offsets = d.written, d.start, d.slots
	if d.committed != nil {
		if err := d.committed(); err != nil {
			d.q.log.Error("progress of a delivery cannot be kept; it goes on by what is remembered", "message", d.m.key, "err", err)
		}
	}
	d.q.add(d.m)
	return nil
}

// Abort forgets the message. After Commit it does nothing.
func (d *Draft) Abort() {
	if d.ended {
		return
	}
	d.end()
	name := d.name
	if err := d.discard(); err != nil {
		d.q.log.Warn("draft of a message is left behind", "file", name, "err", err)
	}
}
