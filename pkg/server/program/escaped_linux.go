package program

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// escapeRounds is how often children are looked for that have left the group of a
// program: each may make others while it is being killed.
const escapeRounds = 20

// stopDescendants stops a program with all the processes below it, so that they make no
// others, and returns those.
func stopDescendants(pid int) []*os.Process {
	_ = syscall.Kill(-pid, syscall.SIGSTOP) // it has ended
	stopped := make(map[int]*os.Process)
	for range escapeRounds {
		found := false
		for _, p := range descendants(pid) {
			if stopped[p.Pid] == nil && p.Signal(syscall.SIGSTOP) == nil {
				stopped[p.Pid], found = p, true
			}
		}
		if !found {
			break
		}
	}
	return slices.Collect(maps.Values(stopped))
}

// descendants returns the processes below one, by what /proc says of their parents.
func descendants(pid int) []*os.Process {
	children := make(map[int][]int)
	for _, child := range processes() {
		if parent := parentOf(child); parent > 0 {
			children[parent] = append(children[parent], child)
		}
	}
	var all []*os.Process
	for below := children[pid]; len(below) > 0; below = below[1:] {
		child := below[0]
		below = append(below, children[child]...)
		p, err := os.FindProcess(child)
		if err != nil {
			continue
		}
		// It is held now: unless its number was another one's before, the parent is the same.
		if parent := parentOf(child); parent == pid || slices.ContainsFunc(all, func(p *os.Process) bool { return p.Pid == parent }) {
			all = append(all, p)
		}
	}
	return all
}

// killEscaped kills processes, and all that have a mark in their environment: those that
// a program has left behind by itself, whose parent is not known any more.
func killEscaped(known []*os.Process, mark string) {
	for _, p := range known {
		_ = p.Kill() // it has ended
	}
	for range escapeRounds {
		found := false
		for _, pid := range processes() {
			if !isMarked(pid, mark) {
				continue
			}
			p, err := os.FindProcess(pid)
			if err != nil || !isMarked(pid, mark) {
				continue
			}
			if p.Kill() == nil {
				found = true
			}
		}
		if !found {
			return
		}
	}
}

// processes returns the numbers of all processes.
func processes() []int {
	names, err := filepath.Glob("/proc/[1-9]*")
	if err != nil {
		return nil
	}
	var all []int
	for _, name := range names {
		if pid, err := strconv.Atoi(filepath.Base(name)); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

// parentOf returns the parent of a process, 0 where it has ended.
func parentOf(pid int) int {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// PID (NAME) STATE PARENT …, where the name may hold anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return parent
}

// isMarked reports whether a process that lives has a mark in its environment.
func isMarked(pid int, mark string) bool {
	environ, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ") // empty when it has ended
	return err == nil && slices.Contains(strings.Split(string(environ), "\x00"), mark)
}
