package server

import (
	"context"

	"github.com/xmaild/xmaild/pkg/server/outbound"
	"github.com/xmaild/xmaild/pkg/server/spool"
)

// steered is the queue as administrators steer it, and the servers that ask for their
// mail. What they want tried now is tried, also where a host did not answer just
// before.
type steered struct {
	*spool.Queue
	hosts *outbound.Sender
}

func (q steered) Retry(match func(recipient string) bool) int {
	q.hosts.Forget()
	return q.Queue.Retry(match)
}

func (q steered) Hurry(ctx context.Context, match func(*spool.Item) bool) (spool.Count, error) {
	q.hosts.Forget()
	return q.Queue.Hurry(ctx, match)
}

func (q steered) Submit(n spool.Name) error {
	q.hosts.Forget()
	return q.Queue.Submit(n)
}
