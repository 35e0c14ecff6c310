package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/ctrl/commands"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

func frozVerb() verb {
	return verb{
		name: "froz", args: "list|submit|delete [file ...]", least: 1, most: -1,
		short: "List frozen messages, submit them again, or delete them",
		long: `List the frozen messages of the server, put some back to be delivered, or delete
them. Which ones: those of these files, or those that match all of --match and
--older. A filter is name=pattern with * and ?; the names are file, sender, recipient,
domain (of the recipient) and user (who logged in to send it). Of filters of one name
one is to match. --older is about the last attempt, by the clock of the server.

Without a filter only list does anything; --all is for everything. With --dry-run
submit and delete list what they would do it to. It works with XMail too, which does
not know who logged in.`,
		options:  filterOptions(),
		run:      (*program).runFroz,
		complete: completeActions("list", "submit", "delete"),
	}
}

// The columns of frozlist.
const (
	frozFile = iota
	frozLevel0
	frozLevel1
	frozSender
	frozRecipient
	frozTime
	frozColumns
)

// frozFields are the filters of froz, and what of a row they look at.
var frozFields = map[string]func(row []string) string{
	"file":      func(row []string) string { return row[frozFile] },
	"sender":    func(row []string) string { return unbracket(row[frozSender]) },
	"recipient": func(row []string) string { return unbracket(row[frozRecipient]) },
	"domain": func(row []string) string {
		to := unbracket(row[frozRecipient])
		return to[strings.LastIndexByte(to, '@')+1:]
	},
}

func unbracket(path string) string { return strings.TrimSuffix(strings.TrimPrefix(path, "<"), ">") }

// A frozFilter picks rows of frozlist.
type frozFilter struct {
	patterns map[string][]string
	older    time.Duration  // since the last attempt; below 0: any time
	users    []string       // filters that only the server can apply, as it takes them
	before   time.Time      // of the last attempt; zero: any time
	zone     *time.Location // of the times in the rows
}

func newFrozFilter(o *options) (frozFilter, error) {
	f := frozFilter{patterns: map[string][]string{}, older: -1}
	if names := o.words[2:]; len(names) > 0 {
		f.patterns["file"] = names
	}
	for _, m := range o.bulk.match {
		name, pattern, _ := strings.Cut(m, "=")
		if name == "user" {
			f.users = append(f.users, m)
			continue
		}
		if frozFields[name] == nil {
			return f, usagef("--match %s: %q is none of file, sender, recipient, domain, user", m, name)
		}
		f.patterns[name] = append(f.patterns[name], unbracket(pattern))
	}
	if o.bulk.older != "" {
		age, err := parseAge(o.bulk.older)
		if err != nil {
			return f, usagef("--older: %v", err)
		}
		f.older = age
	}
	return f, nil
}

// at says which time it is at the server, whose zone the times of its lists are in: its
// greeting tells both. Where that is no different from here the rules of this machine
// tell how it was at other times of the year.
func (f *frozFilter) at(greeting string, here time.Time) {
	now := here
	if i := strings.LastIndex(greeting, "; "); i >= 0 {
		if t, err := time.Parse("Mon, 2 Jan 2006 15:04:05 -0700", strings.TrimSpace(greeting[i+2:])); err == nil {
			now = t
		}
	}
	f.zone = now.Location()
	_, there := now.Zone()
	if _, offset := now.In(here.Location()).Zone(); offset == there {
		f.zone = here.Location()
	}
	if f.older >= 0 {
		f.before = now.Add(-f.older)
	}
}

// parseAge reads a number of seconds, or one with s, m, h, d or w, as the server does.
func parseAge(text string) (time.Duration, error) {
	number, unit := text, time.Second
	if text != "" {
		if i := strings.IndexByte("smhdw", text[len(text)-1]); i >= 0 {
			unit = []time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour, 7 * 24 * time.Hour}[i]
			number = text[:len(text)-1]
		}
	}
	n, err := strconv.ParseUint(number, 10, 31)
	age := time.Duration(n) * unit
	if err != nil || age/unit != time.Duration(n) {
		return 0, fmt.Errorf("%q is no time such as 30m, 12h or 7d", text)
	}
	return age, nil
}

// match reports whether a row is one of those wanted. One whose time cannot be read is
// not old.
func (f frozFilter) match(row []string) bool {
	if !f.before.IsZero() {
		at, err := time.ParseInLocation(time.DateTime, row[frozTime], f.zone)
		if err != nil || at.After(f.before) {
			return false
		}
	}
	for name, patterns := range f.patterns {
		value := frozFields[name](row)
		if !slices.ContainsFunc(patterns, func(pattern string) bool { return tabfile.Match(pattern, value) }) {
			return false
		}
	}
	return true
}

