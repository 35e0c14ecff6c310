package filter

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/program"
)

// Numbers in the filters log (docs/reference/services.md 5.4, appendix A).
const (
	execSkipped = -1
	execTimeout = -5
	execCannot  = -114
	exitUnknown = -1
)

// numbers returns how the log tells of a program that was run.
func numbers(result program.Result, err error) (exec, exit int) {
	switch {
	case errors.Is(err, program.ErrTimeout):
		return execTimeout, exitUnknown
	case err != nil:
		return execCannot, exitUnknown
	}
	return 0, result.Exit
}

// A logLine is a line of the filters log, but for the time.
type logLine struct {
	kind, from, rcpt string
	local, remote    netip.Addr
	info             string // EXCL, WLISTED or nothing
	exec, exit       int
	words            []string
}

// write writes a line of the filters log.
func (r *Runner) write(l logLine) {
	if r.o.Filters == nil {
		return
	}
	err := r.o.Filters.Write(l.from, l.rcpt, l.local.Unmap().String(), l.remote.Unmap().String(),
		r.o.Clock().Local().Format("2006-01-02 15:04:05"), l.kind, l.info, strconv.Itoa(l.exec), strconv.Itoa(l.exit), strings.Join(l.words, ";")+";")
	if err != nil {
		r.o.Log.Debug("filters log", "err", err)
	}
}
