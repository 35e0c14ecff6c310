package spool

// Retry makes waiting recipients due now that match, and returns how many there
// were. Those that somebody has in hand, or that wait for a destination, are left to
// them. It is not kept on disk: after a restart their times count again.
func (q *Queue) Retry(match func(recipient string) bool) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for _, m := range q.live {
		changed := false
		for i, s := range m.slots {
			if s.state == StateQueued && s.until > 0 && !m.isLeased(i) && match(m.recipients[i]) {
				m.slots[i].until = 0
				changed = true
				n++
			}
		}
		if changed {
			q.schedule(m)
		}
	}
	return n
}
