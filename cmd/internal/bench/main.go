// Bench measures what this project promises about its speed, each figure beside a
// floor of the same disk in the same run. scripts/bench builds and runs it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"
)

const usage = `usage: scripts/bench [options] [FIGURE…]

Measures the figures, all or those named (patterns are fine: 'smtp-*'), on servers
and MailRoots of its own that are gone afterwards, and prints a table. Sizes and
times are those of the goals; a whole run takes some minutes and wants the machine
for itself, with some 10 GB and three million files (inodes) to spare on the disk.

options:
`

// These are statuses of exit.
const (
	exitFailed = 1
	exitUsage  = 2
)

// A usageError is one of the command line.
type usageError struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o := &options{stdout: stdout, stderr: stderr}
	err := o.parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprint(stdout, usage, o.flags.FlagUsages())
		return 0
	case err == nil:
		err = o.do(ctx)
	}
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "scripts/bench: %v\n", err)
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitFailed
}

// options are what the command line asks for.
type options struct {
	runs     int
	json     bool
	list     bool
	quick    bool
	readme   bool
	symbols  bool
	keep     bool
	out      string
	from     string
	against  string
	plots    string
	dir      string
	checkout string
	figures  []figure
	named    bool // some figures were named

	flags          *pflag.FlagSet
	stdout, stderr io.Writer
}

func (o *options) parse(args []string) error {
	f := pflag.NewFlagSet("scripts/bench", pflag.ContinueOnError)
	o.flags = f
	f.SortFlags = false
	f.Usage = func() {}
	f.IntVarP(&o.runs, "runs", "n", 3, "measure each figure so often, in turns with its floor; the median counts")
	f.BoolVar(&o.json, "json", false, "print a line of JSON a figure rather than the table")
	f.StringVar(&o.out, "out", "", "write the lines of JSON to this `file` as well")
	f.StringVar(&o.from, "from", "", "begin with the results in this `file`; only figures that are named are measured then")
	f.StringVar(&o.against, "against", "", "compare with an `earlier` result (the file of --out), or with another checkout (its folder), in turns")
	f.BoolVar(&o.readme, "readme", false, "write the table into README.md, between its markers")
	f.StringVar(&o.plots, "plots", "", "measure and draw the plots, as SVG, into this `folder`; figures only where some are named")
	f.BoolVar(&o.quick, "quick", false, "a hundredth of all sizes, once each, to see that everything runs; the values say nothing")
	f.StringVar(&o.dir, "dir", os.TempDir(), "measure on the disk of this `folder`")
	f.BoolVar(&o.keep, "keep", false, "do not remove what was measured on: for another run soon after, which the removal would slow down, or to look at")
	f.BoolVar(&o.symbols, "symbols", false, "build the programs with symbols, for perf and the like")
	f.BoolVar(&o.list, "list", false, "list the figures and their goals")
	f.StringVar(&o.checkout, "checkout", ".", "the `folder` of the sources")
	if err := f.MarkHidden("checkout"); err != nil {
		return err
	}
	if err := f.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return err
		}
		return usageError{err}
	}
	if o.quick && !f.Changed("runs") {
		o.runs = 1
	}
	switch {
	case o.runs < 1:
		return usageError{fmt.Errorf("-n %d: want 1 or more", o.runs)}
	case o.against != "" && (o.from != "" || o.out != "" || o.readme || o.plots != ""):
		return usageError{errors.New("--against goes with neither --from, --out, --readme nor --plots")}
	}
	var err error
	o.figures, err = chosen(allFigures(), f.Args())
	o.named = f.NArg() > 0
	return err
}
