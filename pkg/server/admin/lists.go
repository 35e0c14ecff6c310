package admin

import (
	"context"
	"iter"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// DefaultPerms are the permissions of a member for whom none are given.
const DefaultPerms = "RW"

// MemberAdd subscribes an address to a mailing list. perms are letters: R
// receives, W may write, A may write where authenticated.
func (s *Service) MemberAdd(ctx context.Context, domain, list, address, perms string) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		if err := requireDomain(tx.Tables, domain); err != nil {
			return err
		}
		user, host, err := parseAddress(address)
		if err != nil {
			return err
		}
		u, err := requireUser(tx.Tables, domain, list)
		if err != nil {
			return err
		}
		members, err := requireMembers(tx.Tables, u)
		if err != nil {
			return err
		}
		for range members.Named(address) {
			return refuse(MemberExists, "%s is a member of list %s already", quote(address), quote(list))
		}
		if err := checkAddressParts(user, host); err != nil {
			return err
		}
		if perms == "" || strings.Trim(perms, "RWA") != "" {
			return refuse(Invalid, "permissions %s are not made of R, W and A", quote(perms))
		}
		table, err := tx.ChangeMembers(u)
		if err != nil {
			return err
		}
		return table.Append(address, perms)
	})
}

// MemberDel removes an address from a mailing list.
func (s *Service) MemberDel(ctx context.Context, domain, list, address string) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		u, err := requireAccount(tx.Tables, domain, list)
		if err != nil {
			return err
		}
		members, err := requireMembers(tx.Tables, u)
		if err != nil {
			return err
		}
		rows := rowsOf(members.Named(address), func(m mailroot.Member) tabfile.Row { return m.Row })
		if len(rows) == 0 {
			return refuse(NoMember, "%s is no member of list %s", quote(address), quote(list))
		}
		table, err := tx.ChangeMembers(u)
		if err != nil {
			return err
		}
		return table.Delete(rows...)
	})
}

// Members returns the members of a mailing list in the order of its table.
func (s *Service) Members(_ context.Context, domain, list string) (iter.Seq[mailroot.Member], error) {
	u, err := requireAccount(s.tables(), domain, list)
	if err != nil {
		return nil, err
	}
	if err := requireList(u); err != nil {
		return nil, err
	}
	members, err := s.root.Members(u)
	if err != nil {
		return nil, refuse(CannotRead, "members of list %s: %w", quote(list), err)
	}
	if !members.Exists() {
		return nil, refuse(CannotRead, "list %s has no table of members", quote(list))
	}
	return members.All(), nil
}

func requireList(u mailroot.User) error {
	if !u.IsList() {
		return refuse(NotList, "%s@%s is not a mailing list", u.Name, u.Domain)
	}
	return nil
}

func requireMembers(t mailroot.Tables, u mailroot.User) (mailroot.Members, error) {
	if err := requireList(u); err != nil {
		return mailroot.Members{}, err
	}
	members, err := t.Members(u)
	if err != nil {
		return members, err
	}
	if !members.Exists() {
		return members, refuse(NoMembersTable, "list %s@%s has no table of members", u.Name, u.Domain)
	}
	return members, nil
}
