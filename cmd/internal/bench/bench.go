package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// quickScale is how much smaller all sizes are in a quick run.
const quickScale = 100

// do does what the options ask for.
func (o *options) do(ctx context.Context) (err error) {
	if o.list {
		for _, f := range o.figures {
			fmt.Fprintf(o.stdout, "%-22s %s: %s\n", f.name, f.title, f.goal.text)
		}
		return nil
	}
	// What is wrong with the names of files is found before anything is measured.
	earlier, err := o.prepare()
	if err != nil {
		return err
	}
	measuring := o.named || o.plots == "" && o.from == ""
	if !measuring && o.plots == "" {
		return o.deliver(earlier)
	}
	// What the runs leave is removed when all have ended: some file systems take long
	// to make files while they remember many that were just removed.
	dir, err := os.MkdirTemp(o.dir, "xmaild-bench-*")
	if err != nil {
		return err
	}
	if !o.keep {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	progs, err := buildPrograms(ctx, o.checkout, dir, o.symbols)
	if err != nil {
		return stopped(ctx, err)
	}
	where, err := machineOf(o.dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(o.stderr, "measuring in %s: %s\n", o.dir, where)
	if where.FS == "tmpfs" || where.FS == "ramfs" {
		fmt.Fprintf(o.stderr, "warning: %s is %s, where a sync costs nothing; name a folder on a disk by --dir\n", o.dir, where.FS)
	}
	b := &bench{options: o, machine: where, work: dir, progs: progs, commit: commitOf(o.checkout)}
	if o.against != "" {
		return stopped(ctx, b.compare(ctx))
	}
	if measuring {
		fresh, failed := b.measureAll(ctx)
		earlier = merge(earlier, fresh)
		if failed != nil {
			// What was measured is not lost for it, but no page is made of a part.
			o.readme = false
			return errors.Join(stopped(ctx, failed), o.deliver(earlier))
		}
	}
	if o.plots != "" {
		if err := b.plot(ctx); err != nil {
			return errors.Join(stopped(ctx, err), o.deliver(earlier))
		}
	}
	return o.deliver(earlier)
}

// prepare reads the results to begin with, and sees that what is to be written can be.
func (o *options) prepare() (earlier []result, err error) {
	if o.from != "" {
		if earlier, err = readJSON(o.from); err != nil {
			return nil, err
		}
	}
	if o.out != "" {
		if err := writable(o.out); err != nil {
			return nil, err
		}
	}
	if o.readme {
		if o.quick {
			return nil, usageError{errors.New("--readme with --quick: the values of a quick run say nothing")}
		}
		if _, err := openReadme(o.checkout); err != nil {
			return nil, err
		}
	}
	if o.plots != "" {
		if err := os.MkdirAll(o.plots, 0o755); err != nil {
			return nil, err
		}
		if err := writable(filepath.Join(o.plots, charts()[0].file)); err != nil {
			return nil, err
		}
	}
	return earlier, nil
}

// stopped is err, or why ctx ended where that is the reason for err.
func stopped(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("stopped: %w", context.Cause(ctx))
	}
	return err
}

// deliver hands out results in the ways that were asked for. One that fails does not keep
// the others from being done.
func (o *options) deliver(results []result) error {
	if len(results) == 0 {
		return nil
	}
	var errs []error
	if o.out != "" {
		errs = append(errs, writeOut(o.out, results))
	}
	if o.readme {
		page, err := openReadme(o.checkout)
		if err == nil {
			err = page.write(results)
		}
		errs = append(errs, err)
	}
	if o.json {
		errs = append(errs, writeJSON(o.stdout, results))
	} else {
		errs = append(errs, writeTable(o.stdout, results))
	}
	return errors.Join(errs...)
}

// A bench measures figures one after another.
type bench struct {
	*options
	machine machine
	work    string // the folder of all runs
	progs   *programs
	commit  string
}

func (b *bench) scale() int {
	if b.quick {
		return quickScale
	}
	return 1
}

// once runs a figure once with the programs of a checkout.
func (b *bench) once(ctx context.Context, f figure, progs *programs) (measure, error) {
	begin := time.Now()
	m, err := once(ctx, f, progs, b.work, b.scale(), io.Discard)
	switch {
	case err != nil:
	case m.skipped != "":
		fmt.Fprintf(b.stderr, "%s: skipped: %s\n", f.name, m.skipped)
	default:
		line := fmt.Sprintf("%s: %s %s", f.name, number(m.value), f.unit)
		if m.ratio != 0 {
			line += fmt.Sprintf(", %s of %s", number(m.ratio), m.base)
		}
		fmt.Fprintf(b.stderr, "%s (%s)\n", line, time.Since(begin).Round(time.Second/10))
	}
	return m, err
}

// measureAll measures the chosen figures. One that fails does not keep the others from
// being measured; the end of ctx does, and what was measured before is returned then, too.
func (b *bench) measureAll(ctx context.Context) ([]result, error) {
	var (
		results []result
		failed  []string
	)
	for _, f := range b.figures {
		var runs []measure
		for range b.runs {
			m, err := b.once(ctx, f, b.progs)
			if ctx.Err() != nil {
				return results, context.Cause(ctx)
			}
			if err != nil {
				fmt.Fprintf(b.stderr, "%v\n", err)
				failed = append(failed, f.name)
				break
			}
			runs = append(runs, m)
			if m.skipped != "" {
				break
			}
		}
		if len(runs) > 0 {
			results = append(results, b.result(f, runs))
		}
	}
	if len(failed) > 0 {
		return results, fmt.Errorf("failed: %s", strings.Join(failed, ", "))
	}
	return results, nil
}

// result is the result of some runs here and now.
func (b *bench) result(f figure, runs []measure) result {
	r := summarize(f, runs)
	r.Quick = b.quick
	r.Machine, r.Commit, r.Go = b.machine, b.commit, runtime.Version()
	r.Date = time.Now().UTC().Truncate(time.Second)
	return r
}

// isFolder reports whether name is one.
func isFolder(name string) bool {
	info, err := os.Stat(filepath.Clean(name))
	return err == nil && info.IsDir()
}
