package filter

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/program"
)

// The names of the files in the folder of a filter.
const (
	messageFile = "message"
	rejectFile  = messageFile + ".rej"
)

// dataMarker stands before the message in the file.
const dataMarker = "<<MAIL-DATA>>"

// How much a program may add to a file: to the lines before the message, and to the
// message itself besides twice its size.
const (
	moreHead = 64 << 10
	moreBody = 16 << 20
)

// A work is the copy of a message that programs work on.
type work struct {
	folder *program.Folder
	temp   string // for what is kept of the message outside of the folder
	repair bool   // lines of a message that a program has written get the ends that lines have in the queue
	head   []byte // the lines before the message
	body   *io.SectionReader
	kept   *os.File // what a program has made of the message; nil: body counts
	made   bool     // the file is as the next program is to find it
}

// newWork makes the folder of a message. head has the lines before it; body is nil
// where there is no message yet.
func (r *Runner) newWork(head []byte, body *io.SectionReader) (*work, error) {
	folder, err := program.NewFolder(r.o.TempDir, r.root.Dir)
	if err != nil {
		return nil, err
	}
	w := &work{folder: folder, temp: r.o.TempDir, head: head, body: body}
	if body != nil {
		w.head = append(w.head, dataMarker+"\r\n"...)
	}
	if err := w.prepare(); err != nil {
		return nil, errors.Join(err, folder.Remove())
	}
	return w, nil
}

// head are the lines of a file of the reference before the message.
func (r *Runner) head(m Message) []byte {
	var b bytes.Buffer
	line := func(s string) { b.WriteString(clean(s) + "\r\n") }
	part := func(s string) string { return strings.ReplaceAll(clean(s), ";", "?") }
	line(strings.Join([]string{part(m.Helo), addrPort(m.Remote), part(m.Domain), addrPort(m.Local),
		m.Time.Format("Mon, 2 Jan 2006 15:04:05 -0700"), "[" + part(r.root.Vars().Value("ServerIdentity")) + " ESMTP Server]"}, ";"))
	line(m.Domain)
	line(m.ID)
	line(m.Mail)
	for _, rcpt := range m.Recipients {
		real := rcpt.Real
		if real == "" {
			real = rcpt.Address
		}
		line("RCPT TO:<" + rcpt.Address + "> {ra=" + real + "}")
	}
	return b.Bytes()
}

// clean replaces what could end a line or act on a terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}

func (w *work) path() string { return w.folder.Path(messageFile) }

// message returns the message as it is now.
func (w *work) message() *io.SectionReader {
	if w.kept == nil {
		return w.body
	}
	info, err := w.kept.Stat()
	if err != nil {
		return io.NewSectionReader(w.kept, 0, 0)
	}
	return io.NewSectionReader(w.kept, 0, info.Size())
}

// prepare makes the file for the next program, where the last one has changed it.
func (w *work) prepare() error {
	if err := w.folder.Delete(rejectFile); err != nil {
		return err
	}
	if w.made {
		return nil
	}
	if err := w.write(messageFile); err != nil {
		return err
	}
	w.made = true
	return nil
}

// write makes a file with the message as it is now.
func (w *work) write(name string) (err error) {
	file, err := w.folder.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := bufio.NewWriter(file)
	if _, err := out.Write(w.head); err != nil {
		return err
	}
	if w.body != nil {
		message := w.message()
		if _, err := io.Copy(out, io.NewSectionReader(message, 0, message.Size())); err != nil {
			return err
		}
	}
	return out.Flush()
}

// A localError is a failure of this machine, and not of a program.
type localError struct{ error }

func (e localError) Unwrap() error { return e.error }

var (
	errNoMarker = errors.New("it has rewritten the file without " + dataMarker)
	errEmpty    = errors.New("it has left nothing of the message")
	errFlood    = errors.New("it has made the message far larger")
)

// take looks at what a program that ended well has left, and returns the lines before
// the message where it has changed anything. What is wrong with the file is the error;
// the message is as before then. Of a file without a message nothing counts.
func (w *work) take() (head []byte, err error) {
	file, err := w.folder.Open(messageFile)
	if err != nil {
		return nil, fmt.Errorf("it has left no file: %w", err)
	}
	head, err = w.takeFrom(file)
	return head, errors.Join(err, file.Close())
}

