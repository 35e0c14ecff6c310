package admin

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// unexpired returns the rows that count at a time.
func unexpired(rows iter.Seq[mailroot.Network], now time.Time) iter.Seq[mailroot.Network] {
	return filter(rows, func(n mailroot.Network) bool { return !n.Expired(now) })
}

// hasLive reports whether one of rows counts at a time.
func hasLive(rows iter.Seq[mailroot.Network], now time.Time) bool {
	for range unexpired(rows, now) {
		return true
	}
	return false
}

func rowOf(n mailroot.Network) tabfile.Row { return n.Row }

// A Swept is how many rows of a table have been removed since they had expired.
type Swept struct {
	Table string // below MailRoot
	Rows  int
}

// Sweep removes the rows that have expired from spammers.tab and the address maps
// of the services. Where there are none it costs nothing, however large the tables.
// An error does not keep other tables from being swept.
func (s *Service) Sweep(ctx context.Context) ([]Swept, error) {
	swept, err := s.sweep(ctx, mailroot.SpammersTab,
		func(t mailroot.Tables) (mailroot.Networks, error) { return t.Spammers(), nil },
		func(tx *mailroot.Tx) (*tabfile.TxTable, error) { return tx.Table(mailroot.SpammersTab), nil })
	errs := []error{err}
	for _, service := range mapServices {
		name := service + ".ipmap.tab"
		more, err := s.sweep(ctx, name,
			func(t mailroot.Tables) (mailroot.Networks, error) { return t.IPMap(service), nil },
			func(tx *mailroot.Tx) (*tabfile.TxTable, error) { return tx.Table(name), nil })
		swept, errs = append(swept, more...), append(errs, err)
	}
	return swept, errors.Join(errs...)
}

// SweepAccounts removes the rows that have expired from the address maps in the
// folders of accounts. It looks for one in each folder.
func (s *Service) SweepAccounts(ctx context.Context) ([]Swept, error) {
	var swept []Swept
	var errs []error
	for m := range s.accountMaps(POP3Service + ":*") {
		if ctx.Err() != nil {
			return swept, ctx.Err()
		}
		user, domain, _ := accountService(m.name)
		find := func(t mailroot.Tables) (mailroot.Networks, error) {
			u, err := requireAccount(t, domain, user)
			if err != nil {
				return mailroot.Networks{}, err
			}
			return t.AccountMap(u)
		}
		more, err := s.sweep(ctx, m.name, find, func(tx *mailroot.Tx) (*tabfile.TxTable, error) {
			u, err := requireAccount(tx.Tables, domain, user)
			if err != nil {
				return nil, err
			}
			return tx.ChangeAccountMap(u)
		})
		if gone := (*Error)(nil); errors.As(err, &gone) && slices.Contains([]Kind{NoRecord, NoUser, NoDomain}, gone.Kind) {
			continue // it has been removed meanwhile
		}
		swept, errs = append(swept, more...), append(errs, err)
	}
	return swept, errors.Join(errs...)
}

// sweep removes what has expired from one table, in a transaction where there is
// something to remove.
func (s *Service) sweep(ctx context.Context, name string, rows func(mailroot.Tables) (mailroot.Networks, error), table func(*mailroot.Tx) (*tabfile.TxTable, error)) ([]Swept, error) {
	now := s.root.Now()
	found, err := rows(s.root.Tables)
	if err != nil {
		return nil, err
	}
	n := 0
	for range found.Expired(now) {
		n++
		break
	}
	if n == 0 {
		return nil, nil
	}
	err = s.update(ctx, func(tx *mailroot.Tx) error {
		n = 0
		found, err := rows(tx.Tables)
		if err != nil {
			return err
		}
		t, err := table(tx)
		if err != nil || !t.Exists() {
			return err // what is remembered of a table that vanished stays
		}
		old := slices.Collect(found.Expired(now))
		n = len(old)
		return t.Delete(old...)
	})
	if err != nil || n == 0 {
		return nil, err
	}
	return []Swept{{name, n}}, nil
}
