// Package access decides who may do what. Its functions are pure: they look at
// rows and an address, and return a verdict with its reason; nothing here reads
// a file or asks a name server.
package access

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A Verdict is a decision and why it came out so.
type Verdict struct {
	Allow  bool
	Reason string // for logs, not for the stranger who was refused
	File   string // the table that decided; empty where none did
	Row    string // the row that decided, as it stands in the table; empty where none did
}

// A Row is a row of a table: its fields, and the line they were read from.
type Row interface {
	Fields() []string
	Raw() string
}

// An IPMap is an address map (ctrl.ipmap.tab, pop3.ipmap.tab and the like, see
// docs/reference/tables.md 3.7). It may be used by several goroutines. A nil
// IPMap, as that of a table which does not exist, allows everyone.
type IPMap struct {
	file  string
	rules []ipRule
	none  Verdict // where no row matches
}

type ipRule struct {
	net        tabfile.AddrRule
	allow      bool
	precedence int
	expires    time.Time
	raw        string
}

// lowest is the precedence below which rows never count.
const lowest = -1

// NewIPMap makes a map of the rows of file, which is named in verdicts. Rows
// that [ParseIPRow] does not understand are left out.
func NewIPMap[R Row](file string, rows iter.Seq[R]) *IPMap {
	m := &IPMap{file: file, none: Verdict{Allow: true, Reason: "no row of " + file + " matches"}}
	for row := range rows {
		rule, err := ParseIPRow(row.Fields())
		if err != nil {
			continue
		}
		m.rules = append(m.rules, ipRule{rule.Net, rule.Allow, rule.Precedence, rule.Expires, row.Raw()})
	}
	return m
}

// Decide returns the verdict on an address at a time. Of the rows that match and
// have not expired the one of the highest precedence decides, among several of
// these the last in the file. Where none matches the address is allowed.
func (m *IPMap) Decide(ip netip.Addr, now time.Time) Verdict {
	if m == nil {
		return Verdict{Allow: true, Reason: "no address map"}
	}
	var found *ipRule
	best := lowest
	for i := range m.rules {
		r := &m.rules[i]
		if r.precedence >= best && r.net.Matches(ip) && !Past(r.expires, now) {
			found, best = r, r.precedence
		}
	}
	if found == nil {
		return m.none
	}
	word := "denied"
	if found.allow {
		word = "allowed"
	}
	return Verdict{
		Allow:  found.allow,
		Reason: fmt.Sprintf("%s by %s: %s", word, m.file, strings.ReplaceAll(found.raw, "\t", " ")),
		File:   m.file,
		Row:    found.raw,
	}
}

// An IPRow is a row of an address map.
type IPRow struct {
	Net        tabfile.AddrRule
	Allow      bool      // any word but ALLOW denies
	Precedence int       // rows below -1 never count
	Expires    time.Time // from when on it does not count; zero: it stands for good
	Warnings   []string
}

// ParseIPRow reads the fields of a row: address, netmask, permission, precedence,
// and perhaps expires=UNIXTIME.
func ParseIPRow(fields []string) (IPRow, error) {
	if len(fields) < 4 {
		return IPRow{}, fmt.Errorf("%d fields where an address, a netmask, ALLOW or DENY, and a precedence are needed", len(fields))
	}
	net, err := tabfile.ParseAddrRule(fields[0], fields[1])
	if err != nil {
		return IPRow{}, err
	}
	precedence, err := strconv.Atoi(strings.TrimSpace(fields[3]))
	if err != nil {
		return IPRow{}, fmt.Errorf("bad precedence %q", fields[3])
	}
	row := IPRow{Net: net, Precedence: precedence, Warnings: slices.Clip(net.Warnings())}
	warn := func(format string, args ...any) { row.Warnings = append(row.Warnings, fmt.Sprintf(format, args...)) }
	switch {
	case tabfile.EqualFold(fields[2], "ALLOW"):
		row.Allow = true
	case !tabfile.EqualFold(fields[2], "DENY"):
		warn("permission %q is neither ALLOW nor DENY; it denies", fields[2])
	}
	if precedence < lowest {
		warn("precedence %d is below %d; the row never counts", precedence, lowest)
	}
	if len(fields) > 4 {
		row.Expires, err = Expiry(fields[4])
		switch {
		case err != nil:
			warn("%v; the row stands for good", err)
		case row.Expires.IsZero():
			warn("%q after the precedence means nothing; expires=UNIXTIME may stand there", fields[4])
		}
	}
	return row, nil
}
