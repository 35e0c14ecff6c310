package admin

import (
	"context"
	"iter"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/xmaild/xmaild/pkg/server/access"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// The services with an address map.
const (
	CtrlService   = "ctrl"
	SMTPService   = "smtp"
	POP3Service   = "pop3"
	FingerService = "finger"
)

var mapServices = []string{CtrlService, SMTPService, POP3Service, FingerService}

// accountService returns the account of a service such as "pop3:user@domain".
func accountService(service string) (user, domain string, ok bool) {
	prefix, account, ok := strings.Cut(service, ":")
	if !ok || prefix != POP3Service {
		return "", "", false
	}
	at := strings.LastIndexByte(account, '@')
	if at < 0 {
		return "", "", false
	}
	return account[:at], account[at+1:], true
}

// An ipMap is an address map to change.
type ipMap struct {
	name  string
	table *tabfile.TxTable
	rows  mailroot.Networks
}

// changeMap returns the address map of a service.
func changeMap(tx *mailroot.Tx, service string) (ipMap, error) {
	if slices.Contains(mapServices, service) {
		name := service + ".ipmap.tab"
		return ipMap{name, tx.Table(name), tx.IPMap(service)}, nil
	}
	user, domain, ok := accountService(service)
	if !ok {
		return ipMap{}, noService(service)
	}
	u, err := requireAccount(tx.Tables, domain, user)
	if err != nil {
		return ipMap{}, err
	}
	dir, err := u.Path()
	if err != nil {
		return ipMap{}, refuse(CannotCreate, "%w", err)
	}
	table, err := tx.ChangeAccountMap(u)
	if err != nil {
		return ipMap{}, err
	}
	rows, err := tx.AccountMap(u)
	return ipMap{dir + "/" + mailroot.POP3MapTab, table, rows}, err
}

func noService(service string) error {
	return refuse(Invalid, "%s is no service with an address map: ctrl, smtp, pop3, finger, pop3:user@domain", quote(service))
}

// A MapChange is a change of an address map.
type MapChange struct {
	Service string // ctrl, smtp, pop3, finger, or pop3:user@domain
	Address Address

	// Asker is who asks for the change: one that would shut it out of the control
	// port is refused, unless Force is set. The zero value is nobody.
	Asker netip.Addr
	Force bool
}

// An IPMapEntry is what a row of an address map says of its network.
type IPMapEntry struct {
	Permission string // ALLOW or DENY
	Precedence string // of several rows that match the one of the highest decides
	Expires    string // from when on the row does not count, Unix time; empty: it stands for good
}

// IPMapAdd adds a row to an address map. A row of the network that has expired is
// no obstacle, and goes.
func (s *Service) IPMapAdd(ctx context.Context, c MapChange, e IPMapEntry) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		now := s.root.Now()
		m, err := changeMap(tx, c.Service)
		if err != nil {
			return err
		}
		rule, err := c.Address.parseNew()
		if err != nil {
			return err
		}
		row, err := e.fields(now)
		if err != nil {
			return err
		}
		if err := requireNew(m.name, c.Address, unexpired(m.rows.Same(rule), now)); err != nil {
			return err
		}
		return c.guard(m, now, func() error {
			if old := rowsOf(m.rows.Same(rule), rowOf); len(old) > 0 && m.table.Exists() {
				if err := m.table.Delete(old...); err != nil {
					return err
				}
			}
			if !m.table.Exists() {
				if err := ensure(tx, m.table, m.name); err != nil {
					return err
				}
				if m, err = changeMap(tx, c.Service); err != nil {
					return err
				}
			}
			err := m.table.Append(append([]string{c.Address.IP, c.Address.Mask}, row...)...)
			return cannotWrite(m.name, err)
		}, func() (ipMap, error) { return changeMap(tx, c.Service) })
	})
}

// fields returns what follows the network in a row.
func (e IPMapEntry) fields(now time.Time) ([]string, error) {
	if !tabfile.EqualFold(e.Permission, "ALLOW") && !tabfile.EqualFold(e.Permission, "DENY") {
		return nil, refuse(Invalid, "%s is neither ALLOW nor DENY", quote(e.Permission))
	}
	number, err := parseNumber("precedence", e.Precedence, -1, math.MaxInt32)
	if err != nil {
		return nil, err
	}
	row := []string{e.Permission, strconv.Itoa(number)}
	if e.Expires == "" {
		return row, nil
	}
	return append(row, mailroot.SpammerExpires+"="+e.Expires), checkExpiry(e.Expires, now)
}

