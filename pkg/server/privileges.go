package server

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// An account is a user of the system that a server can become.
type account struct {
	name     string
	uid, gid int
	groups   []int // the supplementary ones
}

// successor is whom the process becomes once it listens; nil: it stays who it is.
func (s *Server) successor() (*account, error) {
	name := s.config.User
	if os.Geteuid() != 0 { // always so on Windows
		if name == "" {
			return nil, nil
		}
		a, err := lookupAccount(name)
		if err == nil && a.uid != os.Geteuid() {
			err = errors.New("only root can become another user")
		}
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		return nil, nil
	}
	if name == "" {
		var err error
		if name, err = owner(s.config.Root); err != nil {
			return nil, fmt.Errorf("MailRoot: %w", err)
		}
	}
	a, err := lookupAccount(name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("user %s: %w", name, err)
	case a.uid != 0:
		return a, nil
	}
	s.log.Warn("the server stays root, since the MailRoot is root's; give it to a user, or name one with --user")
	return nil, nil
}

// become makes the process the user a, for good. Files are opened by its rights
// from then on.
func (s *Server) become(a *account) error {
	if err := drop(a); err != nil {
		return fmt.Errorf("become user %s: %w", a.name, err)
	}
	s.log.Info("no longer root", "user", a.name, "uid", a.uid, "gid", a.gid)
	return nil
}

// levelBefore is the CompatLevel that server.tab says before the tables are open.
// Where it cannot be read they cannot be opened, and that is told then.
func (s *Server) levelBefore() int {
	content, err := os.ReadFile(s.path(mailroot.ServerTab))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(content) {
		text := tabfile.TrimEnd(string(line))
		if text == "" || tabfile.IsComment(text) {
			continue
		}
		if fields := tabfile.Split(text); len(fields) > 1 && strings.TrimSpace(fields[0]) == "CompatLevel" {
			return mailroot.Atoi(fields[1])
		}
	}
	return 0
}
