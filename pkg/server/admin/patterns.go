package admin

import (
	"context"
	"iter"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A NumberedName is a row of a table and its number there, from 1.
type NumberedName struct {
	mailroot.Named
	Number int
}

func (s *Service) named(table string) iter.Seq[NumberedName] {
	return func(yield func(NumberedName) bool) {
		n := 0
		for row := range s.root.Named(table).All() {
			if n++; !yield(NumberedName{row, n}) {
				return
			}
		}
	}
}

// requireNewName refuses a name that a table has.
func requireNewName(table, name string, names mailroot.Names) error {
	for row := range names.Same(name) {
		return refuse(Exists, "%s is in %s already: %s", quote(name), table, row.Text())
	}
	return nil
}

// shadowOfName is shadowOf for tables of names.
func shadowOfName(p place, names mailroot.Names, rows []mailroot.Named) Shadow {
	first, ok := above(p, rows, func(n mailroot.Named) tabfile.Row { return n.Row })
	if !ok {
		return Shadow{}
	}
	return Shadow{names.Position(first.Row), first.Text()}
}

// deleteName removes the rows of a name, which is no pattern here.
func (s *Service) deleteName(ctx context.Context, table, name string) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		if err := checkValues("the name", name); err != nil {
			return err
		}
		rows := rowsOf(tx.Named(table).Same(name), func(n mailroot.Named) tabfile.Row { return n.Row })
		return deleteOrRefuse(tx.Table(table), table, quote(name), rows)
	})
}

// checkPattern refuses a pattern that matches nothing.
func checkPattern(what, pattern string) error {
	if pattern == "" {
		return refuse(Invalid, "%s is empty", what)
	}
	if err := checkValues(what, pattern); err != nil {
		return err
	}
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '\\':
			if i++; i == len(pattern) {
				return refuse(Invalid, "%s %s ends in a \\, so that it matches nothing", what, quote(pattern))
			}
		case '[':
			end := strings.IndexByte(pattern[i:], ']')
			if end < 0 {
				return refuse(Invalid, "%s %s has a [ without its ], so that it matches nothing", what, quote(pattern))
			}
			i += end
		}
	}
	return nil
}

// SpamAddrAdd bans the senders whose address matches a pattern.
func (s *Service) SpamAddrAdd(ctx context.Context, pattern string) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		if err := checkPattern("the pattern", pattern); err != nil {
			return err
		}
		if err := requireNewName(mailroot.SpamAddressTab, pattern, tx.Named(mailroot.SpamAddressTab)); err != nil {
			return err
		}
		p, err := placeIn(tx, mailroot.SpamAddressTab, AtEnd)
		if err != nil {
			return err
		}
		return p.put(pattern)
	})
}

// SpamAddrDel removes a pattern, which is given as it was when it was added.
func (s *Service) SpamAddrDel(ctx context.Context, pattern string) error {
	return s.deleteName(ctx, mailroot.SpamAddressTab, pattern)
}

// SpamAddrs returns the patterns of banned senders that match a pattern.
func (s *Service) SpamAddrs(pattern string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for row := range s.root.Named(mailroot.SpamAddressTab).All() {
			if tabfile.Match(pattern, row.Name) && !yield(row.Name) {
				return
			}
		}
	}
}
