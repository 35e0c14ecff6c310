package server

import (
	"context"

	"github.com/xmaild/xmaild/pkg/server/psync"
)

// openLinks makes what fetches mail by POP3 links ready, unless it is not wanted.
func (s *Server) openLinks(m *mail) {
	if s.config.LinksOff {
		return
	}
	o := psync.Options{
		Interval: s.config.LinkInterval, Threads: s.config.LinkThreads, Timeout: s.config.LinkTimeout, Poll: s.config.Poll, Log: s.log,
		Roots: s.authorities,
	}
	if log := s.tabLog("psync", s.config.LinkLog); log != nil {
		o.SyncLog = log
	}
	m.links = psync.New(psync.Parts{Root: s.root, Queue: m.queue, Boxes: m.boxes, Hosts: m.sender}, o)
	m.links.Recover()
}

// stopLinks ends the sessions of POP3 links before the queue, which takes what they
// fetch, is closed.
func (m *mail) stopLinks(ctx context.Context) error {
	if m.links == nil {
		return nil
	}
	return m.links.Shutdown(ctx)
}
