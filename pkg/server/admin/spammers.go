package admin

import (
	"context"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// maxDelay is the longest delay of a spammer, in seconds.
const maxDelay = 3600

// SpammerAdd bans a network. params is a list with commas of code=NUMBER and
// expires=UNIXTIME, or empty. The row gets above the one of the number before,
// which counts from 1, or to the end. A row that has expired is no obstacle, and
// goes.
func (s *Service) SpammerAdd(ctx context.Context, a Address, params string, before int) (Shadow, error) {
	var shadow Shadow
	err := s.update(ctx, func(tx *mailroot.Tx) error {
		shadow = Shadow{}
		rule, err := a.parseNew()
		if err != nil {
			return err
		}
		now := s.root.Now()
		if err := requireNew(mailroot.SpammersTab, a, unexpired(tx.Spammers().Same(rule), now)); err != nil {
			return err
		}
		expired := rowsOf(tx.Spammers().Same(rule), rowOf)
		if err := checkSpammerParams(params, now); err != nil {
			return err
		}
		fields := a.fields()
		if params != "" {
			fields = append(fields, params)
		}
		p, err := placeIn(tx, mailroot.SpammersTab, before)
		if err != nil {
			return err
		}
		if prefix, ok := rule.Prefix(); ok {
			rows := slices.DeleteFunc(tx.Spammers().Covering(prefix), func(n mailroot.Network) bool { return n.Expired(now) })
			shadow = shadowOf(p, tx.Spammers(), rows)
		}
		if err := p.put(fields...); err != nil {
			return err
		}
		return tx.Table(mailroot.SpammersTab).Delete(expired...)
	})
	return shadow, err
}

// checkSpammerParams refuses parameters that are not known.
func checkSpammerParams(params string, now time.Time) error {
	if params == "" {
		return nil
	}
	seen := map[string]bool{}
	for p := range strings.SplitSeq(params, ",") {
		name, value, ok := strings.Cut(p, "=")
		var err error
		switch {
		case ok && name == mailroot.SpammerCode:
			_, err = parseNumber("the code", value, -maxDelay, math.MaxInt32)
		case ok && name == mailroot.SpammerExpires:
			err = checkExpiry(value, now)
		default:
			err = refuse(Invalid, "parameter %s is neither code=NUMBER nor expires=UNIXTIME", quote(p))
		}
		if err != nil {
			return err
		}
		if seen[name] {
			return refuse(Invalid, "parameter %s is there twice", name)
		}
		seen[name] = true
	}
	return nil
}

func checkExpiry(value string, now time.Time) error {
	seconds, err := strconv.ParseUint(value, 10, 53)
	if err != nil {
		return refuse(Invalid, "%s is not a time in seconds since 1970", quote(value))
	}
	if at := time.Unix(int64(seconds), 0); !at.After(now) {
		return refuse(Invalid, "expires=%s is %s, which is past", value, at.UTC().Format(time.RFC3339))
	}
	return nil
}

// SpammerDel lifts the ban of a network. One that has expired is not there.
func (s *Service) SpammerDel(ctx context.Context, a Address) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		now := s.root.Now()
		return deleteNetwork(tx, mailroot.SpammersTab, a, func(rule tabfile.AddrRule) iter.Seq[mailroot.Network] {
			rows := tx.Spammers().Same(rule)
			if !hasLive(rows, now) {
				return slices.Values([]mailroot.Network(nil))
			}
			return rows
		})
	})
}

// A NumberedNetwork is a row of a table and its number there, from 1.
type NumberedNetwork struct {
	mailroot.Network
	Number int
}

// numbered gives rows their numbers.
func numbered(rows iter.Seq[mailroot.Network]) iter.Seq[NumberedNetwork] {
	return func(yield func(NumberedNetwork) bool) {
		n := 0
		for row := range rows {
			if n++; !yield(NumberedNetwork{row, n}) {
				return
			}
		}
	}
}

// Spammers returns the rows of spammers.tab whose columns match the patterns.
// Those that have expired are not among them.
func (s *Service) Spammers(address, params string) iter.Seq[NumberedNetwork] {
	now := s.root.Now()
	return filter(numbered(s.root.Spammers().All()), func(n NumberedNetwork) bool {
		return !n.Expired(now) && tabfile.Match(address, n.Address) && tabfile.Match(params, n.Params())
	})
}
