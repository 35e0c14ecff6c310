//go:build !unix

package auth

import (
	"os"
	"os/exec"
)

// environment keeps the one variable without which programs do not start on
// Windows.
func environment() []string {
	return []string{"SystemRoot=" + os.Getenv("SystemRoot"), "PATH=" + os.Getenv("SystemRoot") + `\System32`}
}

func lookPath(name string) (string, error) { return exec.LookPath(name) }

func ownGroup(*exec.Cmd) {}

// killGroup kills the program alone: there are no process groups here.
func killGroup(cmd *exec.Cmd) error { return cmd.Process.Kill() }
