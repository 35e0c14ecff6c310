package deliver

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/bounce"
	"github.com/xmaild/xmaild/pkg/server/filter"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/outbound"
	"github.com/xmaild/xmaild/pkg/server/process"
	"github.com/xmaild/xmaild/pkg/server/route"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// Commands carries out files of commands; [process.Runner] is the real one.
type Commands interface {
	Run(ctx context.Context, j process.Job, a process.Actions, p process.Progress) process.Outcome
}

// commands does what a file of commands wants done for a recipient: its
// mailproc.tab, or that of a custom domain or an alias of commands. It returns what the
// sender may be told that has become of the message; empty: nothing.
func (d *Deliverer) commands(ctx context.Context, y delivery, r route.Route) (bounce.Action, error) {
	if y.err != nil {
		return "", y.err
	}
	if r.Kind == route.User {
		if err := d.access(y, r.Account); err != nil {
			return "", err
		}
	}
	list, err := d.orders(y, r)
	if err != nil {
		return "", err
	}
	if y.lane == "" && list.Send() {
		return "", errSends
	}
	if list = list.Joined(reserved); len(list.List) > reserved {
		return "", fmt.Errorf("a file of commands has %d rows, and %d can be done", len(list.List), reserved)
	}
	steps := newSteps(y, list)
	a := &actions{d: d, y: y, account: r.Account, steps: steps}
	outcome := d.process.Run(ctx, process.Job{Message: queued(y), Commands: list, Account: r.Address()}, a, steps)
	switch outcome.Kind {
	case process.Defer:
		return "", outcome.Err
	case process.Drop:
		y.log.Info("message is dropped", "to", y.to().Address)
		return "", nil
	case process.Reject:
		return "", &failure{permanent: true, status: "5.7.1", reason: outcome.Reason}
	case process.Freeze:
		return "", frozen(outcome.Err)
	}
	return a.done(list, outcome), nil
}

// done returns what has become of a message whose commands have been carried out. What
// has failed the sender knows, and what another host tells need not be told twice.
func (a *actions) done(list process.Commands, o process.Outcome) bounce.Action {
	has := func(words ...process.Word) bool {
		return slices.ContainsFunc(list.List, func(c process.Command) bool { return slices.Contains(words, c.Word) })
	}
	switch {
	case o.Failed > 0:
		return ""
	case has(process.Mailbox):
		return bounce.Delivered
	case has(process.SMTP, process.SMTPRelay):
		if a.told {
			return ""
		}
		return bounce.Relayed
	case has(process.Redirect, process.LRedirect):
		return bounce.Expanded
	}
	return bounce.Delivered // to a program
}

// orders returns the commands for a recipient: those that are left, of a message of which
// the reference has carried out some, and else those of the tables.
func (d *Deliverer) orders(y delivery, r route.Route) (process.Commands, error) {
	rest, mailproc, err := y.Commands()
	switch {
	case errors.Is(err, spool.ErrNotFound):
	case err != nil:
		return process.Commands{}, err
	default:
		list, err := process.Rest(rest, mailproc)
		if err = errors.Join(err, rest.Close()); err != nil {
			return process.Commands{}, err
		}
		// Where the mail leads elsewhere by now, or the file is what a crash has left of one,
		// it begins anew.
		if mailproc == (r.Kind == route.User) && !list.Discards() {
			return list, nil
		}
	}
	if r.Kind == route.User {
		return process.ForAccount(d.root.Tables, r.Account)
	}
	return process.FromFile(d.root.Tables, r.File)
}

// queued is a delivery as programs are told of it.
func queued(y delivery) filter.Queued {
	to := y.to()
	to.Address = unrouted(to.Address)
	return filter.Queued{Envelope: y.Envelope, To: to, Key: y.Key(), Text: y.body.SectionReader}
}

// steps are the commands of a file, and which of them are done.
type steps struct {
	y     delivery
	marks []string
	sum   uint32
}

func newSteps(y delivery, c process.Commands) *steps {
	s := &steps{y: y}
	for _, command := range c.List {
		s.marks = append(s.marks, command.Mark)
	}
	s.sum = crc32.ChecksumIEEE([]byte(strings.Join(s.marks, "\n")))
	return s
}

// step returns the number of a command.
func (s *steps) step(mark string) (int, error) {
	for n, m := range s.marks {
		if m == mark && n < reserved {
			return n, nil
		}
	}
	return 0, errors.New("a file of commands does not have the command any more")
}

// progress returns what is done of these commands: nothing, where the last attempt
// had others.
func (s *steps) progress() spool.Progress {
	if p := s.y.Progress(s.y.place); p.Sum == s.sum {
		return p
	}
	return spool.Progress{Sum: s.sum}
}

