package main

import (
	"context"
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
	var earlier []result
	measuring := o.named || o.plots == ""
	if o.from != "" {
		if earlier, err = readJSON(o.from); err != nil {
			return err
		}
		measuring = o.named
	}
	var fresh []result
	if measuring || o.plots != "" {
		// What the runs leave is removed when all have ended: some file systems take long
		// to make files while they remember many that were just removed.
		dir, err := os.MkdirTemp(o.dir, "xmaild-bench-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		progs, err := buildPrograms(ctx, o.checkout, dir, o.symbols)
		if err != nil {
			return err
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
		if measuring && o.against != "" {
			return b.compare(ctx)
		}
		if measuring {
			if fresh, err = b.measureAll(ctx); err != nil {
				return err
			}
		}
		if o.plots != "" {
			if err := b.plot(ctx); err != nil {
				return err
			}
		}
	}
	return o.deliver(merge(earlier, fresh))
}

// deliver hands out results in the ways that were asked for.
func (o *options) deliver(results []result) error {
	if o.out != "" {
		f, err := os.Create(o.out)
		if err != nil {
			return err
		}
		err = writeJSON(f, results)
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return err
		}
	}
	if o.readme {
		if err := writeReadme(o.checkout, results); err != nil {
			return err
		}
	}
	switch {
	case len(results) == 0:
		return nil
	case o.json:
		return writeJSON(o.stdout, results)
	}
	return writeTable(o.stdout, results)
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
// being measured.
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
				return nil, fmt.Errorf("stopped: %w", context.Cause(ctx))
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
		// What was measured is not lost for it.
		if err := b.deliver(results); err != nil {
			fmt.Fprintf(b.stderr, "%v\n", err)
		}
		return nil, fmt.Errorf("failed: %s", strings.Join(failed, ", "))
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
