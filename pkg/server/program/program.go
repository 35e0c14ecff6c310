// Package program runs the external programs that tables name: filters, mail
// processors, checks of passwords, account hooks. They run without a shell, in a
// process group of their own, with a clean environment and a time limit, and never
// as root: where the server is root they run as nobody.
package program

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"time"
)

// DefaultTimeout is how long an external program may take (docs/design.md).
const DefaultTimeout = 60 * time.Second

// markVariable is a variable in the environment of a program, another one each time it
// runs, by which children that have left its group are found when its time is over.
const markVariable = "XMAILD_RUN"

// outputGap is how long a program that has ended may leave its output open to its
// children.
const outputGap = time.Second

// ErrTimeout reports a program that was killed because it took too long.
var ErrTimeout = errors.New("killed: it took too long")

// A Program is an external program as a table names it.
type Program struct {
	Path    string    // absolute, or a name found in /usr/local/bin, /usr/bin, /bin
	Args    []string  // without the program's name; never printed, they may hold a password
	Dir     string    // working folder; empty, or where nobody cannot enter it: that of the file system's root
	Env     []string  // NAME=VALUE, beside PATH and LC_ALL
	Stdin   io.Reader // nil: empty. What the program does not read is dropped
	Timeout time.Duration
	Nice    int // scheduling priority as of nice(1), 0: that of the server. Below 0 counts only where the server is root

	// MaxOutput is how many bytes of what the program prints, on either channel, are
	// kept. The rest is dropped, so that the program does not wait. 0 keeps nothing.
	MaxOutput int
}

// A Result is how a program ended by itself.
type Result struct {
	Exit   int  // status; -1 where a signal ended it
	Signal bool // a signal ended it
	Output []byte
}

// OK reports whether the program ended with status 0.
func (r Result) OK() bool { return r.Exit == 0 && !r.Signal }

// String is how the program ended, for messages.
func (r Result) String() string {
	if r.Signal {
		return "ended by a signal"
	}
	return fmt.Sprintf("exit status %d", r.Exit)
}

// Check returns why a program cannot be run by its name; nil where nothing is known that
// speaks against it.
func Check(name string) error {
	path, err := lookPath(name)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err == nil && !isExecutable(info) {
		err = fmt.Errorf("%s: %w", path, fs.ErrPermission)
	}
	return err
}

// Run runs the program and waits for it. When the time is over ([ErrTimeout]) or ctx
// ends the program is killed with every process of its group, and on Linux with all its
// children, whatever group or session they are in. The error says why there
// is no [Result]: the program could not be started, or was killed by us.
func (p Program) Run(ctx context.Context) (Result, error) {
	limit := p.Timeout
	if limit <= 0 {
		limit = DefaultTimeout
	}
	path, err := lookPath(p.Path)
	if err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, ErrTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, p.Args...)
	cmd.Args[0] = p.Path
	cmd.Env = append(environment(), p.Env...)
	cmd.Stdin = p.Stdin
	var out output
	if p.MaxOutput > 0 {
		out.left = p.MaxOutput
		cmd.Stdout, cmd.Stderr = &out, &out // one writer: exec writes to it from one goroutine
	}
	cmd.WaitDelay = outputGap
	mark := markVariable + "=" + rand.Text()
	cmd.Env = append(cmd.Env, mark)
	cmd.Cancel = func() error { return killAll(cmd, mark) }
	if cmd.Dir, err = prepare(cmd, p.Dir); err != nil {
		return Result{}, fmt.Errorf("%s: %w", p.Path, err)
	}
	if err = cmd.Start(); err == nil {
		setNice(cmd.Process.Pid, p.Nice)
		err = cmd.Wait()
	}
	if cause := context.Cause(ctx); cause != nil && err != nil {
		return Result{}, fmt.Errorf("%s: %w", p.Path, cause)
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code := exit.ExitCode()
		return Result{Exit: code, Signal: code < 0, Output: out.Bytes()}, nil
	case err != nil && !errors.Is(err, exec.ErrWaitDelay) && cmd.ProcessState == nil:
		return Result{}, fmt.Errorf("%s: %w", p.Path, err)
	}
	// It ended with status 0; that it did not read its input, or left its output to
	// others, is no failure.
	return Result{Output: out.Bytes()}, nil
}

// An output keeps the beginning of what is written to it.
type output struct {
	bytes.Buffer
	left int
}

func (o *output) Write(b []byte) (int, error) {
	n := min(len(b), o.left)
	o.left -= n
	o.Buffer.Write(b[:n])
	return len(b), nil
}

// ReadFrom would take all there is.
func (o *output) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{o}, r)
}