// begin returns the number of a command that makes messages. What is derived belongs to
// these commands, and not to those of an earlier attempt.
func (s *steps) begin(mark string) (int, error) {
	n, err := s.step(mark)
	if err != nil {
		return 0, err
	}
	if p := s.progress(); p != s.y.Progress(s.y.place) {
		err = s.y.SetProgress(s.y.place, p)
	}
	return n, err
}

// Done reports whether a command has been carried out.
func (s *steps) Done(mark string) bool {
	n, err := s.step(mark)
	return err == nil && s.progress().Has(n)
}

// Record keeps that commands have been carried out. Where there is one only, the end
// of the delivery says so.
func (s *steps) Record(_ context.Context, marks ...string) error {
	if len(s.marks) == 1 {
		return nil
	}
	p := s.progress()
	for _, mark := range marks {
		n, err := s.step(mark)
		if err != nil {
			return err
		}
		p = p.With(n)
	}
	if p == s.y.Progress(s.y.place) {
		return nil
	}
	return s.y.SetProgress(s.y.place, p)
}

// actions deliver what commands order for a recipient.
type actions struct {
	d       *Deliverer
	y       delivery
	account mailroot.User // whose mailproc.tab it is
	steps   *steps
	told    bool // the host that has taken the message tells the sender what becomes of it
}

func (a *actions) Mailbox(ctx context.Context, m filter.Queued) error {
	return permanent(a.d.local(ctx, a.y, a.account, m))
}

func (a *actions) Redirect(_ context.Context, m filter.Queued, r process.Redirection) error {
	if err := checkLoop(m.Text, r.By, a.d.root.Vars().Number("MaxMTAOps")); err != nil {
		return permanent(a.d.looped(a.y, r.By, err))
	}
	step, err := a.steps.begin(r.Mark)
	if err != nil {
		return err
	}
	e := m.Envelope
	e.From, e.Mail, e.Recipients = r.From, "", nil
	for _, to := range r.Targets {
		copied := spool.Recipient{Address: to}
		if !r.List { // the notifications are for the same sender
			copied.Notify, copied.ORcpt = onward(m.To.Notify), m.To.ORcpt
		}
		e.Recipients = append(e.Recipients, copied)
	}
	top := []string{"X-Deliver-To: " + r.By}
	where := r.By + " " + strings.Join(r.Targets, ",")
	return a.d.sendOnce(a.y, where, listed{id: a.y.identity(), here: true}, func() error {
		err := a.d.derive(a.y, step, e, func(w io.Writer) error {
			return rewrite(w, io.NewSectionReader(m.Text, 0, m.Text.Size()), top, func(string) bool { return false })
		})
		if err == nil {
			medium := "REDIR"
			if r.List {
				medium = "LREDIR"
			}
			a.d.logDelivery(a.y, medium, strings.Join(r.Written, ","), "")
		}
		return err
	})
}

// onward returns what NOTIFY is of a copy that is redirected: the sender is told here of
// the success (RFC 3461 5.2.7.2).
func onward(notify string) string {
	if notify == "" {
		return ""
	}
	var words []string
	for word := range strings.SplitSeq(notify, ",") {
		if word = strings.TrimSpace(word); !strings.EqualFold(word, "SUCCESS") {
			words = append(words, word)
		}
	}
	if len(words) == 0 {
		return "NEVER"
	}
	return strings.Join(words, ",")
}

func (a *actions) Relay(ctx context.Context, m filter.Queued, hosts, options string) error {
	plan, err := a.d.sender.Relay(hosts, options)
	return a.send(ctx, m, plan, err)
}

func (a *actions) Send(ctx context.Context, m filter.Queued) error {
	plan, err := a.d.sender.Plan(ctx, domainOf(m.To.Address))
	return a.send(ctx, m, plan, err)
}

func (a *actions) send(ctx context.Context, m filter.Queued, plan outbound.Route, err error) error {
	result := a.d.take(ctx, m, plan, err)
	err = permanent(sent(result))
	if err == nil {
		a.told = result.DSN
		a.d.logDelivery(a.y, result.Medium, result.Parameter, result.RemoteID, "tls", result.TLS)
	}
	return err
}

// Failed tells the sender that a command has failed for good.
func (a *actions) Failed(_ context.Context, _ filter.Queued, c process.Command, why error) error {
	step, err := a.steps.begin(c.Mark)
	if err != nil {
		return err
	}
	return a.d.notify(a.y, step, failureOf(why))
}

func (a *actions) Ran(_ filter.Queued, medium, program string) {
	a.d.logDelivery(a.y, medium, program, "")
}

// permanent marks what is not to be tried again for the runner of commands.
func permanent(err error) error {
	var f *failure
	if errors.As(err, &f) && f.permanent {
		return process.Permanent{Err: err}
	}
	return err
}
