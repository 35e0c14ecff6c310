package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/server/filter"
	"github.com/xmaild/xmaild/pkg/server/mailbox"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// local puts a message into the mailbox of an account. The name of the file is made
// of what never changes about the delivery: when it is tried again after a crash, a
// mailbox that has the message already does not get it twice.
func (d *Deliverer) local(ctx context.Context, y delivery, u mailroot.User, m filter.Queued) error {
	owner := u.Name + "@" + u.Domain
	err := d.boxes.Deliver(ctx, u, mailbox.Message{
		Name:        fmt.Sprintf("%d.%s-%d.%s", y.Time.Unix(), y.Key(), y.Indexes[y.place], d.opts.Host),
		ReturnPath:  d.returnPath(m.From),
		DeliveredTo: owner,
		Body:        io.NewSectionReader(m.Text, 0, m.Text.Size()),
		Size:        m.Text.Size(),
		Again:       y.Again,
	})
	switch {
	case err == nil:
		d.logDelivery(y, "LOCAL", owner, "")
	case errors.Is(err, mailbox.ErrFull):
		return &failure{status: "4.2.2", reason: "the mailbox is full"}
	}
	return err
}

// returnPath is the sender as a mailbox shows it: the local address of somebody who
// is known elsewhere by the one that the envelope has
// (docs/reference/delivery.md 2.3).
func (d *Deliverer) returnPath(from string) string {
	path, err := address.Parse(from)
	if from == "" || err != nil {
		return from
	}
	for alias := range d.root.ExtAliasesNamed(path.Domain, path.Local) {
		return alias.LocalName + "@" + alias.LocalDomain
	}
	return from
}
