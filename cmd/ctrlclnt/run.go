package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/ctrl/commands"
)

// quitWait is how long the goodbye to a server may take; the command is done by then.
const quitWait = 5 * time.Second

// A program is what one run of ctrlclnt sees of the world.
type program struct {
	name   string // by which it was called
	stdin  *os.File
	stdout *os.File
	stderr io.Writer
	lookup func(string) (string, bool) // of the environment
}

// programName is the name for the usage text and for shell completion.
func programName(args []string) string {
	if len(args) == 0 || args[0] == "" {
		return "ctrlclnt"
	}
	name := filepath.Base(args[0])
	if runtime.GOOS == "windows" && strings.EqualFold(filepath.Ext(name), ".exe") {
		name = name[:len(name)-4]
	}
	return name
}

// run runs the program and returns its exit status.
func (p *program) run(args []string) int {
	o, err := parseOptions(args, p.lookup)
	if err == nil {
		switch {
		case o.help:
			err = p.runOwn([]string{"help"})
		case o.version:
			_, err = fmt.Fprintf(p.stdout, "%s version %s\n", p.name, buildVersion())
			err = outputError(err)
		case len(o.words) > 0 && !o.raw && isOwn(o.words[0]):
			err = p.runOwn(o.words)
		default:
			return p.runCommand(o)
		}
	}
	return p.report(err, false, nil)
}

// runOwn runs what cobra does: help and completion. Its output is written at
// once, so that a failure to write it is seen.
func (p *program) runOwn(words []string) error {
	var out bytes.Buffer
	root := p.newRoot(&out)
	root.SetArgs(words)
	if err := root.Execute(); err != nil {
		var usage *usageError
		if !errors.As(err, &usage) {
			err = usagef("%v", err)
		}
		return err
	}
	_, err := out.WriteTo(p.stdout)
	return outputError(err)
}

// report tells an error on standard error and returns the exit status for it.
// o is nil where there are no options yet.
func (p *program) report(err error, dialing bool, o *options) int {
	if err == nil {
		return 0
	}
	var usage *usageError
	if errors.As(err, &usage) {
		writeUsage(p.stderr, p.name, usage)
		return exitUsage
	}
	f := describe(err, dialing)
	f.write(p.stderr)
	if o != nil && o.status {
		return f.exit
	}
	return exitFailure
}

// runCommand runs a command of the server.
func (p *program) runCommand(o *options) int {
	if err := o.complete(); err != nil {
		return p.report(err, true, o)
	}
	// The reference wants both or none even where there is no TLS to use them.
	if (o.keyFile == "") != (o.certFile == "") {
		fmt.Fprintf(p.stderr, "%s: a client key (-K, CTRL_KEY_FILE) and a client certificate (-C, CTRL_CERT_FILE) must be given together\n", p.name)
		return exitFailure
	}
	job, err := p.prepare(o)
	if err != nil {
		return p.report(err, true, o)
	}
	defer job.discard()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	caught := make(chan os.Signal, 1)
	for _, sig := range stopSignals {
		if !signal.Ignored(sig) { // as under nohup
			signal.Notify(caught, sig)
		}
	}
	defer signal.Stop(caught)
	type outcome struct {
		err     error
		dialing bool
	}
	done := make(chan outcome, 1)
	go func() {
		dialing, err := job.run(ctx)
		done <- outcome{err, dialing}
	}()
	select {
	case r := <-done:
		return p.report(r.err, r.dialing, o)
	case sig := <-caught:
		cancel()
		select {
		case r := <-done:
			if r.err == nil {
				return 0 // done before the signal came
			}
			if !r.dialing {
				p.report(r.err, false, o)
			}
			job.discard()
		case <-caught: // somebody is impatient
		case <-time.After(time.Second): // standard output, say, takes nothing any more
		}
		dieOf(sig)
		return exitFailure
	}
}

// A job is a command that is ready to be sent: what can be wrong on this side
// has been checked.
type job struct {
	p       *program
	o       *options
	dialer  ctrl.Dialer
	command commands.Command
	known   bool
	content []byte      // of the upload
	output  *outputFile // of -f; nil: standard output, or not opened yet
}

