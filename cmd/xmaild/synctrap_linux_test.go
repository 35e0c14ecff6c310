package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A syncTrap stands between a program and the kernel, and decides what becomes of the
// syncs of its files. It needs no rights, and no other program: the kernel asks it
// (seccomp_unotify(2)).
type syncTrap struct {
	listener int

	mu    sync.Mutex
	below string // a part of the names whose next sync fails; empty: none
	hits  int
	names map[string]bool // of what was synced
	wait  sync.WaitGroup
}

// trapEnv tells the test's own program to set a trap and to become what the arguments say.
const trapEnv = "XMAILD_TEST_SYNC_TRAP"

// The system calls that make something durable.
var syncCalls = []uint32{unix.SYS_FSYNC, unix.SYS_FDATASYNC}

// setTrap asks the kernel to ask about syncs, hands the place where it does to the
// parent, and runs a program. It returns only when that cannot be.
func setTrap(args []string) error {
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	code := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // the number of the call
	for n, call := range syncCalls {
		code = append(code, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: uint8(len(syncCalls) - n), K: call})
	}
	code = append(code,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF})
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return errno
	}
	if err := unix.Sendmsg(3, []byte{0}, unix.UnixRights(int(fd)), nil, 0); err != nil {
		return err
	}
	unix.CloseOnExec(int(fd))
	unix.CloseOnExec(3)
	return syscall.Exec(args[0], args, os.Environ())
}

// startTrapped starts a program with a trap, which ends with the test.
func startTrapped(t *testing.T, cmd *exec.Cmd) (*daemon, *syncTrap) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "trap"), os.NewFile(uintptr(pair[1]), "trap")
	defer ours.Close()
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Env = append(os.Environ(), trapEnv+"=1")
	if cmd.Path, err = os.Executable(); err != nil {
		t.Fatal(err)
	}
	cmd.Args = append([]string{cmd.Path}, cmd.Args...)
	d, err := startDaemon(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.kill(); err != nil {
			t.Error(err)
		}
	})
	theirs.Close()
	trap := &syncTrap{names: map[string]bool{}}
	if trap.listener, err = receiveFile(ours); err != nil {
		t.Skipf("the kernel does not let tests answer system calls: %v\n%s", err, d.log())
	}
	trap.wait.Go(func() { trap.answer(t) })
	t.Cleanup(func() {
		if err := d.kill(); err != nil {
			t.Error(err)
		}
		trap.wait.Wait()
		unix.Close(trap.listener)
	})
	return d, trap
}

// receiveFile receives the number of an open file.
func receiveFile(from *os.File) (int, error) {
	conn, err := net.FileConn(from)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	rights := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.(*net.UnixConn).ReadMsgUnix(make([]byte, 1), rights)
	if err != nil {
		return 0, err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		return 0, errors.Join(errors.New("no file came"), err)
	}
	files, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(files) != 1 {
		return 0, errors.Join(errors.New("no file came"), err)
	}
	return files[0], nil
}

// What the kernel asks, and what it is answered (struct seccomp_notif and _resp).
type (
	notification struct {
		id    uint64
		pid   uint32
		flags uint32
		nr    int32
		arch  uint32
		ip    uint64
		args  [6]uint64
	}
	answer struct {
		id    uint64
		value int64
		err   int32
		flags uint32
	}
)

// The requests of ioctl for them: _IOWR('!', 0, struct seccomp_notif) and so on.
const (
	notifyReceive = 0xc0502100
	notifySend    = 0xc0182101
	goOn          = 1 // SECCOMP_USER_NOTIF_FLAG_CONTINUE
)

// answer answers until the program has ended.
func (s *syncTrap) answer(t *testing.T) {
	for {
		poll := []unix.PollFd{{Fd: int32(s.listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, 50); err != nil && err != unix.EINTR {
			t.Errorf("trap: %v", err)
			return
		}
		if poll[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0 {
			return
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			continue
		}
		var n notification
		if err := s.ioctl(notifyReceive, unsafe.Pointer(&n)); err != nil {
			continue // it was killed meanwhile
		}
		a := answer{id: n.id, flags: goOn}
		name, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", n.pid, n.args[0]))
		if err == nil && s.hit(name) {
			a.err, a.flags = -int32(syscall.EIO), 0
		}
		_ = s.ioctl(notifySend, unsafe.Pointer(&a)) // it may have been killed meanwhile
	}
}

func (s *syncTrap) ioctl(request uintptr, argument unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s.listener), request, uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}

// hit notes a sync, and reports whether it fails.
func (s *syncTrap) hit(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[name] = true
	if s.below == "" || !strings.Contains(name+"$", s.below) {
		return false
	}
	s.below = ""
	s.hits++
	return true
}

// fail fails the next sync of a file or folder whose name has a part, where $ is its end.
func (s *syncTrap) fail(below string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.below, s.hits = filepath.FromSlash(below), 0
}

// failed returns how many syncs have failed.
func (s *syncTrap) failed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hits
}

// synced reports whether something was synced whose name matches.
func (s *syncTrap) synced(pattern *regexp.Regexp) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.names {
		if pattern.MatchString(name) {
			return true
		}
	}
	return false
}
