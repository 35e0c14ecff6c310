package server

import (
	"context"
	"time"

	"github.com/xmaild/xmaild/pkg/server/admin"
)

// sweep removes what has expired from the tables, now and then. It does not
// count before that either.
func (s *Server) sweep(ctx context.Context) {
	service := admin.New(s.root, admin.Options{Log: s.log})
	ticker := time.NewTicker(s.config.Sweep)
	defer ticker.Stop()
	for {
		switch n, err := service.SweepSpammers(ctx); {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.log.Warn("rows that have expired stay", "err", err)
		case n > 0:
			s.log.Info("rows have expired", "table", "spammers.tab", "rows", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