// IPMapDel removes a network from an address map. A row that has expired is not
// there.
func (s *Service) IPMapDel(ctx context.Context, c MapChange) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		m, err := changeMap(tx, c.Service)
		if err != nil {
			return err
		}
		rule, err := c.Address.parse()
		if err != nil {
			return err
		}
		now := s.root.Now()
		var rows []tabfile.Row
		if hasLive(m.rows.Same(rule), now) {
			rows = rowsOf(m.rows.Same(rule), rowOf)
		}
		return c.guard(m, now, func() error {
			return deleteOrRefuse(m.table, m.name, c.Address.String(), rows)
		}, func() (ipMap, error) { return changeMap(tx, c.Service) })
	})
}

// guard makes a change and refuses it where it shuts out who asks for it, now or
// when rows expire.
func (c MapChange) guard(m ipMap, now time.Time, change func() error, after func() (ipMap, error)) error {
	guarded := c.Service == CtrlService && !c.Force && c.Asker.IsValid()
	var before *access.IPMap
	times := []time.Time{now}
	if guarded {
		// The rows of the moment, before the change touches them.
		matching := m.rows.Matching(c.Asker)
		before = access.NewIPMap(m.name, slices.Values(rowsOf(slices.Values(matching), rowOf)))
		times = append(times, expiries(matching, now)...)
	}
	if err := change(); err != nil || !guarded {
		return err
	}
	m, err := after()
	if err != nil {
		return err
	}
	times = append(times, expiries(m.rows.Matching(c.Asker), now)...)
	slices.SortFunc(times, time.Time.Compare)
	for _, at := range times {
		verdict := decide(m.name, m.rows, c.Asker, at)
		if verdict.Allow || !before.Decide(c.Asker, at).Allow {
			continue
		}
		when := ""
		if at != now {
			when = " from " + at.UTC().Format(time.RFC3339) + " on"
		}
		return refuse(Invalid, "that would shut out %s, from where you ask,%s (%s); if it is meant, add the word force", c.Asker, when, verdict.Reason)
	}
	return nil
}

// expiries returns when rows stop counting, of those that count still.
func expiries(rows []mailroot.Network, now time.Time) []time.Time {
	var times []time.Time
	for _, n := range rows {
		if at := n.Expires(); at.After(now) {
			times = append(times, at)
		}
	}
	return times
}

// decide returns the verdict of an address map on an address at a time.
func decide(name string, rows mailroot.Networks, ip netip.Addr, now time.Time) access.Verdict {
	matching := rowsOf(slices.Values(rows.Matching(ip)), rowOf)
	return access.NewIPMap(name, slices.Values(matching)).Decide(ip, now)
}

// An IPMapRow is a row of an address map.
type IPMapRow struct {
	Service string
	mailroot.Network
}

// IPMaps returns the rows of address maps whose service and address match the
// patterns: those of the four services, and of the accounts where the pattern
// begins with "pop3:". A service without patterns has to be there. Rows that have
// expired are not among them.
func (s *Service) IPMaps(service, address string) (iter.Seq[IPMapRow], error) {
	var maps []ipMap
	inAccount := strings.HasPrefix(service, POP3Service+":")
	switch {
	case inAccount && isPattern(service):
		maps = nil // one after the other, below
	case inAccount:
		user, domain, ok := accountService(service)
		if !ok {
			return nil, noService(service)
		}
		u, err := requireAccount(s.root.Tables, domain, user)
		if err != nil {
			return nil, err
		}
		rows, err := s.root.AccountMap(u)
		if err != nil {
			return nil, refuse(CannotRead, "%w", err)
		}
		maps = []ipMap{{name: service, rows: rows}}
	default:
		for _, name := range mapServices {
			if tabfile.Match(service, name) {
				maps = append(maps, ipMap{name: name, rows: s.root.IPMap(name)})
			}
		}
		if len(maps) == 0 && !isPattern(service) {
			return nil, noService(service)
		}
	}
	all := slices.Values(maps)
	if inAccount && isPattern(service) {
		all = s.accountMaps(service)
	}
	now := s.root.Now()
	return func(yield func(IPMapRow) bool) {
		for m := range all {
			for row := range unexpired(m.rows.All(), now) {
				if tabfile.Match(address, row.Address) && !yield(IPMapRow{m.name, row}) {
					return
				}
			}
		}
	}, nil
}

// accountMaps returns the address maps of accounts that match a pattern.
func (s *Service) accountMaps(pattern string) iter.Seq[ipMap] {
	return func(yield func(ipMap) bool) {
		for u := range s.root.Users() {
			name := POP3Service + ":" + u.Name + "@" + u.Domain
			dir, err := u.Path()
			if err != nil || !tabfile.Match(pattern, name) {
				continue
			}
			if _, err := s.root.Stat(dir + "/" + mailroot.POP3MapTab); err != nil {
				continue // most have none
			}
			rows, err := s.root.AccountMap(u)
			if err != nil {
				s.log.Warn("address map cannot be read", "account", name, "err", err)
				continue
			}
			if !yield(ipMap{name: name, rows: rows}) {
				return
			}
		}
	}
}
