package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of times in /proc, on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// memory is what the server holds in memory of its own and of files, in KiB; peak is the
// most it ever held.
func (d *daemon) memory() (now, peak int64, err error) {
	if now, err = d.status("VmRSS"); err == nil {
		peak, err = d.status("VmHWM")
	}
	return now, peak, err
}

// forgetPeak has the peak of memory begin anew.
func (d *daemon) forgetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", d.pid), []byte("5"), 0)
}

func (d *daemon) status(field string) (int64, error) {
	name := fmt.Sprintf("/proc/%d/status", d.pid)
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			return strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", name, field)
}

// cpu is the processor time that the server has used.
func (d *daemon) cpu() (time.Duration, error) { return processCPU(d.pid) }

// processCPU is the processor time that a process has used.
func processCPU(pid int) (time.Duration, error) {
	name := fmt.Sprintf("/proc/%d/stat", pid)
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	// The name of the program may have anything in it but ends at the last parenthesis.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("%s is too short", name)
	}
	user, err := strconv.ParseInt(string(fields[11]), 10, 64)
	system, sysErr := strconv.ParseInt(string(fields[12]), 10, 64)
	return time.Duration(user+system) * clockTick, errors.Join(err, sysErr)
}
