package ctrl

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// A Response is a reply that is not a refusal.
type Response struct {
	Status Status
	Text   string

	client  *Client
	command string
	stop    func() // lets go of the context
}

// ErrNoUpload says that a command was done without asking for the upload that was
// meant for it.
var ErrNoUpload = errors.New("the command took no upload")

var errAbandoned = errors.New("the connection was closed in the middle of a reply")

// A CutError says that a list broke off before its end: what was read is part of it.
type CutError struct{ Err error }

func (e *CutError) Error() string { return "list cut short: " + e.Err.Error() }
func (e *CutError) Unwrap() error { return e.Err }

// An UploadError is content that cannot be uploaded, or could not be read.
type UploadError struct {
	Line int // from 1; 0 where reading failed
	Err  error
}

func (e *UploadError) Error() string {
	if e.Line == 0 {
		return "read what to upload: " + e.Err.Error()
	}
	return fmt.Sprintf("line %d cannot be uploaded: %v", e.Line, e.Err)
}
func (e *UploadError) Unwrap() error { return e.Err }

// Lines returns the lines of a list, without their ends and their dot-stuffing.
// They are read from the network as the loop goes on. A list that breaks off ends with
// a [*CutError]. Lines can be ranged over once; leaving the loop early closes the
// connection, since the rest would have to be read. A reply without a list has no lines.
func (r *Response) Lines() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if r.Status != StatusList || r.client.pending != r {
			return
		}
		for {
			line, err := r.client.readLine()
			if err != nil {
				yield("", r.fail(&CutError{err}))
				return
			}
			if strings.HasPrefix(line, ".") {
				if line = line[1:]; line == "" {
					r.finish()
					return
				}
			}
			if !yield(line, nil) {
				r.fail(errAbandoned)
				return
			}
		}
	}
}

// Rows is [Response.Lines] with each line split by [SplitRow].
func (r *Response) Rows() iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		for line, err := range r.Lines() {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(SplitRow(line), nil) {
				return
			}
		}
	}
}

// SplitRow returns the fields of a list row. In lists quotes inside a field are not
// escaped: a field that begins with a quote ends at one before a TAB or the end of the line.
func SplitRow(line string) []string {
	var fields []string
	for line != "" {
		var field string
		if line[0] == '\t' {
			line = line[1:]
			continue
		}
		if line[0] == '"' {
			line = line[1:]
			if i := strings.Index(line, "\"\t"); i >= 0 {
				field, line = line[:i], line[i+2:]
			} else {
				field, line = strings.TrimSuffix(line, `"`), ""
			}
		} else {
			field, line, _ = strings.Cut(line, "\t")
		}
		fields = append(fields, field)
	}
	return fields
}

// Upload sends the content that a reply with [StatusData] asks for, and returns
// the error of the reply that follows. Unlike [Client.Upload] it sends while it
// reads; where the content turns out to be bad, or cannot be read, the connection is
// closed, and a server of this project changes nothing. (XMail 1.27 takes what it has
// got: use Client.Upload with it.)
func (r *Response) Upload(content io.Reader) error {
	if err := r.awaitsData(); err != nil {
		return err
	}
	buf := make([]byte, 0, 32<<10)
	err := r.client.eachLine(content, func(line []byte) error {
		buf = append(append(buf, line...), '\r', '\n')
		if len(buf) < 16<<10 {
			return nil
		}
		_, err := r.client.write(buf)
		buf = buf[:0]
		return err
	})
	if e, ok := errors.AsType[*UploadError](err); ok {
		return r.fail(e)
	}
	if err != nil {
		return r.brokenOff(err)
	}
	return r.end(buf)
}

func (r *Response) awaitsData() error {
	switch {
	case r.client.pending != r:
		return ErrBusy
	case r.Status != StatusData:
		return ErrNoUpload
	}
	return nil
}

// send uploads what prepare made of the content.
func (r *Response) send(data []byte) error {
	for len(data) > 16<<10 {
		if _, err := r.client.write(data[:16<<10]); err != nil {
			return r.brokenOff(err)
		}
		data = data[16<<10:]
	}
	return r.end(data)
}

