package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/term"
)

// maxUpload is the most that is read for one upload, in bytes. It only keeps
// this program from filling its memory; the limit of the server is lower.
const maxUpload = 256 << 20

// readUpload reads the whole content of an upload before anything is sent: a
// file that cannot be read to its end must not replace another by its first half.
func (p *program) readUpload(o *options) ([]byte, error) {
	var in io.Reader
	name := "standard input"
	if o.file != "" {
		name = o.file
		f, err := os.Open(o.file)
		if err != nil {
			return nil, &localError{code: codeOpenFile, info: err.Error()}
		}
		defer f.Close()
		in = f
	} else if p.stdin != nil {
		in = p.stdin
	} else {
		return nil, &localError{code: codeOpenFile, info: "no standard input"}
	}
	content, err := io.ReadAll(io.LimitReader(in, maxUpload+1))
	if err != nil {
		return nil, &localError{code: codeReadFile, info: fmt.Sprintf("%s: %v", name, err)}
	}
	if len(content) > maxUpload {
		return nil, &localError{code: codeTooBig, info: fmt.Sprintf("%s is larger than %d bytes", name, maxUpload)}
	}
	return content, nil
}

// An outputFile is where -f puts a list. Nothing of it is seen before commit,
// unless it is a device or a pipe.
type outputFile struct {
	path   string   // the file itself, links followed
	file   *os.File // written to: a temporary file, or the device
	temp   bool
	held   *bytes.Buffer // in place of file where no temporary file can be made beside an existing one
	sealed bool
}

// createOutput opens the file of -f for a list.
func createOutput(path string) (*outputFile, error) {
	fail := func(err error) (*outputFile, error) {
		return nil, &localError{code: codeCreateFile, info: err.Error()}
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	old, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		old = nil
	case err != nil:
		return fail(err)
	case !old.Mode().IsRegular():
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return fail(err)
		}
		return &outputFile{path: path, file: f}, nil
	default:
		// A file that may not be written is not replaced either.
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return fail(err)
		}
		f.Close()
	}
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text()[:10])
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		if old != nil {
			return &outputFile{path: path, held: new(bytes.Buffer)}, nil
		}
		var pe *fs.PathError
		if errors.As(err, &pe) {
			pe.Path = path
		}
		return fail(err)
	}
	if old != nil {
		keepOwner(f, old)
		f.Chmod(old.Mode().Perm())
	}
	return &outputFile{path: path, file: f, temp: true}, nil
}

func (o *outputFile) Write(b []byte) (int, error) {
	if o.held != nil {
		return o.held.Write(b)
	}
	return o.file.Write(b)
}

// commit puts the file in its place.
func (o *outputFile) commit() error {
	o.sealed = true
	if o.held != nil {
		return os.WriteFile(o.path, o.held.Bytes(), 0)
	}
	if err := o.file.Close(); err != nil {
		o.remove()
		return err
	}
	if !o.temp {
		return nil
	}
	if err := os.Rename(o.file.Name(), o.path); err != nil {
		o.remove()
		return err
	}
	return nil
}

// discard drops what was written. It does nothing after commit.
func (o *outputFile) discard() {
	if o.sealed || o.held != nil {
		return
	}
	o.sealed = true
	o.file.Close()
	o.remove()
}

func (o *outputFile) remove() {
	if o.temp {
		os.Remove(o.file.Name())
	}
}

// isTerminal reports whether the file is one, such as /dev/tty.
func (o *outputFile) isTerminal() bool {
	return o.file != nil && !o.temp && term.IsTerminal(int(o.file.Fd()))
}
