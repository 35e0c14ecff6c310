package ctrld

import (
	"bufio"
	"errors"
	"io"
	"iter"

	"github.com/xmaild/xmaild/pkg/ctrl"
)

// list answers with a row for each element.
func list[T any](seq iter.Seq[T], row func(T) []string) ctrl.Reply {
	return ctrl.List(func(w *ctrl.ListWriter) error {
		for x := range seq {
			if err := w.Row(row(x)...); err != nil {
				return err
			}
		}
		return nil
	})
}

// piece is how much of a long line is read at a time: a multiple of the longest
// line of a list, so that lines are cut where a list cuts them.
const piece = 32 * 2046

// files answers with the lines of files, one after the other. It closes them.
func (c *call) files(all ...io.ReadCloser) ctrl.Reply {
	if c.trying { // the list will not be asked for
		return c.answerList(closeAll(all))
	}
	return ctrl.List(func(w *ctrl.ListWriter) (err error) {
		defer func() { err = errors.Join(err, closeAll(all)) }()
		for _, f := range all {
			if err := copyLines(w, f); err != nil {
				return err
			}
		}
		return nil
	})
}

// answerList is an empty list, or the refusal that an error is.
func (c *call) answerList(err error) ctrl.Reply {
	if err != nil {
		return c.answer(err)
	}
	return ctrl.List(func(*ctrl.ListWriter) error { return nil })
}

func closeAll(files []io.ReadCloser) error {
	var err error
	for _, f := range files {
		err = errors.Join(err, f.Close())
	}
	return err
}

func copyLines(w *ctrl.ListWriter, f io.Reader) error {
	r := bufio.NewReaderSize(f, piece)
	for {
		line, err := r.ReadSlice('\n')
		if len(line) > 0 {
			if werr := w.Text(line); werr != nil {
				return werr
			}
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if err == io.EOF {
				err = nil
			}
			return err
		}
	}
}
