//go:build unix

package program

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

var searchPath = []string{"/usr/local/bin", "/usr/bin", "/bin"}

func environment() []string {
	return []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C"}
}

// lookPath finds a program by its name. The server's own PATH does not count.
func lookPath(name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	if filepath.Base(name) == name {
		for _, dir := range searchPath {
			path := filepath.Join(dir, name)
			if info, err := os.Stat(path); err == nil && isExecutable(info) {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("%s: %w", name, exec.ErrNotFound)
}

// isExecutable reports whether a file is a program that somebody may run.
func isExecutable(info os.FileInfo) bool {
	return info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// nobody is who runs programs where the server is root.
const nobody = "nobody"

// RunsAs returns the user and the group that programs run as, and whether they are
// others than the server's own: files for a program have to be given to them.
func RunsAs() (uid, gid int, other bool, err error) {
	if os.Geteuid() != 0 {
		return os.Geteuid(), os.Getegid(), false, nil
	}
	u, err := user.Lookup(nobody)
	if err != nil {
		return 0, 0, true, fmt.Errorf("no program runs as root, and there is no user %s: %w", nobody, err)
	}
	uid, err = strconv.Atoi(u.Uid)
	if err == nil {
		gid, err = strconv.Atoi(u.Gid)
	}
	if err == nil && (uid <= 0 || gid <= 0) {
		err = errors.New("it is root, or in its group")
	}
	if err != nil {
		return 0, 0, true, fmt.Errorf("no program runs as root, and user %s cannot be taken: %w", nobody, err)
	}
	return uid, gid, true, nil
}

// prepare gives the program its process group and its user, and returns its folder.
func prepare(cmd *exec.Cmd, dir string) (string, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	uid, gid, other, err := RunsAs()
	if err != nil {
		return "", err
	}
	if other {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), Groups: []uint32{}}
	}
	if dir == "" || other && !open(dir) {
		return "/", nil
	}
	return dir, nil
}

// open reports whether everybody can enter a folder.
func open(dir string) bool {
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return true
		}
		dir = parent
	}
}

// belongsTo reports whether a file is one of some users.
func belongsTo(info os.FileInfo, uids ...int) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && slices.Contains(uids, int(stat.Uid))
}

// killAll kills the program with its children, also those that have left its group where
// they can be found.
func killAll(cmd *exec.Cmd, mark string) error {
	// As long as the program lives its children are known by it.
	escaped := stopDescendants(cmd.Process.Pid)
	err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	killEscaped(escaped, mark)
	return err
}

// setNice changes the priority of a program that has started. That it cannot, since it
// would be a higher one, or since the program has ended, does not matter.
func setNice(pid, nice int) {
	if nice != 0 {
		_ = syscall.Setpriority(syscall.PRIO_PROCESS, pid, nice)
	}
}

// dontWait opens pipes without somebody at the other end.
const dontWait = syscall.O_NONBLOCK
