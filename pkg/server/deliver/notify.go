package deliver

import (
	"errors"
	"io"
	"time"

	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/server/bounce"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// Steps of a delivery that are no commands.
const (
	notified      = 31 // the sender has been told that it has failed
	notifiedAdmin = 30 // and ErrorsAdmin
	toldSuccess   = 29 // the sender has been told that it has not
	reserved      = 29 // steps below are commands

	// adminOf is how far the step in which ErrorsAdmin is told of a command that has
	// failed is behind that of the command. It is none that is remembered.
	adminOf = spool.MaxSteps
)

// notify tells the sender of a message, and ErrorsAdmin, that a delivery has failed.
// It tells them once, however often it is called with the step.
func (d *Deliverer) notify(y delivery, step int, f *failure) error {
	r := d.notice(y, f)
	r.Action = bounce.Failed
	if err := d.write(y, step, y.From, false, r); err != nil {
		return err
	}
	admin := d.root.Vars().String("ErrorsAdmin")
	if admin == "" || y.From == "" {
		return nil
	}
	r.Reason = f.forAdmin()
	if step == notified {
		return d.write(y, notifiedAdmin, admin, true, r)
	}
	return d.write(y, step+adminOf, admin, true, r)
}

// succeeded tells the sender what has become of a message that was delivered, where
// NOTIFY asks for that (RFC 3461 4.1); nothing where the action is empty. That it could not be told is no reason to
// deliver again.
func (d *Deliverer) succeeded(y delivery, a bounce.Action) {
	to := y.to()
	if a == "" || to.Notify == "" || !bounce.Wanted(to.Notify, a) {
		return
	}
	r := d.notice(y, &failure{status: "2.0.0"})
	r.Action = a
	if err := d.write(y, toldSuccess, y.From, false, r); err != nil {
		y.log.Warn("sender is not told of the delivery", "to", to.Address, "err", err)
	}
}

// delayed tells of an attempt that NotifyTryPattern names.
func (d *Deliverer) delayed(y delivery, f *failure, attempt int, next time.Time) {
	vars := d.root.Vars()
	if !bounce.TryMatches(vars.String("NotifyTryPattern"), attempt) {
		return
	}
	r := d.notice(y, f)
	r.Action, r.Attempt, r.Next = bounce.Delayed, attempt, next
	if life := vars.Number("QueueLife"); life > 0 {
		r.Until = y.Since().Add(time.Duration(life) * time.Hour)
	}
	err := d.write(y, -1, y.From, false, r)
	r.Reason = f.forAdmin()
	if admin := vars.String("TempErrorsAdmin"); err == nil && admin != "" && y.From != "" {
		err = d.write(y, -1, admin, true, r)
	}
	if err != nil {
		y.log.Warn("sender is not told of the delay", "to", y.to().Address, "err", err)
	}
}

// notice says what has become of a recipient.
func (d *Deliverer) notice(y delivery, f *failure) bounce.Recipient {
	to := y.to()
	return bounce.Recipient{
		Address: to.Address, ORcpt: to.ORcpt, Notify: to.Notify,
		Reason: f.reason, Status: f.status, Reply: f.reply, Host: f.host, IP: f.ip, Last: d.root.Now(),
	}
}

// write queues one notification, unless there is to be none. Step -1 is none of those
// that are done once.
func (d *Deliverer) write(y delivery, step int, to string, admin bool, r bounce.Recipient) error {
	vars := d.root.Vars()
	n := bounce.Notice{
		Time: d.root.Now(), To: to, Admin: admin,
		Domain: vars.String("RootDomain"), Postmaster: vars.String("PostMaster"), Identity: vars.Word("ServerIdentity"),
		Name: y.Key(), MessageID: y.ID, From: y.From, EnvID: y.EnvID, Ret: y.Ret, Arrived: y.Time,
		Recipients: []bounce.Recipient{r}, ExtraLines: vars.Number("NotifyMsgLinesExtra"),
	}
	if y.body != nil {
		n.Message = y.body
	}
	if admin || vars.On("NotifySendLogToSender") {
		history, err := y.History(y.place)
		if err != nil {
			y.log.Debug("history of a message", "err", err)
		}
		n.Log = history
		if r.Action == bounce.Failed || r.Action == bounce.Delayed {
			// The attempt that it is about comes into the log of the message afterwards.
			n.Log += spool.Attempt{Time: r.Last, Text: r.Reason, Reply: r.Reply, Server: r.Host}.String()
		}
	}
	n.ID = d.queue.NextID('X')
	m, err := bounce.New(n)
	switch {
	case errors.Is(err, bounce.ErrNobody), errors.Is(err, bounce.ErrUnwanted), errors.Is(err, bounce.ErrLoop):
		y.log.Info("nobody is told", "to", y.to().Address, "reason", err)
		return nil
	case err != nil:
		return err
	}
	e := spool.Envelope{ID: n.ID, Time: n.Time, Domain: n.Domain, UTF8: m.UTF8, Recipients: []spool.Recipient{{Address: d.returnPath(to)}}}
	if m.EightBit {
		e.Body = "8BITMIME"
	}
	if !vars.On("NoSenderBounce") {
		e.From = n.Postmaster
	}
	if _, err := address.Parse(e.Recipients[0].Address); err != nil {
		y.log.Info("nobody is told: the sender is no address", "sender", to)
		return nil
	}
	write := func(w io.Writer) error { _, err := m.WriteTo(w); return err }
	if step >= 0 {
		err = d.derive(y, step, e, write)
	} else {
		err = d.queueNew(e, write)
	}
	if err == nil {
		y.log.Info("notification is queued", "notification", n.ID, "about", y.to().Address, "to", e.Recipients[0].Address, "action", string(r.Action))
	}
	return err
}

// queueNew puts a message into the queue.
func (d *Deliverer) queueNew(e spool.Envelope, write func(io.Writer) error) error {
	draft, err := d.queue.Begin(e)
	if err != nil {
		return err
	}
	defer draft.Abort() // nothing after Commit
	if err := write(draft); err != nil {
		return err
	}
	return draft.Commit()
}
