package mailroot

import (
	"fmt"
	"iter"
	"time"

	"github.com/xmaild/xmaild/pkg/server/access"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// Expires returns the second from which on a row of spammers.tab or of an address
// map does not count any more; the zero time where it stands for good.
func (n Network) Expires() time.Time {
	if n.params < 0 || n.params >= len(n.Rest) {
		return time.Time{}
	}
	at, _ := access.Expiry(n.Rest[n.params]) // what is no time never comes
	return at
}

// Expired reports whether a row of spammers.tab or of an address map does not
// count any more.
func (n Network) Expired(now time.Time) bool { return access.Past(n.Expires(), now) }

// Expired returns the rows of spammers.tab or of an address map that do not count
// any more, the oldest first.
func (n Networks) Expired(now time.Time) iter.Seq[tabfile.Row] {
	return func(yield func(tabfile.Row) bool) {
		if n.params < 0 {
			return
		}
		for row := range n.v.Prefix("expires", "") {
			if !n.parse(row).Expired(now) || !yield(row) {
				return
			}
		}
	}
}

// expiring adds to the schema of a table of networks the look-up of the rows that
// expire, by their time. The parameters stand at an index of what follows the
// mask.
func expiring(schema *tabfile.Schema, split func([]string) (string, []string), params int) *tabfile.Schema {
	schema.Indexes = append(schema.Indexes, tabfile.Index{Name: "expires", Key: func(f []string) (string, bool) {
		_, rest := split(f)
		if params >= len(rest) {
			return "", false
		}
		at, err := access.Expiry(rest[params])
		return fmt.Sprintf("%020d", max(at.Unix(), 0)), err == nil && !at.IsZero()
	}})
	return schema
}
