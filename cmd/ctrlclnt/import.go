package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/xmaild/xmaild/pkg/ctrl"
)

// toldFailures is how many failures are printed where a report has them all.
const toldFailures = 20

func importVerb() verb {
	return verb{
		name: "import", args: "kind file", least: 2, most: 2,
		short: "Create domains, users, aliases … from a CSV file",
		long: `Create what the rows of a CSV file say, over one connection, without waiting for
each reply. "-" is standard input. The kinds and their columns are:

` + kindLines() + `
A header names the columns, in any order; without one they are in the order
above, those of users being domain, user, password, real-name, homepage. Fields
are separated by commas, semicolons or TABs, and quoted where need be. Users may
be in the form of XMail's MkUsers, domain;username;password;real-name;homepage.

The report is a CSV file of line, object, verdict, code and text: done, exists,
refused, partly (added, but a variable could not be set), invalid, unknown. An
import that was interrupted goes on with --resume and the same report.`,
		options: []option{
			toggle("dry-run", "have the server check every row, and change nothing", func(b *bulkOptions) *bool { return &b.dryRun }),
			toggle("skip-existing", "leave alone what is there already; that is no failure", func(b *bulkOptions) *bool { return &b.skipExisting }),
			word("report", "file", "write what became of each row", func(b *bulkOptions) *string { return &b.report }),
			toggle("resume", "leave out what the report says is done", func(b *bulkOptions) *bool { return &b.resume }),
			toggle("generate-passwords", "make passwords for users without one; they are in the report", func(b *bulkOptions) *bool { return &b.generate }),
		},
		run: (*program).runImport,
		complete: func(args []string, word string) ([]string, cobra.ShellCompDirective) {
			return completeKind(args, word)
		},
	}
}

