//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/xmaild/xmaild/pkg/server/cmdline"
)

// detachedVar marks the process that a detaching one has started; its
// descriptor 3 is a pipe that takes the word of how the start went.
const detachedVar = "XMAILD_DETACHED"

const started = "ok"

// detach starts the server as a process of its own, with no terminal, and
// returns when that serves or has failed. Its log goes to logs/xmaild.log.
func (p *program) detach(parser *cmdline.Parser) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	root, err := filepath.Abs(parser.Config.Root)
	if err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	defer null.Close()
	log, err := os.OpenFile(filepath.Join(root, "logs", "xmaild.log"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		log = null
	} else {
		defer log.Close()
	}
	word, result, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	defer word.Close()
	child := &exec.Cmd{
		Path:        self,
		Args:        append([]string{p.argv0}, os.Args[1:]...),
		Env:         append(os.Environ(), detachedVar+"=1"),
		Stdin:       null,
		Stdout:      null,
		Stderr:      log,
		ExtraFiles:  []*os.File{result},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	err = child.Start()
	result.Close()
	if err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	text, err := io.ReadAll(word)
	switch {
	case err != nil:
		return fmt.Errorf("detach: %w", err)
	case string(text) == started:
		return child.Process.Release()
	case len(text) > 0:
		return errors.New(string(text))
	}
	return fmt.Errorf("the server ended before it served: %v; see %s", child.Wait(), log.Name())
}

// detached reports whether this is the process that detach has started.
func detached(getenv func(string) string) bool { return getenv(detachedVar) != "" }

// starter returns how to tell the waiting parent, if there is one, that the
// server serves or why not.
func starter(getenv func(string) string) func(error) {
	if !detached(getenv) {
		return func(error) {}
	}
	syscall.CloseOnExec(3)
	// Tools of the same group may write what the server makes at CompatLevel 0,
	// as beside the reference, which goes on without any mask.
	syscall.Umask(0o007)
	pipe := os.NewFile(3, "result")
	return func(err error) {
		text := started
		if err != nil {
			text = err.Error()
		}
		// A parent that is gone needs no word. Programs that the server
		// starts must not take themselves for detached.
		_, _ = io.WriteString(pipe, text)
		_ = pipe.Close()
		_ = os.Unsetenv(detachedVar)
		_ = os.Chdir("/")
	}
}