// end sends the rest of an upload and the dot, and reads the last reply.
func (r *Response) end(rest []byte) error {
	b := append(rest, ".\r\n"...)
	if n, err := r.client.write(b); err != nil {
		if n == len(b) {
			return r.fail(&UnknownOutcomeError{r.command, err})
		}
		return r.brokenOff(err)
	}
	if err := r.read(); err != nil {
		return err
	}
	r.finish()
	return nil
}

// brokenOff returns the error of an upload whose end could not be sent.
func (r *Response) brokenOff(err error) error {
	if e := r.lastWords(); e != nil {
		return e
	}
	if r.client.original { // which installs what it has got
		return r.fail(&UnknownOutcomeError{r.command, err})
	}
	return r.fail(fmt.Errorf("%s: upload broken off, nothing changed: %w", r.command, err))
}

// prepare returns content as it is sent, without the dot that ends it.
func (c *Client) prepare(content io.Reader) ([]byte, error) {
	var data []byte
	err := c.eachLine(content, func(line []byte) error {
		data = append(append(data, line...), '\r', '\n')
		return nil
	})
	return data, err
}

// eachLine calls f with the lines of content as they are sent, without their
// ends. Its own errors are *UploadErrors.
func (c *Client) eachLine(content io.Reader, f func(line []byte) error) error {
	limit := 64 << 10
	if c.original {
		limit = 2044
	}
	lines := lineReader{src: content}
	var stuffed []byte
	for n := 1; ; n++ {
		line, err := lines.line(limit + 1) // a dot more is counted below
		last := err == io.EOF
		switch {
		case last && lines.buffered() == 0:
			return nil
		case last:
			line = bytes.TrimRight(lines.buf[lines.start:lines.end], "\r")
		case err == errLineTooLong:
			return &UploadError{n, fmt.Errorf("longer than %d bytes", limit)}
		case err != nil:
			return &UploadError{0, err}
		}
		if bytes.IndexByte(line, 0) >= 0 {
			return &UploadError{n, errors.New("it holds a NUL byte")}
		}
		if len(line) > 0 && line[0] == '.' {
			stuffed = append(append(stuffed[:0], '.'), line...)
			line = stuffed
		}
		if len(line) > limit {
			return &UploadError{n, fmt.Errorf("longer than %d bytes", limit)}
		}
		if err := f(line); err != nil {
			return err
		}
		if last {
			return nil
		}
	}
}

// read reads the reply. When it is a refusal, or cannot be read, r is finished.
func (r *Response) read() error {
	line, err := r.client.readLine()
	if err == nil {
		r.Status, r.Text, err = parseReply(line)
		if err == nil {
			return nil
		}
		if e, ok := errors.AsType[*Error](err); ok {
			return r.refused(e)
		}
	}
	return r.fail(&UnknownOutcomeError{r.command, err})
}

// lastWords returns the refusal that a server sent before it closed the connection.
func (r *Response) lastWords() error {
	line, err := r.client.readLine()
	if err == nil {
		_, _, err = parseReply(line)
	}
	if e, ok := errors.AsType[*Error](err); ok {
		r.fail(e)
		return e
	}
	return nil
}

// refused finishes r by a refusal.
func (r *Response) refused(e *Error) error {
	switch e.Code {
	case CodeShutdown, CodeTimeout, CodeLineTooLong, CodeTooBig:
		return r.fail(e) // the server has closed the connection
	}
	r.finish()
	return e
}

// finish makes room for the next command.
func (r *Response) finish() {
	r.stop()
	if r.client.pending == r {
		r.client.pending = nil
	}
}

// fail gives the connection up and returns err.
func (r *Response) fail(err error) error {
	r.finish()
	r.client.broken = err
	r.client.raw.Close()
	return err
}

// abandon gives up an upload that was asked for and is not there.
func (r *Response) abandon() error {
	return r.fail(fmt.Errorf("%s asks for an upload", r.command))
}
