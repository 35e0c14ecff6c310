package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"
)

// A floor is what a figure is measured against: what the disk or the machine does at
// the least for the same.
type floor struct {
	name string
	unit string // that of the figure
	run  func(ctx context.Context) (float64, error)
}

// against measures a value between two measurements of its floor, since disks drift.
func (e *env) against(ctx context.Context, f floor, run func(ctx context.Context) (float64, error)) (measure, error) {
	before, err := f.run(ctx)
	if err != nil {
		return measure{}, fmt.Errorf("%s: %w", f.name, err)
	}
	value, err := run(ctx)
	if err != nil {
		return measure{}, err
	}
	after, err := f.run(ctx)
	if err != nil {
		return measure{}, fmt.Errorf("%s: %w", f.name, err)
	}
	mean := (before + after) / 2
	return measure{value: value, ratio: value / mean, base: fmt.Sprintf("%s, %s %s", f.name, number(mean), f.unit)}, nil
}

// perSecond is the unit of rates.
const perSecond = "1/s"

// endless is for loops that only time ends.
const endless = math.MaxInt

// loop calls step, with a number that counts, for the period of e, most times at most,
// and returns how often a second it ran.
func (e *env) loop(ctx context.Context, most int, step func(i int) error) (float64, error) {
	begin := time.Now()
	for i := 0; ; i++ {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if took := time.Since(begin); i > 0 && (i >= most || took >= e.period()) {
			return float64(i) / took.Seconds(), nil
		}
		if err := step(i); err != nil {
			return 0, err
		}
	}
}

// fsyncRate is that of 60-byte appends with fsync to one file.
func (e *env) fsyncRate() floor {
	return floor{"fsync rate", perSecond, func(ctx context.Context) (float64, error) {
		f, err := os.CreateTemp(e.dir, "floor-*")
		if err != nil {
			return 0, err
		}
		defer os.Remove(f.Name())
		defer f.Close()
		line := append(bytes.Repeat([]byte("x"), 59), '\n')
		return e.loop(ctx, endless, func(int) error {
			if _, err := f.Write(line); err != nil {
				return err
			}
			return f.Sync()
		})
	}}
}

// accountFloor is the rate of making an account's five folders and its user.tab, with
// one sync.
func (e *env) accountFloor() floor {
	return floor{"account floor", perSecond, func(ctx context.Context) (float64, error) { return e.makeAccounts(ctx, true) }}
}

// foldersUnsynced is the rate of the same without the sync.
func (e *env) foldersUnsynced() floor {
	return floor{"folders unsynced", perSecond, func(ctx context.Context) (float64, error) { return e.makeAccounts(ctx, false) }}
}

func (e *env) makeAccounts(ctx context.Context, sync bool) (float64, error) {
	dir, err := e.mkdir("floor")
	if err != nil {
		return 0, err
	}
	return e.loop(ctx, endless, func(i int) error { return makeAccount(filepath.Join(dir, userName(i)), sync) })
}

// userTab is what a new account has in its user.tab.
const userTab = "\"RealName\"\t\"??\"\n\"HomePage\"\t\"??\"\n\"MaxMBSize\"\t\"10000\"\n\"ClosedML\"\t\"1\"\n"

// makeAccount makes the five folders and user.tab of an account. One sync of a file
// that is new writes the journal of the file system, and the folders with it.
func makeAccount(dir string, sync bool) error {
	for _, d := range folders(dir) {
		if err := os.Mkdir(d, 0o700); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(filepath.Join(dir, "user.tab"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(userTab)
	if err == nil && sync {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
