package deliver

import (
	"context"

	"github.com/xmaild/xmaild/pkg/server/bounce"
	"github.com/xmaild/xmaild/pkg/server/filter"
	"github.com/xmaild/xmaild/pkg/server/process"
	"github.com/xmaild/xmaild/pkg/server/route"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// first delivers a message that is not in the queue yet to the mailbox of an account,
// where nothing else is to be done with it: neither commands nor filters, which may take
// long, nor a notification. Mail of this kind, which is most of all mail, costs half as
// much when it is written once.
func (d *Deliverer) first(ctx context.Context, lease *spool.Lease) error {
	along, err := d.find(lease.Recipients[0].Address)
	if err != nil || along.Kind != route.User || bounce.Wanted(lease.Recipients[0].Notify, bounce.Delivered) {
		return spool.ErrForQueue
	}
	commands, err := process.ForAccount(d.root.Tables, along.Account)
	if err != nil || !commands.ToMailbox() {
		return spool.ErrForQueue
	}
	w := d.open(lease)
	defer w.close()
	y := delivery{w, 0}
	if w.err != nil || d.access(y, along.Account) != nil || checkLoop(w.body.SectionReader, "", d.root.Vars().Number("MaxMTAOps")) != nil {
		return spool.ErrForQueue
	}
	m := queued(y)
	if len(d.filters.Files(filter.In, m)) > 0 {
		return spool.ErrForQueue
	}
	return d.local(ctx, y, along.Account, m)
}