// prepare checks the command line and opens what it names, so that nothing is
// sent, and no connection made, for a command that cannot be carried through.
func (p *program) prepare(o *options) (*job, error) {
	j := &job{p: p, o: o}
	j.command, j.known = commands.Lookup(o.words[0])
	if j.known && !o.noCheck {
		if err := j.command.CheckArgs(o.words[1:]); err != nil {
			return nil, &usageError{msg: err.Error() + "; --no-check sends it nevertheless", command: j.command.Usage()}
		}
	}
	if _, err := ctrl.EncodeLine(o.words...); err != nil {
		usage := &usageError{msg: err.Error(), command: "command [arg ...]"}
		if j.known {
			usage.msg, usage.command = j.command.Name+": "+usage.msg, j.command.Usage()
		}
		return nil, usage
	}
	j.dialer = ctrl.Dialer{User: o.user, ClearText: o.clearText, Timeout: o.timeout}
	if o.tls != tlsNone {
		j.dialer.TLS = ctrl.TLSUpgrade
		if o.tls == tlsNative {
			j.dialer.TLS = ctrl.TLSNative
		}
		var err error
		if j.dialer.TLSConfig, err = tlsConfig(o); err != nil {
			return nil, err
		}
	}
	var err error
	if j.dialer.Password, err = p.readPassword(o); err != nil {
		return nil, err
	}
	switch {
	case j.known && j.command.Kind == commands.Upload:
		j.content, err = p.readUpload(o)
	case j.known && j.command.Kind == commands.List && o.file != "":
		j.output, err = createOutput(o.file)
	}
	if err != nil {
		return nil, err
	}
	return j, nil
}

// discard drops an unfinished output file.
func (j *job) discard() {
	if j.output != nil {
		j.output.discard()
	}
}

// run connects, sends the command and deals with the reply. dialing reports
// that it got no further than the login.
func (j *job) run(ctx context.Context) (dialing bool, err error) {
	client, err := j.dialer.Dial(ctx, j.o.server.String())
	var arg *ctrl.ArgError
	switch {
	case errors.As(err, &arg):
		return true, usagef("the user name or the password cannot be sent: %v", err)
	case err != nil:
		return true, err
	}
	defer client.Close()
	err = j.exchange(ctx, client)
	var refused *ctrl.Error
	if errors.As(err, &refused) && j.o.tolerated(refused.Code) {
		err = nil
	}
	if err == nil || refused != nil {
		stop := time.AfterFunc(min(quitWait, j.o.timeout), func() { client.Close() })
		client.Quit() // what it answers changes nothing any more
		stop.Stop()
	}
	return false, err
}

func (j *job) exchange(ctx context.Context, client *ctrl.Client) error {
	if j.known && j.command.Kind == commands.Upload {
		return client.Upload(ctx, bytes.NewReader(j.content), j.o.words...)
	}
	resp, err := client.Do(ctx, j.o.words...)
	if err != nil {
		return err
	}
	switch resp.Status {
	case ctrl.StatusList:
		return j.list(resp)
	case ctrl.StatusData:
		// Of a command that is not in the table. The connection is closed without
		// the end of the upload where there is nothing to send.
		content, err := j.p.readUpload(j.o)
		if err != nil {
			return err
		}
		return resp.Upload(bytes.NewReader(content))
	}
	return nil
}

// list prints a list to standard output or the file of -f.
func (j *job) list(resp *ctrl.Response) error {
	s := shape{columns: j.command.Rows, text: j.known && len(j.command.Rows) == 0 && j.command.Kind == commands.List}
	var out io.Writer = j.p.stdout
	onTerminal := term.IsTerminal(int(j.p.stdout.Fd()))
	if j.o.file != "" {
		if j.output == nil {
			var err error
			if j.output, err = createOutput(j.o.file); err != nil {
				return err
			}
		}
		out, onTerminal = j.output, j.output.isTerminal()
	}
	w := newListWriter(j.o.format, out, s, onTerminal)
	for line, err := range resp.Lines() {
		if err != nil {
			w.flush()
			return err
		}
		if err := w.line(line); err != nil {
			return outputError(err)
		}
	}
	if err := w.close(); err != nil {
		return outputError(err)
	}
	if j.output != nil {
		return outputError(j.output.commit())
	}
	return nil
}

// outputError marks a failure to write what was asked for.
func outputError(err error) error {
	if err == nil {
		return nil
	}
	return &localError{code: codeWriteFile, info: err.Error()}
}

// buildVersion returns the version of the binary, from scripts/build or from
// the module that was built.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}
