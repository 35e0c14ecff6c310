package admin

import (
	"context"
	"iter"
	"path"
	"time"

	"github.com/xmaild/xmaild/pkg/server/mailbox"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// A UserUsage is what an account uses of its room.
type UserUsage struct {
	Domain, Name string
	mailbox.Usage
	Limit     int64     // bytes that its mailbox may hold; 0: any number
	LastLogin time.Time // by POP3; zero where there was none
}

// UserUsage returns the usage of the accounts with a mailbox whose domain and
// name match the patterns, in the order of the table. A mailbox that cannot be
// read is logged and counts as empty. The list ends early when ctx does.
func (s *Service) UserUsage(ctx context.Context, domain, name string) iter.Seq[UserUsage] {
	return func(yield func(UserUsage) bool) {
		for u := range s.Users(domain, name) {
			if u.IsList() {
				continue
			}
			if ctx.Err() != nil || !yield(s.userUsage(ctx, u)) {
				return
			}
		}
	}
}

func (s *Service) userUsage(ctx context.Context, u mailroot.User) UserUsage {
	use := UserUsage{Domain: u.Domain, Name: u.Name}
	dir, err := u.Path()
	if err != nil {
		s.log.Warn("usage of an account is not known", "domain", u.Domain, "user", u.Name, "err", err)
		return use
	}
	// The table is read past the store, which would keep it in memory.
	if text, err := s.root.Store.ReadFile(path.Join(dir, mailroot.UserTab)); err == nil {
		use.Limit = int64(max(mailroot.Atoi(mailroot.VariableIn(text, "MaxMBSize")), 0)) << 10
	}
	use.LastLogin, _, _ = s.lastLogin(dir)
	box, err := s.mailbox(u)
	if err != nil {
		return use // it has none
	}
	if use.Usage, err = s.usage.Usage(ctx, box); err != nil && ctx.Err() == nil {
		s.log.Warn("usage of an account is not known", "domain", u.Domain, "user", u.Name, "err", err)
	}
	return use
}
