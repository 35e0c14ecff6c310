package filter

// Files returns the files of filters of a kind that would look at a message in the queue,
// in order. Of the message the sender, the recipient, and where it came from and to count.
func (r *Runner) Files(kind string, m Queued) []string {
	return r.selected(kind, r.account(m.From), r.account(m.To.Address), m)
}
