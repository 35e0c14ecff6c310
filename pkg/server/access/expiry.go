package access

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// expires is the parameter of rows that count for some time only. It is ours: the
// reference reads such rows as if they stood for good.
const expires = "expires="

// Expiry returns the second from which on a row does not count any more, by the
// parameter expires=UNIXTIME in a list with commas; the zero time where there is
// none. A value that is no time is an error, and a row with one stands for good:
// what bans is not to go by a mistake.
func Expiry(params string) (time.Time, error) {
	for p := range strings.SplitSeq(params, ",") {
		value, ok := strings.CutPrefix(p, expires)
		if !ok {
			continue
		}
		seconds, err := strconv.ParseUint(value, 10, 53)
		if err != nil {
			return time.Time{}, fmt.Errorf("expires=%q is no time in seconds since 1970", value)
		}
		return time.Unix(int64(seconds), 0), nil
	}
	return time.Time{}, nil
}

// Past reports whether what expires at a time does not count any more; the zero
// time never comes.
func Past(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }
