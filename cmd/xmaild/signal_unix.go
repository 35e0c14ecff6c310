//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

var stopSignals = []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT}

func notifyReload(c chan<- os.Signal) { signal.Notify(c, syscall.SIGHUP) }

func notifyState(c chan<- os.Signal) { signal.Notify(c, syscall.SIGUSR1) }

// outliveReaders keeps the server alive when whoever read its output is gone.
// Programs that it starts are not concerned, as they would be by ignoring the signal.
func outliveReaders() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }
