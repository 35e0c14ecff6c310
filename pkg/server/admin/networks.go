package admin

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"net/netip"
	"strconv"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// An Address is a network as it is typed: address/bits, an address and a
// netmask, or an address alone, which is one host. Networks compare by what they
// are, however they are written.
type Address struct {
	IP   string
	Mask string // empty where there is none
}

func (a Address) String() string {
	if a.Mask == "" {
		return quote(a.IP)
	}
	return quote(a.IP) + " " + quote(a.Mask)
}

// fields returns the address as the beginning of a row without what is empty.
func (a Address) fields() []string {
	if a.Mask == "" {
		return []string{a.IP}
	}
	return []string{a.IP, a.Mask}
}

// parse reads an address to look up, in every form that tables may have.
func (a Address) parse() (tabfile.AddrRule, error) {
	if a.Mask != "" && strings.Contains(a.IP, "/") {
		return tabfile.AddrRule{}, refuse(BadNetwork, "%s has a prefix length and a netmask, of which it can have one", a)
	}
	rule, err := tabfile.ParseAddrRule(a.IP, a.Mask)
	if err != nil {
		return rule, refuse(BadNetwork, "%w", err)
	}
	return rule, nil
}

// parseNew is parse for a new row, which is written in no odd way.
func (a Address) parseNew() (tabfile.AddrRule, error) {
	rule, err := a.parse()
	if err == nil && len(rule.Warnings()) > 0 {
		err = refuse(BadNetwork, "not in a new row: %s", strings.Join(rule.Warnings(), "; "))
	}
	return rule, err
}

// A Shadow is a row of a table where the first match decides, which stands
// above a new row and matches all that this one does, so that it has no effect.
// The zero value stands for none.
type Shadow struct {
	Row  int    // its number in the table, from 1
	Text string // its fields
}

// AtEnd as the place of a new row is below all others.
const AtEnd = 0

// RelayAdd lets a network relay. One that is everybody needs force.
func (s *Service) RelayAdd(ctx context.Context, a Address, force bool) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		rule, err := a.parseNew()
		if err != nil {
			return err
		}
		if err := requireNew(mailroot.RelayTab, a, tx.Relays().Same(rule)); err != nil {
			return err
		}
		if isEverybody(rule) && !force {
			return refuse(Invalid, "%s lets everybody in the world relay; if that is meant, add the word force", a)
		}
		p, err := placeIn(tx, mailroot.RelayTab, AtEnd)
		if err != nil {
			return err
		}
		return p.put(a.fields()...)
	})
}

// RelayDel takes from a network what RelayAdd gave it.
func (s *Service) RelayDel(ctx context.Context, a Address) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		return deleteNetwork(tx, mailroot.RelayTab, a, func(rule tabfile.AddrRule) iter.Seq[mailroot.Network] {
			return tx.Relays().Same(rule)
		})
	})
}

// Relays returns the rows of smtprelay.tab whose columns match the patterns.
func (s *Service) Relays(address, mask string) iter.Seq[mailroot.Network] {
	return filter(s.root.Relays().All(), func(n mailroot.Network) bool {
		return tabfile.Match(address, n.Address) && tabfile.Match(mask, n.Mask)
	})
}

// isEverybody reports whether a rule matches addresses at both ends of the world,
// as one without bits does, and some of IPv6 that stand for all of IPv4.
func isEverybody(rule tabfile.AddrRule) bool {
	return rule.Matches(netip.AddrFrom4([4]byte{1, 1, 1, 1})) && rule.Matches(netip.AddrFrom4([4]byte{198, 51, 100, 1}))
}

// requireNew refuses an address that stands in one of rows.
func requireNew(table string, a Address, rows iter.Seq[mailroot.Network]) error {
	for row := range rows {
		return refuse(Exists, "%s is in %s already: %s", a, table, row.Text())
	}
	return nil
}

// deleteNetwork removes the rows of a network.
func deleteNetwork(tx *mailroot.Tx, table string, a Address, same func(tabfile.AddrRule) iter.Seq[mailroot.Network]) error {
	rule, err := a.parse()
	if err != nil {
		return err
	}
	rows := rowsOf(same(rule), func(n mailroot.Network) tabfile.Row { return n.Row })
	return deleteOrRefuse(tx.Table(table), table, a.String(), rows)
}

// deleteOrRefuse removes rows, of which there has to be one.
func deleteOrRefuse(t *tabfile.TxTable, table, what string, rows []tabfile.Row) error {
	if len(rows) == 0 {
		return refuse(NoRecord, "%s is not in %s", what, table)
	}
	if !t.Exists() {
		return refuse(CannotRead, "table %s is missing", table)
	}
	return t.Delete(rows...)
}

// A place is where a new row goes.
type place struct {
	table *tabfile.TxTable
	name  string
	below *tabfile.Row // the row that it goes above; nil: to the end
}

// placeIn returns a place in a table of MailRoot itself, which is made where there
// is none: above the row of that number, or at the end.
func placeIn(tx *mailroot.Tx, name string, before int) (place, error) {
	p := place{table: tx.Table(name), name: name}
	if err := ensure(tx, p.table, name); err != nil {
		return p, err
	}
	n := p.table.Len()
	if before < 0 || before > n+1 {
		return p, refuse(Invalid, "there is no row %d in %s, which has %d", before, name, n)
	}
	for row := range p.table.Rows() {
		if before == AtEnd {
			break
		}
		if before--; before == 0 {
			p.below = &row
			break
		}
	}
	return p, nil
}

// put writes the new row.
func (p place) put(fields ...string) error {
	if p.below == nil {
		return cannotWrite(p.name, p.table.Append(fields...))
	}
	return cannotWrite(p.name, p.table.InsertBefore(*p.below, fields...))
}

// ensure makes a table that is not there.
func ensure(tx *mailroot.Tx, t *tabfile.TxTable, table string) error {
	switch {
	case t.Exists():
		return nil
	case t.Len() > 0:
		return refuse(CannotRead, "table %s has vanished; its last rows stay in force until it is back, or made anew by cfgfileset", table)
	}
	return translateFile(table, tx.WriteFile(table, nil))
}

// cannotWrite tells a row that cannot be written from trouble with the file.
func cannotWrite(table string, err error) error {
	var file *fs.PathError
	if err == nil || errors.As(err, &file) {
		return translateFile(table, err)
	}
	return refuse(Invalid, "%w", err)
}

// above returns the first of rows, which are in file order, that stands above the
// place.
func above[T any](p place, rows []T, row func(T) tabfile.Row) (T, bool) {
	if len(rows) > 0 && (p.below == nil || row(rows[0]).Before(*p.below)) {
		return rows[0], true
	}
	var none T
	return none, false
}

// shadowOf returns the row above the place of a new one that matches all of its
// network, where rows are those that do.
func shadowOf(p place, n mailroot.Networks, rows []mailroot.Network) Shadow {
	first, ok := above(p, rows, func(n mailroot.Network) tabfile.Row { return n.Row })
	if !ok {
		return Shadow{}
	}
	return Shadow{n.Position(first.Row), first.Text()}
}

// parseNumber reads a decimal number with at most a minus before it.
func parseNumber(what, s string, least, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || strings.HasPrefix(s, "+") || n < least || n > most {
		return 0, refuse(Invalid, "%s %s is not a number from %d to %d", what, quote(s), least, most)
	}
	return n, nil
}
