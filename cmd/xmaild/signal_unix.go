//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

var stopSignals = []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT}

func notifyReload(c chan<- os.Signal) { signal.Notify(c, syscall.SIGHUP) }
