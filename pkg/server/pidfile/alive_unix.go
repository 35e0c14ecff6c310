//go:build unix

package pidfile

import (
	"errors"
	"syscall"
)

// alive reports whether there is a process of that id.
func alive(pid int) bool {
	if pid <= 0 {
		return false
	}
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
