package filter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/server/program"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// The kinds of filters in the queue, each with a table filters.KIND.tab that says which
// files of the folder filters are for which mail.
const (
	In  = "in"  // before mail is delivered here: to a mailbox, a list, a program of the account
	Out = "out" // before mail leaves
)

// An Action is what is to become of a message.
type Action int

// The actions, and the exit status by which a program asks for them
// (docs/reference/delivery.md 4.2).
const (
	Pass   Action = iota // go on: 7 where the program has rewritten the message, and all that is none of the others
	Defer                // try again later: 75, and failures
	Drop                 // forget it without a word: 4, and 5 where RemoveSpoolErrors is set
	Freeze               // keep it for the administrator without a word: 5
	Reject               // tell the sender: 6. Then it is frozen or removed as whatever cannot be delivered
)

// String returns the name of an action, for logs.
func (a Action) String() string {
	names := [...]string{"pass", "defer", "drop", "freeze", "reject"}
	if a < 0 || int(a) >= len(names) {
		return fmt.Sprintf("action %d", int(a))
	}
	return names[a]
}

// A Decision is what programs have made of a message. The zero value lets it pass.
type Decision struct {
	Action Action
	Reason string // of Reject, for the sender: one line without control characters
	Err    error  // of Defer, and of Freeze where a program has left what is no message: for the log
}

// refused is what the sender is told where the program says nothing.
const refused = "Message rejected by server filters"

// The exit status of programs in the queue, without exitStop.
const (
	exitDrop     = 4
	exitFreeze   = 5
	exitBounce   = 6
	exitModified = 7
)

// Judge returns what the exit status of a program asks for that was run by [Copy.Run],
// and whether it wants no further ones to run. After status 7 the copy is what the
// program has made of it.
func (c *Copy) Judge(result program.Result) (d Decision, stop bool) {
	stop = result.Exit&exitStop != 0
	if result.Exit == exitLater {
		return Decision{Action: Defer, Err: errors.New(Ended(result))}, false
	}
	switch result.Exit &^ exitStop {
	case exitDrop:
		return Decision{Action: Drop}, true
	case exitFreeze:
		if c.r.root.Vars().On("RemoveSpoolErrors") {
			return Decision{Action: Drop}, true
		}
		return Decision{Action: Freeze}, true
	case exitBounce:
		if c.m.isNotification() {
			// Nobody would ever learn what it tells, often of a message that the same
			// filter has refused, whose header it quotes.
			c.r.o.Log.Info("filter refuses a notification, which goes on", "message", c.m.ID, "key", c.m.Key, "to", c.m.To.Address, "reason", c.reason())
			return Decision{}, stop
		}
		return Decision{Action: Reject, Reason: c.reason()}, true
	case exitModified:
		if err := c.take(); err != nil {
			return c.spoiled(err), true
		}
	}
	return Decision{}, stop
}

// spoiled is the decision on a message of which a program says that it has rewritten
// it, and it is none.
func (c *Copy) spoiled(err error) Decision {
	if c.r.deferring() || errors.As(err, new(localError)) {
		return Decision{Action: Defer, Err: err}
	}
	return Decision{Action: Freeze, Err: err}
}

// deferring reports whether a filter that fails defers the message.
func (r *Runner) deferring() bool { return r.root.Vars().Word("FilterFailure") == "defer" }

// Filter runs the filters of a kind on the copy, those of all rows of the table that
// are for such a message. Where there are none it costs next to nothing.
func (c *Copy) Filter(ctx context.Context, kind string) Decision {
	log := c.r.o.Log.With("filters", kind, "message", c.m.ID, "key", c.m.Key, "to", c.m.To.Address)
	from, rcpt := c.r.account(c.m.From), c.r.account(c.m.To.Address)
	vars := map[string]string{"RFROM": from, "RRCPT": rcpt}
	for _, file := range c.r.selected(kind, from, rcpt, c.m) {
		rows, exists, err := c.r.root.FilterFile(file)
		if err == nil && !exists {
			err = errors.New("there is no such file of filters")
		}
		if err != nil {
			log.Warn("filters cannot be run", "file", file, "err", err)
			if exists || c.r.deferring() {
				return Decision{Action: Defer, Err: fmt.Errorf("filters %s: %w", file, err)}
			}
			continue
		}
		for _, fields := range rows {
			d, stop := c.filter(ctx, log, kind, fields, vars)
			if d.Action != Pass {
				log.Info("filter has decided", "file", file, "action", d.Action.String(), "reason", d.Reason, "err", d.Err)
				return d
			}
			if stop {
				return Decision{}
			}
		}
	}
	return Decision{}
}

// selected returns the files of filters for a message, each once.
func (r *Runner) selected(kind, from, rcpt string, m Queued) []string {
	var files []string
	for rule := range r.root.FilterRules(kind) {
		if tabfile.Match(rule.Sender, from) && tabfile.Match(rule.Recipient, rcpt) &&
			rule.Remote.Matches(peer(m.Client).Addr()) && rule.Local.Matches(peer(m.Server).Addr()) &&
			!slices.Contains(files, rule.File) {
			files = append(files, rule.File)
		}
	}
	return files
}

// account returns the account that an address stands for now, or the address.
func (r *Runner) account(to string) string {
	path, err := address.Parse(to)
	if to == "" || err != nil {
		return to
	}
	if u, ok := r.root.Resolve(path.Domain, path.Local); ok {
		return u.Name + "@" + u.Domain
	}
	return to
}

// filter runs one filter.
func (c *Copy) filter(ctx context.Context, log *slog.Logger, kind string, fields []string, vars map[string]string) (d Decision, stop bool) {
	line := logLine{kind: kind, from: vars["RFROM"], rcpt: vars["RRCPT"], local: peer(c.m.Server).Addr(), remote: peer(c.m.Client).Addr(),
		exec: execSkipped, exit: exitUnknown}
	x, err := c.r.parse(fields)
	line.words = x.words
	switch {
	case err != nil:
		log.Warn("filter skipped", "err", err)
		return Decision{}, false
	case x.exceptUsers && c.m.Login != "":
		line.info = "EXCL"
	case x.exceptWhiteList && c.m.WhiteList:
		line.info = "WLISTED"
	}
	if line.info != "" {
		c.r.write(line)
		return Decision{}, false
	}
	var result program.Result
	result, line.words, err = c.Run(ctx, Program{Words: x.words, Timeout: x.timeout, Vars: vars})
	line.exec, line.exit = numbers(result, err)
	c.r.write(line)
	if err == nil && result.Signal {
		err = errors.New(Ended(result))
	}
	if err == nil {
		d, stop := c.Judge(result)
		if d.Err != nil {
			d.Err = fmt.Errorf("filter %s: %w", x.words[0], d.Err)
		}
		return d, stop
	}
	err = fmt.Errorf("filter %s: %w", x.words[0], err)
	if ctx.Err() != nil || errors.As(err, new(localError)) || c.r.deferring() {
		return Decision{Action: Defer, Err: err}, true
	}
	log.Warn("filter failed, and the message passes", "err", err)
	return Decision{}, result.Signal
}
