// Package obs tells what the server does: structured logs for people, and the
// reference's tab-separated log files for the tools that read those.
package obs

import (
	"io"
	"log/slog"
)

// NewLog returns a logger that writes text lines to w, one call of Write a line:
// everything from Info on, and with debug all.
func NewLog(w io.Writer, debug bool) *slog.Logger {
	level := slog.LevelInfo
	if debug {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}
