package server

import (
	"context"
	"time"

	"github.com/xmaild/xmaild/pkg/server/admin"
)

// accountSweeps is how many sweeps of the tables come before one of the address
// maps in the folders of accounts, which looks into every folder.
const accountSweeps = 60

// sweep removes what has expired from the tables, now and then. It does not
// count before that either.
func (s *Server) sweep(ctx context.Context) {
	service := admin.New(s.root, admin.Options{Log: s.log})
	ticker := time.NewTicker(s.config.Sweep)
	defer ticker.Stop()
	for n := 1; ; n++ {
		s.sweepWith(ctx, service.Sweep)
		if n%accountSweeps == 0 {
			s.sweepWith(ctx, service.SweepAccounts)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *Server) sweepWith(ctx context.Context, sweep func(context.Context) ([]admin.Swept, error)) {
	swept, err := sweep(ctx)
	for _, t := range swept {
		s.log.Info("rows have expired", "table", t.Table, "rows", t.Rows)
	}
	if err != nil && ctx.Err() == nil {
		s.log.Warn("rows that have expired stay", "err", err)
	}
}
