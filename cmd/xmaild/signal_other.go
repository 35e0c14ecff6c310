//go:build !unix

package main

import (
	"os"
	"syscall"
)

var stopSignals = []os.Signal{os.Interrupt, syscall.SIGTERM}

// notifyReload does nothing: there is no signal to reload by.
func notifyReload(chan<- os.Signal) {}

// notifyState does nothing: there is no signal for it.
func notifyState(chan<- os.Signal) {}

// outliveReaders does nothing: there is no signal to outlive.
func outliveReaders() {}
