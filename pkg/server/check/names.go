package check

import (
	"fmt"
	"maps"
	"path"
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
		right = mailroot.Nearest(name, slices.Sorted(maps.Keys(mailroot.Schemas())))
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
		var params string
		if name == mailroot.SpammersTab {
			params = strings.Join(fields[min(len(fields), 1):], ",")
		}
		if _, err := access.Expiry(params); err != nil {
			return append(slices.Clip(r.Warnings()), err.Error()+"; the row stands for good")
		}
		return r.Warnings()
	case isFilters(name):
		return filterWarnings(fields)
	case isCommands(name):
		return commandWarnings(name, fields)
	case path.Base(name) == mailroot.UserDefTab && fields[0] == mailroot.VarPasswordScheme:
		if v, _ := mailroot.LookupServerVar(fields[0]); !slices.Contains(v.Words, fields[1]) {
			return []string{fmt.Sprintf("%s is none of %s; that of server.tab counts", fields[0], strings.Join(v.Words, ", "))}
		}
	}
	return nil
}
