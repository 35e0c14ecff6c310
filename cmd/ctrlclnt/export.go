package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

func exportVerb() verb {
	return verb{
		name: "export", args: "kind [file]", least: 1, most: 2,
		short: "Write domains, users, aliases … as a CSV file that import reads",
		long: `Write what the server has as a CSV file with a header, which import reads: to a
file, which is replaced when all is there, or to standard output. The kinds are
` + strings.Join(kindNames(), ", ") + `; lists are the
members of mailing lists, whose accounts are among the users, and the variables
of users are uservars.

The passwords of users are in their stored form where the server gives them out
(userexport, with the right to it), otherwise in clear where userlist shows them.`,
		options: []option{
			word("domain", "pattern", "of this domain only, or of those that match", func(b *bulkOptions) *string { return &b.domain }),
		},
		run: (*program).runExport,
		complete: func(args []string, word string) ([]string, cobra.ShellCompDirective) {
			return completeKind(args, word)
		},
	}
}

func kindNames() []string {
	var names []string
	for _, k := range kinds() {
		names = append(names, k.name)
	}
	return names
}

// An exporter is one run of an export.
type exporter struct {
	p      *program
	o      *options
	kind   *kind
	client *ctrl.Client
	w      *csv.Writer
	masked bool // to a terminal: control characters are made visible
	width  int  // columns
	rows   int
	hidden int  // without the password that they have
	stored bool // passwords come in their stored form: an empty one is none
}

func (p *program) runExport(o *options) int {
	k, err := findKind(o.words[1])
	if err == nil && o.bulk.domain != "" && (k.name == "relays" || k.name == "spammers" || k.name == "ipmaps") {
		err = usagef("%s are of no domain", k.name)
	}
	if err != nil {
		return p.report(err, true, o)
	}
	dialer, err := p.dialer(o)
	if err != nil {
		return p.report(err, true, o)
	}
	var file *outputFile
	var out io.Writer = p.stdout
	e := &exporter{p: p, o: o, kind: k, masked: term.IsTerminal(int(p.stdout.Fd()))}
	if len(o.words) > 2 && o.words[2] != "-" {
		if file, err = createOutput(o.words[2]); err != nil {
			return p.report(err, true, o)
		}
		defer file.discard()
		if k.secret() {
			file.private()
		}
		out, e.masked = file, file.isTerminal()
	}
	t := task{run: func(ctx context.Context, _ <-chan struct{}) (bool, error) {
		start := p.time()
		var err error
		if e.client, err = p.connect(ctx, o, dialer); err != nil {
			return true, err
		}
		defer e.client.Close()
		e.w = csv.NewWriter(out)
		if err := e.write(ctx); err != nil {
			return false, err
		}
		if e.w.Flush(); e.w.Error() != nil {
			return false, outputError(e.w.Error())
		}
		if file != nil {
			if err := file.commit(); err != nil {
				return false, outputError(err)
			}
		}
		goodbye(e.client, o)
		e.summary(p.time().Sub(start).Seconds())
		return false, nil
	}}
	if file != nil {
		t.discard = file.discard
	}
	return p.supervise(o, t)
}

// secret reports whether a kind has passwords.
func (k *kind) secret() bool {
	_, ok := k.column("password")
	return ok
}

// private keeps a file that did not exist before from others.
func (o *outputFile) private() {
	if _, err := os.Lstat(o.path); err != nil && o.file != nil {
		o.file.Chmod(0o600)
	}
}

// summary tells how much was written, and what was not.
func (e *exporter) summary(seconds float64) {
	if e.hidden > 0 {
		fmt.Fprintf(e.p.stderr, "%s: %d of %d %s are without their passwords, which this server does not show to this administrator\n", e.p.name, e.hidden, e.rows, e.kind.name)
	}
	if !e.o.quiet {
		fmt.Fprintf(e.p.stderr, "%s: %d %s exported in %.2gs\n", e.p.name, e.rows, e.kind.name, seconds)
	}
}

