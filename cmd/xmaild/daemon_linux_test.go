package main

import "syscall"

// endsWithTests has a program end when the tests do, also when they are interrupted.
func endsWithTests(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
