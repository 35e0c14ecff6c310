package ctrl

import (
	"context"
	"fmt"
)

// A Reply is what a [Handler] answers: made by [OK], [Refuse], [List] or
// [Upload] and not changed afterwards. The zero Reply is OK().
type Reply struct {
	code      Code
	text      string
	list      func(*ListWriter) error
	upload    func(context.Context, []byte) Reply
	limit     int64
	ofUpload  bool
	thenClose bool
}

// OK returns the reply "+00000 OK".
func OK() Reply { return Reply{} }

// OKf returns "+00000 OK " and a text. Programs look at the number only.
func OKf(format string, args ...any) Reply {
	return Reply{text: fmt.Sprintf(format, args...)}
}

// Refuse returns a refusal. The text is for people; an empty format stands for
// the text of the code. Control characters in it are sent as "?" and it is cut
// at 400 bytes.
func Refuse(code Code, format string, args ...any) Reply {
	r := Reply{code: code}
	if format != "" {
		r.text = fmt.Sprintf(format, args...)
	}
	return r
}

// Reply returns the refusal as a reply.
func (e *Error) Reply() Reply { return Reply{code: e.Code, text: e.Text} }

// List returns a reply that is a list: write is called with the writer of its
// lines, after which the server sends the dot that ends it. Nothing is held in
// memory but a buffer; a client that does not read makes write wait, and fails it
// after [Limits].Write.
//
// "+00100 OK" goes out with the first line. When write returns an [*Error] before
// that, it is the reply, and any other error is [CodeInternal]. An error after a
// line cannot be told to the client: the session is closed without the dot, which
// a client takes for a list cut short.
func List(write func(w *ListWriter) error) Reply { return Reply{list: write} }

// Upload returns a reply that asks for an upload: "+00101 OK", lines, a dot; then
// done is called with the content, in which every line ends in LF, and its Reply
// (which may not be an Upload) is sent. The content is done's to keep. It is empty
// when no line was sent.
//
// limit is the largest content in bytes; 0, or more than [Limits].Upload, stands
// for [Limits].Upload. A larger one is refused with [CodeTooBig] and the session
// closed. An upload that ends otherwise than by the dot (the connection is lost, a
// time-out, a line over [Limits].UploadLine, shutdown) ends the session and done
// is not called. One that holds a NUL byte is refused with [CodeBadFile], and done
// is not called either.
func Upload(limit int64, done func(ctx context.Context, content []byte) Reply) Reply {
	return Reply{upload: done, limit: limit}
}

// ForUpload marks the refusal of a command that would have taken an upload. Where
// the client did not wait for the reply and its data are there already, the session is
// closed after the reply, so that they are not run as commands. On any other
// reply ForUpload does nothing.
func (r Reply) ForUpload() Reply {
	r.ofUpload = true
	return r
}

// Rows returns r with f between the command and the rows of its list: what f returns
// of a row is sent, and nothing where that is nil. Lines of files do not pass it. On
// a reply that is not a list Rows does nothing.
func (r Reply) Rows(f func(fields []string) []string) Reply {
	if write := r.list; write != nil {
		r.list = func(w *ListWriter) error {
			w.rowFilter = f
			return write(w)
		}
	}
	return r
}

// ThenClose returns r with the session closed after it.
func (r Reply) ThenClose() Reply {
	r.thenClose = true
	return r
}

// Code returns the code of a refusal, and CodeOK for any other reply (also for
// a list that has yet to be written).
func (r Reply) Code() Code { return r.code }

// Status returns the status of a reply that is not a refusal.
func (r Reply) Status() Status {
	switch {
	case r.list != nil:
		return StatusList
	case r.upload != nil:
		return StatusData
	}
	return StatusOK
}

// Text returns the text of the reply without the number.
func (r Reply) Text() string {
	if r.code != CodeOK {
		return (&Error{Code: r.code, Text: r.text}).message()
	}
	if r.text != "" {
		return "OK " + r.text
	}
	return "OK"
}
