package admin

import (
	"context"
	"iter"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

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

// IPMapAdd adds a row to an address map. permission is ALLOW or DENY, of several
// rows that match the one of the highest precedence decides.
func (s *Service) IPMapAdd(ctx context.Context, c MapChange, permission, precedence string) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		m, err := changeMap(tx, c.Service)
		if err != nil {
			return err
		}
		rule, err := c.Address.parseNew()
		if err != nil {
			return err
		}
		if !tabfile.EqualFold(permission, "ALLOW") && !tabfile.EqualFold(permission, "DENY") {
			return refuse(Invalid, "%s is neither ALLOW nor DENY", quote(permission))
		}
		number, err := parseNumber("precedence", precedence, -1, math.MaxInt32)
		if err != nil {
			return err
		}
		if err := requireNew(m.name, c.Address, m.rows.Same(rule)); err != nil {
			return err
		}
		return c.guard(m, func() error {
			if !m.table.Exists() {
				if err := ensure(tx, m.table, m.name); err != nil {
					return err
				}
				if m, err = changeMap(tx, c.Service); err != nil {
					return err
				}
			}
			err := m.table.Append(c.Address.IP, c.Address.Mask, permission, strconv.Itoa(number))
			return cannotWrite(m.name, err)
		}, func() (ipMap, error) { return changeMap(tx, c.Service) })
	})
}

// IPMapDel removes a network from an address map.
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
		rows := rowsOf(m.rows.Same(rule), func(n mailroot.Network) tabfile.Row { return n.Row })
		return c.guard(m, func() error {
			return deleteOrRefuse(m.table, m.name, c.Address.String(), rows)
		}, func() (ipMap, error) { return changeMap(tx, c.Service) })
	})
}

// guard makes a change and refuses it where it shuts out who asks for it.
func (c MapChange) guard(m ipMap, change func() error, after func() (ipMap, error)) error {
	before := decide(m.name, m.rows, c.Asker)
	if err := change(); err != nil {
		return err
	}
	if c.Service != CtrlService || c.Force || !c.Asker.IsValid() || !before.Allow {
		return nil
	}
	m, err := after()
	if err != nil {
		return err
	}
	if verdict := decide(m.name, m.rows, c.Asker); !verdict.Allow {
		return refuse(Invalid, "that would shut out %s, from where you ask (%s); if it is meant, add the word force", c.Asker, verdict.Reason)
	}
	return nil
}

// decide returns the verdict of an address map on an address.
func decide(name string, rows mailroot.Networks, ip netip.Addr) access.Verdict {
	var matching []tabfile.Row
	for _, n := range rows.Matching(ip) {
		matching = append(matching, n.Row)
	}
	return access.NewIPMap(name, slices.Values(matching)).Decide(ip)
}

// An IPMapRow is a row of an address map.
type IPMapRow struct {
	Service string
	mailroot.Network
}

// IPMaps returns the rows of address maps whose service and address match the
// patterns: those of the four services, and of the accounts where the pattern
// begins with "pop3:". A service without patterns has to be there.
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
	return func(yield func(IPMapRow) bool) {
		for m := range all {
			for row := range m.rows.All() {
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
