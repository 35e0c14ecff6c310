package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// An env is what one run of a figure has: a folder of its own on the disk that is
// measured, and the programs under test.
type env struct {
	dir   string // empty before the run, and removed after all of them
	scale int    // sizes and times are divided by it; 1 where the goals count
	progs *programs
	log   io.Writer // for what a reader of standard error may want to see

	cleanups []func() error
}

// programs are the paths of the programs that are measured.
type programs struct {
	checkout string // the folder of the sources
	xmaild   string
	ctrlclnt string
	empty    string // a Go program that does nothing
}

// size is a number of rows, messages or the like, made smaller where only a quick run
// was asked for.
func (e *env) size(n int) int { return max(n/e.scale, 4) }

// period is how long a loop is to be measured.
func (e *env) period() time.Duration {
	return max(3*time.Second/time.Duration(e.scale), 10*time.Millisecond)
}

// cleanup has f called after the run, whatever becomes of it; the last one first.
func (e *env) cleanup(f func() error) { e.cleanups = append(e.cleanups, f) }

// close calls what cleanup was given.
func (e *env) close() error {
	var errs []error
	for i := len(e.cleanups) - 1; i >= 0; i-- {
		errs = append(errs, e.cleanups[i]())
	}
	e.cleanups = nil
	return errors.Join(errs...)
}

// mkdir makes a folder of a new name below that of the run.
func (e *env) mkdir(prefix string) (string, error) { return os.MkdirTemp(e.dir, prefix+"-*") }

// once runs a figure once.
func once(ctx context.Context, f figure, progs *programs, dir string, scale int, log io.Writer) (m measure, err error) {
	if err := ctx.Err(); err != nil {
		return measure{}, err
	}
	dir, err = os.MkdirTemp(dir, f.name+"-*")
	if err != nil {
		return measure{}, err
	}
	e := &env{dir: dir, scale: scale, progs: progs, log: log}
	defer func() { err = errors.Join(err, e.close()) }()
	m, err = f.run(ctx, e)
	if err != nil {
		err = fmt.Errorf("%s: %w", f.name, err)
	}
	return m, err
}

// buildPrograms builds what is measured from the sources in a checkout into dir.
// As scripts/build does it, but for the symbols where a profiler needs them, and without
// asking git, which refuses to tell of the sources of others.
func buildPrograms(ctx context.Context, checkout, dir string, symbols bool) (*programs, error) {
	empty := filepath.Join(dir, "empty.go")
	if err := os.WriteFile(empty, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		return nil, err
	}
	flags := "-s -w"
	if symbols {
		flags = ""
	}
	p := &programs{
		checkout: checkout,
		xmaild:   filepath.Join(dir, "xmaild"),
		ctrlclnt: filepath.Join(dir, "ctrlclnt"),
		empty:    filepath.Join(dir, "empty"),
	}
	for _, b := range []struct{ out, what string }{{p.xmaild, "./cmd/xmaild"}, {p.ctrlclnt, "./cmd/ctrlclnt"}, {p.empty, empty}} {
		c := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath", "-ldflags", flags, "-o", b.out, b.what)
		c.Dir = checkout
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := c.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build %s in %s: %w\n%s", b.what, checkout, err, text)
		}
	}
	return p, nil
}
