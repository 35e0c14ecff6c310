//go:build unix

package outbound

import (
	"net"
	"syscall"
)

// heard reports whether there is something to read on a connection, or its end, without
// waiting for it and without taking it.
func heard(c net.Conn) bool {
	under, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := under.SyscallConn()
	if err != nil {
		return true // it is closed
	}
	quiet := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = err == syscall.EAGAIN || err == syscall.EINTR
	})
	return err != nil || !quiet
}
