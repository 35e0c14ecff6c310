package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/xmaild/xmaild/pkg/server"
	"github.com/xmaild/xmaild/pkg/server/cmdline"
	"github.com/xmaild/xmaild/pkg/server/obs"
)

// startGCPercent is that of debug.SetGCPercent while tables are read.
const startGCPercent = 400

// drain is how long sessions may take for the commands they run when the server stops.
const drain = 5 * time.Second

func (p *program) serveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve [options]",
		Short: "Run the server on a MailRoot (this is what xmaild does without a command)",
		Long: `Runs the server in the foreground until SIGTERM, SIGINT or SIGQUIT, or until a
file .shutdown appears in the MailRoot. SIGHUP reloads tables and log files;
SIGUSR1 logs how much memory the server uses, and how many goroutines it has.`,
	}
	return p.subcommand(c, nil, func(ctx context.Context, parser *cmdline.Parser) error {
		for _, word := range parser.Words {
			parser.Warnings = append(parser.Warnings, fmt.Sprintf("argument %q is not an option and has no effect", word))
		}
		if parser.Config.Root == "" {
			return usageError{errors.New("no MailRoot: give one by -Ms DIR, --root DIR or MAIL_ROOT, or begin with: xmaild quickstart")}
		}
		if parser.Detach && !detached(p.getenv) {
			return p.detach(parser)
		}
		tell := starter(p.getenv)
		log := p.logger(parser)
		for _, w := range parser.Warnings {
			log.Warn(w)
		}
		return p.serve(ctx, parser.Config, log, func(_ *server.Server, err error) { tell(err) })
	})
}

// logger writes to standard error, in the form and to the depth asked for.
func (p *program) logger(parser *cmdline.Parser) *slog.Logger {
	if !parser.JSONLogs {
		return obs.NewLog(p.stderr, parser.Verbose)
	}
	return jsonLog(p.stderr, parser.Verbose)
}

func jsonLog(w io.Writer, debug bool) *slog.Logger {
	level := slog.LevelInfo
	if debug {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
}

// serve runs a server until it is told to stop. It calls ready once: when the
// server serves, or with the error that kept it from that.
func (p *program) serve(ctx context.Context, config server.Config, log *slog.Logger, ready func(*server.Server, error)) error {
	// From here on a signal ends what was begun instead of the process.
	stop := make(chan os.Signal, 4)
	signal.Notify(stop, stopSignals...)
	defer signal.Stop(stop)
	reload := make(chan os.Signal, 1)
	notifyReload(reload)
	defer signal.Stop(reload)
	state := make(chan os.Signal, 1)
	notifyState(state)
	defer signal.Stop(state)
	outliveReaders()

	config.Log = log
	config.Version = buildVersion()
	s, err := server.New(config)
	if err == nil {
		// Nearly all that is read from large tables stays: to collect garbage meanwhile would
		// cost more than the tables. What there was of it is given back then.
		percent := debug.SetGCPercent(startGCPercent)
		err = start(ctx, s, stop)
		debug.SetGCPercent(percent)
	}
	ready(s, err)
	debug.FreeOSMemory()
	if err != nil {
		return err
	}

	var failed error
	for waiting := true; waiting; {
		select {
		case <-s.Done():
			failed = s.Err()
			waiting = false
		case sig := <-stop:
			log.Info("signal", "signal", sig.String())
			waiting = false
		case <-reload:
			// What it finds wrong is logged; the server goes on.
			_ = s.Reload(ctx)
		case <-state:
			logState(log)
		}
	}
	return errors.Join(failed, shutdown(ctx, s, stop))
}

// logState tells what the process uses, in bytes.
func logState(log *slog.Logger) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	log.Info("state", "goroutines", runtime.NumGoroutine(), "heap", m.HeapAlloc, "system", m.Sys, "collections", m.NumGC)
}

// start starts the server. A signal to stop ends that too, and stays to be read.
func start(ctx context.Context, s *server.Server, stop chan os.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	started := make(chan struct{})
	defer close(started)
	go func() {
		select {
		case sig := <-stop:
			cancel()
			stop <- sig // it may be full of others
		case <-started:
		}
	}()
	err := s.Start(ctx)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("stopped by a signal before it served: %w", err)
	}
	return err
}

// shutdown drains the server. A second signal ends the waiting.
func shutdown(ctx context.Context, s *server.Server, again <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(ctx, drain)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(ctx) }()
	for {
		select {
		case err := <-done:
			return err
		case <-again:
			cancel()
		}
	}
}
