//go:build !unix

package main

import "os"

// stopSignals end the program.
var stopSignals = []os.Signal{os.Interrupt}

// consoleName opens the console, whatever standard input is.
const consoleName = "CONIN$"

// dieOf ends the process; here a process cannot end by a signal.
func dieOf(os.Signal) { os.Exit(exitFailure) }

// keepOwner does nothing: a file belongs to who made it.
func keepOwner(*os.File, os.FileInfo) {}