// completeKind completes the kind, and then a file.
func completeKind(args []string, word string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		var names []string
		for _, k := range kinds() {
			if strings.HasPrefix(k.name, word) {
				names = append(names, k.name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	case 1:
		return nil, cobra.ShellCompDirectiveDefault
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// kindLines lists the kinds with their columns.
func kindLines() string {
	var b strings.Builder
	for _, k := range kinds() {
		var columns []string
		for _, c := range k.columns {
			name := c.name
			if c.optional {
				name = "[" + name + "]"
			}
			columns = append(columns, name)
		}
		fmt.Fprintf(&b, "  %-13s %s\n", k.name, strings.Join(columns, " "))
	}
	return b.String()
}

// An importer is one run of an import.
type importer struct {
	p        *program
	o        *options
	kind     *kind
	name     string // of the file
	rows     []*row
	report   *report
	progress *progress
	original bool // the server is XMail itself
	start    time.Time

	next    int
	flights []flight // what awaits a reply, in order
	ready   []flight // what can be sent now that the step before was done
	counts  map[verdict]int
	before  int // rows that an earlier run has done
	told    int
	lost    error // why the connection is gone
	exit    int   // of the first failure
}

// A flight is a command of a row on its way.
type flight struct {
	row    *row
	step   int
	verify bool // it asks whether the account of an interrupted run is there
}

func (p *program) runImport(o *options) int {
	i, err := p.newImporter(o)
	if err != nil {
		return p.report(err, true, o)
	}
	dialer, err := p.dialer(o)
	if err != nil {
		return p.report(err, true, o)
	}
	return p.supervise(o, task{grace: bulkGrace, run: func(ctx context.Context, stopping <-chan struct{}) (bool, error) {
		client, err := p.connect(ctx, o, dialer)
		if err != nil {
			return true, err
		}
		defer client.Close()
		// XMail itself has nothing between these words and the semicolon.
		i.original = strings.Contains(client.Greeting(), " CTRL Server;")
		if err := i.openReport(); err != nil {
			return false, err
		}
		i.plan()
		i.start = p.time()
		i.progress = p.newProgress(o, len(i.rows))
		if o.bulk.dryRun {
			err = i.dryRun(ctx, client, stopping)
		} else {
			err = i.run(ctx, client, stopping)
		}
		if i.lost == nil && err == nil {
			goodbye(client, o)
		}
		return false, i.finish(err)
	}})
}

// newImporter reads the file and checks the options.
func (p *program) newImporter(o *options) (*importer, error) {
	k, err := findKind(o.words[1])
	b := o.bulk
	switch {
	case err != nil:
		return nil, err
	case b.resume && b.report == "":
		return nil, usagef("--resume reads what is done from a report: give --report")
	case b.generate && k.name != "users":
		return nil, usagef("--generate-passwords is for users")
	case b.generate && b.report == "" && !b.dryRun:
		return nil, usagef("--generate-passwords needs --report, since nobody would learn the passwords")
	case b.dryRun && b.resume:
		return nil, usagef("--dry-run changes nothing, and has nothing to --resume")
	}
	i := &importer{p: p, o: o, kind: k, counts: map[verdict]int{}}
	var content []byte
	if i.name, content, err = p.readInput(o.words[2]); err != nil {
		return nil, err
	}
	if i.rows, err = readRows(k, content); err != nil {
		return nil, &localError{code: codeReadFile, info: i.name + ": " + err.Error()}
	}
	return i, nil
}

// openReport opens the report, and marks the rows that it says are done.
func (i *importer) openReport() error {
	b := i.o.bulk
	if b.report == "" {
		return nil
	}
	var old map[int]reportRow
	var err error
	if b.resume {
		i.report, old, err = resumeReport(b.report, b.generate)
	} else {
		i.report, err = createReport(b.report, b.generate && !b.dryRun)
	}
	if err != nil {
		return &localError{code: codeCreateFile, info: "report: " + err.Error()}
	}
	for _, r := range i.rows {
		was, ok := old[r.line]
		if !ok {
			continue
		}
		if was.object != r.object {
			return &localError{code: codeReadFile, info: fmt.Sprintf("the report is of another file: line %d is %s there and %s in %s", r.line, was.object, r.object, i.name)}
		}
		switch was.verdict {
		case verdictDone, verdictExists:
			r.verdict = was.verdict
			i.before++
		case verdictSent, verdictUnknown, verdictPartly:
			r.sentBefore, r.generated = true, was.password
		}
	}
	return nil
}

// plan makes the commands of the rows.
func (i *importer) plan() {
	for _, r := range i.rows {
		if r.verdict == verdictDone || r.verdict == verdictExists {
			continue
		}
		if i.o.bulk.generate && r.values["password"] == "" && r.values["stored"] == "" && r.generated == "" {
			r.generated = newPassword()
		}
		if i.original && r.values["stored"] != "" {
			if r.values["password"] == "" {
				r.invalid("a stored password cannot be sent to XMail 1.27")
			}
			delete(r.values, "stored")
		}
		if r.verdict == "" {
			steps, err := i.kind.plan(r)
			if err == nil {
				err = checkSteps(steps)
			}
			if err != nil {
				r.invalid(err.Error())
			}
			r.steps = steps
		}
		if r.verdict == verdictInvalid {
			i.settle(r, verdictInvalid, "", r.text, exitFailure)
		}
	}
}

// checkSteps returns why commands cannot be sent.
func checkSteps(steps [][]string) error {
	for _, s := range steps {
		if _, err := ctrl.EncodeLine(s...); err != nil {
			return err
		}
	}
	return nil
}

// newPassword makes a password of 80 random bits, of letters and digits that can be
// told apart.
func newPassword() string { return strings.ToLower(rand.Text()[:16]) }

// settle gives a row its verdict, in the report and, where it is a failure, on
// standard error.
func (i *importer) settle(r *row, v verdict, code, text string, exit int) {
	r.verdict, r.code, r.text = v, code, text
	i.counts[v]++
	kept := ""
	switch v {
	case verdictDone, verdictPartly, verdictUnknown:
		kept = r.generated
	}
	i.report.put(r.line, reportRow{object: r.object, verdict: v, code: code, text: text, password: kept})
	if exit == 0 {
		return
	}
	if i.exit == 0 {
		i.exit = exit
	}
	i.told++
	if i.report != nil && i.told > toldFailures {
		return
	}
	if code != "" {
		text = code + " " + text
	}
	i.progress.clear()
	fmt.Fprintf(i.p.stderr, "%s:%d: %s: %s\n", visible(i.name, false), r.line, visible(r.object, false), visible(text, false))
}

// failures returns how many rows failed.
func (i *importer) failures() int {
	return i.counts[verdictRefused] + i.counts[verdictPartly] + i.counts[verdictInvalid] + i.counts[verdictUnknown]
}

// settled returns how many rows have their verdict.
func (i *importer) settled() int {
	n := i.before
	for v, c := range i.counts {
		if v != verdictUnsent {
			n += c
		}
	}
	return n
}

// finish closes the report and prints the summary.
func (i *importer) finish(err error) error {
	i.progress.clear()
	if e := i.report.finish(); e != nil && err == nil {
		err = &localError{code: codeWriteFile, info: "report: " + e.Error()}
	}
	if more := i.told - toldFailures; i.report != nil && more > 0 {
		fmt.Fprintf(i.p.stderr, "%s: %d failures more, see %s\n", visible(i.name, false), more, visible(i.report.path, false))
	}
	if i.lost != nil {
		f := describe(i.lost, false)
		if i.exit == 0 {
			i.exit = f.exit
		}
		fmt.Fprintf(i.p.stderr, "%s: %s: %s\n", visible(i.name, false), phrases[f.code], visible(f.info, false))
	}
	if left := len(i.rows) - i.settled(); left > 0 {
		if i.exit == 0 {
			i.exit = exitFailure // stopped by a signal
		}
		if i.report != nil && !i.o.bulk.dryRun {
			fmt.Fprintf(i.p.stderr, "%s: %d rows are left; go on with --resume --report %s\n", visible(i.name, false), left, visible(i.report.path, false))
		}
	}
	if err != nil {
		return err
	}
	i.summary()
	if i.exit != 0 {
		return &toldError{i.exit}
	}
	return nil
}

// summary prints the line that a cron job mails.
func (i *importer) summary() {
	if i.o.quiet {
		return
	}
	parts := []string{fmt.Sprintf("%d %s done", i.counts[verdictDone], i.kind.name)}
	if i.o.bulk.dryRun {
		parts[0] = fmt.Sprintf("%d %s would be done, nothing was changed", i.counts[verdictValid], i.kind.name)
	}
	for _, c := range []struct {
		n    int
		what string
	}{
		{i.before, "done before"},
		{i.counts[verdictExists], "existing"},
		{i.counts[verdictRefused] + i.counts[verdictPartly] + i.counts[verdictInvalid], "failed"},
		{i.counts[verdictUnknown], "unknown"},
		{len(i.rows) - i.settled(), "not sent"},
	} {
		if c.n > 0 || c.what == "failed" {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	fmt.Fprintf(i.p.stderr, "%s: %s: %s in %s\n", i.p.name, visible(i.name, false), strings.Join(parts, ", "), roundTime(i.p.time().Sub(i.start)))
}