// write writes the header and all rows.
func (e *exporter) write(ctx context.Context) error {
	var pattern []string
	if e.o.bulk.domain != "" {
		pattern = []string{e.o.bulk.domain}
	}
	list := func(command string, columns ...string) error {
		e.header(columns)
		return e.list(ctx, append([]string{command}, pattern...), e.put)
	}
	switch e.kind.name {
	case "domains":
		return list("domainlist", "domain")
	case "users":
		return e.users(ctx, pattern)
	case "uservars":
		e.header([]string{"domain", "user", "name", "value"})
		return e.nested(ctx, pattern, "uservars", func(string) bool { return true })
	case "aliases":
		return list("aliaslist", "domain", "alias", "account")
	case "aliasdomains":
		return list("aliasdomainlist", "real-domain", "alias-domain")
	case "lists":
		e.header([]string{"domain", "list", "address", "perms"})
		return e.nested(ctx, pattern, "mluserlist", func(t string) bool { return t == "M" })
	case "links":
		e.header([]string{"domain", "user", "remote-host", "remote-user", "password", "authtype", "enabled"})
		return e.links(ctx)
	case "relays":
		return list("relaylist", "address", "mask")
	case "spammers":
		return list("spammerlist", "address", "mask", "params")
	case "ipmaps":
		e.header([]string{"service", "address", "mask", "permission", "precedence", "expires"})
		for _, services := range []string{"*", "pop3:*"} { // those of accounts have to be asked for
			if err := e.list(ctx, []string{"ipmaplist", services}, e.putMap); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("%s cannot be exported", e.kind.name)
}

// original reports whether the server is XMail itself, which is asked for nothing that it
// does not know.
func (e *exporter) original() bool { return strings.Contains(e.client.Greeting(), " CTRL Server;") }

// users writes the accounts, with the stored form of their passwords where it can be had.
func (e *exporter) users(ctx context.Context, pattern []string) error {
	if !e.original() {
		started := false
		err := e.list(ctx, append([]string{"userexport"}, pattern...), func(fields []string) error {
			if !started {
				started, e.stored = true, true
				e.header([]string{"domain", "user", "stored", "type"})
			}
			return e.put(fields)
		})
		refused, _ := err.(*ctrl.Error)
		switch {
		case refused == nil && err != nil:
			return err
		case refused == nil && !started: // none at all
			e.header([]string{"domain", "user", "stored", "type"})
			return nil
		case refused == nil:
			return nil
		case refused.Code != ctrl.CodeCommand && refused.Code != ctrl.CodeForbidden:
			return refused
		}
	}
	e.header([]string{"domain", "user", "password", "type"})
	return e.list(ctx, append([]string{"userlist"}, pattern...), e.put)
}

// header writes the names of the columns.
func (e *exporter) header(columns []string) {
	e.width = len(columns)
	e.w.Write(columns) // an error shows in the rows, or at the end
}

// put writes a row of a list; columns that were added to the list later are left out.
func (e *exporter) put(fields []string) error {
	if len(fields) < e.width {
		return &ctrl.ProtocolError{Line: strings.Join(fields, "\t")}
	}
	fields = fields[:e.width]
	if e.kind.name == "links" && e.o.bulk.domain != "" && !tabfile.Match(e.o.bulk.domain, fields[0]) {
		return nil
	}
	e.rows++
	if e.kind.name == "users" && fields[2] == "" && !e.stored || e.kind.name == "links" && fields[4] == "" {
		e.hidden++
	}
	if e.masked {
		for i := range fields {
			fields[i] = visible(fields[i], false)
		}
	}
	return outputError(e.w.Write(fields))
}

// putMap writes a row of an address map. When it expires is a number in the file.
func (e *exporter) putMap(fields []string) error {
	if len(fields) >= e.width {
		fields[5] = strings.TrimPrefix(fields[5], "expires=")
	}
	return e.put(fields)
}

// list runs a command and hands on the rows of its list.
func (e *exporter) list(ctx context.Context, words []string, row func([]string) error) error {
	resp, err := e.client.Do(ctx, words...)
	if err != nil {
		return err
	}
	return eachRow(resp, row)
}

func eachRow(resp *ctrl.Response, row func([]string) error) error {
	for fields, err := range resp.Rows() {
		if err != nil {
			return err
		}
		if err := row(fields); err != nil {
			return err
		}
	}
	return nil
}

// nested runs a command for every account whose type want takes, and writes the
// rows of their lists after domain and user.
func (e *exporter) nested(ctx context.Context, pattern []string, command string, want func(string) bool) error {
	var accounts [][]string
	err := e.list(ctx, append([]string{"userlist"}, pattern...), func(fields []string) error {
		if len(fields) < 4 {
			return &ctrl.ProtocolError{Line: strings.Join(fields, "\t")}
		}
		if want(fields[3]) {
			accounts = append(accounts, fields[:2])
		}
		return nil
	})
	if err != nil {
		return err
	}
	pipe := e.client.Pipeline(ctx)
	defer pipe.Stop()
	sent := 0
	for done := range accounts {
		for sent < len(accounts) && !pipe.Full() {
			if err := pipe.Send(command, accounts[sent][0], accounts[sent][1]); err != nil {
				return err
			}
			sent++
		}
		a := accounts[done]
		resp, err := pipe.Receive()
		if err == nil {
			err = eachRow(resp, func(fields []string) error { return e.put(append([]string{a[0], a[1]}, fields...)) })
		}
		var refused *ctrl.Error
		if errors.As(err, &refused) && statusOf(refused.Code) == exitMissing {
			continue // somebody has removed it since, or it has none
		}
		if err != nil {
			return err
		}
	}
	return nil
}
