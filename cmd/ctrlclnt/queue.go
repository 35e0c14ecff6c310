package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/ctrl/commands"
)

// queueCommands are the commands of the server behind the actions of queue.
var queueCommands = map[string]string{
	"list": "queuelist", "show": "queueshow", "retry": "queueretry", "freeze": "queuefreeze", "delete": "queuedel",
}

func queueVerb() verb {
	return verb{
		name: "queue", args: "list|show|retry|freeze|delete [message ...]", least: 1, most: -1,
		short: "List and steer the messages that wait to be delivered",
		long: `List the messages in the queue of the server, show one, have some tried now, or
freeze or delete them. Which ones: those named by their id or key, or those that
match all of --match and --older. A filter is name=pattern with * and ?; the names
are message, sender, recipient, domain (of the recipient), user (who logged in to
send it) and state (waiting, due, active). Of filters of one name one is to match.

Without a filter only list does anything; --all is for everything. With --dry-run
the server says how much it would be, and does nothing.`,
		options:  filterOptions(),
		run:      (*program).runQueue,
		complete: completeActions("list", "show", "retry", "freeze", "delete"),
	}
}

// filterOptions are the options of queue and froz.
func filterOptions() []option {
	return []option{
		{0, "match", "name=pattern", "those that match; may be given several times", func(o *options, v string) error {
			if name, _, ok := strings.Cut(v, "="); !ok || name == "" {
				return fmt.Errorf("%q is not name=pattern, as sender=*@example.org", v)
			}
			o.bulk.match = append(o.bulk.match, v)
			return nil
		}},
		word("older", "time", "those that are older, as 30m, 12h or 7d", func(b *bulkOptions) *string { return &b.older }),
		toggle("all", "without another filter: everything", func(b *bulkOptions) *bool { return &b.all }),
		toggle("dry-run", "say what would be done, and do nothing", func(b *bulkOptions) *bool { return &b.dryRun }),
	}
}

func completeActions(actions ...string) func([]string, string) ([]string, cobra.ShellCompDirective) {
	return func(args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return actions, cobra.ShellCompDirectiveNoFileComp
	}
}

// checkFilters returns an error where an action that changes something has no filter, or
// --all and another one.
func checkFilters(o *options, names []string, changes bool) error {
	some := len(names) > 0 || len(o.bulk.match) > 0 || o.bulk.older != ""
	switch {
	case some && o.bulk.all:
		return usagef("--all goes with no other filter")
	case changes && !some && !o.bulk.all:
		return usagef("%s %s: which? --match and --older say so, or --all", o.words[0], o.words[1])
	}
	return nil
}

func (p *program) runQueue(o *options) int {
	words, err := queueWords(o)
	if err != nil {
		return p.report(err, true, o)
	}
	dialer, err := p.dialer(o)
	if err != nil {
		return p.report(err, true, o)
	}
	return p.supervise(o, task{run: func(ctx context.Context, _ <-chan struct{}) (bool, error) {
		client, err := p.connect(ctx, o, dialer)
		if err != nil {
			return true, err
		}
		defer client.Close()
		if err := p.askQueue(ctx, client, o, words); err != nil {
			return false, err
		}
		goodbye(client, o)
		return false, nil
	}})
}

// queueWords returns the command for the server.
func queueWords(o *options) ([]string, error) {
	action, names := o.words[1], o.words[2:]
	name, ok := queueCommands[action]
	if !ok {
		return nil, usagef("queue: %q is none of list, show, retry, freeze, delete", action)
	}
	if action == "show" {
		if len(names) != 1 {
			return nil, usagef("queue show: which message? one at a time")
		}
		return []string{name, names[0]}, nil
	}
	changes := action != "list"
	if err := checkFilters(o, names, changes); err != nil {
		return nil, err
	}
	words := []string{name}
	if changes && o.bulk.dryRun {
		words = []string{"try", name}
	}
	for _, message := range names {
		words = append(words, "message="+message)
	}
	words = append(words, o.bulk.match...)
	if o.bulk.older != "" {
		words = append(words, "older="+o.bulk.older)
	}
	if o.bulk.all {
		words = append(words, "all")
	}
	return words, nil
}

func (p *program) askQueue(ctx context.Context, client *ctrl.Client, o *options, words []string) error {
	resp, err := client.Do(ctx, words...)
	var refused *ctrl.Error
	if errors.As(err, &refused) && refused.Code == ctrl.CodeCommand {
		return &ctrl.Error{Code: refused.Code, Text: "this server does not know its queue: " + refused.Text}
	}
	if err != nil {
		return err
	}
	if resp.Status != ctrl.StatusList {
		if !o.quiet {
			fmt.Fprintf(p.stderr, "%s: queue %s: %s\n", p.name, o.words[1], visible(strings.TrimPrefix(resp.Text, "OK "), false))
		}
		return nil
	}
	c, _ := commands.Lookup(words[0])
	out := newListWriter(o.format, p.stdout, shape{columns: c.Rows}, term.IsTerminal(int(p.stdout.Fd())))
	for line, err := range resp.Lines() {
		if err == nil {
			err = outputError(out.line(line))
		}
		if err != nil {
			out.flush()
			return err
		}
	}
	return outputError(out.close())
}
