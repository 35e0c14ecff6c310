//go:build linux || darwin || freebsd

package policy

import "golang.org/x/sys/unix"

// diskFree returns what others than root can still write to a file system.
func diskFree(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	// The types of these differ from system to system; FreeBSD goes below 0.
	return uint64(max(int64(s.Bavail), 0)) * uint64(s.Bsize), nil
}
