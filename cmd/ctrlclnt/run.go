package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
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

	wait func(context.Context, time.Duration) error // in tests, in place of waiting; nil: time passes
	now  func() time.Time                           // in tests; nil: time.Now
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
		case o.help && o.verb != nil:
			err = p.runOwn([]string{"help", o.verb.name})
		case o.help:
			err = p.runOwn([]string{"help"})
		case o.version:
			_, err = fmt.Fprintf(p.stdout, "%s version %s\n", p.name, buildVersion())
			err = outputError(err)
		case len(o.words) > 0 && !o.raw && isOwn(o.words[0]):
			err = p.runOwn(o.words)
		case o.verb != nil:
			return p.runVerb(o)
		default:
			return p.runCommand(o)
		}
	}
	return p.report(err, false, nil)
}

// runVerb runs a command of this program that talks to a server.
func (p *program) runVerb(o *options) int {
	err := o.verb.check(o.words)
	if err == nil {
		err = o.complete()
	}
	if err == nil && o.file != "" {
		err = usagef("-f is for single commands; %s takes its file as an argument", o.verb.name)
	}
	if err != nil {
		return p.report(err, true, o)
	}
	if !p.pairs(o) {
		return exitFailure
	}
	return o.verb.run(p, o)
}

// pairs reports whether a client key and a client certificate are there
// together, and says so where not. The reference wants both or none even where
// there is no TLS to use them.
func (p *program) pairs(o *options) bool {
	if (o.keyFile == "") == (o.certFile == "") {
		return true
	}
	fmt.Fprintf(p.stderr, "%s: a client key (-K, CTRL_KEY_FILE) and a client certificate (-C, CTRL_CERT_FILE) must be given together\n", p.name)
	return false
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
	var said *toldError
	if errors.As(err, &said) {
		if o != nil && o.status {
			return said.exit
		}
		return exitFailure
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
	if !p.pairs(o) {
		return exitFailure
	}
	job, err := p.prepare(o)
	if err != nil {
		return p.report(err, true, o)
	}
	defer job.discard()
	return p.supervise(o, task{
		run:     func(ctx context.Context, _ <-chan struct{}) (bool, error) { return job.run(ctx) },
		discard: job.discard,
	})
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
	var err error
	if j.dialer, err = p.dialer(o); err != nil {
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
	client, err := j.p.connect(ctx, j.o, j.dialer)
	if err != nil {
		return true, err
	}
	defer client.Close()
	err = j.exchange(ctx, client)
	var refused *ctrl.Error
	if errors.As(err, &refused) && j.o.tolerated(j.o.words, refused.Code) {
		err = nil
	}
	if err == nil || refused != nil {
		goodbye(client, j.o)
	}
	return false, err
}

// goodbye ends a session. What the server answers changes nothing any more.
func goodbye(client *ctrl.Client, o *options) {
	stop := time.AfterFunc(min(quitWait, o.timeout), func() { client.Close() })
	client.Quit()
	stop.Stop()
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
	if note := noteOf(resp, j.command); note != "" && !j.o.quiet {
		fmt.Fprintf(j.p.stderr, "%s: %s: %s\n", j.p.name, j.command.Name, note)
	}
	return nil
}

// noteOf returns what the server says of a change besides that it was made, such as
// that another row leaves the new one without effect; "" where it says nothing.
func noteOf(resp *ctrl.Response, c commands.Command) string {
	note, ok := strings.CutPrefix(resp.Text, "OK ")
	if !ok || resp.Status != ctrl.StatusOK || !c.Collectable() || strings.HasPrefix(note, "collected ") {
		return ""
	}
	return visible(note, false)
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
