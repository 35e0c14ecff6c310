package admin

import (
	"context"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/program"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// hook returns the program for an action on accounts of a domain, or nil.
func (s *Service) hook(domain, action string) []string {
	program, err := s.tables().Hook(domain, action)
	if err != nil {
		s.log.Error("hook table cannot be read", "action", action, "domain", domain, "err", err)
	}
	return program
}

// HasHook reports whether a program is told of an action on accounts of a domain, or of
// the one that it stands for.
func (s *Service) HasHook(domain, action string) bool {
	return s.hook(domain, action) != nil || s.hook(s.RealDomain(domain), action) != nil
}

// A hookCall is what a program is to be told of.
type hookCall struct {
	action, domain string
	vars           map[string]string // by the names of macros
}

// covers reports whether another call is about the same account, or one of the domain
// that h is about.
func (h hookCall) covers(other hookCall) bool {
	user, ok := h.vars["USER"]
	return tabfile.EqualFold(h.domain, other.domain) && (!ok || tabfile.EqualFold(user, other.vars["USER"]))
}

func (s *Service) userHookCall(action string, u mailroot.User, password string) hookCall {
	path := ""
	if dir, err := u.Path(); err == nil {
		path = s.root.Path(dir)
	}
	return hookCall{action, u.Domain, map[string]string{
		"DOMAIN": u.Domain, "USER": u.Name, "PASSWD": password, "PATH": path,
	}}
}

// userHook runs the program for an action on an account, if there is one; in a
// batch when its transaction is done.
func (s *Service) userHook(ctx context.Context, action string, u mailroot.User, password string) {
	h := s.userHookCall(action, u, password)
	switch {
	case s.try:
	case s.batch != nil:
		s.batch.after = append(s.batch.after, h)
	default:
		s.runHook(ctx, h)
	}
}

// removeWithHook is update for a function that removes what a program wants to see
// first.
func (s *Service) removeWithHook(ctx context.Context, remove func(*mailroot.Tx) error, h hookCall) error {
	if s.batch != nil {
		err := s.update(ctx, remove)
		if err == nil && !s.try {
			user, ok := h.vars["USER"]
			if ok {
				_, ok = s.root.User(h.domain, user)
			} else {
				ok = s.root.IsDomain(h.domain)
			}
			s.batch.removed(h, ok)
		}
		return err
	}
	if err := s.check(ctx, remove); err != nil {
		return err
	}
	s.runHook(ctx, h)
	return s.update(ctx, remove)
}

// runHook runs the program for an action, if there is one, and waits for it.
// How it ends is logged and changes nothing. No transaction may be open.
func (s *Service) runHook(ctx context.Context, h hookCall) {
	if s.try {
		return
	}
	words := s.hook(h.domain, h.action)
	if words == nil {
		return
	}
	words = program.Expand(words, h.vars)
	start := s.root.Now()
	result, err := s.program(words, h.vars["PASSWD"]).Run(ctx)
	log := s.log.With("action", h.action, "domain", h.domain, "user", h.vars["USER"],
		"program", words[0], "duration", s.root.Now().Sub(start))
	switch {
	case err != nil:
		log.Warn("account hook failed", "err", err)
	case !result.OK():
		log.Warn("account hook failed", "err", result.String())
	default:
		log.Info("account hook run")
	}
}

// program is an external program with its macros expanded. It finds the password, if
// there is one, in the first line of its input too, where nobody sees it in a list of
// processes.
func (s *Service) program(words []string, password string) program.Program {
	return program.Program{
		Path: words[0], Args: words[1:], Dir: s.root.Dir, Timeout: s.opts.HookTimeout,
		Stdin: strings.NewReader(password + "\n"),
	}
}
