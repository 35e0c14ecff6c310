//go:build unix && !linux

package main

import "errors"

const trapEnv = "XMAILD_TEST_SYNC_TRAP"

func setTrap([]string) error { return errors.ErrUnsupported }
