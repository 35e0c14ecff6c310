package admin

import (
	"context"

	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// hook returns the program for an action on accounts of a domain, or nil.
func (s *Service) hook(domain, action string) []string {
	program, err := s.root.Hook(domain, action)
	if err != nil {
		s.log.Error("hook table cannot be read", "action", action, "domain", domain, "err", err)
	}
	return program
}

// userHook runs the program for an action on an account, if there is one.
func (s *Service) userHook(ctx context.Context, action string, u mailroot.User, password string) {
	path := ""
	if dir, err := u.Path(); err == nil {
		path = s.root.Path(dir)
	}
	s.runHook(ctx, action, u.Domain, map[string]string{
		"DOMAIN": u.Domain, "USER": u.Name, "PASSWD": password, "PATH": path,
	})
}

// runHook runs the program for an action, if there is one, and waits for it.
// How it ends is logged and changes nothing. No transaction may be open.
func (s *Service) runHook(ctx context.Context, action, domain string, vars map[string]string) {
	if s.try {
		return
	}
	words := s.hook(domain, action)
	if words == nil {
		return
	}
	words = auth.Expand(words, vars)
	start := s.root.Now()
	err := auth.Program{Path: words[0], Args: words[1:], Dir: s.root.Dir, Timeout: s.opts.HookTimeout}.Run(ctx)
	log := s.log.With("action", action, "domain", domain, "user", vars["USER"],
		"program", words[0], "duration", s.root.Now().Sub(start))
	if err != nil {
		log.Warn("account hook failed", "err", err)
		return
	}
	log.Info("account hook run")
}
