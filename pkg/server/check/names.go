package check

import (
	"maps"
	"slices"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/access"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// misspelt are the names that old documents have wrong.
var misspelt = map[string]string{
	"smtp.ipprot.tab": "smtp.ipprop.tab",
	"smtp.hnprot.tab": "smtp.hnprop.tab",
}

// fileName reports a file that looks like a table by a wrong name. Others are
// none of our business.
func (c *checker) fileName(name string) {
	right := misspelt[name]
	if right == "" && strings.HasSuffix(strings.ToLower(name), ".tab") {
		right = nearest(name, slices.Sorted(maps.Keys(mailroot.Schemas())))
	}
	if right != "" {
		c.report(name, 0, "is not read; the name of the table is %s", right)
	}
}

// warnings are what is odd about a row that can be read.
func warnings(name string, fields []string) []string {
	switch {
	case strings.HasSuffix(name, ".ipmap.tab"):
		r, err := access.ParseIPRow(fields)
		if err != nil {
			return []string{err.Error()}
		}
		return r.Warnings
	case name == "smtprelay.tab", name == "smtp.ipprop.tab", name == "spammers.tab":
		mask := ""
		if len(fields) > 1 && name != "smtp.ipprop.tab" && fields[1] != "" && fields[1][0] >= '0' && fields[1][0] <= '9' {
			mask = fields[1]
		}
		r, err := tabfile.ParseAddrRule(fields[0], mask)
		if err != nil {
			return []string{err.Error()}
		}
		return r.Warnings()
	}
	return nil
}

// nearest is the one of names that s was probably meant to be, or "".
func nearest(s string, names []string) string {
	for _, name := range names {
		if tabfile.EqualFold(s, name) {
			return name
		}
	}
	best, found := 3, ""
	for _, name := range names {
		if d := distance(tabfile.Fold(s), tabfile.Fold(name)); d < best && d < len(name)/3 {
			best, found = d, name
		}
	}
	return found
}

// distance is the number of bytes to insert, remove or replace to make a of b.
func distance(a, b string) int {
	before := make([]int, len(b)+1)
	now := make([]int, len(b)+1)
	for j := range before {
		before[j] = j
	}
	for i := range len(a) {
		now[0] = i + 1
		for j := range len(b) {
			d := before[j]
			if a[i] != b[j] {
				d = 1 + min(d, before[j+1], now[j])
			}
			now[j+1] = d
		}
		before, now = now, before
	}
	return before[len(b)]
}
