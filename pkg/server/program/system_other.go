//go:build !unix

package program

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

// RunsAs says that programs run as the user of the server.
func RunsAs() (uid, gid int, other bool, err error) { return -1, -1, false, nil }

func prepare(_ *exec.Cmd, dir string) (string, error) { return dir, nil }

// killAll kills the program alone: there are no process groups here.
func killAll(cmd *exec.Cmd, _ string) error { return cmd.Process.Kill() }

// isExecutable reports whether a file may be a program.
func isExecutable(info os.FileInfo) bool { return info.Mode().IsRegular() }

// belongsTo says yes: the folder of temporary files is the user's own here.
func belongsTo(os.FileInfo, ...int) bool { return true }

// setNice does nothing: priorities are another matter here.
func setNice(int, int) {}

const dontWait = 0
