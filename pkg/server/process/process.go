package process

import (
	"context"
	"log/slog"
	"time"

	"github.com/xmaild/xmaild/pkg/server/filter"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// DefaultTimeout is how long a program may take whose row does not say.
const DefaultTimeout = 90 * time.Second

// Actions deliver. The message that they get is as filters have left it. That a
// function returns nil means that the command has been carried out, durably. An error
// that is a [Permanent] says that it never will be; any other one that it can be tried
// again, in a moment where it has a method Busy that says so: an Outcome has it only where
// nothing else waits. None of them runs filters: that has been done.
type Actions interface {
	// Mailbox puts the message into the mailbox of the account.
	Mailbox(ctx context.Context, m filter.Queued) error

	// Redirect queues copies of the message, all of them or none.
	Redirect(ctx context.Context, m filter.Queued, r Redirection) error

	// Relay sends the message by one of hosts, HOST[:PORT];… as in smtpfwd.tab, with
	// options, which may be empty.
	Relay(ctx context.Context, m filter.Queued, hosts, options string) error

	// Send sends the message to where its domain has its mail sent to.
	Send(ctx context.Context, m filter.Queued) error

	// Failed tells the sender of the message that a command has failed for good, and
	// why. Afterwards the command counts as carried out.
	Failed(ctx context.Context, m filter.Queued, c Command, why error) error

	// Ran is told of each program that has run well: "EXTRN" or "FILTER", and its path,
	// for the smail log (docs/reference/delivery.md 8).
	Ran(m filter.Queued, medium, program string)
}

// A Redirection are the copies of a message that a command orders.
type Redirection struct {
	Targets []string // addresses
	Written []string // the targets as the row has them, macros expanded: for the smail log

	// From is the sender of the copies: that of the message, and with List the address
	// whose mail is redirected, to which their bounces go.
	From string
	List bool

	// By is the address whose mail is redirected: the account, or the recipient of a
	// custom domain or command alias. It belongs into the header X-Deliver-To of the
	// copies, by which loops are found.
	By string

	// Mark is that of the command. With the key of the message and the recipient it
	// tells copies from others that the same attempt, made again, would make.
	Mark string
}

// A Permanent is the error of an [Actions] that is not to be tried again.
type Permanent struct{ Err error }

func (e Permanent) Error() string { return e.Err.Error() }
func (e Permanent) Unwrap() error { return e.Err }

// A Progress remembers which commands have been carried out for a message and a
// recipient, by their marks.
type Progress interface {
	Done(mark string) bool

	// Record keeps that commands have been carried out, all of them or none. When it
	// returns nil it is on disk, so that nothing is done twice after a crash.
	Record(ctx context.Context, marks ...string) error
}

// A Job is a message to one recipient, with the commands that apply to it.
type Job struct {
	Message  filter.Queued
	Commands Commands
	Account  string // user@domain whose mailproc.tab it is; empty with a custom domain or a command alias
}

// by returns the address whose commands these are.
func (j Job) by() string {
	if j.Account != "" {
		return j.Account
	}
	return j.Message.To.Address
}

// A Kind is how a [Job] has ended.
type Kind int

// The kinds. Of Defer, some commands are left for another attempt; the others have
// ended it.
const (
	Done   Kind = iota // every command has been carried out, or has failed for good and the sender knows
	Stop               // the same, and a program did not want the rest
	Defer              // try again later
	Reject             // a filter refuses the message: tell the sender why, and freeze or remove it as RemoveSpoolErrors says
	Drop               // forget the message without a word
	Freeze             // keep it for the administrator, without a word to the sender
)

// String returns the name of a kind, for logs.
func (k Kind) String() string {
	names := [...]string{"done", "stopped", "deferred", "rejected", "dropped", "frozen"}
	if k < 0 || int(k) >= len(names) {
		return "unknown"
	}
	return names[k]
}

// An Outcome is what has become of a [Job].
type Outcome struct {
	Kind   Kind
	Reason string // of Reject, for the sender
	Err    error  // of Defer: the first reason. Of Freeze: what is wrong, if anything. For logs
	Failed int    // of Done and Stop: how many commands have failed for good in this attempt
}

// Options say how a [Runner] works. The zero value is good.
type Options struct {
	Log     *slog.Logger  // nil: that of the MailRoot
	Timeout time.Duration // of programs whose row does not say; 0: DefaultTimeout
}

// A Runner carries out commands. It is safe for concurrent use.
type Runner struct {
	root    *mailroot.Root
	filters *filter.Runner
	o       Options
}

// New returns a runner of a MailRoot. The filters of the queue are run before mail goes
// to a mailbox or a program, or leaves.
func New(root *mailroot.Root, filters *filter.Runner, o Options) *Runner {
	if o.Log == nil {
		o.Log = root.Log
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	return &Runner{root: root, filters: filters, o: o}
}
