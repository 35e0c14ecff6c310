package auth

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// ProgramTimeout is how long an external program may take (docs/design.md).
const ProgramTimeout = 60 * time.Second

// ErrTimeout reports a program that was killed because it took too long.
var ErrTimeout = errors.New("killed: it took too long")

// A Program is an external program as a hook table names it: run without a
// shell, in a process group of its own, with an environment that holds nothing
// of the server's.
type Program struct {
	Path    string   // absolute, or a name found in /usr/local/bin, /usr/bin, /bin
	Args    []string // without the program's name; never printed, they may hold a password
	Dir     string   // working folder; empty: the file system's root
	Timeout time.Duration
}

// Run runs the program and waits for it. When the time is over or ctx ends the
// program is killed with every process of its group. The error says how it
// ended; nil is exit status 0. What the program prints is not kept.
func (p Program) Run(ctx context.Context) error {
	limit := p.Timeout
	if limit <= 0 {
		limit = ProgramTimeout
	}
	path, err := lookPath(p.Path)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, ErrTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, p.Args...)
	cmd.Args[0] = p.Path
	cmd.Dir = p.Dir
	cmd.Env = environment()
	ownGroup(cmd)
	cmd.Cancel = func() error { return killGroup(cmd) }
	err = cmd.Run()
	if cause := context.Cause(ctx); cause != nil && err != nil {
		return fmt.Errorf("%s: %w", p.Path, cause)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.Path, err)
	}
	return nil
}

// Expand replaces the macros of a hook table in its fields: $(NAME) anywhere
// in a field, @@NAME as a whole field. \$ is a dollar sign; a name that vars
// does not have becomes empty (docs/reference/delivery.md 3.2). A dollar sign
// before anything else stands for itself.
func Expand(fields []string, vars map[string]string) []string {
	out := make([]string, len(fields))
	for i, field := range fields {
		if name, ok := strings.CutPrefix(field, "@@"); ok {
			out[i] = vars[name]
			continue
		}
		out[i] = expand(field, vars)
	}
	return out
}

func expand(field string, vars map[string]string) string {
	var b strings.Builder
	for field != "" {
		if rest, ok := strings.CutPrefix(field, `\$`); ok {
			b.WriteByte('$')
			field = rest
			continue
		}
		if rest, ok := strings.CutPrefix(field, "$("); ok {
			if name, after, ok := strings.Cut(rest, ")"); ok {
				b.WriteString(vars[name])
				field = after
				continue
			}
		}
		b.WriteByte(field[0])
		field = field[1:]
	}
	return b.String()
}
