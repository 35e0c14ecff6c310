package mailroot

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// The parameters of spammers.tab.
const (
	SpammerCode    = "code"    // what happens to the client (docs/reference/tables.md 3.9)
	SpammerExpires = "expires" // ours: the row does not count from that second on, Unix time
)

// Params returns the parameters of a row of spammers.tab.
func (n Network) Params() string { return strings.Join(n.Rest, ",") }

// Expired reports whether a row of spammers.tab does not count any more.
func (n Network) Expired(now time.Time) bool {
	at, ok := expiry(n.Rest)
	return ok && !now.Before(at)
}

// Code returns what happens to a client that a row of spammers.tab matches:
// refused where it is greater than 0, only after a login where it is 0, served
// with a delay of -Code seconds where it is less.
func (n Network) Code() int {
	if code, ok := param(n.Rest, SpammerCode); ok {
		return Atoi(code)
	}
	return 1
}

func param(params []string, name string) (string, bool) {
	if len(params) == 0 {
		return "", false
	}
	for p := range strings.SplitSeq(params[0], ",") {
		if key, value, ok := strings.Cut(p, "="); ok && key == name {
			return value, true
		}
	}
	return "", false
}

// expiry returns the time of the parameter; a value that is none counts as
// absent, since a row that bans is not to go by a mistake.
func expiry(params []string) (time.Time, bool) {
	value, ok := param(params, SpammerExpires)
	if !ok {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseUint(value, 10, 53)
	return time.Unix(int64(seconds), 0), err == nil
}

func timeKey(t time.Time) string { return fmt.Sprintf("%020d", max(t.Unix(), 0)) }

// ExpiredSpammers returns the rows of spammers.tab that do not count any more,
// the oldest first.
func (t Tables) ExpiredSpammers(now time.Time) iter.Seq[tabfile.Row] {
	return func(yield func(tabfile.Row) bool) {
		n := t.Spammers()
		for row := range n.v.Prefix("expires", "") {
			if !n.parse(row).Expired(now) || !yield(row) {
				return
			}
		}
	}
}
