package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"

	"golang.org/x/term"
)

// readPassword finds the password: -p, --password-file, CTRL_PASSWORD,
// CTRL_PASSWORD_FILE, and at last a prompt, where a person is at the terminal.
func (p *program) readPassword(o *options) (string, error) {
	switch {
	case o.password != "":
		return o.password, nil
	case o.passwordFile != "":
		return p.passwordFromFile(o.passwordFile)
	}
	tty := p.terminal()
	if tty == nil {
		return "", usagef("no password: give CTRL_PASSWORD, --password-file or -p")
	}
	if tty != p.stdin {
		defer tty.Close()
	}
	word, err := p.prompt(tty, fmt.Sprintf("Password of %s at %s: ", visible(o.user, false), visible(o.server.String(), false)))
	if err != nil {
		return "", &localError{code: codeReadFile, info: "password: " + err.Error()}
	}
	if word == "" {
		return "", usagef("the password is empty")
	}
	return word, nil
}

// passwordFromFile reads the first line of a file, and tells a person at the
// terminal when others may read it.
func (p *program) passwordFromFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", &localError{code: codeOpenFile, info: "password file: " + err.Error()}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", &localError{code: codeOpenFile, info: "password file: " + err.Error()}
	}
	// A pipe, as the shell makes for <(…), is nobody else's; Windows has no such
	// bits. Scripts are not to stop for it, nor is cron to mail it.
	if info.Mode().IsRegular() && info.Mode().Perm()&0o006 != 0 && runtime.GOOS != "windows" && p.watched() {
		fmt.Fprintf(p.stderr, "password file: everybody on this machine may read or change %s (mode %04o); run: chmod o-rw %[1]s\n",
			path, info.Mode().Perm())
	}
	content, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return "", &localError{code: codeReadFile, info: "password file: " + err.Error()}
	}
	line, _, _ := strings.Cut(string(content), "\n")
	line = strings.TrimRight(line, "\r")
	if line == "" {
		return "", &localError{code: codeReadFile, info: fmt.Sprintf("password file: the first line of %s is empty", path)}
	}
	return line, nil
}

// watched reports whether a person sees what standard error says.
func (p *program) watched() bool {
	stderr, ok := p.stderr.(*os.File)
	return ok && term.IsTerminal(int(stderr.Fd()))
}

// terminal returns where a person can be asked: standard input, or the
// controlling terminal where standard input is something else, such as the
// list of a shell loop, which is not ours to read. It is nil where nobody
// would see the question.
func (p *program) terminal() *os.File {
	if !p.watched() {
		return nil
	}
	if p.stdin != nil && term.IsTerminal(int(p.stdin.Fd())) {
		return p.stdin
	}
	tty, err := os.OpenFile(consoleName, os.O_RDWR, 0)
	if err != nil {
		return nil
	}
	if !term.IsTerminal(int(tty.Fd())) {
		tty.Close()
		return nil
	}
	return tty
}

// prompt asks for a word without showing it. A signal puts the terminal back
// before it takes its course.
func (p *program) prompt(tty *os.File, question string) (string, error) {
	fd := int(tty.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, stopSignals...)
	done := make(chan struct{})
	defer close(done)
	defer signal.Stop(caught)
	go func() {
		select {
		case sig := <-caught:
			term.Restore(fd, before)
			fmt.Fprintln(p.stderr)
			dieOf(sig)
		case <-done:
		}
	}()
	fmt.Fprint(p.stderr, question)
	word, err := term.ReadPassword(fd)
	fmt.Fprintln(p.stderr)
	return string(word), err
}
