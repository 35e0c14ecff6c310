//go:build !linux && !darwin && !freebsd && !windows

package policy

// diskFree is not known here.
func diskFree(string) (uint64, error) { return 0, errUnknown }
