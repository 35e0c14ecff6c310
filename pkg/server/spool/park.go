package spool

// A parked delivery waits for its turn at a destination, not for a time. It is
// remembered by the running queue alone: on disk it is due.
type parked struct {
	m       *message
	indexes []int
	header  *header // of a message with many recipients, which would be read again for each destination
}

// manyRecipients is from how many on a header is kept for what is parked.
const manyRecipients = 64

// Split returns a lease of some of the recipients, given by their places, which the
// lease has not any more. The two are ended independently.
func (l *Lease) Split(places []int) *Lease {
	part := &Lease{q: l.q, m: l.m, Envelope: l.Envelope, Again: l.Again, header: l.header, ended: make([]bool, len(places))}
	part.Recipients = make([]Recipient, len(places))
	part.Indexes = make([]int, len(places))
	for n, place := range places {
		part.Recipients[n], part.Indexes[n] = l.Recipients[place], l.Indexes[place]
		part.ended[n], l.ended[place] = l.ended[place], true
	}
	return part
}

// Park lays a lease aside until somebody takes it with Unpark for the same
// destination. Nobody else gets its recipients meanwhile.
func (l *Lease) Park(destination string) {
	q, m := l.q, l.m
	p := parked{m: m}
	if len(m.slots) >= manyRecipients {
		p.header = l.header
	}
	var stopped []int // deleted meanwhile, or to be frozen
	q.mu.Lock()
	for place, i := range l.Indexes {
		switch {
		case l.ended[place]:
			continue
		case m.slots[i].state != StateQueued, m.slots[i].toFreeze:
			stopped = append(stopped, i)
		default:
			p.indexes = append(p.indexes, i)
			m.park(i)
		}
		l.ended[place] = true
	}
	if len(p.indexes) > 0 {
		q.parked[destination] = append(q.parked[destination], p)
	}
	q.mu.Unlock()
	if len(stopped) > 0 {
		q.release(m, stopped)
	}
}

// Unpark takes the lease that was parked first for a destination; nil where there
// is none.
func (q *Queue) Unpark(destination string) *Lease {
	for {
		q.mu.Lock()
		waiting := q.parked[destination]
		if len(waiting) == 0 || q.closed {
			q.mu.Unlock()
			return nil
		}
		p := waiting[0]
		waiting[0] = parked{}
		if waiting = waiting[1:]; len(waiting) == 0 {
			delete(q.parked, destination)
		} else {
			q.parked[destination] = waiting
		}
		p.indexes = p.m.stillParked(p.indexes)
		for _, i := range p.indexes {
			p.m.parked[i] = false
		}
		q.mu.Unlock()
		if len(p.indexes) == 0 {
			continue
		}
		if p.header != nil {
			return q.leaseBy(p.header, p.m, p.indexes)
		}
		l, err := q.lease(p.m, p.indexes)
		if err == nil {
			return l
		}
		q.lost(p.m, p.indexes, err)
	}
}

// Parked returns how many leases wait for a destination.
func (q *Queue) Parked(destination string) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return 0 // nobody gets them any more
	}
	return len(q.parked[destination])
}
