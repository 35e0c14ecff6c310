//go:build unix

package server

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// owner returns the number of the user whose a folder is.
func owner(dir string) (string, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return strconv.FormatUint(uint64(stat.Uid), 10), nil
	}
	return "0", nil
}

// lookupAccount finds a user by name or by number. A number without a user in the
// system's tables has itself as its group, and no other.
func lookupAccount(name string) (*account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		n, noNumber := strconv.ParseUint(name, 10, 31)
		if noNumber != nil {
			return nil, err
		}
		if u, err = user.LookupId(name); err != nil {
			return &account{name: name, uid: int(n), gid: int(n)}, nil
		}
	}
	a := &account{name: u.Username}
	if a.uid, err = strconv.Atoi(u.Uid); err != nil {
		return nil, err
	}
	if a.gid, err = strconv.Atoi(u.Gid); err != nil {
		return nil, err
	}
	groups, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("its groups: %w", err)
	}
	for _, g := range groups {
		if n, err := strconv.Atoi(g); err == nil && n != 0 {
			a.groups = append(a.groups, n)
		}
	}
	return a, nil
}

// drop gives up the rights of root in all threads, and makes sure that they are gone.
func drop(a *account) error {
	groups := a.groups
	if groups == nil {
		groups = []int{a.gid}
	}
	if err := syscall.Setgroups(groups); err != nil {
		return os.NewSyscallError("setgroups", err)
	}
	if err := syscall.Setgid(a.gid); err != nil {
		return os.NewSyscallError("setgid", err)
	}
	if err := syscall.Setuid(a.uid); err != nil {
		return os.NewSyscallError("setuid", err)
	}
	if os.Getuid() != a.uid || os.Geteuid() != a.uid || syscall.Setuid(0) == nil {
		return fmt.Errorf("the rights of root could not be given up")
	}
	return nil
}
