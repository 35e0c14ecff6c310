//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// stopSignals end the program; unlike the reference, which swallows them.
var stopSignals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}

// consoleName opens the controlling terminal.
const consoleName = "/dev/tty"

// dieOf ends the process by the signal that it caught, so that a shell loop
// around it ends as well.
func dieOf(sig os.Signal) {
	signal.Reset(sig)
	if s, ok := sig.(syscall.Signal); ok {
		syscall.Kill(os.Getpid(), s)
		select {} // until it arrives
	}
	os.Exit(exitFailure)
}

// keepOwner gives a file the owner and group of the one that it replaces,
// where the system lets us.
func keepOwner(f *os.File, old os.FileInfo) {
	if s, ok := old.Sys().(*syscall.Stat_t); ok {
		if f.Chown(int(s.Uid), int(s.Gid)) != nil {
			f.Chown(-1, int(s.Gid))
		}
	}
}
