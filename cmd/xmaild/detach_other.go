//go:build !unix

package main

import (
	"errors"

	"github.com/xmaild/xmaild/pkg/server/cmdline"
)

func (p *program) detach(*cmdline.Parser) error {
	return errors.New("--detach is not supported on this system; run xmaild as a service instead")
}

func detached(func(string) string) bool { return false }

func starter(func(string) string) func(error) { return func(error) {} }
