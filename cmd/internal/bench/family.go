package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// familyCPU is the processor time that a process has used, those that it has started, and
// those that they have: of the ones that run, and of the ones that have ended.
func familyCPU(pid int) (time.Duration, error) {
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	parents := map[int]int{}
	ticks := map[int]int64{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended, and is counted with its parent
		}
		child, childErr := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		// The name of the program may have anything in it but ends at the last parenthesis.
		fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
		if len(fields) < 15 {
			return 0, fmt.Errorf("%s is too short", name)
		}
		parent, parentErr := strconv.Atoi(string(fields[1]))
		if err := errors.Join(childErr, parentErr); err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		parents[child] = parent
		for _, f := range fields[11:15] { // its own time, user and system, and that of its children that have ended
			n, err := strconv.ParseInt(string(f), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", name, err)
			}
			ticks[child] += n
		}
	}
	if _, ok := ticks[pid]; !ok {
		return 0, fmt.Errorf("there is no process %d", pid)
	}
	var sum int64
	for child, n := range ticks {
		above := child
		for above != pid && above > 1 {
			above = parents[above]
		}
		if above == pid {
			sum += n
		}
	}
	return time.Duration(sum) * clockTick, nil
}
