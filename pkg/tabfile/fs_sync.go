//go:build !linux

package tabfile

import "runtime"

func (osFS) Sync(names []string) error {
	if runtime.GOOS == "windows" {
		return nil // folders cannot be synced there, and files are when they are written
	}
	for _, name := range names {
		if err := syncOne(name); err != nil {
			return err
		}
	}
	return nil
}