func (p *program) runFroz(o *options) int {
	action := o.words[1]
	var err error
	if !slices.Contains([]string{"list", "submit", "delete"}, action) {
		err = usagef("froz: %q is none of list, submit, delete", action)
	}
	if err == nil {
		err = checkFilters(o, o.words[2:], action != "list")
	}
	var filter frozFilter
	if err == nil {
		filter, err = newFrozFilter(o)
	}
	var dialer ctrl.Dialer
	if err == nil {
		dialer, err = p.dialer(o)
	}
	if err != nil {
		return p.report(err, true, o)
	}
	return p.supervise(o, task{run: func(ctx context.Context, stopping <-chan struct{}) (bool, error) {
		client, err := p.connect(ctx, o, dialer)
		if err != nil {
			return true, err
		}
		defer client.Close()
		if err := p.froz(ctx, client, o, filter, stopping); err != nil {
			return false, err
		}
		goodbye(client, o)
		return false, nil
	}})
}

// froz lists what is frozen and does what is wanted to it.
func (p *program) froz(ctx context.Context, client *ctrl.Client, o *options, filter frozFilter, stopping <-chan struct{}) error {
	action := o.words[1]
	show := action == "list" || o.bulk.dryRun
	known, _ := commands.Lookup("frozlist")
	out := newListWriter(o.format, p.stdout, shape{columns: known.Rows}, term.IsTerminal(int(p.stdout.Fd())))
	filter.at(client.Greeting(), p.time())
	if err := knowsUsers(ctx, client, filter); err != nil {
		return err
	}
	resp, err := client.Do(ctx, append([]string{"frozlist"}, filter.users...)...)
	if err != nil {
		return err
	}
	var rows [][]string
	for line, err := range resp.Lines() {
		if err != nil {
			out.flush()
			return err
		}
		row := ctrl.SplitRow(line)
		if len(row) < frozColumns || !filter.match(row) {
			continue
		}
		rows = append(rows, row)
		if show {
			if err := out.line(line); err != nil {
				return outputError(err)
			}
		}
	}
	if show {
		if err := out.close(); err != nil {
			return outputError(err)
		}
	}
	switch {
	case action == "list":
		return nil
	case o.bulk.dryRun:
		p.tellFroz(o, len(rows), "would be", 0)
		return nil
	}
	return p.changeFrozen(ctx, client, o, rows, stopping)
}

// knowsUsers returns an error where the server would not look at the filters that only it
// can apply: XMail lists everything, whatever follows frozlist.
func knowsUsers(ctx context.Context, client *ctrl.Client, filter frozFilter) error {
	if len(filter.users) == 0 {
		return nil
	}
	resp, err := client.Do(ctx, "help", "frozlist")
	var refused *ctrl.Error
	if err != nil && !errors.As(err, &refused) {
		return err
	}
	known := false
	if err == nil {
		for line, err := range resp.Lines() {
			if err != nil {
				return err
			}
			row := ctrl.SplitRow(line)
			known = known || len(row) > 1 && row[0] == "argument" && row[1] == "filter"
		}
	}
	if !known {
		return &ctrl.Error{Code: ctrl.CodeCommand, Text: "this server does not know who sent its frozen messages"}
	}
	return nil
}

// changeFrozen submits or deletes messages. One that is gone meanwhile is no failure.
func (p *program) changeFrozen(ctx context.Context, client *ctrl.Client, o *options, rows [][]string, stopping <-chan struct{}) error {
	command := map[string]string{"submit": "frozsubmit", "delete": "frozdel"}[o.words[1]]
	pipe := client.Pipeline(ctx)
	defer pipe.Stop()
	sent, done, gone := 0, 0, 0
	var failed error
	receive := func() error {
		_, err := pipe.Receive()
		var refused *ctrl.Error
		switch {
		case err == nil:
			done++
		case errors.As(err, &refused) && refused.Code == ctrl.CodeNoSpoolFile:
			gone++
		case errors.As(err, &refused):
			failed = err
		default:
			return err
		}
		return nil
	}
	for _, row := range rows {
		if stopped(stopping) || failed != nil {
			break
		}
		for pipe.Full() {
			if err := receive(); err != nil {
				return err
			}
		}
		if err := pipe.Send(command, row[frozLevel0], row[frozLevel1], row[frozFile]); err != nil {
			return err
		}
		sent++
	}
	for pipe.Len() > 0 {
		if err := receive(); err != nil {
			return err
		}
	}
	p.tellFroz(o, done, "are", gone)
	if left := len(rows) - sent; left > 0 && failed == nil { // stopped by a signal
		fmt.Fprintf(p.stderr, "%s: froz: %d messages are left\n", p.name, left)
		return &toldError{exitFailure}
	}
	return failed
}

// tellFroz says how many messages it was about.
func (p *program) tellFroz(o *options, n int, verb string, gone int) {
	if o.quiet {
		return
	}
	text := fmt.Sprintf("%d messages %s %s", n, verb, map[string]string{"submit": "submitted", "delete": "deleted"}[o.words[1]])
	if gone > 0 {
		text += fmt.Sprintf(", %d were gone", gone)
	}
	fmt.Fprintf(p.stderr, "%s: froz: %s\n", p.name, text)
}