func (w *work) takeFrom(file *os.File) ([]byte, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	w.made = false
	if w.body == nil {
		return nil, nil
	}
	start, err := messageStart(file, int64(len(w.head)+moreHead))
	if err != nil {
		return nil, err
	}
	head := make([]byte, start)
	if _, err := io.ReadFull(io.NewSectionReader(file, 0, start), head); err != nil {
		return nil, err
	}
	before, now := w.message(), io.NewSectionReader(file, start, info.Size()-start)
	switch {
	case now.Size() == 0 && before.Size() > 0:
		return nil, errEmpty
	case now.Size() > 2*w.body.Size()+moreBody:
		return nil, errFlood
	case now.Size() == before.Size() && same(before, now):
		w.made = bytes.Equal(head, w.head)
		return head, nil
	}
	kept, err := os.CreateTemp(w.temp, "xmaild-")
	if err != nil {
		return nil, localError{err}
	}
	_ = os.Remove(kept.Name()) // open it lives on; where that cannot be it is removed later
	if err := w.copy(kept, now); err != nil {
		return nil, localError{errors.Join(err, discard(kept))}
	}
	w.dropBody()
	w.kept = kept
	return head, nil
}

func (w *work) copy(to *os.File, text io.Reader) error {
	if !w.repair {
		_, err := io.Copy(to, text)
		return err
	}
	out := bufio.NewWriter(to)
	lines := &lineWriter{w: out}
	if _, err := io.Copy(lines, text); err != nil {
		return err
	}
	return errors.Join(lines.Close(), out.Flush())
}

// messageStart returns where the message begins in a file that a program may have
// written anew.
func messageStart(file *os.File, limit int64) (int64, error) {
	in := bufio.NewReader(io.NewSectionReader(file, 0, limit))
	start := int64(0)
	for long := false; ; {
		line, err := in.ReadSlice('\n')
		start += int64(len(line))
		rest := long
		long = errors.Is(err, bufio.ErrBufferFull)
		switch {
		case long || err == nil && rest:
		case errors.Is(err, io.EOF):
			return 0, errNoMarker
		case err != nil:
			return 0, err
		case string(bytes.TrimRight(line, "\r\n")) == dataMarker:
			return start, nil
		}
	}
}

// same compares two texts of one size, whose readers stay where they are.
func same(a, b io.ReaderAt) bool {
	const all = 1<<63 - 1
	x := bufio.NewReader(io.NewSectionReader(a, 0, all))
	y := bufio.NewReader(io.NewSectionReader(b, 0, all))
	for {
		p, err := x.Peek(4096)
		q, _ := y.Peek(4096)
		if !bytes.Equal(p, q) {
			return false
		}
		if err != nil || len(p) == 0 {
			return errors.Is(err, io.EOF)
		}
		_, _ = x.Discard(len(p)) // they are there
		_, _ = y.Discard(len(q))
	}
}

// reason returns the line that a program that refuses has left, as it is, "" where there
// is none.
func (w *work) reason() string {
	file, err := w.folder.Open(rejectFile)
	if err != nil {
		return ""
	}
	text, err := io.ReadAll(io.LimitReader(file, maxRejected))
	if errors.Join(err, file.Close()) != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimRight(line, "\r ")
}

// reply returns what a program that refuses wants the client to be told, "" where that
// is nothing, or no reply of SMTP.
func (w *work) reply() string {
	line := w.reason()
	if len(line) < 5 || line[0] != '4' && line[0] != '5' || !isDigit(line[1]) || !isDigit(line[2]) || line[3] != ' ' {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}, line)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// newBody returns what programs have made of the message, nil where that is nothing.
func (w *work) newBody() io.ReadCloser {
	if w.kept == nil {
		return nil
	}
	return &keptBody{w.message(), w.kept}
}

func (w *work) dropBody() {
	if w.kept != nil {
		_ = discard(w.kept) // a temporary file of ours
		w.kept = nil
	}
}

// discard closes a temporary file and removes it.
func discard(file *os.File) error {
	err := file.Close()
	if gone := os.Remove(file.Name()); !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}

// A keptBody is a message in a temporary file, which goes when it is closed.
type keptBody struct {
	*io.SectionReader
	file *os.File
}

func (b *keptBody) Close() error { return discard(b.file) }
