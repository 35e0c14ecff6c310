//go:build unix && !linux

package main

import "syscall"

// endsWithTests has a program end when the tests do, where the system can see to that.
func endsWithTests(*syscall.SysProcAttr) {}
