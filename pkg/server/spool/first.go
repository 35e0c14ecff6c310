package spool

import "errors"

// ErrForQueue is the error of a message that is not to be delivered before it is in the
// queue.
var ErrForQueue = errors.New("spool: the message is for the queue")

// DeliverFirst has deliver called with messages before they are put into the queue,
// while their senders wait for Commit; nil ends that. It is for what takes no longer than
// to put the message on disk here would. Where deliver returns nil, which says that the
// message is durable where it is to be, Commit does so too, and the message was never in
// the queue. Else the queue has it delivered as any other, and as one that may have been
// delivered already unless the error is [ErrForQueue].
//
// It is called with messages of at most 64 KiB with one recipient, that come neither from
// a file nor from another message. Their leases can be read, and nothing else: there is
// nothing that they could be noted in.
func (q *Queue) DeliverFirst(deliver func(*Lease) error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.first = deliver
}

// deliverFirst reports whether a message has been delivered and need not be put into the
// queue.
func (d *Draft) deliverFirst() bool {
	d.q.mu.Lock()
	deliver := d.q.first
	d.q.mu.Unlock()
	if deliver == nil || d.err != nil || d.file != nil || d.source != nil || d.committed != nil || len(d.env.Recipients) != 1 {
		return false
	}
	d.m.size = d.written
	l := d.q.leaseBy(&header{Envelope: d.env, slots: d.m.slots}, d.m, []int{0})
	l.text = d.text.Bytes()
	err := deliver(l)
	if err != nil && !errors.Is(err, ErrForQueue) {
		d.q.log.Debug("message is put into the queue", "message", d.m.id, "key", d.m.key, "err", err)
		d.m.recovered = true
	}
	return err == nil
}
