package mailroot

import (
	"iter"
	"net/netip"
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// The tables that say by address what a client may do.
const (
	FingerMapTab = "finger.ipmap.tab"
	IPPropTab    = "smtp.ipprop.tab"
	POP3MapTab   = "pop3.ipmap.tab"
	RelayTab     = "smtprelay.tab"
	SMTPMapTab   = "smtp.ipmap.tab"
	SpammersTab  = "spammers.tab"
)

// A Network is a row that begins with a network.
type Network struct {
	Rule    tabfile.AddrRule
	Address string // as it was typed
	Mask    string // empty where there is none
	Rest    []string
	Row     tabfile.Row
	params  int // as in Networks
}

// Networks is a table of networks. Looking one up, or an address in all of
// them, does not take longer the more there are.
type Networks struct {
	v      *tabfile.View
	split  func(fields []string) (mask string, rest []string)
	params int // where in Rest the parameters stand, of which one is the expiry; below 0: there are none
}

// Where the parameters stand in what follows the mask.
const (
	noParams      = -1
	spammerParams = 0
	mapParams     = 2
)

// Relays returns smtprelay.tab.
func (t Tables) Relays() Networks { return Networks{t.table(RelayTab), maskSecond, noParams} }

// Spammers returns spammers.tab, where Rest has the parameters, if any.
func (t Tables) Spammers() Networks {
	return Networks{t.table(SpammersTab), maskIfDigit, spammerParams}
}

// IPProps returns smtp.ipprop.tab, where Rest has the properties.
func (t Tables) IPProps() Networks { return Networks{t.table(IPPropTab), maskNever, noParams} }

// IPMap returns the address map of a service, "ctrl", "smtp", "pop3" or
// "finger", where Rest has the permission, the precedence, and perhaps when the row
// expires.
func (t Tables) IPMap(service string) Networks {
	return Networks{t.table(service + ".ipmap.tab"), maskSecond, mapParams}
}

// AccountMap returns the address map in the folder of an account.
func (t Tables) AccountMap(u User) (Networks, error) {
	v, err := t.accountTable(u, POP3MapTab, accountMapSchema)
	return Networks{v, maskSecond, mapParams}, err
}

// ChangeAccountMap returns the address map in the folder of an account inside a
// transaction.
func (tx *Tx) ChangeAccountMap(u User) (*tabfile.TxTable, error) {
	return tx.accountFile(u, POP3MapTab, accountMapSchema)
}

// Where a row of a table of networks has its mask.
func maskSecond(f []string) (string, []string) {
	if len(f) < 2 {
		return "", nil
	}
	return f[1], f[2:]
}

// maskIfDigit takes the second column for a mask only where it begins with a
// digit (docs/reference/tables.md 3.9).
func maskIfDigit(f []string) (string, []string) {
	if len(f) < 2 || f[1] == "" || f[1][0] < '0' || f[1][0] > '9' {
		return "", f[1:]
	}
	return f[1], f[2:]
}

func maskNever(f []string) (string, []string) { return "", f[1:] }

// Exists reports whether the file of the table is there.
func (n Networks) Exists() bool { return n.v.Exists() }

func (n Networks) parse(row tabfile.Row) Network {
	f := row.Fields()
	mask, rest := n.split(f)
	rule, _ := tabfile.ParseAddrRule(f[0], mask) // of a row that is readable
	return Network{Rule: rule, Address: f[0], Mask: mask, Rest: rest, Row: row, params: n.params}
}

// All returns the rows in file order.
func (n Networks) All() iter.Seq[Network] { return typed(n.v.Rows(), n.parse) }

// Same returns the rows of the same network, however it is written.
func (n Networks) Same(rule tabfile.AddrRule) iter.Seq[Network] {
	return typed(n.v.All("network", networkKey(rule)), n.parse)
}

// Matching returns the rows that match an address, in file order.
func (n Networks) Matching(ip netip.Addr) []Network {
	ip = ip.Unmap().WithZone("")
	if !ip.IsValid() {
		return nil
	}
	return n.Covering(netip.PrefixFrom(ip, ip.BitLen()))
}

// Covering returns the rows that match every address of a network, in file order.
func (n Networks) Covering(p netip.Prefix) []Network {
	if n.v.Len() == 0 {
		return nil // as most of these tables are
	}
	var found []Network
	add := func(rows iter.Seq[Network]) {
		for row := range rows {
			if Covers(row.Rule, p) {
				found = append(found, row)
			}
		}
	}
	for _, key := range wider(p) {
		add(typed(n.v.All("network", key), n.parse))
	}
	// Those that no wider network leads to.
	add(typed(n.v.All("wide", ""), n.parse))
	slices.SortFunc(found, func(a, b Network) int { return order(a.Row, b.Row) })
	return slices.CompactFunc(found, func(a, b Network) bool { return a.Row == b.Row })
}

// order compares rows of the same version of a table by their places.
func order(a, b tabfile.Row) int {
	switch {
	case a.Before(b):
		return -1
	case b.Before(a):
		return 1
	}
	return 0
}

// Covers reports whether a rule matches every address of a network.
func Covers(rule tabfile.AddrRule, p netip.Prefix) bool {
	p = canonical(p)
	if p.Bits() == 0 {
		own, ok := rule.Prefix()
		return ok && own.Bits() == 0
	}
	// A mask that has a bit inside p does not match both ends of it.
	return rule.Matches(p.Addr()) && rule.Matches(lastOf(p))
}

// lastOf returns the last address of a network.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := range b {
		if free := (i+1)*8 - p.Bits(); free >= 8 {
			b[i] = 0xff
		} else if free > 0 {
			b[i] |= 1<<free - 1
		}
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

// canonical returns a network without host bits, and one of IPv4 addresses that
// are mapped into IPv6 as that of IPv4.
func canonical(p netip.Prefix) netip.Prefix {
	if p.IsValid() && p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// networkKey returns the key under which rules of the same network stand.
func networkKey(rule tabfile.AddrRule) string {
	if p, ok := rule.Prefix(); ok {
		return canonical(p).String()
	}
	return rule.String()
}

// wider returns the keys of p and of the networks around it.
func wider(p netip.Prefix) []string {
	p = canonical(p)
	// All keys share one string: every client is looked up so, in several tables.
	var text []byte
	ends := make([]int, 0, 129)
	for bits := p.Bits(); bits > 0; bits-- {
		text = netip.PrefixFrom(p.Addr(), bits).Masked().AppendTo(text)
		ends = append(ends, len(text))
	}
	keys := make([]string, len(ends))
	for all, i, from := string(text), 0, 0; i < len(ends); i++ {
		keys[i], from = all[from:ends[i]], ends[i]
	}
	if inner, ok := inV6(p); ok { // rules of IPv4 match these addresses as well
		keys = append(keys, wider(inner)...)
	}
	return keys
}

// inV6 returns the IPv4 network in one of ::/96.
func inV6(p netip.Prefix) (netip.Prefix, bool) {
	if p.Addr().Is4() || p.Bits() < 96 {
		return netip.Prefix{}, false
	}
	b := p.Addr().As16()
	if [12]byte(b[:12]) != [12]byte{} {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte(b[12:])), p.Bits()-96), true
}

// isWide reports whether a rule matches addresses that [wider] does not lead from
// to it: a mask with gaps or without bits, IPv6 rules that match IPv4 addresses.
func isWide(rule tabfile.AddrRule) bool {
	p, ok := rule.Prefix()
	if p = canonical(p); !ok || p.Bits() == 0 {
		return true
	}
	if p.Addr().Is4() {
		return false
	}
	_, embedded := inV6(p)
	return embedded || rule.Matches(netip.AddrFrom4([4]byte{192, 0, 2, 1}))
}

// networkIndexes are the look-ups of a table of networks.
func networkIndexes(split func([]string) (string, []string)) []tabfile.Index {
	rule := func(f []string) (tabfile.AddrRule, error) {
		mask, _ := split(f)
		return tabfile.ParseAddrRule(f[0], mask)
	}
	return []tabfile.Index{
		{Name: "network", Key: func(f []string) (string, bool) {
			r, err := rule(f)
			return networkKey(r), err == nil
		}},
		{Name: "wide", Key: func(f []string) (string, bool) {
			r, err := rule(f)
			return "", err == nil && isWide(r)
		}},
	}
}

// networkTable returns the schema of a table of networks.
func networkTable(split func([]string) (string, []string)) *tabfile.Schema {
	parse := func(f []string) (tabfile.AddrRule, error) {
		mask, _ := split(f)
		return tabfile.ParseAddrRule(f[0], mask)
	}
	return &tabfile.Schema{
		Columns: 1,
		Check: func(f []string) error {
			_, err := parse(f)
			return err
		},
		CheckNew: func(f []string) error {
			if rule, err := parse(f); err != nil || rule.Contiguous() {
				return err
			}
			mask, _ := split(f)
			return checkNewNetwork([]string{f[0], mask})
		},
		Indexes: networkIndexes(split),
	}
}

// Position returns the number of a row of the table, from 1, not counting
// comments and rows that cannot be read.
func (n Networks) Position(row tabfile.Row) int { return position(n.v, row) }

func position(v *tabfile.View, row tabfile.Row) int {
	n := 1
	for other := range v.Rows() {
		if !other.Before(row) {
			break
		}
		n++
	}
	return n
}

// Text returns the row for a message: its fields with blanks between them.
func (n Network) Text() string {
	return strings.Join(slices.DeleteFunc(n.Row.Fields(), func(f string) bool { return f == "" }), " ")
}
